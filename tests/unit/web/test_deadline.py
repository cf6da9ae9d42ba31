"""The one timer of a connection."""

from __future__ import annotations

import asyncio

from llm_gateway.web.deadline import Deadline
from support.net import wait_until


def deadline() -> tuple[Deadline, list[str]]:
    return Deadline(asyncio.get_running_loop()), []


async def test_what_was_set_is_called_once():
    timer, fired = deadline()
    timer.set(0.01, lambda: fired.append("late"))
    assert timer.is_set
    await wait_until(lambda: fired)
    assert not timer.is_set
    await asyncio.sleep(0.02)
    assert fired == ["late"]


async def test_what_was_cleared_is_not_called():
    timer, fired = deadline()
    timer.set(0.01, lambda: fired.append("late"))
    timer.clear()
    await asyncio.sleep(0.03)
    assert fired == []


async def test_a_later_one_takes_the_place_of_an_earlier_one():
    timer, fired = deadline()
    began = asyncio.get_running_loop().time()
    timer.set(0.01, lambda: fired.append("early"))
    timer.set(0.05, lambda: fired.append("late"))
    await wait_until(lambda: fired)
    assert fired == ["late"]
    assert asyncio.get_running_loop().time() - began >= 0.045


async def test_an_earlier_one_does_not_wait_for_a_later_one():
    timer, fired = deadline()
    timer.set(60, lambda: fired.append("late"))
    timer.clear()
    timer.set(0.01, lambda: fired.append("early"))
    await wait_until(lambda: fired, within=5)
    assert fired == ["early"]


async def test_one_that_is_moved_all_the_time_makes_one_timer():
    timer, fired = deadline()
    timer.set(60, lambda: fired.append("late"))
    first = timer._timer
    for _ in range(1000):
        timer.clear()
        timer.set(60, lambda: fired.append("late"))
    assert timer._timer is first
    timer.stop()
    assert first is not None
    assert first.cancelled()
