"""Every test here runs on asyncio's own loop and on uvloop, and ends with every connection closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest
import uvloop
from scripted import Script, Server, make_transport

from llm_gateway.upstream.transport import Limits, Stats, Transport


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def start() -> AsyncIterator[Callable[[Script], Any]]:
    """Starts scripted servers, which end with the test."""
    async with AsyncExitStack() as stack:

        async def started(script: Script) -> Server:
            return await stack.enter_async_context(Server(script))

        yield started


@pytest.fixture
async def client() -> AsyncIterator[Callable[..., Transport]]:
    """Makes transports that may reach loopback; arguments are `Limits`'. Nothing of them is left after the test."""
    made: list[Transport] = []

    def make(**limits: Any) -> Transport:
        made.append(make_transport(Limits(**limits)))
        return made[-1]

    yield make
    for transport in made:
        assert transport.stats().in_flight == 0
        await transport.aclose()
        assert transport.stats() == Stats(open=0, idle=0, in_flight=0)
