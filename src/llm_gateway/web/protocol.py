"""uvicorn's HTTP protocol with the bounds that it and its parser (llhttp) do not have.

A head of at most 32 KiB, at most 1,000 connections per client address, errors of the HTTP layer in the gateway's own
shape, and half a minute of patience with what a client does not send or does not take. `llm-gateway serve` uses it with
the hot path on top (`web.straight`); under a plain `uvicorn llm_gateway.main:app` the head is still bounded by
`web.asgi`, the rest is up to the proxy in front.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from collections import Counter, deque
from collections.abc import Sequence
from http import HTTPStatus
from ipaddress import ip_network
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llm_gateway.access.identify import address_block
from llm_gateway.clock import Ids
from llm_gateway.errors import GatewayError, HeadersTooLarge, InvalidRequest
from llm_gateway.web.deadline import Deadline
from llm_gateway.web.flow import Flow
from llm_gateway.web.peers import Peers
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.errors import error_body

MAX_HEAD: Final = 32 * 1024
PATIENCE: Final = 30.0
"""Seconds that a client has for a head, from its first byte or its connection; for the rest of a body after the answer
that did not wait for it; and for taking any byte of what is ready for it. How long a body may take while it is read
is for those who read it to say."""
PER_ADDRESS: Final = 1000
"""Connections of one client address (IPv6: /64) at a time. A trusted proxy, whose address all of its clients have, may
have as many as it likes: it bounds them itself."""


NOTHING: Final[Any] = ()
"""Waits behind the request of now, until something does."""
AT_ONCE: Final = struct.pack("ii", 1, 0)
"""`struct linger`: `close` resets the connection."""


class Connection:
    """What the application may know of a client's connection: `scope["state"]["connection"]`."""

    __slots__ = ("too_slow",)

    def __init__(self) -> None:
        self.too_slow = False
        """It was cut because it did not take what it was sent."""


class Greeting:
    """The lines that all answers of a server begin with (`Date`). uvicorn makes them anew once a second."""

    __slots__ = ("_headers", "_lines")

    def __init__(self) -> None:
        self._headers: list[tuple[bytes, bytes]] | None = None
        self._lines = b""

    def lines(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """`headers`: uvicorn's list of now."""
        if headers is not self._headers:
            self._headers, self._lines = headers, b"".join([b"%b: %b\r\n" % header for header in headers])
        return self._lines


class BoundedProtocol(HttpToolsProtocol):
    """One connection. What all connections of a server share is made per server: see `of_one_server`."""

    connections_of: Counter[str]
    greeting: Greeting
    ids: Ids
    proxies: Peers
    # In the dictionary of a connection they would take uvicorn's attributes above 30, beyond which connections cannot
    # share their keys: 1.3 KB more for each.
    __slots__ = ("_counted", "_head", "_idle", "_stuck", "_too_large", "_uncounted", "deadline", "known")

    leaving = False
    """The server will close: clients are told with each answer that this connection ends with it, so that none sends
    its next request into a connection that is just being closed. Set on the class."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head = 0
        """Bytes received of a head that is not complete; -1 inside a body."""
        self._uncounted = False
        """Has this head begun behind another request, so that `_head` knows only a part of it?"""
        self.deadline = Deadline(self.loop)
        """Of what is waited for: the next head, a body, or the next request."""
        self._idle = False
        """Is it the next request?"""
        self._stuck: asyncio.TimerHandle | None = None
        """Runs while the client has something to take."""
        self._counted: str | None = None
        self._too_large: HeadersTooLarge | None = None
        self.known = Connection()
        self.pipeline = NOTHING  # a deque takes 0.6 KB, and hardly any client pipelines

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.flow = Flow(transport)  # type: ignore[assignment]  # it has all that uvicorn asks of one
        address = self.client[0] if self.client else ""
        if not self.proxies.trusts(address):
            address = address_block(address)
            if self.connections_of[address] >= PER_ADDRESS:
                transport.abort()
                return
            self.connections_of[address] += 1
            self._counted = address
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._counted is not None:
            self.connections_of[self._counted] -= 1
            if not self.connections_of[self._counted]:
                del self.connections_of[self._counted]
            self._counted = None
        self.deadline.stop()
        self._all_is_taken()
        super().connection_lost(exc)

    # -- what the client sends -----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self.parser is None or self.transport.is_closing():
            return
        if self._head >= 0:
            self._head += len(data)
        super().data_received(data)
        if self._head > 0:
            if self._head > MAX_HEAD and not self.transport.is_closing():
                self._refuse(_too_large())
            else:
                self._wait_for_head()

    def on_message_begin(self) -> None:
        self._uncounted = self._head == 0
        if "connection" not in self.app_state:
            self.app_state = {**self.app_state, "connection": self.known}
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of the head: what follows a body in chunks (trailers) is not counted, and nobody wants it."""
        if self._head >= 0:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_is_here()
        if self.pipeline is NOTHING and self.cycle is not None and not self.cycle.response_complete:
            self.pipeline = deque()
        super().on_headers_complete()
        if self.leaving:
            self.cycle.keep_alive = False

    def _head_is_here(self) -> None:
        """Raises what ends the connection."""
        if (self._uncounted or self._head > MAX_HEAD) and self._size() > MAX_HEAD:
            self._head = -1
            self._too_large = _too_large()  # it came in one piece with its end
            raise self._too_large  # to the parser, which makes an error of its own of it: `send_400_response` follows
        self._head = -1
        self._idle = False
        self.deadline.clear()

    def _size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def on_message_complete(self) -> None:
        self._head = 0
        super().on_message_complete()

    def _wait_for_head(self) -> None:
        if self._idle or not self.deadline.is_set:
            self._idle = False
            self.deadline.set(PATIENCE, self._head_is_late)

    def _head_is_late(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._wait_for_head()  # the answer under way has its own deadlines
        else:
            self.transport.abort()

    # -- what the client takes -----------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """uvicorn's, with one timer for all requests of the connection."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._watch_taking()
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._head:
            self._wait_for_head()  # half of it is here, or the rest of this body, which the parser throws away
        else:
            self._idle = True
            self.deadline.set(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._watch_taking()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_taking()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._all_is_taken()

    def _watch_taking(self) -> None:
        if self._stuck is None:
            self._stuck = self.loop.call_later(PATIENCE, self._look, _waiting(self.transport))

    def _look(self, before: int) -> None:
        """`close()` waits for the client to take what is left; only `abort()` ends it."""
        self._stuck = None
        if _waiting(self.transport) < before:
            self._watch_taking()
        else:
            self.known.too_slow = True
            # without it the kernel would go on trying to deliver the megabytes that it holds
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            self.transport.abort()

    def _all_is_taken(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    # -- what is no request --------------------------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._too_large or InvalidRequest("This is not a valid HTTP/1.1 request."))

    def _refuse(self, error: GatewayError) -> None:
        self.deadline.clear()
        identity = str(self.ids())
        content = encode(error_body(error, identity))
        head = (
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(content)}\r\nx-request-id: {identity}\r\n"
            f"request-id: {identity}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + content)
        self.transport.close()
        self._watch_taking()


def _waiting(transport: asyncio.Transport) -> int:
    """Bytes that the client has not acknowledged: ours, and those in the kernel, which takes megabytes at a time from
    us while a slow client takes kilobytes."""
    try:
        unsent = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # the connection is closed already, or the system does not say
        unsent = b""
    return transport.get_write_buffer_size() + int.from_bytes(unsent, sys.byteorder)


def _too_large() -> HeadersTooLarge:
    return HeadersTooLarge(f"The request's head is larger than {MAX_HEAD} bytes.")


def of_one_server(protocol: type[BoundedProtocol], trusted_proxies: Sequence[str] = ()) -> type[BoundedProtocol]:
    """The protocol class of one server, with counts of its own."""
    proxies = Peers([ip_network(network) for network in trusted_proxies])
    own = {"connections_of": Counter(), "ids": Ids(), "proxies": proxies, "greeting": Greeting()}
    return type(protocol.__name__, (protocol,), own)
