"""When Python's collector looks through everything that is alive.

By itself it does so whenever what is alive has grown by a quarter, and all streams stand still meanwhile: 0.3 s for
five thousand of them. Nearly all that a request leaves behind goes without it, by counting references or while it is
young. So the whole is looked through when there is little to look through, or once in a long time.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Final

EVERY: Final = 5.0
"""Seconds between two looks whether it is time."""
FEW: Final = 100
"""Requests under way at which nobody notices it: some milliseconds."""
PATIENCE: Final = 600.0
"""Seconds after which it is done all the same."""
DUE: Final = 10
"""Collections of the middle generation after which the whole is due, as in Python's own rule."""
NEVER: Final = 2**31 - 1


def settled() -> None:
    """What was made so far stays, and is not looked through again: 120,000 objects at the start of a server."""
    gc.collect()
    gc.freeze()


async def collect(busy: Callable[[], int], every: float = EVERY, patience: float = PATIENCE) -> None:
    """Until cancelled, in place of Python's own rule for the oldest generation. `busy` counts requests under way."""
    before = gc.get_threshold()
    gc.set_threshold(before[0], before[1], NEVER)
    waited = 0.0
    try:
        while True:
            await asyncio.sleep(every)
            waited += every
            if gc.get_count()[2] >= DUE and (busy() <= FEW or waited >= patience):
                gc.collect()
                waited = 0.0
    finally:
        gc.set_threshold(*before)
