"""What is happening right now: the requests that have a row and no end yet.

Nothing is written down for it while a request runs: where it stands is read off the objects that carry it, by whoever
asks. So what is told is one moment, and the next one may tell something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llm_gateway.errors import CancelledByOperator, NotFound
from llm_gateway.fleet.tries import Try
from llm_gateway.gateway import Gateway, Opening
from llm_gateway.ledger.entry import Entry
from llm_gateway.ledger.journal import Row
from llm_gateway.shared.seen import Moment, Phase


class ShownHere(NamedTuple):
    """What the other processes may see and do in this one."""

    gateway: Gateway

    @property
    def total(self) -> int:
        return len(self.gateway.in_flight)

    @property
    def ended(self) -> Sequence[Row]:
        return self.gateway.ended

    def moments(self, most: int) -> list[Moment]:
        return moments(self.gateway, most)

    def stop(self, request_id: str) -> Moment | None:
        try:
            return cancel(self.gateway, request_id)
        except NotFound:
            return None


def moments(gw: Gateway, most: int) -> list[Moment]:
    """Those in flight, who came first first; at most so many."""
    first = [pair for _, pair in zip(range(most), gw.in_flight.items(), strict=False)]
    return [moment(entry, call) for entry, call in first]


def moment(entry: Entry, call: Opening) -> Moment:
    tries = entry.tries
    working = [one for one in tries if not one.ended]
    at = working[-1] if working else tries[-1] if tries else None
    return Moment(
        request_id=entry.text,
        project=entry.caller.project.name,
        project_id=entry.caller.project.id,
        key_id=entry.caller.key.id,
        endpoint=entry.endpoint,
        model=entry.model,
        backend_model=at.model if at is not None else None,
        server=at.server if at is not None else None,
        phase=_phase(entry, call, working),
        stream=call.streams if entry.model is None else entry.stream,
        began=entry.timestamp,
        age=entry.elapsed(),
        ttft=entry.ttft,
        attempts=entry.attempts,
        failovers=sum(one.ended > 0 and one.failed for one in tries),
        tokens=entry.meter.tokens if entry.meter is not None else 0,
    )


def _phase(entry: Entry, call: Opening, working: list[Try]) -> Phase:
    if call.ending:
        return "ending"
    if entry.model is None:
        return "body"
    if any(one.first_at for one in working):
        return "streaming"
    if any(not one.connecting for one in working):
        return "first_token"
    return "connecting" if working else "waiting"


def cancel(gw: Gateway, request_id: str) -> Moment:
    """Ends a request by an error that its client is told, and returns what it was doing. Raises NotFound for one that
    is not in flight here. Its row is written, and its place free, a moment later."""
    for entry, call in gw.in_flight.items():
        if entry.text == request_id:
            found = moment(entry, call)
            if not call.ending:
                call.stop(CancelledByOperator("An operator of the gateway ended this request. Do not ask again."))
            return found
    raise NotFound(f"There is no request {request_id[:64]!r} in flight.")
