"""Who gets webhooks in tests: a server on a loopback port that keeps what it was sent and answers as it was told.

receiver = await receive(500, 200)          # the statuses of its answers; the last one stays
receiver.url                                # http://127.0.0.1:54321/hook
await receiver.until(2)
receiver.heard[0].json["state"]
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from support.net import wait_until

Receive = Callable[..., Awaitable["Receiver"]]


@dataclass(frozen=True, slots=True)
class Message:
    """One request as it came."""

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    def __init__(self, *statuses: int, silent: bool = False, endless: bool = False, location: str = "") -> None:
        """`silent`: it never answers; `endless`: its answers never end."""
        self.statuses = list(statuses) or [200]
        self.silent, self.endless, self.location = silent, endless, location
        self.heard: list[Message] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def until(self, count: int, within: float = 10.0) -> list[Message]:
        await wait_until(lambda: len(self.heard) >= count, within)
        return self.heard

    async def __aenter__(self) -> Receiver:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                self.heard.append(Message(first.split(" ")[1], headers, body))
                if self.silent:
                    await asyncio.Event().wait()
                status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
                more = f"Location: {self.location}\r\n" if self.location else ""
                length = "" if self.endless else "Content-Length: 2\r\n"
                writer.write(f"HTTP/1.1 {status} So\r\n{more}{length}\r\nok".encode())
                while self.endless:
                    writer.write(b"x" * 65_536)
                    await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def receive() -> AsyncIterator[Receive]:
    """Starts receivers (arguments: `Receiver`'s); all end with the test."""
    async with AsyncExitStack() as stack:

        async def start(*statuses: int, **settings: Any) -> Receiver:
            return await stack.enter_async_context(Receiver(*statuses, **settings))

        yield start
