"""Fixtures of the tests that take a database, a disk or a clock away: `start` (gateways), `rogue` (model servers),
`server_of_ours` (a PostgreSQL that may be stopped).

They run on uvloop, as the product does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop

from support.databases import CannotRun, OwnServer
from support.gateway import StartGateway, start
from support.rogues import StartRogue, rogue

__all__ = ["StartGateway", "StartRogue", "rogue", "server_of_ours", "start"]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="package")
def server_of_ours() -> Iterator[OwnServer]:
    try:
        server = OwnServer()
    except CannotRun as error:
        pytest.skip(str(error))
    yield server
    server.close()
