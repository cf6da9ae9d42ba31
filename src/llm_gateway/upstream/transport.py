"""The HTTP/1.1 client of the hot path: one request out, one answer back as it comes, connections kept in between.

Why not a library: this is the core of a gateway, and it cancels all day (hedging, clients that leave). Per request
httpx costs two orders of magnitude more CPU than a bare protocol over `httptools`, and its pool loses slots when
requests are cancelled under contention (encode/httpcore#1093). Here a connection belongs to exactly one request or
lies idle; there is no queue, no limit and no lock that a cancellation could leave taken.

Redirects are returned, never followed. Proxy variables of the environment are ignored. Nothing but the listed headers
and what the caller passes is sent.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.upstream.answer import Limits, headers_of
from llm_gateway.upstream.connection import Connection
from llm_gateway.upstream.dial import dial
from llm_gateway.upstream.guard import Guard, Origin

__all__ = ["Limits", "Response", "Stats", "Transport"]

ACCEPT = "application/json, application/x-ndjson, text/event-stream"
OWN_HEADERS = frozenset(
    {"host", "user-agent", "accept", "accept-encoding", "content-type", "content-length"}
    | {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "expect"}
)
_METHOD = re.compile(r"GET|POST")
_TARGET = re.compile(r"/[\x21-\x7e]*")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")


@dataclass(frozen=True, slots=True)
class Stats:
    open: int
    """Connections whose socket is open, idle ones included."""
    idle: int
    in_flight: int
    """Requests from `send` until their response is closed."""


class Told(Protocol):
    """Who wants to know."""

    connecting: bool
    """Is a connection being made?"""


class Request:
    """What is asked of one server over and over, but for the body. Made by `Transport.request`, which checked it."""

    __slots__ = ("first", "last", "origin", "posts")

    def __init__(self, origin: Origin, method: str, first: bytes, last: bytes) -> None:
        self.origin = origin
        self.posts = method == "POST"
        self.first = first
        """Of the head: what stands before the lines about the body …"""
        self.last = last
        """… and behind them."""


class Response:
    """An answer whose head is here and whose body comes. Whoever holds it closes it, in every case."""

    __slots__ = ("_connection", "_lines", "_origin", "_transport", "content_type", "status")

    def __init__(self, transport: Transport, origin: Origin, connection: Connection) -> None:
        answer = connection.answer
        self._transport = transport
        self._origin = origin
        self._connection: Connection | None = connection
        self.status = answer.status
        self.content_type = answer.content_type
        self._lines = answer.lines

    @property
    def headers(self) -> dict[str, str]:
        """Lower-case names; a name that came more than once has its values joined by ", "."""
        return headers_of(self._lines)

    def read(self, deadline: float, kind: FaultKind = FaultKind.STALLED) -> Awaitable[bytes]:
        """The next bytes of the body, 64 KiB at most, waiting for some; b"" at its clean end. Where more are here than
        that, other tasks get their turn.

        `deadline`: seconds on the monotonic clock; its passing raises Fault(kind). Other faults: CUT (the connection
        ended within the body), RESET (before its first byte), BAD_HTTP, TOO_LARGE. One reader at a time. After a
        fault or a cancellation the connection is closed.
        """
        if self._connection is None:
            raise RuntimeError("read() after the response was closed")
        return self._connection.read(deadline, kind)

    def pour(self, into: Callable[[bytes], bool], patience: Callable[[], tuple[float, FaultKind]]) -> Awaitable[None]:
        """As `Connection.pour`, with the same faults in the next `read`."""
        if self._connection is None:
            raise RuntimeError("pour() after the response was closed")
        return self._connection.pour(into, patience)

    @property
    def ended(self) -> bool:
        """Nothing is left to read: it was closed, or its end was read, so that `read` would give b"" at once."""
        return self._connection is None or self._connection.answer.read

    @property
    def buffered(self) -> int:
        """Bytes of the body that are here and unread; bounded by `Limits.buffer_bytes` and one read of the socket."""
        return self._connection.answer.buffered if self._connection is not None else 0

    def abort(self) -> None:
        """Ends it: a connection whose answer came completely is kept, any other is closed at once.

        The last bytes on the wire (an empty chunk) may trail the last line of a stream: read on until b"" to keep
        the connection. May be called again.
        """
        connection = self._connection
        if connection is not None:
            self._connection = None
            self._transport._finished(self._origin, connection)

    async def close(self) -> None:
        """`abort`, for `finally` blocks and `aclosing`; never waits."""
        self.abort()


class Transport:
    """Sends requests to model servers. `aclose` ends it with all its connections."""

    def __init__(
        self,
        guard: Guard,
        *,
        limits: Limits | None = None,
        now: Callable[[], float],
        user_agent: str = "llm-gateway",
    ) -> None:
        """`now` is the running loop's monotonic clock (`Clock.now`). `user_agent` should name a contact."""
        if not _VALUE.fullmatch(user_agent):
            raise ValueError("the user agent must be printable ASCII")
        self._guard = guard
        self._limits = limits or Limits()
        self._now = now
        self._fixed = f"\r\nUser-Agent: {user_agent}\r\nAccept: {ACCEPT}\r\nAccept-Encoding: identity\r\n"
        self._tls: ssl.SSLContext | None = None
        self._open: set[Connection] = set()
        self._idle: dict[Origin, list[Connection]] = {}
        self._in_flight = 0
        self._closing: asyncio.Future[None] | None = None

    def send(
        self,
        origin: Origin,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        deadline: float,
        max_body: int | None = None,
    ) -> Awaitable[Response]:
        """As `ask`, of a request (GET or POST; a body is JSON) that is put together for this once."""
        return self.ask(self.request(origin, method, target, headers), body, deadline, max_body)

    async def ask(
        self, request: Request, body: bytes, deadline: float, max_body: int | None = None, told: Told | None = None
    ) -> Response:
        """Sends one request and returns when the head of the answer is complete.

        `deadline`: finite seconds on the monotonic clock for all of that; past it, Fault(FIRST_TOKEN_TIMEOUT).
        `max_body`: bytes of the answer, instead of `Limits.body_bytes`. A kept connection that turns out closed
        before any byte of the answer is replaced by a new one, once, unseen (RFC 9112 §9.3.1). `told` is told while a
        new one is made.

        Raises Fault (NOT_PERMITTED, DNS, REFUSED, CONNECT_TIMEOUT, TLS, RESET, WRITE_TIMEOUT, HEAD_TIMEOUT,
        FIRST_TOKEN_TIMEOUT, BAD_HTTP, TOO_LARGE, ENCODED). After any exception nothing of the request is left.
        """
        if self._closing is not None:
            raise RuntimeError("send() after the transport was closed")
        origin = request.origin
        if body or request.posts:
            about = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
            head = request.first + about + request.last
        else:
            head = request.first + request.last
        cap = self._limits.body_bytes if max_body is None else max_body
        connection: Connection | None = None
        self._in_flight += 1
        try:
            kept = self._idle.get(origin)
            while kept:  # the most recently used one is the least likely to be closed by the server meanwhile
                connection = kept.pop()
                if not connection.closed:
                    break
                connection = None
            if connection is not None:
                try:
                    await connection.ask(head, body, deadline, cap)
                    return Response(self, origin, connection)
                except Fault as fault:
                    if fault.kind is not FaultKind.STALE:
                        raise
            if told is not None:
                told.connecting = True
            connection = await self._dial(origin, deadline)
            if told is not None:
                told.connecting = False
            await connection.ask(head, body, deadline, cap)
            return Response(self, origin, connection)
        except BaseException:
            self._in_flight -= 1
            if connection is not None:
                connection.abort()
            raise

    def stats(self) -> Stats:
        return Stats(
            open=len(self._open), idle=sum(len(kept) for kept in self._idle.values()), in_flight=self._in_flight
        )

    async def aclose(self) -> None:
        """Closes every connection and returns when their sockets are closed. Requests in flight end in a Fault."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_future()
            for connection in tuple(self._open):
                connection.abort()
            if not self._open:
                self._closing.set_result(None)
        await asyncio.shield(self._closing)

    # --- Connections ------------------------------------------------------------------------------------------

    async def _dial(self, origin: Origin, deadline: float) -> Connection:
        if self._closing is not None:
            raise self._closed_fault()
        connection = await dial(
            self._guard,
            origin,
            lambda: Connection(self._limits, self._now, self._gone, origin),
            limits=self._limits,
            left=deadline - self._now(),
            tls=self._context,
        )
        if not connection.gone:
            self._open.add(connection)
        if self._closing is not None:
            connection.abort()
            raise self._closed_fault()
        return connection

    @staticmethod
    def _closed_fault() -> Fault:
        return Fault(FaultKind.RESET, "the gateway closes its connections")

    def _finished(self, origin: Origin, connection: Connection) -> None:
        self._in_flight -= 1
        if self._closing is not None:
            connection.abort()
        elif connection.rest():
            if (kept := self._idle.get(origin)) is None:
                kept = self._idle[origin] = []
            kept.append(connection)
            if len(kept) > self._limits.idle_per_origin:
                kept.pop(0).abort()

    def _gone(self, connection: Connection) -> None:
        origin = connection.origin
        self._open.discard(connection)
        if (kept := self._idle.get(origin)) is not None:
            if connection in kept:
                kept.remove(connection)
            if not kept:
                del self._idle[origin]
        if self._closing is not None and not self._open and not self._closing.done():
            self._closing.set_result(None)

    def _context(self) -> ssl.SSLContext:
        """Python's defaults: verified, with the system's authorities (or those of SSL_CERT_FILE). Made when needed:
        reading the authorities takes tens of milliseconds."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    # --- The request ------------------------------------------------------------------------------------------

    def request(self, origin: Origin, method: str, target: str, headers: Sequence[tuple[str, str]] = ()) -> Request:
        """A request (GET or POST) for `ask`. Raises ValueError for a header, target or method that may not be sent."""
        if not _METHOD.fullmatch(method) or not _TARGET.fullmatch(target):
            raise ValueError(f"not a request that is ever sent: {method} {target!r:.100}")
        first = f"{method} {target} HTTP/1.1\r\nHost: {origin.authority}{self._fixed}"
        lines = []
        for name, value in headers:
            if not _NAME.fullmatch(name) or name.lower() in OWN_HEADERS:
                raise ValueError(f"the header {name!r:.100} may not be passed")
            if not _VALUE.fullmatch(value):  # the value may be a secret: it is not repeated
                raise ValueError(f"the value of {name!r} contains something else than printable ASCII")
            lines.append(f"{name}: {value}\r\n")
        return Request(origin, method, first.encode("ascii"), ("".join(lines) + "\r\n").encode("ascii"))
