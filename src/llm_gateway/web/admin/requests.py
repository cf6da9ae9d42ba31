"""The request log: pages, what arrives, export, and one row."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Final

from fastapi import Depends, Query

from llm_gateway.access.policy import Trust
from llm_gateway.errors import InvalidRequest
from llm_gateway.ledger.entry import Recorded
from llm_gateway.running import Running
from llm_gateway.storage import arrivals, attempts, projects, requests
from llm_gateway.storage.arrivals import Mark
from llm_gateway.storage.requests import Cursor, RequestFilters
from llm_gateway.web.admin.common import Live, admin_router, moment
from llm_gateway.web.admin.exports import SHEET, Format, blocks_of, export
from llm_gateway.web.admin.payloads import kept_payloads
from llm_gateway.web.admin.request_view import (
    ExportedRequest,
    LoggedRequest,
    RequestDetail,
    RequestPage,
    RequestTail,
    attempt_view,
    names_of,
    request_view,
)
from llm_gateway.web.auth import By, editor
from llm_gateway.web.described import Lines

router = admin_router("requests")
COLUMNS: Final = (
    *("request_id", "timestamp", "project", "project_id", "key_id", "endpoint", "model", "backend_model", "server_id"),
    *("tier", "stream", "status", "outcome", "error_code", "finish_reason", "latency_ms", "ttft_ms", "attempts"),
    *("failovers", "continuations", "tokens_input", "tokens_output", "tokens_estimated", "cost", "end_user"),
    *("correlation_id", "project_context", "client_request_id", "notes", "key", "server"),
)
"""Of an export as CSV."""


async def filters(
    running: Live,
    since: Annotated[str | None, Query(description="ISO 8601 or Unix seconds.")] = None,
    until: str | None = None,
    project: Annotated[str | None, Query(description="Id or name.")] = None,
    key_id: str | None = None,
    model: str | None = None,
    backend_model: str | None = None,
    server_id: str | None = None,
    tier: Annotated[Trust | None, Query(description="Whose server answered: own, partner or public.")] = None,
    endpoint: str | None = None,
    status: Annotated[int | None, Query(ge=100, le=599)] = None,
    status_class: Annotated[int | None, Query(ge=1, le=5, description="2, 4 or 5.")] = None,
    failed: Annotated[bool | None, Query(description="With a status of 400 or more; false: the others.")] = None,
    outcome: Recorded | None = None,
    error_code: str | None = None,
    min_latency_ms: Annotated[float | None, Query(ge=0, allow_inf_nan=False)] = None,
    max_latency_ms: Annotated[float | None, Query(ge=0, allow_inf_nan=False)] = None,
    stream: bool | None = None,
    request_id: str | None = None,
    correlation_id: str | None = None,
    client_request_id: str | None = None,
    end_user: str | None = None,
) -> RequestFilters:
    """The query of a list, an export or a statistic."""
    begin, end = moment(since, "since"), moment(until, "until")
    if begin is not None and end is not None and begin > end:
        raise InvalidRequest("`until` must not be before `since`.", param="until")
    project_id = None
    if project is not None:
        async with running.sessions.read() as s:
            project_id = (await projects.get_project(s, project)).id
    return RequestFilters(
        since=begin,
        until=end,
        project_id=project_id,
        key_id=key_id,
        model=model,
        backend_model=backend_model,
        server_id=server_id,
        tier=tier,
        endpoint=endpoint,
        status=status,
        status_class=status_class,
        failed=failed,
        outcome=outcome,
        error_code=error_code,
        min_latency_ms=min_latency_ms,
        max_latency_ms=max_latency_ms,
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
) -> RequestPage:
    before = Cursor.parse(cursor) if cursor is not None else None
    async with running.sessions.read() as s:
        rows, after = await requests.page(s, filters=wanted, before=before, limit=limit)
    names = names_of(running)
    return {"data": [request_view(row, names) for row in rows], "next_cursor": str(after) if after else None}


@router.get("/tail", summary="Rows in the order in which they arrive")
async def follow_requests(
    running: Live,
    wanted: Filters,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the look before; absent: from now on.")] = None,
    limit: Annotated[int, Query(ge=1, le=requests.MAX_PAGE)] = requests.MAX_PAGE,
) -> RequestTail:
    """For whoever follows the log: no row is missed, whichever process wrote it and however late. One may come twice.
    `more`: ask again at once."""
    wall = running.gateway.clock.wall()
    async with running.sessions.read() as s:
        if cursor is None:
            return {"data": [], "next_cursor": str(await arrivals.now(s)), "more": False}
        rows, mark, more = await arrivals.after(s, Mark.parse(cursor), filters=wanted, limit=limit, wall=wall)
    names = names_of(running)
    return {"data": [request_view(row, names) for row in rows], "next_cursor": str(mark), "more": more}


@router.get(
    "/export",
    summary="Every matching row, oldest first, streamed",
    response_class=Lines,
    responses={200: {"model": ExportedRequest, "content": SHEET}},
)
async def export_requests(
    running: Live,
    by: By,
    wanted: Filters,
    format: Format = "ndjson",
    payloads: Annotated[bool, Query(description="With prompt and answer, where they are kept: for editors.")] = False,
) -> Lines:
    if payloads:
        await editor(by)
    if payloads and format == "csv":
        raise InvalidRequest("Prompts and answers have no place in a table: ask for `format=ndjson`.", param="payloads")
    return await export("requests", format, COLUMNS, _blocks(running, wanted, payloads))


@router.get("/{request_id}", summary="One row and its attempts, by the `X-Request-ID` that the client got")
async def get_request(running: Live, request_id: str) -> RequestDetail:
    async with running.sessions.read() as s:
        row = await requests.get(s, request_id)
        tries = await attempts.of_request(s, request_id)
    # here `attempts` are the attempts themselves, as far as they were kept: `attempt_count` says how many there were
    return {
        **request_view(row, names_of(running)),
        "attempt_count": row["attempts"],
        "attempts": [attempt_view(running, one) for one in tries],
    }


async def _blocks(running: Running, wanted: RequestFilters, payloads: bool) -> AsyncIterator[Sequence[LoggedRequest]]:
    names = names_of(running)
    async for block in blocks_of(requests.export(running.sessions, wanted)):
        rows = [request_view(row, names) for row in block]
        if not payloads:
            yield rows
            continue
        async with running.sessions.read() as s:
            kept = await kept_payloads(s, [row["request_id"] for row in rows])
        whole: list[ExportedRequest] = [{**row, "payload": kept.get(row["request_id"])} for row in rows]
        yield whole
