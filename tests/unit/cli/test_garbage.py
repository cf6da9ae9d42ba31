"""When everything that is alive is looked through."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from llm_gateway.cli import garbage
from support.net import wait_until


class Knot:
    """Goes only when the collector finds it."""

    def __init__(self) -> None:
        self.itself = self


def an_old_knot() -> weakref.ref[Knot]:
    """One that only a look through everything finds, and that is due."""
    knot = Knot()
    gc.collect()  # alive: now it is of the oldest generation
    for _ in range(garbage.DUE):
        gc.collect(1)
    return weakref.ref(knot)


@pytest.fixture(autouse=True)
def pythons_own_rule() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    assert gc.get_threshold() == before


async def test_what_is_left_goes_while_little_is_under_way() -> None:
    left = an_old_knot()
    collecting = asyncio.create_task(garbage.collect(lambda: garbage.FEW, every=0.01))
    await wait_until(lambda: left() is None)
    collecting.cancel()
    await asyncio.gather(collecting, return_exceptions=True)


async def test_under_load_it_waits_as_long_as_it_may() -> None:
    left, looks = an_old_knot(), 0

    def busy() -> int:
        nonlocal looks
        assert left() is not None
        looks += 1
        return garbage.FEW + 1

    collecting = asyncio.create_task(garbage.collect(busy, every=0.01, patience=0.1))
    await wait_until(lambda: left() is None)
    assert looks >= 9
    collecting.cancel()
    await asyncio.gather(collecting, return_exceptions=True)
