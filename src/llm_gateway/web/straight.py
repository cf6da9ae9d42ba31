"""The hot path without ASGI: a connection that makes the hot calls itself, out of what its parser tells it.

A request whose first line names a hot route gets one task and one object; a whole answer leaves in one write. All else
goes uvicorn's way and comes out at `web.asgi` or FastAPI: other paths and methods, addresses with a query, requests
that are sent before the last one is answered (pipelining), that wait for `100 Continue`, want another protocol or come
from another origin's page. To uvicorn a call is what its own `RequestResponseCycle` is, so counting, shutting down and
queueing behind a call are uvicorn's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from llm_gateway.access.standing import Headers
from llm_gateway.errors import GatewayError, RequestTimeout
from llm_gateway.web.hot import ClientGone, Edge, HttpCall, Surface, serve
from llm_gateway.web.protocol import BoundedProtocol, of_one_server

WHOLE: Final = b"%b%b%bcontent-length: %d\r\n%b\r\n%b"
STREAM: Final = b"%b%b%btransfer-encoding: chunked\r\n%b\r\n"
LAST: Final = b"0\r\n\r\n"


class StraightCall(HttpCall):
    """A request of a `StraightProtocol`, and the protocol's `cycle` with all that uvicorn asks of one."""

    __slots__ = (
        "_complete",
        "_content",
        "_protocol",
        "_rest",
        "_size",
        "_taken",
        "disconnected",
        "keep_alive",
        "response_complete",
    )

    message_event = asyncio.Event()
    """uvicorn sets it when a client leaves. Nobody waits for it."""

    def __init__(
        self, protocol: StraightProtocol, edge: Edge, surface: Surface, headers: Headers, peer: str, *, keep_alive: bool
    ) -> None:
        super().__init__(edge, surface, headers, peer)
        self._protocol = protocol
        self._content: bytes | bytearray = b""
        self._size = 0
        self._complete = False
        """Is all of the body here?"""
        self._rest: asyncio.Future[None] | None = None
        """What somebody waits for who wants the body."""
        self._taken = False
        self.keep_alive = keep_alive
        """May the connection serve another request?"""
        self.disconnected = False
        self.response_complete = False

    def start(self) -> None:
        self._task = self._protocol.loop.create_task(self._run(), name="request")

    async def _run(self) -> None:
        # In the set from here on, not from its making: a task that is cancelled before its first step would stay there.
        # A callback at its end, as uvicorn does it, is one turn of the loop more.
        task, running = self._task, self._protocol.tasks
        assert task is not None
        running.add(task)
        try:
            await serve(self._surface, self._gw, self)
        finally:
            running.discard(task)
            if not self.response_complete:
                self._protocol.transport.close()

    # -- what the protocol tells -------------------------------------------------------------------------------

    def fed(self, part: bytes) -> None:
        if self.response_complete:
            return  # it was refused without it
        self._size += len(part)
        if self._size > self._surface.max_body_images:
            self._content = b""
            self._fail_rest(self._too_large(self._size))
        elif not self._content:
            self._content = part
        elif isinstance(self._content, bytearray):
            self._content += part
        else:  # no list of parts: chunks of a byte or two would fill many times the body's size
            self._content = bytearray(self._content) + part

    def is_here(self) -> None:
        """The body, to its end."""
        self._complete = True
        if self._rest is not None and not self._rest.done():
            self._rest.set_result(None)

    def lost(self, reason: str) -> None:
        """The connection is gone."""
        self.disconnected = True
        if self._ended or self.left is not None:
            return
        self.left = reason
        if self._taken:
            assert self._task is not None
            self._task.cancel()
        else:
            self._fail_rest(ClientGone())

    def _is_late(self) -> None:
        seconds = self._surface.body_seconds
        self._fail_rest(RequestTimeout(f"The request's body did not arrive within {seconds:g} s."))

    def _fail_rest(self, error: GatewayError | ClientGone) -> None:
        if self._rest is not None and not self._rest.done():
            self._rest.set_exception(error)

    # -- what the call wants -----------------------------------------------------------------------------------

    async def _read(self) -> bytes:
        if self._size > self._surface.max_body_images:
            raise self._too_large(self._size)
        if not self._complete and self.left is None:
            protocol = self._protocol
            self._rest = protocol.loop.create_future()
            protocol.deadline.set(self._surface.body_seconds, self._is_late)
            try:
                await self._rest
            finally:
                protocol.deadline.clear()
        if self.left is not None:
            raise ClientGone
        self._taken = True
        content, self._content = self._content, b""
        return bytes(content)

    at_once = True

    def put(self, data: bytes, now: float) -> bool:
        protocol = self._protocol
        if data and not self.disconnected and not self.response_complete:
            protocol.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
            self.last_write = now
        return not protocol.flow.write_paused

    async def _put(self, status: int, head: bytes | None, data: bytes, *, more: bool) -> None:
        protocol = self._protocol
        if protocol.flow.write_paused and not self.disconnected:
            self.writing_since = self._gw.clock.now()
            await protocol.flow.drain()
            self.writing_since = None
        if self.disconnected or self.response_complete:
            return
        if head is not None:
            always = protocol.greeting.lines(protocol.server_state.default_headers)
            close = b"" if self.keep_alive else b"connection: close\r\n"
            if more:
                if not protocol.deadline.is_set:
                    protocol.deadline.stop()  # a stream may be long, and a timer takes half a KB
                framed = STREAM % (STATUS_LINE[status], always, head, close)
            else:
                framed = WHOLE % (STATUS_LINE[status], always, head, len(data), close, data)
        elif data:
            framed = b"%x\r\n%b\r\n%b" % (len(data), data, b"" if more else LAST)
        elif more:
            return  # a chunk of nothing would be the last one
        else:
            framed = LAST
        protocol.transport.write(framed)
        if not more:
            self.response_complete = True
            if not self.keep_alive:
                protocol.transport.close()
            protocol.on_response_complete()


class StraightProtocol(BoundedProtocol):
    """One connection, in front of an `App`."""

    __slots__ = ("_call", "_edge", "_peer", "_proxied")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        edge: Edge | None = getattr(self.app, "edge", None)
        if self.access_log or self.root_path or self.limit_concurrency is not None or self.config.reset_contextvars:
            edge = None  # what uvicorn is asked to do for each request
        self._edge = edge
        self._call: StraightCall | None = None
        """The latest one, running or not."""
        self._peer = ""
        self._proxied = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._peer = str(self.client[0]) if self.client else "unknown"
        self._proxied = self.proxies.trusts(self._peer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._call is not None:
            self._call.lost("client_too_slow" if self.known.too_slow else "client_closed")
        super().connection_lost(exc)
        self._call = self.cycle = None  # type: ignore[assignment]  # as they point back here, only gc would free them

    def on_message_begin(self) -> None:
        """Without a scope: it is made when it turns out that uvicorn needs it."""
        self._uncounted = self._head == 0
        self.url = b""
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head >= 0:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        call = self._straight()
        if call is None:
            url, headers = self.url, self.headers
            super().on_message_begin()
            self.url = url
            self.headers += headers
            self.expect_100_continue = (b"expect", b"100-continue") in ((n, v.lower()) for n, v in headers)
            super().on_headers_complete()
        else:
            self._call = call
            self.headers, self.url = [], b""  # the call has what it needs of them, and may last for long
            self.cycle = call  # type: ignore[assignment]  # all that is asked of a cycle, a call has
            call.start()

    def _straight(self) -> StraightCall | None:
        """None: it goes uvicorn's way."""
        self._head_is_here()
        edge, parser = self._edge, self.parser
        surface = edge.targets.get(self.url) if edge is not None else None
        if edge is None or surface is None or (self.cycle is not None and not self.cycle.response_complete):
            return None
        if parser.get_method() != b"POST" or parser.should_upgrade():
            return None
        peer = edge.peers.behind(self._peer, self.headers) if self._proxied else self._peer
        keep_alive = not self.leaving and parser.should_keep_alive() and parser.get_http_version() != "1.0"
        call = StraightCall(self, edge, surface, self.headers, peer, keep_alive=keep_alive)
        return None if call.apart else call

    def on_body(self, body: bytes) -> None:
        if self._call is not None and self.cycle is self._call:  # type: ignore[comparison-overlap]
            self._call.fed(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._call is not None and self.cycle is self._call:  # type: ignore[comparison-overlap]
            self._head = 0
            self._call.is_here()
        else:
            super().on_message_complete()


def straight_protocol(trusted_proxies: Sequence[str] = ()) -> type[BoundedProtocol]:
    """The protocol class of one server."""
    return of_one_server(StraightProtocol, trusted_proxies)
