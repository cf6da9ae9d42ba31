"""The port of a fake server: open, refusing, or so full that connecting to it never succeeds."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

HANG = "connect_hang"


class Door:
    """Holds one loopback port from the first `open` on. `welcome` gets each accepted connection."""

    def __init__(self, welcome: Callable[[socket.socket], None]) -> None:
        self._welcome = welcome
        self._socket: socket.socket | None = None
        self._fillers: list[socket.socket] = []
        self.port = 0
        """0 until it was open."""
        self.state: str | None = None
        """None = listening; else why not: `refuse`, `connect_hang`."""

    def open(self, state: str | None) -> None:
        door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.setblocking(False)
        door.bind(("127.0.0.1", self.port))
        self._socket, self.state, self.port = door, state, door.getsockname()[1]
        if state is None:
            door.listen(1024)
            asyncio.get_running_loop().add_reader(door, self._accept)
        elif state == HANG:
            door.listen(0)
            for _ in range(2):  # its queue of one is full then, and Linux drops each further SYN
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(door.getsockname())
                self._fillers.append(filler)

    def close(self) -> None:
        if self._socket is None:
            return
        if self.state is None:
            asyncio.get_running_loop().remove_reader(self._socket)
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        self._socket.close()
        self._socket = None

    def _accept(self) -> None:
        assert self._socket is not None
        try:
            client, _ = self._socket.accept()
        except (BlockingIOError, ConnectionError):
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._welcome(client)
