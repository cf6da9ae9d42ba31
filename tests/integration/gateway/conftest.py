"""Fixtures of the tests that run the whole gateway: `start` (gateways), `rogue` (model servers).

They run on uvloop, as the product does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop

from support.gateway import StartGateway, start
from support.llama import shared_llama
from support.rogues import StartRogue, rogue

__all__ = ["StartGateway", "StartRogue", "rogue", "shared_llama", "start"]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}
