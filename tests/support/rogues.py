"""Fixtures with misbehaving servers: `server = await rogue(mood="cut_rst")`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
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
