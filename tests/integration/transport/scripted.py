"""Servers whose every byte a test scripts, and short ways to ask them."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Self

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.upstream.guard import Guard, Origin
from llm_gateway.upstream.transport import Limits, Response, Transport

LOOPBACK = ["127.0.0.0/8", "::1/128"]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Peer:
    """The server's side of one connection."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        """0 for the server's first connection."""
        self._reader = reader
        self._writer = writer

    async def request(self) -> bytes:
        """The whole next request, head and body; raises EOFError when the client is gone instead."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return head + await self._reader.readexactly(length)

    async def send(self, *pieces: bytes) -> None:
        """Each piece leaves on its own, as far as a loopback lets it."""
        for piece in pieces:
            if self._writer.transport.is_closing():
                raise ConnectionResetError  # uvloop would raise RuntimeError
            self._writer.write(piece)
            await self._writer.drain()
            await asyncio.sleep(0)

    async def gone(self) -> None:
        """Returns when the client has closed the connection."""
        with suppress(ConnectionError):
            while await self._reader.read(65536):
                pass

    async def hold(self) -> None:
        """Reads nothing, says nothing, for as long as the test runs."""
        await asyncio.Event().wait()

    def reset(self) -> None:
        """Closes with RST."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Script = Callable[[Peer], Awaitable[Any]]


class Server:
    """Runs a script for each connection, then closes it. A client that leaves in the middle is no error."""

    def __init__(
        self, script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._script = script
        self._host = host
        self.port = port
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []
        self.connections = 0

    @property
    def origin(self) -> Origin:
        return Origin("https" if self._tls else "http", "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = Peer(self.connections, reader, writer)
        self.connections += 1
        try:
            with suppress(ConnectionError, EOFError):
                await self._script(peer)
        except asyncio.CancelledError:
            writer.transport.abort()
        except Exception as error:
            self._errors.append(error)
        finally:
            writer.close()
            self._tasks.discard(task)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._errors:
            raise self._errors[0]


def make_transport(
    limits: Limits | None = None, guard: Guard | None = None, now: Callable[[], float] = time.monotonic
) -> Transport:
    return Transport(guard or Guard(only_networks=LOOPBACK, allow_private=LOOPBACK), limits=limits, now=now)


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


async def ask(transport: Transport, origin: Origin, body: bytes = b"{}", within: float = 5.0, **more: Any) -> Response:
    return await transport.send(origin, "POST", "/api/chat", (), body, deadline=soon(within), **more)


async def collect(response: Response, body: bytearray, within: float = 5.0) -> None:
    """Reads the rest into `body`, each piece within so many seconds; closes the response, whatever happens."""
    try:
        while piece := await response.read(soon(within)):
            body += piece
    finally:
        await response.close()


async def read_all(response: Response, within: float = 5.0) -> bytes:
    body = bytearray()
    await collect(response, body, within)
    return bytes(body)


async def get(transport: Transport, origin: Origin, body: bytes = b"{}", **more: Any) -> bytes:
    return await read_all(await ask(transport, origin, body, **more))


async def fault_of(doing: Awaitable[Any]) -> FaultKind | None:
    """The kind of the fault that this raises, None if it raises none."""
    try:
        await doing
    except Fault as fault:
        return fault.kind
    return None


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
