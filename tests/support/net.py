"""Loopback helpers for tests: ports in every state, raw exchanges, waiting for a condition instead of sleeping."""

from __future__ import annotations

import asyncio
import inspect
import json
import random
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


def free_port() -> int:
    """A loopback port that nobody held a moment ago, and that nobody is given who binds port 0: Linux takes those from
    32768 on. Prefer binding port 0 where that is possible."""
    while True:
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", random.randrange(16_384, 32_768)))
            return int(sock.getsockname()[1])


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that refuses connections, and is nobody else's meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@contextmanager
def hanging_port() -> Iterator[int]:
    """A port whose connections never come about: its queue of one is full, so Linux drops each further SYN."""
    with ExitStack() as stack:
        door = stack.enter_context(socket.socket())
        door.bind(("127.0.0.1", 0))
        door.listen(0)
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(door.getsockname())
        yield door.getsockname()[1]


async def wait_until(condition: Callable[[], T | Awaitable[T]], within: float = 5.0, every: float = 0.01) -> T:
    """The first true value of `condition` (a function, async or not). Raises TimeoutError after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within} s: {inspect.getsource(condition).strip()}")
        await asyncio.sleep(every)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came back on a connection, and how it ended: closed | reset | silent (still open at the deadline)."""

    data: bytes
    end: str

    @property
    def status(self) -> int:
        return int(self.head.split(b" ")[1])

    @property
    def head(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        """With chunked framing undone, as far as it goes."""
        raw = self.data.partition(b"\r\n\r\n")[2]
        if b"transfer-encoding: chunked" not in self.head.lower():
            return raw
        body = b""
        while raw:
            size, _, raw = raw.partition(b"\r\n")
            if not (length := int(size, 16)):
                break
            body, raw = body + raw[:length], raw[length + 2 :]
        return body

    @property
    def lines(self) -> list[Any]:
        """The body's lines as JSON."""
        return [json.loads(line) for line in self.body.split(b"\n") if line]


async def exchange(
    port: int, request: bytes, *, within: float = 5.0, enough: Callable[[bytes], bool] | None = None
) -> Exchange:
    """Sends `request` and reads until the other side ends, or `enough` says so. Returns the `Exchange`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data, end = b"", "silent"
    try:
        async with asyncio.timeout(within):
            writer.write(request)
            while not (enough and enough(data)):
                if not (more := await reader.read(65536)):
                    end = "closed"
                    break
                data += more
    except TimeoutError:
        pass
    except ConnectionError:
        end = "reset"
    finally:
        writer.transport.abort()
    return Exchange(data, end)


def http(method: str, path: str, body: Any = None, *, keep: bool = False) -> bytes:
    """A request in bytes; `keep` leaves the connection open for another."""
    payload = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(payload)}\r\n"
    return (head + ("" if keep else "Connection: close\r\n") + "\r\n").encode() + payload
