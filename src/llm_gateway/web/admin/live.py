"""What is happening right now: requests in flight, and ending one. All from memory."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Query
from pydantic import Field
from typing_extensions import TypedDict

from llm_gateway.running import Running
from llm_gateway.service.inflight import Moment, Phase, cancel, moments
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

    seen: Annotated[int, Field(description="Processes that are looked at: the one that answers.")]
    of: Annotated[int, Field(description="Processes that serve together.")]


class InFlightList(TypedDict):
    data: Annotated[list[InFlight], Field(description="Who came first stands first.")]
    total: int
    workers: Workers


@router.get("", summary="The requests in flight")
async def list_in_flight(running: Live, limit: Annotated[int, Query(ge=1, le=MOST)] = MOST) -> InFlightList:
    return in_flight(running, limit)


@router.post("/{request_id}/cancel", summary="End a request in flight")
async def cancel_request(running: Live, by: By, request_id: str) -> InFlight:
    """Its client is told `cancelled_by_operator`: status 499, or the error event of a stream that has begun. The answer
    says what it was doing; its row is in the log a moment later."""
    async with running.sessions.write() as s:
        await noted(s, running, by, "request.cancel", Thing("request", request_id))
        ended = cancel(running.gateway, request_id)  # raises for one that is gone, and then nothing was written
    return view(running, ended)


def in_flight(running: Running, limit: int) -> InFlightList:
    """At most so many, and how many there are."""
    gateway = running.gateway
    return InFlightList(
        data=[view(running, moment) for moment in moments(gateway, limit)],
        total=len(gateway.in_flight),
        workers=workers_of(running),
    )


def workers_of(running: Running) -> Workers:
    return Workers(seen=1, of=max(running.settings.workers, running.others.instances()))


def view(running: Running, moment: Moment) -> InFlight:
    entry, project = moment.entry, moment.entry.caller.project
    server: AtServer | None = None
    if moment.server is not None:
        known = running.gateway.fleet.servers.get(moment.server)
        server = AtServer(id=moment.server, name=known.spec.name if known else None)
    return InFlight(
        request_id=entry.text,
        project=project.name,
        project_id=project.id,
        key_id=entry.caller.key.id,
        endpoint=entry.endpoint,
        model=entry.model,
        backend_model=moment.backend_model,
        server=server,
        phase=moment.phase,
        stream=moment.stream,
        started_at=when(entry.timestamp) or "",
        age_ms=round(entry.elapsed() * 1000, 1),
        ttft_ms=None if entry.ttft is None else round(entry.ttft * 1000, 1),
        attempts=entry.attempts,
        failovers=moment.failovers,
        tokens_output=moment.tokens,
    )
