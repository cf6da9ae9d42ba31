"""Hot requests as ASGI messages: under a plain `uvicorn llm_gateway.main:app`, and those that `web.straight` leaves to
uvicorn.

A head of any size may come here, so it is bounded here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from llm_gateway.access.standing import Headers, headers_of
from llm_gateway.errors import GatewayError, HeadersTooLarge, RequestTimeout
from llm_gateway.gateway import Gateway
from llm_gateway.web.hot import ClientGone, Edge, HttpCall, Surface, serve
from llm_gateway.wire.dialect import WriteError
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.errors import error_body
from llm_gateway.wire.registry import CLIENTS

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

MAX_HEAD: Final = 32 * 1024
"""Bytes of all request headers together."""


class AsgiCall(HttpCall):
    """A request of an ASGI server."""

    __slots__ = ("_receive", "_send", "_state", "_watch")

    def __init__(self, edge: Edge, surface: Surface, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(edge, surface, scope["headers"], edge.peers.client(scope))
        self._receive, self._send = receive, send
        self._state: dict[str, Any] = scope.get("state", {})
        self._watch: asyncio.Task[None] | None = None
        self._task = asyncio.current_task()

    async def _read(self) -> bytes:
        seconds = self._surface.body_seconds
        try:
            async with asyncio.timeout(seconds):
                body = await self._read_body()
        except TimeoutError:
            raise RequestTimeout(f"The request's body did not arrive within {seconds:g} s.") from None
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
            if size > self._surface.max_body_images:
                raise self._too_large(size)
            parts.append(part)
            if not message.get("more_body"):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _watch_client(self, task: asyncio.Task[Any]) -> None:
        """Cancels the request when the client hangs up: its server is freed at once."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        connection = self._state.get("connection")  # `web.protocol`'s, not every server's
        self.left = "client_too_slow" if connection is not None and connection.too_slow else "client_closed"
        task.cancel()

    async def _put(self, status: int, head: bytes | None, data: bytes, *, more: bool) -> None:
        if not more and self._watch is not None:
            self._watch.cancel()  # uvicorn says that the client has left as soon as the answer is complete
        self.writing_since = self._gw.clock.now()
        if head is not None:
            headers = headers_of(head)
            if not more:
                headers.append((b"content-length", b"%d" % len(data)))
            await self._send({"type": "http.response.start", "status": status, "headers": headers})
        if data or not more:
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
        self.writing_since = None

    def close(self) -> None:
        super().close()
        if self._watch is not None:
            self._watch.cancel()


async def answer(edge: Edge, surface: Surface, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers one HTTP request."""
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEAD:
        error = HeadersTooLarge(f"The request's headers are larger than {MAX_HEAD} bytes.")
        await refuse(edge.gateway, surface.dialect.error_body, send, error)
    else:
        await serve(surface, edge.gateway, AsgiCall(edge, surface, scope, receive, send), scope["method"])


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


def shape_of(path: str) -> WriteError:
    """How the callers of `path` know errors."""
    dialects = (dialect for dialect in CLIENTS.values() if dialect.below is not None and path.startswith(dialect.below))
    return next((dialect.error_body for dialect in dialects), error_body)
