"""The request log: pages, one row, and export."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Depends, Query
from fastapi.responses import StreamingResponse

from llm_gateway.assemble import Running
from llm_gateway.errors import InvalidRequest
from llm_gateway.storage import projects, requests
from llm_gateway.storage.requests import Cursor, RequestFilters
from llm_gateway.web.admin.common import Live, admin_router, listed, moment, when
from llm_gateway.web.admin.payloads import add_payloads

router = admin_router("requests")
EXPORT_BLOCK = 65_536
"""Bytes gathered before a part of an export is sent."""


async def filters(
    running: Live,
    since: Annotated[str | None, Query(description="ISO 8601 or Unix seconds.")] = None,
    until: str | None = None,
    project: Annotated[str | None, Query(description="Id or name.")] = None,
    key_id: str | None = None,
    model: str | None = None,
    backend_model: str | None = None,
    server_id: str | None = None,
    endpoint: str | None = None,
    status: Annotated[int | None, Query(ge=100, le=599)] = None,
    status_class: Annotated[int | None, Query(ge=1, le=5, description="2, 4 or 5.")] = None,
    outcome: str | None = None,
    error_code: str | None = None,
    min_latency_ms: Annotated[float | None, Query(ge=0)] = None,
    stream: bool | None = None,
    request_id: str | None = None,
    correlation_id: str | None = None,
    client_request_id: str | None = None,
    end_user: str | None = None,
) -> RequestFilters:
    """The query of a list, an export or a statistic."""
    project_id = None
    if project is not None:
        async with running.sessions.read() as s:
            project_id = (await projects.get_project(s, project)).id
    return RequestFilters(
        since=moment(since, "since"),
        until=moment(until, "until"),
        project_id=project_id,
        key_id=key_id,
        model=model,
        backend_model=backend_model,
        server_id=server_id,
        endpoint=endpoint,
        status=status,
        status_class=status_class,
        outcome=outcome,
        error_code=error_code,
        min_latency_ms=min_latency_ms,
        stream=stream,
        request_id=request_id,
        correlation_id=correlation_id,
        client_request_id=client_request_id,
        end_user=end_user,
    )


Filters = Annotated[RequestFilters, Depends(filters)]


@router.get("", summary="A page of the log, newest first")
async def list_requests(
    running: Live,
    wanted: Filters,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=requests.MAX_PAGE)] = 50,
) -> dict[str, Any]:
    before = Cursor.parse(cursor) if cursor is not None else None
    async with running.sessions.read() as s:
        rows, after = await requests.page(s, filters=wanted, before=before, limit=limit)
    names = project_names(running)
    return listed([shown(row, names) for row in rows], next_cursor=str(after) if after else None)


@router.get("/export", summary="Every matching row, streamed")
async def export_requests(
    running: Live,
    wanted: Filters,
    format: Literal["ndjson", "csv"] = "ndjson",
    payloads: Annotated[bool, Query(description="With prompt and answer, where they are kept.")] = False,
) -> StreamingResponse:
    if payloads and format == "csv":
        raise InvalidRequest("Prompts and answers have no place in a table: ask for `format=ndjson`.", param="payloads")
    lines = _lines(running, wanted, format, payloads)
    first = await anext(lines)  # what is wrong with the filters is said before an answer begins
    media = "text/csv; charset=utf-8" if format == "csv" else "application/x-ndjson"
    headers = {"content-disposition": f'attachment; filename="requests.{format}"'}
    return StreamingResponse(_whole(first, lines), media_type=media, headers=headers)


@router.get("/{request_id}", summary="One row, by the `X-Request-ID` that the client got")
async def get_request(running: Live, request_id: str) -> dict[str, Any]:
    async with running.sessions.read() as s:
        row = await requests.get(s, request_id)
    return shown(row, project_names(running))


async def _whole(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    async with aclosing(rest):
        yield first
        async for block in rest:
            yield block


async def _lines(running: Running, wanted: RequestFilters, format: str, payloads: bool) -> AsyncGenerator[bytes]:
    names = project_names(running)
    block = io.StringIO()
    sheet: csv.DictWriter[str] | None = None
    async with running.sessions.read() as s:
        async for row in requests.export(s, wanted):
            view = shown(row, names)
            if payloads:
                await add_payloads(s, [view])
            if format == "ndjson":
                block.write(msgspec.json.encode(view).decode() + "\n")
            else:
                if sheet is None:
                    sheet = csv.DictWriter(block, list(view))
                    sheet.writeheader()
                sheet.writerow({name: _cell(value) for name, value in view.items()})
            if block.tell() > EXPORT_BLOCK:
                yield block.getvalue().encode()
                block.seek(0)
                block.truncate()
    yield block.getvalue().encode()


def _cell(value: Any) -> Any:
    """A spreadsheet must not take a client's text for a formula."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value


def project_names(running: Running) -> dict[str, str]:
    return {p.id: p.name for p in running.gateway.snapshot.projects.values()}


def shown(row: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    view = {"request_id": row["id"], "timestamp": when(row["timestamp"]), "project": names.get(row["project_id"])}
    return view | {name: value for name, value in row.items() if name not in ("id", "timestamp")}
