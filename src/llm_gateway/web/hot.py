"""The hot path's edge: ASGI messages in, `service` calls out, without a framework in between.

Routes here are matched in one exact dict before FastAPI sees the request; the first thing each does is to
authenticate (`service.chat.chat`).
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple
from uuid import UUID

import structlog
from starlette.types import Receive, Scope, Send

from llm_gateway.access.identify import presented_key
from llm_gateway.access.limits import Lease
from llm_gateway.access.standing import Headers, retry_headers
from llm_gateway.errors import (
    BodyTooLarge,
    GatewayError,
    HeadersTooLarge,
    InternalError,
    MethodNotAllowed,
    RequestTimeout,
    ShuttingDown,
    UnsupportedMediaType,
    UpstreamError,
)
from llm_gateway.gateway import Gateway
from llm_gateway.service.call import Served
from llm_gateway.settings import Settings
from llm_gateway.web.peers import Peers
from llm_gateway.web.pulse import Pulse
from llm_gateway.web.surfaces.route import Route
from llm_gateway.wire.dialect import ClientDialect, WriteError
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.neutral import StreamWriter

MAX_HEAD: Final = 32 * 1024
"""Bytes of all request headers together."""
LONGEST_TRACE: Final = 128
"""Bytes that are looked at of a `traceparent`; today's have 55."""
IMAGE_MARKS: Final = (b"data:image/", b'"images"', b'"media_type"')
"""What a body with images holds, in one dialect or another."""

log = structlog.get_logger(__name__)


class ClientGone(ConnectionError):
    """The client closed its connection."""


class HttpCall:
    """One request on the hot path, as `service.call.Call`."""

    __slots__ = (
        "_body_seconds",
        "_ended",
        "_gw",
        "_lease",
        "_max_body",
        "_max_body_images",
        "_pulse",
        "_receive",
        "_scope",
        "_send",
        "_task",
        "_watch",
        "_whole",
        "_writer",
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

    def __init__(self, gw: Gateway, scope: Scope, receive: Receive, send: Send, surface: Surface, edge: Edge) -> None:
        self._gw, self._scope, self._receive, self._send = gw, scope, receive, send
        self._pulse = edge.pulse
        self._max_body, self._max_body_images = surface.max_body, surface.max_body_images
        self._body_seconds = surface.body_seconds
        self._lease: Lease | None = None
        self._watch: asyncio.Task[None] | None = None
        self._task: asyncio.Task[Any] | None = None
        self.id: UUID = gw.ids()
        self.dialect: ClientDialect = surface.dialect
        self.streams = surface.streams
        self.endpoint = surface.path
        self.peer = edge.peers.client(scope)
        self._writer: StreamWriter | None = None
        self._whole: Headers | None = None
        """The head of a whole answer, until its length is known."""
        self.started = False
        self._ended = False
        self.left: str | None = None
        self.last_write = 0.0
        self.writing_since: float | None = None
        headers: Headers = scope["headers"]
        self.key = presented_key(headers)
        self.client_request_id: str | None = None
        self.traceparent: str | None = None
        self.total: float | None = None
        self.continues = True
        size = 0
        for name, value in headers:
            size += len(name) + len(value)
            if name == b"x-request-id":
                self.client_request_id = value.decode("latin-1")
            elif name == b"x-request-timeout":
                self.total = _seconds(value)
            elif name == b"x-gateway-continue":
                self.continues = value.strip().lower() != b"never"
            elif name == b"traceparent":
                self.traceparent = value[:LONGEST_TRACE].decode("latin-1")
        if size > MAX_HEAD:
            raise HeadersTooLarge(f"The request's headers are larger than {MAX_HEAD} bytes.")

    def admitted(self, lease: Lease) -> None:
        self._lease = lease

    async def body(self) -> bytes:
        declared = 0
        for name, value in self._scope["headers"]:
            if name == b"content-length" and value.isdigit():
                declared = int(value)
            elif name == b"content-encoding" and value.lower() != b"identity":
                raise UnsupportedMediaType("Compressed request bodies are not accepted: send plain JSON.")
            elif name == b"content-type" and value.lower().startswith(b"multipart/"):
                raise UnsupportedMediaType("Multipart bodies are not accepted: send plain JSON.")
        if declared > self._max_body_images:
            raise self._too_large(declared)
        try:
            async with asyncio.timeout(self._body_seconds):
                body = await self._read_body()
        except TimeoutError:
            raise RequestTimeout(f"The request's body did not arrive within {self._body_seconds:g} s.") from None
        if len(body) > self._max_body and not any(mark in body for mark in IMAGE_MARKS):
            raise self._too_large(len(body))
        self._task = asyncio.current_task()
        assert self._task is not None
        self._watch = asyncio.create_task(self._watch_client(self._task), name="client watch")
        return body

    async def _read_body(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.left = "client_closed"
                raise ClientGone
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > self._max_body_images:
                raise self._too_large(size)
            parts.append(part)
            if not message.get("more_body"):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self, size: int) -> BodyTooLarge:
        return BodyTooLarge(
            f"The request's body has {size} bytes or more; at most {self._max_body} are accepted "
            f"({self._max_body_images} with images)."
        )

    async def _watch_client(self, task: asyncio.Task[Any]) -> None:
        """Cancels the request when the client hangs up: its server is freed at once."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        connection = self._scope.get("state", {}).get("connection")  # `web.protocol`'s, not every server's
        self.left = "client_too_slow" if connection is not None and connection.too_slow else "client_closed"
        task.cancel()

    async def begin(self, served: Served | None, writer: StreamWriter | None, notes: str = "") -> None:
        self._writer = writer
        headers = [(b"content-type", (writer or self.dialect).content_type.encode())]
        if served is not None:
            headers += [
                (b"x-gateway-model", _header(served.model)),
                (b"x-gateway-server", _header(served.server)),
                (b"x-gateway-tier", served.tier.encode()),
                (b"x-gateway-attempts", str(served.attempts).encode()),
                (b"server-timing", b"gw;dur=%.1f, up;dur=%.1f" % (served.gateway * 1000, served.upstream * 1000)),
            ]
            notes = served.notes
        if notes:
            headers.append((b"x-gateway-notes", notes.encode()))
        if writer is None:
            self._whole = headers
            return
        headers += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        await self._start(200, headers)
        self.last_write = self._gw.clock.now()
        self._pulse.add(self)

    async def _start(self, status: int, headers: Headers) -> None:
        identity = str(self.id).encode()
        headers += [(b"x-request-id", identity), (b"request-id", identity)]
        if self._lease is not None:
            headers += self._lease.headers(self._gw.clock.now(), self._gw.clock.wall())
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        self.started = True

    async def write(self, data: bytes, *, more: bool = True) -> None:
        self.writing_since = self._gw.clock.now()
        await self._send({"type": "http.response.body", "body": data, "more_body": more})
        self.writing_since, self.last_write = None, self._gw.clock.now()

    async def keep_alive(self) -> None:
        """A word in a silence; the stream goes on. Not when it has begun to speak, or ended, in the meantime."""
        if self._writer is not None and self.writing_since is None and not self._ended:
            await self._send({"type": "http.response.body", "body": self._writer.keep_alive(), "more_body": True})

    def give_up(self) -> None:
        """The client does not read what it asked for."""
        self.left = "client_too_slow"
        if self._task is not None:
            self._task.cancel()

    async def end(self, data: bytes) -> None:
        if self._whole is not None:
            await self._start(200, [*self._whole, (b"content-length", str(len(data)).encode())])
        await self._last(data)

    async def _last(self, data: bytes) -> None:
        self._ended = True
        if self._watch is not None:
            self._watch.cancel()  # uvicorn says that the client has left as soon as the answer is complete
        await self.write(data, more=False)

    async def fail(self, error: GatewayError) -> None:
        """The typed error: a status of its own, or the stream's error event when 200 has left already."""
        body = self.dialect.error_body(error, str(self.id))
        if self.started:
            if self._writer is not None:
                await self._last(self._writer.error(body))
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
        headers.append((b"content-length", str(len(content)).encode()))
        await self._start(error.status, headers)
        await self._last(content)

    def close(self) -> None:
        self._pulse.discard(self)
        if self._watch is not None:
            self._watch.cancel()


class Surface:
    """A hot route with the limits that the settings give it."""

    __slots__ = ("body_seconds", "dialect", "max_body", "max_body_images", "path", "serve", "streams")

    def __init__(self, route: Route, settings: Settings) -> None:
        self.path, self.dialect, self.streams, self.serve = route.path, route.dialect, route.streams, route.serve
        self.max_body, self.max_body_images = settings.max_body, settings.max_body_with_images
        self.body_seconds = settings.timeouts.body


class Edge(NamedTuple):
    """What all hot requests of a process share."""

    peers: Peers
    pulse: Pulse


async def serve(gw: Gateway, surface: Surface, edge: Edge, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers one HTTP request; every exception ends here as a typed error."""
    try:
        call = HttpCall(gw, scope, receive, send, surface, edge)
    except HeadersTooLarge as error:
        return await refuse(gw, surface.dialect.error_body, send, error)
    try:
        if scope["method"] != "POST":
            raise MethodNotAllowed(f"{surface.path} takes POST.")
        await surface.serve(gw, call)
    except GatewayError as error:
        await call.fail(error)
    except ClientGone:
        pass
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
        if call.left is None:  # the time to finish at shutdown is over
            await call.fail(ShuttingDown("The gateway is shutting down; ask again in a moment.", retry_after=2))
    except Exception:
        log.exception("request_failed", request_id=str(call.id), endpoint=surface.path)
        await call.fail(InternalError("Something went wrong inside the gateway; it has been logged."))
    finally:
        call.close()


async def refuse(gw: Gateway, shape: WriteError, send: Send, error: GatewayError) -> None:
    """An error before there is a call."""
    identity = str(gw.ids())
    content = encode(shape(error, identity))
    headers: Headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"x-request-id", identity.encode()),
        (b"request-id", identity.encode()),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


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
