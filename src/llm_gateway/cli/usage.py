"""`llm-gateway usage`: who used what, when, how fast, at what cost."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

import typer

from llm_gateway.cli.client import connect
from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.filters import UsageFilters, with_key
from llm_gateway.cli.frame import Json, Where
from llm_gateway.cli.show import Column, Row, as_json, cost, moment, note, share, table

Order = Literal["requests", "errors", "tokens", "tokens_input", "tokens_output", "cost", "failovers", "saved"]
"""As `storage.usage.Order`, which takes long to import."""
BUCKETS: Final = ("minute", "hour", "day")
TOTAL: Final = "Total"
_GROUPS: Final[dict[str, Column]] = {
    "project": ("Project", lambda r: r.get("project") or r.get("project_id")),
    "key": ("Key", lambda r: r.get("key") or r.get("key_id")),
    "model": ("Model", "model"),
    "backend_model": ("Served by", "backend_model"),
    "tier": ("Tier", "tier"),
    "endpoint": ("Endpoint", "endpoint"),
    "status_class": ("Status", lambda r: f"{r['status_class']}xx" if r.get("status_class") else None),
    "error_code": ("Error", "error_code"),
    "hour_of_week": ("Hour (UTC)", lambda r: _hour(r.get("hour_of_week"))),
}
_NAMES: Final = {"project": ("project", "project_id"), "key": ("key", "key_id")}
"""The fields of a group, where they are not just its name."""
_SUMS: Final = ("requests", "errors", "tokens_input", "tokens_output", "cost", "saved")
_FIGURES: Final[dict[str, Column]] = {
    "requests": ("Requests", "requests"),
    "errors": ("Errors", "errors"),
    "error_share": ("Error rate", lambda r: share(r["errors"] / r["requests"]) if r.get("errors") else None),
    "saved": ("Saved", "saved"),
    "tokens_input": ("Tokens in", "tokens_input"),
    "tokens_output": ("Tokens out", "tokens_output"),
    "cost": ("Cost", lambda r: cost(r.get("cost"))),
    "latency_ms_avg": ("Mean ms", lambda r: _whole(r.get("latency_ms_avg"))),
    "latency_ms_p95": ("p95 ms", lambda r: _whole(r.get("latency_ms_p95"))),
    "ttft_ms_p95": ("First token p95 ms", lambda r: _whole(r.get("ttft_ms_p95"))),
}
_SPARE: Final = ("First token p95 ms", "Mean ms", "Error rate", "Tokens in", "Saved", "p95 ms", "Errors")
COLUMNS: Final = (
    *("requests", "errors", "saved", "tokens_input", "tokens_output", "tokens_estimated", "cost", "attempts"),
    *("failovers", "continuations", "latency_ms_avg", "latency_ms_p50", "latency_ms_p95", "latency_ms_p99"),
    *("ttft_ms_avg", "ttft_ms_p95"),
)
"""Of `--csv`, after the bucket and the groups."""


async def usage(
    where: Where,
    filters: UsageFilters,
    by: Annotated[
        str, typer.Option(help=f"Groups, with commas: {', '.join(_GROUPS)}, and one of {', '.join(BUCKETS)}.")
    ] = "project,model",
    bucket: Annotated[
        Literal["minute", "hour", "day"] | None, typer.Option(help="Over time; absent: all of it at once.")
    ] = None,
    top: Annotated[int | None, typer.Option(min=1, max=1000, help="Only the groups with most of --order.")] = None,
    order: Annotated[Order, typer.Option(help="What --top goes by.")] = "requests",
    csv: Annotated[bool, typer.Option("--csv", help="Print a table for spreadsheets.")] = False,
    json: Json = False,
) -> None:
    """Requests, errors, tokens, latencies and cost of the last 7 days, or since `--since`."""
    if csv and json:
        raise Stop("--csv and --json exclude each other.", code=Exit.USAGE)
    groups, bucket = _asked(by, bucket)
    query = (filters if filters.since else replace(filters, since="7d")).query()
    async with connect(where) as api:
        query = await with_key(api, query)
        found = await api.get("/admin/api/stats", **query, by=",".join(groups), bucket=bucket, top=top, order=order)
    if json:
        as_json(found)
        return
    rows = found["data"]
    if csv:
        _print_csv(rows, groups, bucket)
        return
    columns: list[Column] = [("From", moment("bucket"))] if bucket else []
    columns += [_GROUPS[name] for name in groups]
    columns += [column for name, column in _FIGURES.items() if _is_told(name, rows)]
    if len(rows) > 1:
        columns[0], rows = _named_total(columns[0]), [*rows, _total(rows)]
    table(columns, rows, empty="No requests in this time.", spare=_SPARE)
    since, until = (moment(bound)(found) for bound in ("since", "until"))
    note(f"from {since} to {until}.")


def _asked(by: str, bucket: str | None) -> tuple[list[str], Any]:
    """The groups and the bucket. Raises Stop."""
    groups: list[str] = []
    for name in filter(None, (part.strip() for part in by.split(","))):
        if name in BUCKETS:
            if bucket not in (None, name):
                raise Stop(f"Figures are either per {bucket} or per {name}.", code=Exit.USAGE)
            bucket = name
        elif name not in _GROUPS:
            known = ", ".join((*_GROUPS, *BUCKETS))
            raise Stop(f"--by may hold {known}, not {name[:40]!r}.", code=Exit.USAGE)
        elif name not in groups:
            groups.append(name)
    return groups, bucket


def _is_told(name: str, rows: Iterable[Row]) -> bool:
    """Costs where there is a price, answers saved where there were any; the others where the server tells them."""
    if name in ("cost", "saved"):
        return any(row.get(name) for row in rows)
    return name == "error_share" or any(row.get(name) is not None for row in rows)


def _total(rows: Sequence[Row]) -> Row:
    """What they are together. Percentiles cannot be added."""
    total: dict[str, Any] = {name: sum(row.get(name) or 0 for row in rows) for name in _SUMS}
    if total["requests"]:
        parts = (row["requests"] * (row.get("latency_ms_avg") or 0.0) for row in rows)
        total["latency_ms_avg"] = sum(parts) / total["requests"]
    return {**total, TOTAL: True}


def _named_total(column: Column) -> Column:
    heading, field = column
    return heading, lambda r: TOTAL if r.get(TOTAL) else r.get(field) if isinstance(field, str) else field(r)


def _print_csv(rows: Iterable[Row], groups: Iterable[str], bucket: str | None) -> None:
    from llm_gateway.sheets import Sheet

    named = [field for name in groups for field in _NAMES.get(name, (name,))]
    sheet = Sheet([*(["bucket"] if bucket else []), *named, *COLUMNS])
    sheet.write(rows)
    sys.stdout.write(sheet.take())


def _hour(of_week: int | None) -> str | None:
    if of_week is None:
        return None
    day, hour = divmod(of_week, 24)
    return f"{('Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun')[day]} {hour:02}:00"


def _whole(ms: float | None) -> str | None:
    return None if ms is None else f"{ms:,.0f}"
