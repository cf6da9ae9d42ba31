"""One request's row while the request runs.

Every request past identify and rate limit opens an entry and closes it exactly once, whatever happens: also a
400, an upstream that failed, a client that hung up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Literal, Protocol, Self
from uuid import UUID
from zlib import crc32

from msgspec import Struct

from llm_gateway.access.limits import Lease
from llm_gateway.access.policy import Caller, Price
from llm_gateway.clock import Clock
from llm_gateway.errors import (
    GatewayError,
    InternalError,
    Overloaded,
    QueueFull,
    QueueTimeout,
    RateLimited,
    ShuttingDown,
    meant_by,
)
from llm_gateway.fleet.tries import Tries, Try
from llm_gateway.ledger.bounds import Bound
from llm_gateway.ledger.transcript import Transcript
from llm_gateway.wire.collect import Meter
from llm_gateway.wire.neutral import ChatRequest, Usage

Outcome = Literal["ok", "error", "shed", "client_closed"]
Recorded = Literal["ok", "error", "shed", "client_closed", "gateway_crashed"]
"""What a row may say: the last one is written by whoever finds what a dead process left open."""

CLIENT_CLOSED = 499
"""The status of a row whose client left before a status was sent (nginx's number for it)."""
TAG = 256
"""Characters kept of what clients may choose freely (user tag, correlation id, …)."""


TENTHS: Final = 10_000
"""Of a millisecond in a second: rows have them, rounded by `int(… + 0.5) / 10`. `round` looks for the shortest decimal
on its way, and takes four times as long."""
MOST_TRIES: Final = 500
"""Attempts of one request that are written down: a record of the journal has its bound."""


class Book(Protocol):
    """Who writes entries down."""

    def opened(self, entry: Entry) -> None: ...
    def closed(self, entry: Entry) -> None: ...
    def refused(self, entry: Entry) -> None: ...


class Entry(Struct, eq=False):
    """`async with entry:` closes it by the exception that ends the block; `finished` closes it as answered."""

    _book: Book
    _clock: Clock
    id: UUID
    caller: Caller
    endpoint: str
    client_request_id: str | None = None
    left: Callable[[], str | None] = lambda: "client_closed"
    """Says why the client is no longer there when the request's task is cancelled; None = it still is, the gateway
    ends."""
    traceparent: str | None = None
    """The header of that name."""
    lease: Lease | None = None
    """What it holds of the limits, given back when it ends."""
    began: float = 0.0
    """Seconds on the monotonic clock, from its making."""
    timestamp: float = 0.0
    """The same moment in Unix time."""
    text: str = ""
    """The id as everybody writes it."""
    bound: Bound | None = None
    """The most that it can use; None until that is known."""
    model: str | None = None
    backend_model: str | None = None
    server_id: str | None = None
    tier: str | None = None
    stream: bool = False
    _tries: Tries | None = None
    price: Price | None = None
    """Of its tokens; None = they cost nothing."""
    servers: Sequence[str] = ()
    """Who spoke, in order: each after the first went on where the one before broke off."""
    meter: Meter | None = None
    """Counts what the client is given; None until the first server speaks."""
    status: int = 0
    provider: str = ""
    """The kind of API that the server speaks which answered; "" when none did, or it is not closed yet."""
    tries: Sequence[Try] = ()
    """Its attempts, in the order in which they began."""
    failovers: int = 0
    """Attempts that ended by a fault before the client had anything of them. 0 until it is closed."""
    cost: int = 0
    """Billionths of the unit of prices; 0 until it is closed."""
    outcome: Outcome | None = None
    error_code: str | None = None
    finish_reason: str | None = None
    latency: float = 0.0
    """Seconds, as `ttft`."""
    ttft: float | None = None
    usage: Usage | None = None
    end_user: str | None = None
    correlation_id: str | None = None
    project_context: str | None = None
    notes: str = ""
    """What the caller asked for and did not get: as `wire.notes.told`."""
    transcript: Transcript | None = None
    """What is said, where the project keeps it."""

    def __post_init__(self) -> None:
        self.client_request_id = self.client_request_id[:TAG] if self.client_request_id else None
        self.text = str(self.id)
        self.began, self.timestamp = self._clock.now(), self._clock.wall()

    def heard(self, body: bytes) -> bytes:
        """The request as the client sent it."""
        if self.transcript is not None:
            self.transcript.body = body
        return body

    def asked(self, ask: ChatRequest) -> None:
        self.model = ask.model[:TAG]
        self.stream = ask.stream
        self.end_user = ask.end_user[:TAG] if ask.end_user else None
        self.correlation_id = ask.correlation_id[:TAG] if ask.correlation_id else None
        self.project_context = ask.project_context[:TAG] if ask.project_context else None

    def served_by(self, server_id: str, model: str, tier: str) -> None:
        self.server_id, self.backend_model, self.tier = server_id, model, tier

    def noted(self, note: str) -> None:
        """One more of the notes."""
        self.notes = f"{self.notes}, {note}" if self.notes else note

    def believed(self, usage: Usage) -> Usage:
        """What is believed of a count of tokens."""
        bound = self.bound
        if bound is None or (usage.input <= bound.prompt and usage.output <= bound.answer):  # as nearly always
            return usage
        return bound.believed(usage)

    def elapsed(self) -> float:
        """Seconds since the request was admitted."""
        return self._clock.now() - self.began

    def first_token(self) -> None:
        if self.ttft is None:
            self.ttft = self._clock.now() - self.began

    def finished(self, reason: str, usage: Usage) -> None:
        """The answer is complete: the row closes before its last bytes leave."""
        self.finish_reason, self.usage = reason, usage
        self._end("ok", 200)

    def failed(self, error: GatewayError) -> None:
        if self.transcript is not None and self.outcome is None:  # else it has ended already, and what is kept with it
            self.transcript.error = error
        shed = isinstance(error, QueueFull | QueueTimeout | Overloaded)
        self._end("shed" if shed else "error", error.status, error.code)

    def refused(self, error: GatewayError) -> None:
        """By a limit, before anything went upstream: it is counted and leaves no row."""
        if self.outcome is None:
            self.outcome, self.status, self.error_code = "error", error.status, error.code
            self._book.refused(self)

    def client_closed(self, why: str = "client_closed") -> None:
        self._end("client_closed", self.status or CLIENT_CLOSED, why)

    def _end(self, outcome: Outcome, status: int, error_code: str | None = None) -> None:
        if self.outcome is not None:
            return
        self.outcome, self.status, self.error_code = outcome, status, error_code
        now = self._clock.now()
        self.latency = now - self.began
        usage, tries = self.usage, self._tries
        if tries is not None:
            tries.close(now, usage.output if usage is not None else 0)
            self.failovers = tries.failures
            if tries.spoke:
                self.provider = tries.spoke[-1].provider
        if usage is not None and self.price is not None:
            self.cost = self.price.of(usage.input, usage.output)
        self._book.closed(self)

    def goes_upstream(self, tries: Tries | None = None) -> None:
        """A server is about to be asked: from here on a crash leaves a trace of the request. `tries` is where its
        attempts are noted."""
        if tries is not None:
            self._tries, self.tries = tries, tries.all
        self._book.opened(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.outcome is not None:  # as nearly always: it was answered
            return
        match error:
            case RateLimited() if error.limit:
                self.refused(error)
            case GatewayError():
                self.failed(error)
            case ConnectionError():
                self.client_closed()
            case asyncio.CancelledError():
                if meant := meant_by(error):
                    self.failed(meant)
                elif why := self.left():
                    self.client_closed(why)
                else:
                    self.failed(ShuttingDown("The gateway is shutting down."))
            case _:
                self.failed(InternalError("The request ended without an answer."))

    @property
    def attempts(self) -> int:
        return len(self.tries)

    def moment(self, at: float) -> float:
        """A time of the monotonic clock as Unix time."""
        return self.timestamp + at - self.began

    def told(self, share: float = 1.0) -> Sequence[dict[str, Any]]:
        """What is written down of its attempts, where it is one of this share of requests; of more than one attempt
        always, unless it is 0."""
        tries = self.tries
        if not tries or not share or (share < 1 and len(tries) == 1 and crc32(self.id.bytes) >= share * 2**32):
            return ()
        rows: list[dict[str, Any]] = []
        for one in tries[:MOST_TRIES]:
            began, first_at, given = one.began, one.first_at, one.given
            rows.append(  # as `storage.attempts.insert_rows` takes it
                {
                    "request_id": self.text,
                    "number": len(rows) + 1,
                    "timestamp": self.timestamp + began - self.began,
                    "server_id": one.server,
                    "backend_model": one.model,
                    "tier": one.tier,
                    "why": one.why,
                    "after": one.after.value if one.after else None,
                    "outcome": one.outcome,
                    "detail": one.detail or None,
                    "ttft_ms": int((first_at - began) * TENTHS + 0.5) / 10 if first_at else None,
                    "duration_ms": int((one.ended - began) * TENTHS + 0.5) / 10,
                    "tokens_output": given,
                    "tokens_wasted": 0 if given else one.tokens,
                }
            )
        return tuple(rows)  # of atoms: the garbage collector lets go of it, while it waits to be shipped

    def began_row(self) -> dict[str, Any]:
        """What of the row is known when it goes upstream: all that the row of a crash can say."""
        return {
            "id": self.text,
            "project_id": self.caller.project.id,
            "key_id": self.caller.key.id or None,
            "timestamp": self.timestamp,
            "model": self.model,
            "endpoint": self.endpoint,
            "stream": self.stream,
            "end_user": self.end_user,
            "correlation_id": self.correlation_id,
            "project_context": self.project_context,
            "client_request_id": self.client_request_id,
            "notes": self.notes or None,
        }

    def row(self) -> dict[str, Any]:
        """The row as `storage.records.parts` takes it."""
        usage, ttft, servers = self.usage or _NO_USAGE, self.ttft, self.servers
        return {
            "id": self.text,
            "project_id": self.caller.project.id,
            "key_id": self.caller.key.id or None,
            "timestamp": self.timestamp,
            "model": self.model,
            "backend_model": self.backend_model,
            "server_id": self.server_id,
            "tier": self.tier,
            "endpoint": self.endpoint,
            "stream": self.stream,
            "status": self.status,
            "outcome": self.outcome,
            "error_code": self.error_code,
            "finish_reason": self.finish_reason,
            "latency_ms": int(self.latency * TENTHS + 0.5) / 10,
            "ttft_ms": None if ttft is None else int(ttft * TENTHS + 0.5) / 10,
            "attempts": len(self.tries),
            "continuations": len(servers) - 1 if servers else 0,
            "tokens_input": usage.input,
            "tokens_output": usage.output,
            "tokens_estimated": usage.estimated,
            "end_user": self.end_user,
            "correlation_id": self.correlation_id,
            "project_context": self.project_context,
            "client_request_id": self.client_request_id,
            "notes": self.notes or None,
            "failovers": self.failovers,
            "cost_nanos": self.cost,
        }


_NO_USAGE: Final = Usage()
