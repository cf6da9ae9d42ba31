"""`llm-gateway logs`: the request log."""

from __future__ import annotations

from contextlib import aclosing
from json import dumps
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

import typer

from llm_gateway.cli.client import connect
from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.exports import Export
from llm_gateway.cli.filters import Filters, with_key
from llm_gateway.cli.frame import Group, Json, Where
from llm_gateway.cli.show import Column, Row, as_json, cost, moment, note, plain, record, table, text, words

if TYPE_CHECKING:
    from llm_gateway.cli.client import Api

group = Group("The request log.")

REQUESTS: Final = "/admin/api/requests"
PAGE: Final = 500
MOST: Final = 10_000
"""Rows of `search --all`: more are for `export`."""

COST: Final = "Cost"
"""The column that is there where anything costs something."""
_LIST: Final[list[Column]] = [
    ("Time (UTC)", lambda r: r["timestamp"][5:19].replace("T", " ")),
    ("Project", lambda r: r["project"] or r["project_id"]),
    ("Key", lambda r: r["key"] or r["key_id"]),
    ("Endpoint", "endpoint"),
    ("Model", "model"),
    ("Served by", "backend_model"),
    ("Tier", "tier"),
    ("Status", lambda r: str(r["status"])),
    ("Outcome", lambda r: r["error_code"] or r["outcome"]),
    ("ms", lambda r: f"{r['latency_ms']:,.0f}"),
    ("First token ms", lambda r: None if r["ttft_ms"] is None else f"{r['ttft_ms']:,.0f}"),
    ("In", "tokens_input"),
    ("Out", "tokens_output"),
    (COST, lambda r: cost(r.get("cost"))),
    ("Attempts", "attempts"),
    ("Went on", "continuations"),
    ("Request id", "request_id"),
]
_SPARE: Final = (
    *("Went on", "Tier", "Endpoint", "First token ms", "Attempts", "Key", "In", "Served by", "Out", "Project", "ms"),
    *(COST, "Request id"),
)
_ONE: Final[list[Column]] = [
    ("Request id", "request_id"),
    ("Time", moment("timestamp")),
    ("Project", lambda r: r["project"] or r["project_id"]),
    ("Key", lambda r: f"{r['key']} ({r['key_id']})" if r["key"] else r["key_id"]),
    ("Endpoint", "endpoint"),
    ("Streamed", "stream"),
    ("Model", "model"),
    ("Served by", "backend_model"),
    ("Server", "server_id"),
    ("Tier", "tier"),
    ("Status", lambda r: str(r["status"])),
    ("Outcome", "outcome"),
    ("Error", "error_code"),
    ("Finish reason", "finish_reason"),
    ("Took ms", "latency_ms"),
    ("First token ms", "ttft_ms"),
    ("Attempts", lambda r: r.get("attempt_count", r["attempts"])),
    ("Failed before the answer", "failovers"),
    ("Continued by others", "continuations"),
    ("Tokens in", "tokens_input"),
    ("Tokens out", "tokens_output"),
    ("Tokens are estimates", "tokens_estimated"),
    ("Cost", lambda r: cost(r.get("cost"))),
    ("Notes", "notes"),
    ("End user", "end_user"),
    ("Correlation id", "correlation_id"),
    ("Project context", "project_context"),
    ("Client's request id", "client_request_id"),
]
_ATTEMPTS: Final[list[Column]] = [
    ("#", "number"),
    ("Server", lambda r: r.get("server") or r.get("server_id")),
    ("Model", "backend_model"),
    ("Tier", "tier"),
    ("Why", "why"),
    ("Outcome", "outcome"),
    ("First token ms", "ttft_ms"),
    ("ms", "duration_ms"),
    ("Out", "tokens_output"),
    ("Wasted", "tokens_wasted"),
    ("Detail", "detail"),
]
_ATTEMPTS_SPARE: Final = ("Detail", "Tier", "Wasted", "First token ms", "Model")


@group.command("search")
async def search_logs(
    where: Where,
    filters: Filters,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=PAGE, help="Rows of a page.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="`next_cursor` of the page before.")] = None,
    all: Annotated[bool, typer.Option("--all", help=f"All pages, up to {MOST:,} rows.")] = False,
    json: Json = False,
) -> None:
    """Show the matching rows, newest first."""
    async with connect(where) as api:
        page = await latest(api, await with_key(api, filters.query()), MOST if all else limit, cursor)
    if json:
        as_json(page)
        return
    priced = any(row.get("cost") for row in page["data"])
    columns = [column for column in _LIST if priced or column[0] != COST]
    table(columns, page["data"], empty="No request in the log is like that.", spare=_SPARE)
    if page["next_cursor"]:
        note(f"there is more: --cursor {page['next_cursor']}{' or `logs export`' if all else ''}")


@group.command("show")
async def show_log(
    where: Where,
    request_id: Annotated[str, typer.Argument(help="The X-Request-ID of the answer.")],
    payload: Annotated[bool, typer.Option("--payload", help="The prompt and the answer too, where kept.")] = False,
    json: Json = False,
) -> None:
    """Show one request: its row, its attempts, and what was said if that is kept."""
    path = f"{REQUESTS}/{quote(request_id, safe='')}"
    async with connect(where) as api:
        row = await api.get(path)
        kept = await _payload(api, path) if payload else None
    if json:
        as_json({**row, "payload": kept} if payload else row)
        return
    record(_ONE, row)
    if isinstance(row["attempts"], list) and row["attempts"]:
        print()
        table(_ATTEMPTS, row["attempts"], spare=_ATTEMPTS_SPARE)
    if payload:
        print()
        _print_payload(kept)


@group.command("tail")
async def tail_logs(
    where: Where,
    filters: Filters,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=PAGE, help="Rows to begin with.")] = 20,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on with new rows until Ctrl-C.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object per line.")] = False,
) -> None:
    """Show the latest rows, oldest first, and follow the log."""
    import asyncio

    from llm_gateway.cli.follow import followed

    try:
        async with aclosing(followed(where, filters.query(), lines, follow)) as rows:
            async for row in rows:
                print(dumps(row, ensure_ascii=False) if json else _line(row), flush=True)
    except asyncio.CancelledError:  # Ctrl-C is how one leaves
        if not follow:
            raise


@group.command("export")
async def export_logs(
    where: Where,
    filters: Filters,
    export: Export,
    payloads: Annotated[bool, typer.Option("--payloads", help="With prompt and answer, where they are kept.")] = False,
) -> None:
    """Write every matching row, oldest first."""
    async with connect(where) as api:
        wanted = {"payloads": "true" if payloads else None}
        await export.write(api, f"{REQUESTS}/export", await with_key(api, filters.query()) | wanted)


async def latest(api: Api, query: dict[str, Any], count: int, cursor: str | None = None) -> dict[str, Any]:
    """Up to `count` matching rows, newest first, as the API's page. Of the API itself a page may be short or empty
    although more follow: it looks at so many rows and no more."""
    rows: list[Row] = []
    while True:
        page = await api.get(REQUESTS, **query, limit=min(PAGE, count - len(rows)), cursor=cursor)
        rows += page["data"]
        cursor = page["next_cursor"]
        if cursor is None or len(rows) >= count:
            return {**page, "data": rows}


async def _payload(api: Api, path: str) -> Any:
    try:
        return await api.get(f"{path}/payload")
    except Stop as stop:
        if stop.code != Exit.NOT_FOUND:
            raise
        return None


def _print_payload(kept: Any) -> None:
    if kept is None:
        words(
            "Prompt and answer of this request are not kept: its project did not store payloads then (`store_payloads` "
            "of a project), or their days are over."
        )
        return
    for name, value in kept.items():
        if isinstance(value, (dict, list)):
            print(f"{name}:")
            print(plain(dumps(value, indent=2, ensure_ascii=False), keep="\n"))
        else:
            print(f"{name}: {text(value)}")


def _line(row: Row) -> str:
    served = f" → {row['backend_model']}" if row["backend_model"] not in (None, row["model"]) else ""
    parts = (
        moment("timestamp")(row),
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
