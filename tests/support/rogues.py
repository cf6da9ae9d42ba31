"""Fixtures with misbehaving servers: `server = await rogue(mood="cut_rst")`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from threading import Thread
from typing import Any

import pytest

from llm_gateway.testing.rogue import Rogue

StartRogue = Callable[..., Awaitable[Rogue]]


@pytest.fixture
async def rogue() -> AsyncIterator[StartRogue]:
    """Starts misbehaving servers (arguments: `Rogue`'s); all end with the test."""
    async with AsyncExitStack() as stack:

        async def start(*args: Any, **settings: Any) -> Rogue:
            return await stack.enter_async_context(Rogue(*args, **settings))

        yield start


@contextmanager
def rogue_beside(*args: Any, **settings: Any) -> Iterator[Rogue]:
    """A misbehaving server on a thread of its own, for tests that are not asynchronous (a browser's, say)."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="rogue", daemon=True)
    thread.start()
    server = Rogue(*args, **settings)
    try:
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
