"""Processes hear of each other's ended sessions and failed sign-ins: all of them, also after an outage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from llm_gateway.shared.client import Away
from llm_gateway.shared.doors import KEPT, Doors
from llm_gateway.shared.seen import TOGETHER, Over, Tried, Tries, said
from support.net import wait_until


class Way:
    """To another process."""

    def __init__(self) -> None:
        self.away = False
        self.there = Doors(self.say, lambda: 100.0)
        self.messages = self.in_vain = 0

    async def say(self, data: bytes) -> None:
        if self.away:
            self.in_vain += 1
            raise Away
        self.messages += 1
        words = said(data)
        assert isinstance(words, Over | Tries)
        self.there.hear(words, 2.0)


@asynccontextmanager
async def telling(doors: Doors) -> AsyncIterator[None]:
    task = asyncio.create_task(doors.tell())
    yield
    task.cancel()
    await asyncio.wait((task,))


def failed(n: int) -> Tried:
    return Tried(f"{n:08x}", "192.0.2.1", right=False)


async def test_what_happens_at_once_is_told_together_and_is_as_old_as_it_is():
    way = Way()
    here = Doors(way.say, lambda: 0.0)
    async with telling(here):
        for n in range(3):
            here.tried(failed(n))
        here.end_sessions()
        here.end_sessions()
        await wait_until(lambda: way.messages == 2)
    assert way.there.sessions_ended == 1
    assert way.there.take() == [(98.0, failed(n)) for n in range(3)]
    assert way.there.take() == []


async def test_after_an_outage_all_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("llm_gateway.shared.doors.AGAIN", 0.01)
    way = Way()
    here = Doors(way.say, lambda: 0.0)
    way.away = True
    async with telling(here):
        here.tried(failed(1))
        here.end_sessions()
        await wait_until(lambda: way.in_vain >= 2)
        here.tried(failed(2))
        way.away = False
        await wait_until(lambda: way.there.sessions_ended == 1)
        heard = await _all(way.there.take, 2)
    assert [tried for _, tried in heard] == [failed(1), failed(2)]


async def _all(take: Callable[[], list[tuple[float, Tried]]], count: int) -> list[tuple[float, Tried]]:
    found: list[tuple[float, Tried]] = []

    def enough() -> bool:
        found.extend(take())
        return len(found) == count

    await wait_until(enough)
    return found


async def test_only_so_many_are_kept_and_told():
    way = Way()
    here = Doors(way.say, lambda: 0.0)
    async with telling(here):
        for n in range(2 * TOGETHER):
            here.tried(failed(n))
        await wait_until(lambda: way.messages == 1)
    assert [tried for _, tried in way.there.take()] == [failed(n) for n in range(TOGETHER, 2 * TOGETHER)]
    for _ in range(2 * KEPT // TOGETHER):
        here.hear(Tries(tuple(failed(n) for n in range(TOGETHER))), 0.0)
    assert len(here.take()) == KEPT
