"""The scales tell the process what it weighs and how late its loop is."""

from __future__ import annotations

import asyncio
import time
from itertools import count

import pytest

from llm_gateway.access.pressure import Pressure
from llm_gateway.clock import SystemClock
from llm_gateway.errors import Overloaded
from llm_gateway.web.scales import memory_limit, resident, steady, weigh
from support.net import wait_until


class LateClock:
    """Every appointment is missed by two seconds."""

    def __init__(self) -> None:
        self._seconds = count(0.0, 2.25)

    def now(self) -> float:
        return next(self._seconds)

    def wall(self) -> float:
        return 0.0


def refuses(pressure: Pressure) -> bool:
    try:
        pressure.bear()
    except Overloaded:
        return True
    return False


@pytest.mark.parametrize("late", [True, False])
async def test_a_late_loop_and_a_full_memory_are_noticed(late: bool):
    pressure = Pressure(None if late else 1)
    task = asyncio.create_task(weigh(pressure, LateClock() if late else SystemClock()))
    try:
        await wait_until(lambda: refuses(pressure), 5.0)
    finally:
        task.cancel()


async def test_a_loop_is_steady_when_what_held_it_up_is_behind_it():
    async def begin() -> None:
        for _ in range(8):
            time.sleep(0.15)
            await asyncio.sleep(0)

    beginning = asyncio.create_task(begin())
    assert not await steady(SystemClock(), 0.4)
    assert not beginning.done()
    assert await steady(SystemClock(), 30.0)
    assert beginning.done()


def test_a_process_knows_its_size_and_takes_the_setting_for_its_limit():
    assert 10 * 2**20 < resident() < 2**40
    assert memory_limit(123) == 123
