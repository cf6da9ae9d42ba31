"""`llm-gateway usage`: figures over the log."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final, Literal

import typer

from llm_gateway.cli.client import connect
from llm_gateway.cli.filters import Filters
from llm_gateway.cli.frame import Json, Where
from llm_gateway.cli.show import Column, as_json, moment, note, table

_GROUPS: Final[dict[str, Column]] = {
    "project": ("Project", lambda r: r["project"] or r["project_id"]),
    "model": ("Model", "model"),
    "backend_model": ("Served by", "backend_model"),
    "status_class": ("Status", lambda r: f"{r['status_class']}xx"),
    "endpoint": ("Endpoint", "endpoint"),
}
_FIGURES: Final[list[Column]] = [
    ("Requests", "requests"),
    ("Errors", "errors"),
    ("Tokens in", "tokens_input"),
    ("Tokens out", "tokens_output"),
    ("Mean ms", "latency_ms_avg"),
    ("95 % within ms", "latency_ms_p95"),
    ("First token ms", "ttft_ms_avg"),
]
_SPARE: Final = ("95 % within ms", "First token ms", "Tokens in")


async def usage(
    where: Where,
    filters: Filters,
    by: Annotated[str, typer.Option(help=f"Groups, with commas: {', '.join(_GROUPS)}.")] = "project,model",
    bucket: Annotated[
        Literal["minute", "hour", "day"] | None, typer.Option(help="Over time; absent: all of it at once.")
    ] = None,
    json: Json = False,
) -> None:
    """Requests, errors, tokens and latencies of the last 7 days, or since `--since`."""
    query = (filters if filters.since else replace(filters, since="7d")).query()
    async with connect(where) as api:
        found = await api.get("/admin/api/stats", **query, by=by, bucket=bucket)
    if json:
        as_json(found)
        return
    columns: list[Column] = [("From", moment("bucket"))] if bucket else []
    columns += [_GROUPS[name] for name in (part.strip() for part in by.split(",")) if name in _GROUPS]
    table([*columns, *_FIGURES], found["data"], empty="No requests in this time.", spare=_SPARE)
    since, until = (moment(bound)(found) for bound in ("since", "until"))
    note(f"from {since} to {until}.")
