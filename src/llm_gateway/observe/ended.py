"""What metrics and traces read of a request that has ended, and of each of its attempts.

`ledger.entry.Entry` is an `Ended`, `fleet.tries.Try` a `Tried`: this package is a leaf and knows neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol
from uuid import UUID

from llm_gateway.errors import FaultKind


class Project(Protocol):
    @property
    def name(self) -> str: ...


class Caller(Protocol):
    @property
    def project(self) -> Project: ...


class Usage(Protocol):
    @property
    def input(self) -> int: ...
    @property
    def output(self) -> int: ...
    @property
    def estimated(self) -> bool: ...


class Tried(Protocol):
    """One attempt. Times are seconds on the monotonic clock."""

    @property
    def server(self) -> str:
        """Its opaque id."""

    @property
    def provider(self) -> str:
        """The kind of API that it speaks."""

    @property
    def model(self) -> str:
        """As that server lists it."""

    @property
    def tier(self) -> str: ...
    @property
    def why(self) -> str:
        """first | failover | race | continuation | second_try"""

    @property
    def after(self) -> FaultKind | None:
        """What the attempt before did wrong."""

    @property
    def outcome(self) -> str:
        """ok | cancelled | a FaultKind"""

    @property
    def failed(self) -> bool: ...
    @property
    def began(self) -> float: ...
    @property
    def first_at(self) -> float:
        """0 = it had no content."""

    @property
    def ended(self) -> float: ...
    @property
    def given(self) -> int:
        """Tokens that the client got."""

    @property
    def wasted(self) -> int:
        """Tokens that the client did not get."""


class Ended(Protocol):
    """One request."""

    @property
    def id(self) -> UUID: ...
    @property
    def caller(self) -> Caller: ...
    @property
    def endpoint(self) -> str: ...
    @property
    def model(self) -> str | None:
        """The asked name."""

    @property
    def backend_model(self) -> str | None:
        """The physical model that answered."""

    @property
    def stream(self) -> bool: ...
    @property
    def status(self) -> int: ...
    @property
    def outcome(self) -> str | None: ...
    @property
    def error_code(self) -> str | None: ...
    @property
    def finish_reason(self) -> str | None: ...
    @property
    def began(self) -> float:
        """Seconds on the monotonic clock."""

    @property
    def latency(self) -> float:
        """Seconds, as `ttft`."""

    @property
    def ttft(self) -> float | None: ...
    @property
    def usage(self) -> Usage | None: ...
    @property
    def cost(self) -> int:
        """Billionths of the unit of prices."""

    @property
    def servers(self) -> Sequence[str]:
        """Who spoke: each after the first went on with an answer that had broken off."""

    @property
    def provider(self) -> str:
        """The kind of API that the server spoke which answered; "" when none did."""

    @property
    def tries(self) -> Sequence[Tried]: ...
    @property
    def traceparent(self) -> str | None:
        """The header of that name, as the client sent it (W3C Trace Context)."""

    def moment(self, at: float) -> float:
        """A time of the monotonic clock as Unix time."""


EMBEDDINGS: Final = frozenset({"/v1/embeddings", "/api/embed", "/api/embeddings"})
COMPLETIONS: Final = frozenset({"/v1/completions", "/api/generate"})


def operation(endpoint: str) -> str:
    """The convention's `gen_ai.operation.name`."""
    if endpoint in EMBEDDINGS:
        return "embeddings"
    return "text_completion" if endpoint in COMPLETIONS else "chat"


def pace(one: Tried) -> float | None:
    """Seconds for each token of an attempt after its first content; None = there was no more than that."""
    tokens = one.given or one.wasted
    return (one.ended - one.first_at) / (tokens - 1) if one.first_at and tokens > 1 else None


def idle(request: Ended) -> float:
    """Seconds of a request in which no server was at work on it."""
    busy, until = 0.0, request.began
    for one in request.tries:  # in the order in which they began
        began, ended = one.began, one.ended
        if ended > until:
            busy += ended - (began if began > until else until)
            until = ended
    rest = request.latency - busy
    return rest if rest > 0.0 else 0.0
