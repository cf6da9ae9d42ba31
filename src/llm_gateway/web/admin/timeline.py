"""How servers fared over the last day: one of them in full, all of them as lanes. From memory."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Query
from pydantic import Field
from typing_extensions import TypedDict

from llm_gateway.errors import NotFound
from llm_gateway.fleet.server import State
from llm_gateway.service.timeline import KEPT
from llm_gateway.web.admin.common import Live, admin_router, when

STEPS: Final = 96
"""Stretches of a lane: a quarter of an hour each in a day."""
LETTERS: Final[dict[State | None, str]] = {
    None: ".",
    "healthy": "h",
    "unknown": "u",
    "resting": "r",
    "quarantined": "q",
    "disabled": "d",
}
Since = Annotated[str | None, Field(description="Nothing is known of what was before; null: of nothing.")]

router = admin_router("servers")


# `from` is no name in Python
SpellView = TypedDict(
    "SpellView",
    {
        "from": str,
        "until": Annotated[str | None, Field(description="null: it lasts.")],
        "state": State,
        "reason": Annotated[str | None, Field(description="Why it rested when that began.")],
    },
)


class ServerTimeline(TypedDict):
    data: Annotated[list[SpellView], Field(description="Oldest first.")]
    since: Since


class Lane(TypedDict):
    id: str
    name: str
    states: Annotated[
        str,
        Field(
            description="A letter for each step, oldest first, of the worst state in it: h(ealthy), u(nknown), "
            "r(esting), q(uarantined), d(isabled), `.` where nothing is known."
        ),
    ]


class FleetTimeline(TypedDict):
    data: list[Lane]
    begin: Annotated[str, Field(description="Of the first step.")]
    until: str
    step_s: float
    since: Since


@router.get("/timeline", summary="How all servers fared, as lanes")
async def fleet_timeline(running: Live, hours: Annotated[int, Query(ge=1, le=24)] = 24) -> FleetTimeline:
    timeline, gateway = running.timeline, running.gateway
    until = gateway.clock.wall()
    begin, step = until - hours * 3600, hours * 3600 / STEPS
    return FleetTimeline(
        data=[
            Lane(
                id=server.spec.id,
                name=server.spec.name,
                states="".join(LETTERS[state] for state in timeline.lane(server.spec.id, begin, step, STEPS)),
            )
            for server in gateway.fleet.servers.values()
        ],
        begin=when(begin) or "",
        until=when(until) or "",
        step_s=step,
        since=when(timeline.since if timeline.since is None else max(timeline.since, until - KEPT)),
    )


@router.get("/{server}/timeline", summary="The states of a server, by id or name, over the last day")
async def server_timeline(running: Live, server: str) -> ServerTimeline:
    servers = running.gateway.fleet.servers
    known = servers.get(server) or next((each for each in servers.values() if each.spec.name == server), None)
    if known is None:
        raise NotFound(f"There is no server {server[:100]!r} in the fleet.")
    since, spells = running.timeline.of(known.spec.id, running.gateway.clock.wall())
    return ServerTimeline(
        data=[
            {"from": when(s.begin) or "", "until": when(s.end), "state": s.state, "reason": s.reason} for s in spells
        ],
        since=when(since),
    )
