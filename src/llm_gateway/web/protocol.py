"""uvicorn's HTTP protocol with the bounds that it and its parser (llhttp) do not have.

A head of at most 32 KiB, at most 1,000 connections per client address, errors of the HTTP layer in the gateway's own
shape, and half a minute of patience with what a client does not send or does not take. `llm-gateway serve` uses it;
under a plain `uvicorn llm_gateway.main:app` the head is still bounded by `web.hot`, the rest is up to the proxy in
front.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from ipaddress import ip_network
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llm_gateway.access.identify import address_block
from llm_gateway.clock import Ids
from llm_gateway.errors import GatewayError, HeadersTooLarge, InvalidRequest
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


AT_ONCE: Final = struct.pack("ii", 1, 0)
"""`struct linger`: `close` resets the connection."""


class Connection:
    """What the application may know of a client's connection: `scope["state"]["connection"]`."""

    __slots__ = ("too_slow",)

    def __init__(self) -> None:
        self.too_slow = False
        """It was cut because it did not take what it was sent."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. The counts of all connections of a server live in `connections_of`, made per server."""

    connections_of: Counter[str]
    ids: Ids
    proxies: Peers
    leaving = False
    """The server will close: clients are told with each answer that this connection ends with it, so that none sends
    its next request into a connection that is just being closed. Set on the class."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head = 0
        """Bytes received of a head that is not complete; -1 inside a body."""
        self._late: asyncio.TimerHandle | None = None
        """Runs while the next head, or the rest of a body that nobody reads, is waited for."""
        self._stuck: asyncio.TimerHandle | None = None
        """Runs while the client has something to take."""
        self._counted: str | None = None
        self._too_large: HeadersTooLarge | None = None
        self._known = Connection()
        self.app_state = {**self.app_state, "connection": self._known}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
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
        self._head_is_here()
        self._all_is_taken()
        self._unset_keepalive_if_required()  # uvicorn leaves it running when the connection broke
        super().connection_lost(exc)

    # -- what the client sends -----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self.parser is None or self.transport.is_closing():
            return
        if self._head >= 0:
            self._head += len(data)
        super().data_received(data)
        if self._head > MAX_HEAD and not self.transport.is_closing():
            self._refuse(_too_large())
        elif self._head > 0:
            self._wait_for_head()

    def on_headers_complete(self) -> None:
        self._head = -1
        self._head_is_here()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD:
            self._too_large = _too_large()  # it came in one piece with its end
            raise self._too_large  # to the parser, which makes an error of its own of it: `send_400_response` follows
        super().on_headers_complete()
        if self.leaving:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._head = 0
        super().on_message_complete()

    def _wait_for_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(PATIENCE, self._head_is_late)

    def _head_is_late(self) -> None:
        self._late = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._wait_for_head()  # the answer under way has its own deadlines
        else:
            self.transport.abort()

    def _head_is_here(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    # -- what the client takes -----------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_taking()
        elif self._head < 0 and self.cycle.response_complete:
            self._wait_for_head()  # behind the rest of this body, which the parser throws away

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
            self._known.too_slow = True
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
        self._head_is_here()
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


def bounded_protocol(trusted_proxies: Sequence[str] = ()) -> type[BoundedProtocol]:
    """The protocol class of one server, with counts of its own."""
    proxies = Peers([ip_network(network) for network in trusted_proxies])
    return type("BoundedProtocol", (BoundedProtocol,), {"connections_of": Counter(), "ids": Ids(), "proxies": proxies})
