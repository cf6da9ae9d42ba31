"""Work that goes on beside the requests for as long as the gateway runs: one defect must not end it for good."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import structlog

PAUSES: Final = (1.0, 5.0, 30.0)
"""Seconds before work that has failed begins again: the first, second, and every further time in a row."""
WELL: Final = 300.0
"""Seconds after which a failure is a first one again."""

log = structlog.get_logger(__name__)


async def keep_going(
    name: str,
    work: Callable[[], Coroutine[Any, Any, None]],
    pauses: Sequence[float] = PAUSES,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Does the work until it returns, or until cancelled. What it raises is logged, and it is begun again."""
    failures = 0
    while True:
        began = now()
        try:
            return await work()
        except Exception:  # the outermost edge of a background task
            if now() - began >= WELL:
                failures = 0
            pause = pauses[min(failures, len(pauses) - 1)]
            failures += 1
            log.exception("background_task_failed", task=name, again_in=pause)
        await asyncio.sleep(pause)
