"""The client's side of a request as the service sees it, and what it is told of who answered."""

from __future__ import annotations

from typing import NamedTuple, Protocol
from uuid import UUID

from llm_gateway.access.limits import Lease
from llm_gateway.access.policy import Caller
from llm_gateway.errors import GatewayError
from llm_gateway.gateway import Gateway
from llm_gateway.ledger.entry import Entry
from llm_gateway.upstream.drive import Work
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.upstream.unbroken import Unbroken
from llm_gateway.wire.neutral import Envelope, StreamWriter
from llm_gateway.wire.notes import told
from llm_gateway.wire.registry import ClientDialect


class Served(NamedTuple):
    """What a client is told about who answered; the server only by its opaque id."""

    model: str
    server: str
    tier: str
    attempts: int
    upstream: float
    """Seconds of the attempt that answered: to its first content, or to its end for a whole answer."""
    gateway: float
    """Seconds of everything else until now: our own work and the attempts that failed."""
    notes: str = ""
    """What the caller asked for and did not get: as `wire.notes.told`."""


class Call(Protocol):
    """The client's side of one request, as the edge hands it in."""

    id: UUID
    key: str | None
    caller: Caller | None
    """Who asks, where that is known without a key: an operator as a project (`web.admin.playground`)."""
    peer: str
    """The client's IP address, for counting wrong keys."""
    endpoint: str
    client_request_id: str | None
    traceparent: str | None
    """The client's trace, as the header says it."""
    dialect: ClientDialect
    streams: bool | None
    """What the path says about streaming; None = the body decides."""
    left: str | None
    """Why the client is no longer there: `client_closed`, `client_too_slow`; None while it is."""
    total: float | None
    """Seconds the caller gives the whole request (`X-Request-Timeout`)."""
    continues: bool
    """May another server go on with a stream that broke? (`X-Gateway-Continue: never`)"""

    @property
    def ending(self) -> bool:
        """Is it being given up: its client is gone, or it was stopped?"""

    def stop(self, error: GatewayError) -> None:
        """Ends the request by this error, which the client is told."""

    def admitted(self, lease: Lease) -> None:
        """The limits' figures, for headers of whatever answer follows."""

    async def body(self) -> bytes:
        """Raises 408, 413, 415; ConnectionError when the client leaves."""

    async def begin(self, served: Served | None, writer: StreamWriter | None, notes: str = "") -> None:
        """Sends status 200 and the headers; `writer` is None for a whole answer, `served` where no server was asked:
        then `notes` are told, as `Served.notes` otherwise."""

    @property
    def at_once(self) -> bool:
        """Can it `put`?"""

    async def write(self, data: bytes) -> None: ...

    def put(self, data: bytes, now: float) -> bool:
        """As `write`, without waiting for a client that does not read: False says that the next has to `write`. `now`:
        seconds on the monotonic clock."""

    async def end(self, data: bytes) -> None:
        """The last bytes."""


def serves(entry: Entry, work: Work, stream: Unbroken) -> None:
    """The row learns who answers."""
    spec, request = stream.candidate.spec, work.request
    # `value` is a function in Python, and every request asks
    entry.served_by(spec.id, stream.candidate.model, spec.trust._value_)
    entry.servers, work.plan.tries.spoke, entry.meter = stream.servers, stream.spoke, stream.meter
    notes = [*request.notes, *KINDS[spec.kind].dialect.dropped(request), *stream.notes]
    entry.notes = told(notes) if notes else ""
    entry.first_token()


def served(entry: Entry, work: Work, stream: Unbroken, until: float) -> Served:
    """What the client is told, after `serves`. `until`: when the attempt had its first content, or the whole answer was
    there."""
    candidate, upstream = stream.candidate, until - stream.attempt.began
    own, tier = max(0.0, entry.elapsed() - upstream), entry.tier or ""
    return Served(candidate.model, candidate.spec.id, tier, work.plan.attempts, upstream, own, entry.notes)


def envelope_of(gw: Gateway, entry: Entry) -> Envelope:
    """What all frames of the answer share."""
    return Envelope(entry.text, int(gw.clock.wall()), entry.backend_model or entry.model or "")
