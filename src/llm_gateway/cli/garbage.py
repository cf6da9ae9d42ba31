"""When Python's collector looks through everything that is alive.

By itself it does so whenever what is alive has grown by a quarter, and all streams stand still meanwhile: 0.3 s for
five thousand of them. Nearly all that a request leaves behind goes without it, by counting references or while it is
young. So the whole is looked through when there is little to look through, or once in a long time; and the young are
given the time to go by themselves, which is 2 to 4 % of a request.
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
YOUNG: Final = 10_000
"""Objects more than at the last look after which the young are looked through; Python's own rule says 700, which are
fewer than some dozens of requests hold."""
MIDDLE: Final = 3
"""Looks at the young after which the middle generation is looked through."""
DUE: Final = 3
"""Looks at that after which the whole is due: in all about as many objects as in Python's own rule."""
NEVER: Final = 2**31 - 1


def settled() -> None:
    """What was made so far stays, and is not looked through again: 120,000 objects at the start of a server."""
    gc.collect()
    gc.freeze()


async def collect(busy: Callable[[], int], every: float = EVERY, patience: float = PATIENCE) -> None:
    """Until cancelled, in place of Python's own rule for the oldest generation. `busy` counts requests under way."""
    before = gc.get_threshold()
    gc.set_threshold(YOUNG, MIDDLE, NEVER)
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
