"""The hot path's edge: HTTP requests in, `service` calls out, without a framework in between.

What a request is to the service and how it is answered stands here, once. How its bytes come and go is up to those who
make the calls: `web.straight` on a connection of our own protocol, `web.asgi` under any other ASGI server. The first
thing that each route does is to authenticate (`service.chat.chat`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID

import structlog

from llm_gateway.access.identify import KEY_HEADERS, presented_key
from llm_gateway.access.limits import Lease
from llm_gateway.access.policy import Caller
from llm_gateway.access.standing import Headers, lines_of, retry_headers
from llm_gateway.errors import (
    BodyTooLarge,
    GatewayError,
    InternalError,
    MethodNotAllowed,
    ShuttingDown,
    UnsupportedMediaType,
    UpstreamError,
    meant_by,
)
from llm_gateway.gateway import Gateway
from llm_gateway.service.call import Served
from llm_gateway.settings import Settings
from llm_gateway.web.peers import Peers
from llm_gateway.web.pulse import Pulse
from llm_gateway.web.surfaces.route import Route
from llm_gateway.wire.dialect import ClientDialect
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.neutral import StreamWriter

LONGEST_TRACE: Final = 128
"""Bytes that are looked at of a `traceparent`; today's have 55."""
IMAGE_MARKS: Final = (b"data:image/", b'"images"', b'"media_type"')
"""What a body with images holds, in one dialect or another."""
READ: Final = KEY_HEADERS | {
    b"content-length",
    b"content-type",
    b"content-encoding",
    b"x-request-id",
    b"x-request-timeout",
    b"x-gateway-continue",
    b"traceparent",
    b"expect",
    b"origin",
}
"""Headers that mean anything here."""
TIMING: Final = b"x-gateway-attempts: %d\r\nserver-timing: gw;dur=%.1f, up;dur=%.1f\r\n"
KNOWN: Final = 1024
"""Servers' names for which the lines of a head are kept."""

log = structlog.get_logger(__name__)


class ClientGone(ConnectionError):
    """The client closed its connection."""


class Surface:
    """A hot route with the limits that the settings give it."""

    __slots__ = ("body_seconds", "content_type", "dialect", "max_body", "max_body_images", "path", "serve", "streams")

    def __init__(self, route: Route, settings: Settings) -> None:
        self.path, self.dialect, self.streams, self.serve = route.path, route.dialect, route.streams, route.serve
        self.content_type = b"content-type: %b\r\n" % route.dialect.content_type.encode()
        self.max_body, self.max_body_images = settings.max_body, settings.max_body_with_images
        self.body_seconds = settings.timeouts.body


class Edge(NamedTuple):
    """What all hot requests of a process share."""

    gateway: Gateway
    peers: Peers
    pulse: Pulse
    surfaces: Mapping[str, Surface]
    """By path."""
    targets: Mapping[bytes, Surface]
    """The same by what stands in a request's first line."""
    for_browsers: bool
    """Are other origins answered?"""


class HttpCall:
    """One request on the hot path, as `service.call.Call`. Its kinds say how bytes come and go: `_read`, `_put`."""

    __slots__ = (
        "_declared",
        "_ended",
        "_gw",
        "_head",
        "_lease",
        "_pulse",
        "_surface",
        "_task",
        "_unreadable",
        "_writer",
        "apart",
        "client_request_id",
        "continues",
        "dialect",
        "endpoint",
        "id",
        "key",
        "last_write",
        "left",
        "peer",
        "started",
        "streams",
        "total",
        "traceparent",
        "writing_since",
    )
    caller: Caller | None = None
    """Of what comes over a hot route always: there only a key says who asks."""

    def __init__(self, edge: Edge, surface: Surface, headers: Headers, peer: str) -> None:
        self._gw = edge.gateway
        self._pulse = edge.pulse
        self._surface = surface
        self._lease: Lease | None = None
        self._task: asyncio.Task[Any] | None = None
        """What is cancelled when the client is gone, or an operator stops it."""
        self._writer: StreamWriter | None = None
        self._head: bytes | None = None
        """Of a whole answer, until that is there."""
        self._ended = False
        self._declared = 0
        self._unreadable: str | None = None
        """Why the body is not even read."""
        self.id: UUID = self._gw.ids()
        self.dialect: ClientDialect = surface.dialect
        self.streams = surface.streams
        self.endpoint = surface.path
        self.peer = peer
        self.started = False
        self.left: str | None = None
        self.last_write = 0.0
        self.writing_since: float | None = None
        self.client_request_id: str | None = None
        self.traceparent: str | None = None
        self.total: float | None = None
        self.continues = True
        self.apart = False
        """Does it ask for what only an ASGI server and what stands around the application can give?"""
        keys: Headers = []
        for name, value in headers:
            if name not in READ:  # most are not
                continue
            if name in KEY_HEADERS:
                keys.append((name, value))
            elif name == b"content-length":
                self._declared = int(value) if value.isdigit() else 0
            elif name == b"content-type":
                if value[:10].lower() == b"multipart/":
                    self._unreadable = "Multipart bodies are not accepted: send plain JSON."
            elif name == b"x-request-id":
                self.client_request_id = value.decode("latin-1")
            elif name == b"x-request-timeout":
                self.total = _seconds(value)
            elif name == b"x-gateway-continue":
                self.continues = value.strip().lower() != b"never"
            elif name == b"traceparent":
                self.traceparent = value[:LONGEST_TRACE].decode("latin-1")
            elif name == b"content-encoding":
                if value.lower() != b"identity":
                    self._unreadable = "Compressed request bodies are not accepted: send plain JSON."
            elif name == b"expect" or edge.for_browsers:
                self.apart = True
        self.key = presented_key(keys)

    async def _read(self) -> bytes:
        """The whole body, of at most `max_body_images` bytes. Raises BodyTooLarge, RequestTimeout, ClientGone; from its
        return on a client that leaves cancels the request."""
        raise NotImplementedError

    async def _put(self, status: int, head: bytes | None, data: bytes, *, more: bool) -> None:
        """Sends, waiting for a client that does not read. `head`: the header lines, at the answer's begin; what says
        how long the body is comes from here. Sends nothing to a client that is gone."""
        raise NotImplementedError

    def admitted(self, lease: Lease) -> None:
        self._lease = lease

    async def body(self) -> bytes:
        if self._unreadable is not None:
            raise UnsupportedMediaType(self._unreadable)
        surface = self._surface
        if self._declared > surface.max_body_images:
            raise self._too_large(self._declared)
        body = await self._read()
        if len(body) > surface.max_body and not any(mark in body for mark in IMAGE_MARKS):
            raise self._too_large(len(body))
        return body

    def _too_large(self, size: int) -> BodyTooLarge:
        return BodyTooLarge(
            f"The request's body has {size} bytes or more; at most {self._surface.max_body} are accepted "
            f"({self._surface.max_body_images} with images)."
        )

    async def begin(self, served: Served | None, writer: StreamWriter | None, notes: str = "") -> None:
        head = self._surface.content_type if writer is None else _stream_lines(writer.content_type)
        if served is not None:
            model, server, tier, attempts, upstream, gateway, notes = served
            timing = attempts, gateway * 1000, upstream * 1000
            head += _server_lines(model, server, tier) + TIMING % timing
        if notes:
            head += b"x-gateway-notes: %b\r\n" % notes.encode()
        if writer is None:
            self._head = head
            return
        self._writer = writer
        self.started = True
        await self._put(200, head + self._lines(), b"", more=True)
        self.last_write = self._gw.clock.now()
        self._pulse.add(self)

    def _lines(self) -> bytes:
        """The header lines of any answer: which request it answers, and how its caller stands."""
        identity = str(self.id).encode()
        lines = b"x-request-id: %b\r\nrequest-id: %b\r\n" % (identity, identity)
        if self._lease is not None:
            lines += self._lease.lines(self._gw.clock.now(), self._gw.clock.wall())
        return lines

    async def write(self, data: bytes) -> None:
        await self._put(200, None, data, more=True)
        self.last_write = self._gw.clock.now()

    at_once = False
    """As `Call.at_once`."""

    def put(self, data: bytes, now: float) -> bool:
        raise NotImplementedError

    async def end(self, data: bytes) -> None:
        head, self._ended = self._head, True
        if head is not None:
            self.started = True
            head += self._lines()
        await self._put(200, head, data, more=False)

    async def ping(self) -> None:
        """A word in a silence; the stream goes on. Not when it has begun to speak, or ended, in the meantime."""
        if self._writer is not None and self.writing_since is None and not self._ended:
            await self._put(200, None, self._writer.keep_alive(), more=True)

    @property
    def ending(self) -> bool:
        task = self._task
        return self.left is not None or (task is not None and task.cancelling() > 0)

    def stop(self, error: GatewayError) -> None:
        if self._task is not None:
            self._task.cancel(error)

    def give_up(self) -> None:
        """The client does not read what it asked for."""
        self.left = "client_too_slow"
        if self._task is not None:
            self._task.cancel()

    async def fail(self, error: GatewayError) -> None:
        """The typed error: a status of its own, or the stream's error event when 200 has left already."""
        if self._ended:
            return
        body = self.dialect.error_body(error, str(self.id))
        if self.started:
            if self._writer is not None:
                await self.end(self._writer.error(body))
            return  # a whole answer that is shorter than its length says of itself that it was cut
        content, content_type = encode(body), self.dialect.content_type
        if isinstance(error, MethodNotAllowed) and self.dialect.wrong_method is not None:
            content, content_type = self.dialect.wrong_method.encode(), "text/plain"
        headers: Headers = [(b"content-type", content_type.encode())]
        headers += [*error.headers, *retry_headers(error.retry_after)]
        if isinstance(error, UpstreamError):
            headers.append((b"x-should-retry", b"false"))  # everything has been tried already
        if error.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if isinstance(error, MethodNotAllowed):
            headers.append((b"allow", b"POST"))
        self.started = self._ended = True
        await self._put(error.status, lines_of(headers) + self._lines(), content, more=False)

    def close(self) -> None:
        if self._writer is not None:
            self._pulse.discard(self)
            self._writer = None  # its connection may keep the call for long


async def serve(surface: Surface, gw: Gateway, call: HttpCall, method: str = "POST") -> None:
    """Answers one HTTP request; every exception ends here as a typed error."""
    try:
        if method != "POST":
            raise MethodNotAllowed(f"{surface.path} takes POST.")
        await surface.serve(gw, call)
    except GatewayError as error:
        await call.fail(error)
    except ClientGone:
        pass
    except asyncio.CancelledError as ended:
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
        if call.left is None:  # somebody stopped it, or the time to finish at shutdown is over
            late = ShuttingDown("The gateway is shutting down; ask again in a moment.", retry_after=2)
            await call.fail(meant_by(ended) or late)
    except Exception:
        log.exception("request_failed", request_id=str(call.id), endpoint=surface.path)
        await call.fail(InternalError("Something went wrong inside the gateway; it has been logged."))
    finally:
        call.close()


@lru_cache(KNOWN)
def _server_lines(model: str, server: str, tier: str) -> bytes:
    names = _header(model), _header(server), tier.encode()
    return b"x-gateway-model: %b\r\nx-gateway-server: %b\r\nx-gateway-tier: %b\r\n" % names


@lru_cache
def _stream_lines(content_type: str) -> bytes:
    return b"content-type: %b\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n" % content_type.encode()


def _header(text: str) -> bytes:
    """A header value of what a server or a catalogue named: no control characters, Latin-1."""
    return "".join(c for c in text if c.isprintable()).encode("latin-1", "replace")


def _seconds(value: bytes) -> float | None:
    """`X-Request-Timeout` in seconds; anything that is not a positive number is ignored."""
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if 0 < seconds < 86_400 else None
