from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from probed_server import Answer, Server

from support.rogues import rogue

__all__ = ["rogue"]


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Awaitable[Server]]]:
    """Starts servers that are stopped after the test."""
    servers: list[Server] = []

    async def started(**answers: Answer) -> Server:
        server = Server({"/" + path.replace("__", "/"): answer for path, answer in answers.items()})
        servers.append(server)
        await server.start()
        return server

    yield started
    for server in servers:
        await server.stop()
