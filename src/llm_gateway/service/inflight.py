"""What is happening right now: the requests that have a row and no end yet.

Nothing is written down for it while a request runs: where it stands is read off the objects that carry it, by whoever
asks. So what is told is one moment, and the next one may tell something else.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from llm_gateway.errors import CancelledByOperator, NotFound
from llm_gateway.fleet.tries import Try
from llm_gateway.gateway import Gateway, Opening
from llm_gateway.ledger.entry import Entry

Phase = Literal["body", "waiting", "connecting", "first_token", "streaming", "ending"]
"""`body`: it is being read. `waiting`: for a place at a server, or for the next attempt. `connecting`: to the server.
`first_token`: the server has the question. `streaming`: an answer comes, whether the client wants it whole or not.
`ending`: it is being given up, for the client is gone or somebody stopped it."""


class Moment(NamedTuple):
    """One request at one moment."""

    entry: Entry
    phase: Phase
    stream: bool | None
    """Does the client want it as a stream? None = its body is not here yet."""
    server: str | None
    """Id of the one that works on it: of several the latest."""
    backend_model: str | None
    failovers: int
    """Attempts that failed so far, before the client had anything of them."""
    tokens: int
    """That the client was given, or that are gathered for it."""


def moments(gw: Gateway, most: int) -> list[Moment]:
    """Those in flight, who came first first; at most so many."""
    first = [pair for _, pair in zip(range(most), gw.in_flight.items(), strict=False)]
    return [moment(entry, call) for entry, call in first]


def moment(entry: Entry, call: Opening) -> Moment:
    tries = entry.tries
    working = [one for one in tries if not one.ended]
    at = working[-1] if working else tries[-1] if tries else None
    return Moment(
        entry,
        _phase(entry, call, working),
        call.streams if entry.model is None else entry.stream,
        at.server if at is not None else None,
        at.model if at is not None else None,
        sum(one.ended > 0 and one.failed for one in tries),
        entry.meter.tokens if entry.meter is not None else 0,
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
