"""`llm-gateway logs`: the request log."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from json import dumps
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, Literal

import typer

from llm_gateway.cli.client import Api, connect
from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.filters import Filters
from llm_gateway.cli.frame import Group, Json, Where
from llm_gateway.cli.show import Column, Row, as_json, moment, note, plain, table, text

group = Group("The request log.")

REQUESTS: Final = "/admin/api/requests"
EVERY: Final = 1.0
"""Seconds between two looks at the log while following it."""
LOOK_BACK: Final = 500
"""Rows that one look considers: a row has the time of its request's beginning and comes when the request has ended, so
late ones appear among older ones."""

_LIST: Final[list[Column]] = [
    ("Time", moment("timestamp")),
    ("Project", "project"),
    ("Endpoint", "endpoint"),
    ("Model", "model"),
    ("Served by", "backend_model"),
    ("Status", lambda r: str(r["status"])),
    ("Outcome", lambda r: r["error_code"] or r["outcome"]),
    ("ms", "latency_ms"),
    ("First token ms", "ttft_ms"),
    ("In", "tokens_input"),
    ("Out", "tokens_output"),
    ("Attempts", "attempts"),
    ("Went on", "continuations"),
    ("Request id", "request_id"),
]
_SPARE: Final = ("Went on", "Served by", "Endpoint", "In", "Request id", "Attempts", "First token ms", "Project", "Out")


@group.command("search")
async def search_logs(
    where: Where,
    filters: Filters,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="Rows of a page.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="`next_cursor` of the page before.")] = None,
    json: Json = False,
) -> None:
    """Show a page of the log, newest first."""
    query = filters.query()
    async with connect(where) as api:
        page = await api.get(REQUESTS, **query, limit=limit, cursor=cursor)
    if json:
        as_json(page)
        return
    table(_LIST, page["data"], empty="No request in the log is like that.", spare=_SPARE)
    if page["next_cursor"]:
        note(f"there is more: --cursor {page['next_cursor']}")


@group.command("tail")
async def tail_logs(
    where: Where,
    filters: Filters,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=500, help="Rows to begin with.")] = 20,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on with new rows until Ctrl-C.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object per line.")] = False,
) -> None:
    """Show the latest rows, oldest first, and follow the log."""
    import asyncio

    query = filters.query()
    async with connect(where) as api:
        try:
            async for row in _followed(api, query, lines, follow):
                print(dumps(row, ensure_ascii=False) if json else _line(row), flush=True)
        except asyncio.CancelledError:  # Ctrl-C is how one leaves
            if not follow:
                raise


@group.command("export")
async def export_logs(
    where: Where,
    filters: Filters,
    format: Annotated[Literal["ndjson", "csv"], typer.Option(help="A JSON object per line, or a table.")] = "ndjson",
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Absent: stdout.")] = None,
    payloads: Annotated[bool, typer.Option("--payloads", help="With prompt and answer, where they are kept.")] = False,
) -> None:
    """Write every matching row, oldest first."""
    query = {**filters.query(), "format": format, "payloads": "true" if payloads else None}
    async with (
        connect(where) as api,
        api.stream("GET", f"{REQUESTS}/export", query=query) as rows,
    ):
        if output is None:
            await _copy(rows, sys.stdout.buffer)
            return
        draft = output.with_name(f".{output.name}.part")
        try:
            with draft.open("wb") as file:
                await _copy(rows, file)
            draft.replace(output)
        except OSError as error:
            raise Stop(f"{output} cannot be written: {error.strerror}.", code=Exit.ERROR) from error
        finally:
            draft.unlink(missing_ok=True)


async def _copy(rows: Any, to: BinaryIO) -> None:
    async for part in rows.aiter_bytes():
        to.write(part)
    to.flush()


async def _followed(api: Api, query: dict[str, Any], lines: int, follow: bool) -> AsyncIterator[Row]:
    """The latest rows, then each new one once, in the order in which they are seen."""
    import asyncio

    page = (await api.get(REQUESTS, **query, limit=LOOK_BACK))["data"]
    seen = {row["request_id"] for row in page}
    for row in reversed(page[:lines]):
        yield row
    while follow:
        await asyncio.sleep(EVERY)
        page = (await api.get(REQUESTS, **query, limit=LOOK_BACK))["data"]
        fresh = [row for row in page if row["request_id"] not in seen]
        for row in reversed(fresh):
            yield row
        seen = {row["request_id"] for row in page} | {row["request_id"] for row in fresh}


def _line(row: Row) -> str:
    served = f" → {row['backend_model']}" if row["backend_model"] not in (None, row["model"]) else ""
    parts = (
        row["timestamp"],
        row["status"],
        row["project"] or row["project_id"],
        row["endpoint"],
        f"{text(row['model'])}{served}",
        row["error_code"] or row["outcome"],
        f"{row['latency_ms']:.0f}ms",
        f"{row['tokens_input']}+{row['tokens_output']}tok",
        row["request_id"],
    )
    return plain("  ".join(str(part) for part in parts))
