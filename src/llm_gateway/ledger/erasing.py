"""Carries an erasure out: window by window, then the databases' and the journals' leftovers.

Whoever began it may go away in the middle, or be killed: what is unfinished is finished by the housekeeping of any
process on the database.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable

from llm_gateway.storage import erasures
from llm_gateway.storage.erasures import Erasure, Place
from llm_gateway.storage.scrub import scrub
from llm_gateway.storage.sessions import Sessions

REST = 2.0
"""Times that a window took are waited before the next one: others write as well."""


async def erase(
    sessions: Sessions,
    wanted: Erasure,
    roll: Callable[[], None] = lambda: None,
    *,
    scrubs: bool = True,
    rewrite: bool = False,
) -> AsyncGenerator[tuple[int, bool]]:
    """Gives (rows so far, False) after each window, and at the end (rows, was it made physically gone?).

    `roll` lets go of the journal's segment at hand; `scrubs` false: another erasure follows, whose scrubbing will do;
    `rewrite` as of `storage.scrub`.
    Raises DatabaseUnavailable; what was deleted until then stays so.
    """
    rows, place = wanted.rows, Place()
    following: Place | None = place
    while following is not None:
        began = time.monotonic()
        async with sessions.write() as s:
            deleted, following = await erasures.erase_window(s, wanted, place)
        if place.table == 0:
            rows += deleted
        if following is not None:
            place = following
            yield rows, False
            await asyncio.sleep(REST * (time.monotonic() - began))
    roll()
    gone = scrubs and await scrub(sessions.engine, rewrite=rewrite)
    async with sessions.write() as s:
        await erasures.finish(s, wanted.id)
    yield rows, gone
