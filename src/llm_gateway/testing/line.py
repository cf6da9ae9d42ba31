"""One accepted connection, byte by byte: requests are read from it, anything at all can be written to it.

The lowest layer of the misbehaving server. It speaks HTTP/1.1 when asked to, and never insists on it: a mood may
send bytes that no HTTP server would, stop in the middle of a chunk, or reset the connection.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

MAX_HEAD = 64 * 1024
MAX_BODY = 64 * 1024 * 1024
MAX_AHEAD = 1024 * 1024
"""Bytes kept of what a client sends while it is still being answered."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in lower case; of repeated headers the last."""
    body: bytes = field(repr=False)
    json: Any = None
    """The decoded body, None when it is not JSON."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class Line:
    """A connection to one client. Reading and writing raise `ConnectionError` once the client is gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ahead = bytearray()
        self.reusable = False
        """Whether the last answer ended so that another request may follow."""
        self._keep_alive = True
        self._only_head = False

    # what the client says

    async def read_request(self) -> Heard | None:
        """The next request, or None when the client closed in between, or said something that is not HTTP."""
        try:
            head = await self._until(b"\r\n\r\n", MAX_HEAD)
            first, *lines = head.decode("latin-1").split("\r\n")
            method, target, version = first.split(" ")
            headers = {
                name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            body = await self._body(headers)
        except (ConnectionError, ValueError):
            return None
        self._keep_alive = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        self._only_head = method == "HEAD"
        self.reusable = False
        return Heard(method, target, headers, body, _decoded(body))

    async def gone(self) -> None:
        """Returns when the client has hung up. A half-closed connection counts, as it does for Go's HTTP server."""
        try:
            while len(self._ahead) < MAX_AHEAD:
                await self._fill()
        except ConnectionError:
            return

    async def _fill(self) -> None:
        data = await self._reader.read(64 * 1024)
        if not data:
            raise ConnectionResetError("the client closed")
        self._ahead += data

    async def _until(self, mark: bytes, limit: int) -> bytes:
        while (at := self._ahead.find(mark)) < 0:
            if len(self._ahead) > limit:
                raise ValueError("too large")
            await self._fill()
        return self._take(at + len(mark))[: -len(mark)]

    async def _exactly(self, size: int) -> bytes:
        while len(self._ahead) < size:
            await self._fill()
        return self._take(size)

    def _take(self, size: int) -> bytes:
        data = bytes(self._ahead[:size])
        del self._ahead[:size]
        return data

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = bytearray()
            while size := int((await self._until(b"\r\n", 1024)).partition(b";")[0], 16):
                if len(body) + size > MAX_BODY:
                    raise ValueError("too large")
                body += await self._exactly(size)
                await self._until(b"\r\n", 2)
            await self._until(b"\r\n", 1024)
            return bytes(body)
        size = int(headers.get("content-length", "0"))
        if size > MAX_BODY:
            raise ValueError("too large")
        return await self._exactly(size)

    # what the server says

    async def send(self, data: bytes) -> None:
        """Exactly these bytes. Gives other tasks a turn, so that an answer is never one indivisible burst."""
        if self._writer.is_closing():  # uvloop raises a RuntimeError then
            raise ConnectionResetError("the connection is closed")
        self._writer.write(data)
        await self._writer.drain()
        await asyncio.sleep(0)

    async def head(self, status: int, headers: Mapping[str, str]) -> None:
        """A status line and a header block."""
        try:
            reason = HTTPStatus(status).phrase
        except ValueError:
            reason = "Unknown"
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        await self.send("\r\n".join(lines).encode("latin-1"))

    async def whole(
        self, status: int, body: bytes, content_type: str = "application/json; charset=utf-8", **more: str
    ) -> None:
        """A complete answer with its `Content-Length`; `more` headers by name, `_` for `-`."""
        extra = {name.replace("_", "-").title(): value for name, value in more.items()}
        await self.head(status, {"Content-Type": content_type, "Content-Length": str(len(body)), **extra})
        if not self._only_head:
            await self.send(body)
        self.reusable = self._keep_alive

    async def start(self, content_type: str, **more: str) -> None:
        """The head of a 200 answer in chunks."""
        extra = {name.replace("_", "-").title(): value for name, value in more.items()}
        await self.head(200, {"Content-Type": content_type, "Transfer-Encoding": "chunked", **extra})

    async def chunk(self, data: bytes) -> None:
        """One chunk; empty data is left out, because an empty chunk would end the answer."""
        if data:
            await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def end(self) -> None:
        """The last chunk: a clean end, whatever was said before it."""
        await self.send(b"0\r\n\r\n")
        self.reusable = self._keep_alive

    def close(self) -> None:
        """Sends what is left, then FIN."""
        self._writer.close()

    def reset(self) -> None:
        """Drops what is left and sends RST."""
        sock = self._writer.get_extra_info("socket")
        if sock is not None and not self._writer.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def closed(self) -> None:
        """Waits until the connection is closed on this side."""
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
