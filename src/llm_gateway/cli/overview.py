"""`llm-gateway overview`: how the gateway is doing, and what changed."""

from __future__ import annotations

from typing import Final

from llm_gateway.cli.client import connect
from llm_gateway.cli.filters import UsageFilters, with_key
from llm_gateway.cli.frame import Json, Where
from llm_gateway.cli.show import Column, Row, as_json, cost, moment, note, share, table

_COLUMNS: Final[list[Column]] = [
    ("Time", "time"),
    ("Requests", "requests"),
    ("Success", lambda r: _success(r)),
    ("Saved", "saved"),
    ("4xx", "client_errors"),
    ("5xx", "server_errors"),
    ("First token p50 ms", lambda r: _whole(r["ttft_ms_p50"])),
    ("p95 ms", lambda r: _whole(r["latency_ms_p95"])),
    ("Tokens", lambda r: r["tokens_input"] + r["tokens_output"]),
    ("Tokens/s", "tokens_per_s"),
    ("Cost", lambda r: cost(r["cost"])),
]
_TOPS: Final[dict[str, Column]] = {
    "projects": ("Project", lambda r: r["project"] or r["project_id"]),
    "models": ("Model", "model"),
    "errors": ("Error", "error_code"),
    "tiers": ("Tier", "tier"),
}


async def overview(where: Where, filters: UsageFilters, json: Json = False) -> None:
    """How the last 24 hours went, or since `--since`, beside as much time before; and who made most of it."""
    async with connect(where) as api:
        found = await api.get("/admin/api/stats/overview", **await with_key(api, filters.query()))
    if json:
        as_json(found)
        return
    rows = [{"time": "now", **found["current"]}, {"time": "before", **found["previous"]}]
    table(_COLUMNS, rows, spare=("First token p50 ms", "Tokens/s", "Cost"))
    for name, column in _TOPS.items():
        if found["top"][name]:
            table([column, ("Requests", "requests"), ("Errors", "errors")], found["top"][name], title=f"Top {name}")
    since, until = (moment(bound)(found) for bound in ("since", "until"))
    note(f"from {since} to {until}.")


def _success(row: Row) -> str | None:
    """Of what the gateway had to answer for: requests that were wrong themselves do not count."""
    asked = row["ok"] + row["server_errors"]
    return share(row["ok"] / asked) if asked else None


def _whole(milliseconds: float | None) -> int | None:
    return None if milliseconds is None else round(milliseconds)
