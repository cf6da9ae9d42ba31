"""uvicorn's HTTP protocol with the bounds that its parser (llhttp) does not have.

A head of at most 32 KiB that arrives within 30 s, at most 1,000 connections per client address, and errors of the
HTTP layer in the gateway's own shape. `llm-gateway serve` uses it; under a plain `uvicorn llm_gateway.main:app` the
head is still bounded by `web.hot`, the rest is up to the proxy in front.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llm_gateway.clock import Ids
from llm_gateway.errors import GatewayError, HeadersTooLarge, InvalidRequest
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.errors import error_body

MAX_HEAD: Final = 32 * 1024
HEAD_SECONDS: Final = 30.0
PER_ADDRESS: Final = 1000
"""Connections of one client address at a time. Behind a proxy all clients have its address: it bounds them itself."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. The counts of all connections of a server live in `connections_of`, made per server."""

    connections_of: Counter[str]
    ids: Ids

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head = 0
        """Bytes received of a head that is not complete; -1 inside a body."""
        self._late: asyncio.TimerHandle | None = None
        self._counted: str | None = None
        self._too_large: HeadersTooLarge | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if self.connections_of[address] >= PER_ADDRESS:
            transport.abort()
            return
        self.connections_of[address] += 1
        self._counted = address

    def connection_lost(self, exc: Exception | None) -> None:
        if self._counted is not None:
            self.connections_of[self._counted] -= 1
            if not self.connections_of[self._counted]:
                del self.connections_of[self._counted]
            self._counted = None
        self._head_is_here()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.parser is None or self.transport.is_closing():
            return
        if self._head >= 0:
            self._head += len(data)
        super().data_received(data)
        if self._head > MAX_HEAD and not self.transport.is_closing():
            self._refuse(_too_large())
        elif self._head > 0 and self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def on_headers_complete(self) -> None:
        self._head = -1
        self._head_is_here()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD:
            self._too_large = _too_large()  # it came in one piece with its end
            raise self._too_large  # to the parser, which makes an error of its own of it: `send_400_response` follows
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._head = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._too_large or InvalidRequest("This is not a valid HTTP/1.1 request."))

    def _refuse(self, error: GatewayError) -> None:
        self._head_is_here()
        identity = str(self.ids())
        content = encode(error_body(error, identity))
        head = (
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(content)}\r\nx-request-id: {identity}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + content)
        self.transport.close()

    def _head_is_here(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def _too_large() -> HeadersTooLarge:
    return HeadersTooLarge(f"The request's head is larger than {MAX_HEAD} bytes.")


def bounded_protocol() -> type[BoundedProtocol]:
    """The protocol class of one server, with counts of its own."""
    return type("BoundedProtocol", (BoundedProtocol,), {"connections_of": Counter(), "ids": Ids()})
