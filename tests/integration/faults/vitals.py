"""Memory and event loop of this process, the gateway's and the fake servers' alike, while a test runs."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

MIB = 1024 * 1024
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Vitals:
    start: int
    """Bytes resident at the beginning."""
    peak: int
    lag: float = 0.0
    """The most CPU seconds that passed between two turns of the loop. Not wall time: other processes share the
    machine, and what they take is no fault of this one."""

    @property
    def growth(self) -> int:
        return self.peak - self.start

    def expect_calm(self) -> None:
        assert self.growth < 300 * MIB, f"grew by {self.growth / MIB:.0f} MiB"
        assert self.lag < 0.25, f"held the loop for {self.lag:.3f} s"


@asynccontextmanager
async def watching() -> AsyncIterator[Vitals]:
    """What earlier tests left is not looked through for garbage, as `serve` does with what it starts with."""
    gc.collect()
    gc.freeze()
    resident = _resident()
    seen = Vitals(resident, resident)
    task = asyncio.create_task(_watch(seen), name="vitals")
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait((task,))
        gc.unfreeze()


async def _watch(seen: Vitals) -> None:
    spent = time.thread_time()
    while True:
        await asyncio.sleep(0.005)
        now = time.thread_time()
        seen.lag = max(seen.lag, now - spent)
        seen.peak = max(seen.peak, _resident())
        spent = now


def _resident() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * PAGE
