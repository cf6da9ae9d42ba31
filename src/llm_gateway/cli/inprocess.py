"""An httpx transport that calls an ASGI application in this process.

httpx's own gathers a whole answer before it gives any of it away; an export of the request log may be larger than
the memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
from starlette.types import ASGIApp, Message, Scope


class InProcess(httpx.AsyncBaseTransport):
    """Answers are passed on part by part; the application waits meanwhile."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = _Answer(self._app, _scope(request), await request.aread())
        start = await answer.next()
        if start is None:
            await answer.aclose()
            raise httpx.RemoteProtocolError("the application ended without an answer")
        return httpx.Response(start["status"], headers=start.get("headers", []), stream=answer)


class _Answer(httpx.AsyncByteStream):
    def __init__(self, app: ASGIApp, scope: Scope, body: bytes) -> None:
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(1)
        self._unread: bytes | None = body
        self._task = asyncio.create_task(self._run(app, scope), name="request in process")
        self._task.add_done_callback(lambda _: self._messages.put_nowait(None))

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        await app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if self._unread is None:  # nobody hangs up: an answer that is not wanted any more is cancelled
            await asyncio.Event().wait()
        body, self._unread = self._unread, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def _send(self, message: Message) -> None:
        await self._room.acquire()
        self._messages.put_nowait(message)

    async def next(self) -> Message | None:
        """None when the application has returned."""
        message = await self._messages.get()
        self._room.release()
        return message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (message := await self.next()) is not None:
            if message.get("body"):
                yield message["body"]
            if not message.get("more_body"):
                return
        raise httpx.RemoteProtocolError("the application ended in the middle of its answer")

    async def aclose(self) -> None:
        """What the application raised it has answered and logged itself."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def _scope(request: httpx.Request) -> dict[str, Any]:
    path, _, query = request.url.raw_path.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 0),
        "state": {},
    }
