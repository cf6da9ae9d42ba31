"""The other processes over the same Redis or Valkey: one `Others`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import structlog

from llm_gateway.fleet.facts import Fact
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.shared.bus import Bus
from llm_gateway.shared.client import Client
from llm_gateway.shared.members import BEAT, Members
from llm_gateway.shared.others import Work

LOOK: Final = 0.5
"""Seconds between looks whether it is for this process to ask the servers."""

log = structlog.get_logger(__name__)


class Together:
    """All processes that have the same Redis. While it is away each goes on with what it knows and finds out."""

    def __init__(
        self, url: str, me: str, fleet: Fleet, apply: Callable[[Fact], None], now: Callable[[], float]
    ) -> None:
        """`me`: a name that no other process has. `apply` tells the fleet what others found out. `now`: monotonic."""
        self._client = Client(url, now)  # not the one of the limits: an outage here costs no request anything
        self._fleet = fleet
        self.members = Members(self._client, me, now)
        self.bus = Bus(self._client, self.members, fleet, apply, now)

    @property
    def hearing(self) -> bool:
        return self.bus.hearing

    @property
    def leads(self) -> bool:
        return self.members.leads

    @property
    def up(self) -> bool:
        return self._client.up

    def instances(self) -> int:
        return self.members.instances()

    def offer(self, fact: Fact) -> None:
        self.bus.offer(fact)

    async def join(self) -> bool:
        await self._beat()
        return await self.bus.join()

    def tasks(self, probe: Work) -> Mapping[str, Work]:
        return {
            "members": self._beats,
            "prober": partial(self._lead, probe),
            "fleet bus, out": self.bus.send,
            "fleet bus, in": self.bus.hear,
            "fleet picture": self.bus.draw,
        }

    async def retire(self) -> None:
        await self.members.leave()

    async def leave(self) -> None:
        await self.members.leave()
        await self._client.aclose()

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            await self._beat()

    async def _beat(self) -> None:
        before = self.members.known
        await self.members.beat()
        if self.members.known != before:
            self._fleet.divide(self.members.known, self.members.me)

    async def _lead(self, work: Work) -> None:
        """Does the work for as long as it is this process's."""
        task: asyncio.Task[None] | None = None
        try:
            while True:
                if self.members.leads and task is None:
                    log.info("probes_begin")
                    task = asyncio.create_task(work(), name="probes")
                elif task is not None and (task.done() or not self.members.leads):
                    log.info("probes_end")
                    await _end(task)
                    task = None
                await asyncio.sleep(LOOK)
        finally:
            if task is not None:
                await _end(task)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()  # what ended it by itself is told to whoever looks after these tasks
