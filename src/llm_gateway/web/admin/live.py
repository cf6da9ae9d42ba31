"""What is happening right now: requests in flight, and ending one. All from memory, this process's and the others'."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Query
from pydantic import Field
from typing_extensions import TypedDict

from llm_gateway.errors import NotFound, Unavailable
from llm_gateway.running import Running
from llm_gateway.service.inflight import cancel, moments
from llm_gateway.shared.seen import Moment, Phase
from llm_gateway.storage.trail import Thing
from llm_gateway.web.admin.common import Live, admin_router, noted, when
from llm_gateway.web.auth import By

MOST: Final = 1_000
"""Requests of one list."""

router = admin_router("live")


class AtServer(TypedDict):
    """The server that works on it."""

    id: str
    name: Annotated[str | None, Field(description="null: it is not of the fleet any more.")]


class InFlight(TypedDict):
    """One request at this moment."""

    request_id: str
    project: str
    project_id: str
    key_id: str
    endpoint: str
    model: Annotated[str | None, Field(description="As asked for; null: the body is still being read.")]
    backend_model: str | None
    server: Annotated[AtServer | None, Field(description="null: none was asked yet.")]
    phase: Annotated[
        Phase,
        Field(
            description="`waiting`: for a place, or for the next attempt; `streaming`: an answer comes, also one that "
            "the client wants whole; `ending`: its client is gone, or somebody cancelled it."
        ),
    ]
    stream: Annotated[bool | None, Field(description="null: nobody knows before the body is here.")]
    started_at: str
    age_ms: float
    ttft_ms: float | None
    attempts: int
    failovers: int
    tokens_output: int


class Workers(TypedDict):
    """Whose requests these are."""

    seen: Annotated[int, Field(description="Processes that told theirs within seconds, the one that answers included.")]
    of: Annotated[int, Field(description="Processes that serve together.")]


class InFlightList(TypedDict):
    data: Annotated[list[InFlight], Field(description="Who came first stands first.")]
    total: Annotated[int, Field(description="In flight; of other processes at most 200 each are listed.")]
    workers: Workers


@router.get("", summary="The requests in flight")
async def list_in_flight(running: Live, limit: Annotated[int, Query(ge=1, le=MOST)] = MOST) -> InFlightList:
    """Of all processes that share a Redis. `workers.seen` is less than `of` while some do not answer."""
    if (sight := running.others.sight) is not None:
        await sight.look()
    return in_flight(running, limit)


@router.post("/{request_id}/cancel", summary="End a request in flight")
async def cancel_request(running: Live, by: By, request_id: str) -> InFlight:
    """Its client is told `cancelled_by_operator`: status 499, or the error event of a stream that has begun. The answer
    says what it was doing; its row is in the log a moment later. `unavailable`: it may be in another process, and that
    does not answer."""
    async with running.sessions.write() as s:
        await noted(s, running, by, "request.cancel", Thing("request", request_id))
        try:
            ended = await _stopped(running, request_id)  # NotFound for one that is gone: then nothing is written
        except Unavailable:  # it may be ended a moment later: that stays written
            await s.commit()
            raise
    return view(running, ended)


async def _stopped(running: Running, request_id: str) -> Moment:
    """Raises NotFound, Unavailable."""
    try:
        return cancel(running.gateway, request_id)
    except NotFound:
        sight = running.others.sight
        if sight is None or (ended := await sight.stop(request_id)) is None:
            raise
        return ended


def in_flight(running: Running, limit: int) -> InFlightList:
    """At most so many, and how many there are."""
    gateway, sight = running.gateway, running.others.sight
    found, total, seen = moments(gateway, limit), len(gateway.in_flight), 1
    if sight is not None:
        now = gateway.clock.now()
        others, elsewhere = sight.seen.in_flight(now)
        found = sorted((*found, *others), key=lambda moment: moment.began)[:limit]
        total, seen = total + elsewhere, seen + len(sight.seen.fresh(now))
    return InFlightList(data=[view(running, moment) for moment in found], total=total, workers=_workers(running, seen))


def _workers(running: Running, seen: int) -> Workers:
    others = running.others
    known = others.instances()
    if others.sight is None or not others.up:  # of this host: at a start without Redis nobody is heard of
        known = max(known, running.settings.workers)
    return Workers(seen=seen, of=max(known, seen))


def view(running: Running, moment: Moment) -> InFlight:
    server: AtServer | None = None
    if moment.server is not None:
        known = running.gateway.fleet.servers.get(moment.server)
        server = AtServer(id=moment.server, name=known.spec.name if known else None)
    return InFlight(
        request_id=moment.request_id,
        project=moment.project,
        project_id=moment.project_id,
        key_id=moment.key_id,
        endpoint=moment.endpoint,
        model=moment.model,
        backend_model=moment.backend_model,
        server=server,
        phase=moment.phase,
        stream=moment.stream,
        started_at=when(moment.began),
        age_ms=round(moment.age * 1000, 1),
        ttft_ms=None if moment.ttft is None else round(moment.ttft * 1000, 1),
        attempts=moment.attempts,
        failovers=moment.failovers,
        tokens_output=moment.tokens,
    )
