"""Measures what the process bears: how late its event loop is, and how much memory it holds."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from llm_gateway.access.pressure import Pressure
from llm_gateway.clock import Clock

TICK: Final = 0.25
"""Seconds between two looks."""
STEP, SOON, STEADY = 0.1, 0.05, 3
"""A loop that comes less than `SOON` seconds late to `STEADY` looks in a row, `STEP` seconds apart, is steady."""
CONTAINER: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux tells a container's limit (cgroup v2, v1)."""
NO_LIMIT: Final = 2**50
"""Bytes above which a limit is cgroup v1's way to say that there is none."""


def memory_limit(setting: int | None) -> int | None:
    """Bytes that this process may hold: the setting, else the container's limit, None where there is none."""
    if setting is not None:
        return setting
    for path in CONTAINER:
        try:
            limit = int(path.read_text())
        except (OSError, ValueError):  # another system, or "max"
            continue
        if limit < NO_LIMIT:
            return limit
    return None


def resident() -> int:
    """Bytes of resident memory of this process, 0 where the system does not tell (`proc(5)`, statm)."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


async def steady(clock: Clock, most: float) -> bool:
    """Returns when the loop is steady: what begins with a process is behind it. False: it was not within `most`
    seconds."""
    until, kept = clock.now() + most, 0
    while kept < STEADY:
        if (now := clock.now()) >= until:
            return False
        await asyncio.sleep(STEP)
        kept = kept + 1 if clock.now() - (now + STEP) < SOON else 0
    return True


async def weigh(pressure: Pressure, clock: Clock) -> None:
    """Tells `pressure` what is measured, until cancelled."""
    while True:
        due = clock.now() + TICK
        await asyncio.sleep(TICK)
        pressure.ticked(clock.now() - due)
        if pressure.memory_limit:
            pressure.weighed(resident())
