"""`llm-gateway live`: what is in flight, ending it, and how servers fared."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from llm_gateway.cli.client import Api, connect_to_server
from llm_gateway.cli.frame import Group, Json, Where
from llm_gateway.cli.show import Column, as_json, moment, note, plain, span, table, words

group = Group("What is in flight right now, and ending it.")
EVERY: Final = 1.0
"""Seconds between two looks."""

_REQUESTS: Final[list[Column]] = [
    ("Request", "request_id"),
    ("Project", "project"),
    ("Model", "model"),
    ("Phase", "phase"),
    ("Server", lambda r: (r["server"]["name"] or r["server"]["id"]) if r["server"] else None),
    ("Age", lambda r: span(r["age_ms"] / 1000)),
    ("First token", lambda r: None if r["ttft_ms"] is None else span(r["ttft_ms"] / 1000)),
    ("Tokens", "tokens_output"),
    ("Attempts", "attempts"),
]
_SPELLS: Final[list[Column]] = [
    ("From", moment("from")),
    ("Until", moment("until")),
    ("State", "state"),
    ("Reason", "reason"),
]
_LANES: Final[list[Column]] = [("Server", "name"), ("The last day, oldest first", "states")]
_STEPS: Final[list[Column]] = [("Step", "step"), ("State", "state"), ("Cause", "cause"), ("What to do", "hint")]


@group.command("list")
async def list_live(
    where: Where,
    watch: Annotated[bool, typer.Option("--watch", help="Again every second, until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """List the requests in flight."""
    import asyncio

    async with connect_to_server(where) as api:
        await _show(api, json)
        while watch:
            await asyncio.sleep(EVERY)
            print()
            await _show(api, json)


async def _show(api: Api, json: bool) -> None:
    found = await api.get("/admin/api/live")
    if json:
        as_json(found)
        return
    table(_REQUESTS, found["data"], empty="Nothing is in flight.", spare=("Attempts", "First token"))
    if (more := found["total"] - len(found["data"])) > 0:
        note(f"{more} more are in flight.")
    workers = found["workers"]
    if workers["seen"] < workers["of"]:
        note(f"these are those of {workers['seen']} of {workers['of']} processes: the others do not answer.")


@group.command("cancel")
async def cancel_live(
    where: Where,
    request_id: Annotated[str, typer.Argument(help="As `live list` shows it: the client's `X-Request-ID`.")],
    json: Json = False,
) -> None:
    """End a request in flight: its client is told `cancelled_by_operator`."""
    async with connect_to_server(where) as api:
        ended = await api.post(f"/admin/api/live/{quote(request_id, safe='')}/cancel")
    if json:
        as_json(ended)
    else:
        words(plain(f"Request {ended['request_id']} of project {ended['project']} was ended ({ended['phase']})."))


@group.command("timeline")
async def show_timeline(
    where: Where,
    server: Annotated[str | None, typer.Argument(help="Its id or name; absent: all of them, as lanes.")] = None,
    json: Json = False,
) -> None:
    """Show the states of a server, or of all, over the last day."""
    path = "/admin/api/servers/timeline" if server is None else f"/admin/api/servers/{quote(server, safe='')}/timeline"
    async with connect_to_server(where) as api:
        found = await api.get(path)
    if json:
        as_json(found)
    elif server is not None:
        table(_SPELLS, found["data"], empty="Nothing is known of it yet.")
    else:
        table(_LANES, found["data"], empty="There are no servers.")
        note(f"a letter for {span(found['step_s'])}: healthy, unknown, resting, quarantined, disabled; `.`: not known.")


@group.command("onboarding")
async def show_onboarding(where: Where, json: Json = False) -> None:
    """Show how far a new installation has come, and what to do next."""
    async with connect_to_server(where) as api:
        found: dict[str, Any] = await api.get("/admin/api/onboarding")
    if json:
        as_json(found)
        return
    table(_STEPS, [{"step": name, **step} for name, step in found.items() if isinstance(step, dict)])
