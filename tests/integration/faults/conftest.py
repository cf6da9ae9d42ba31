"""Fixtures of the fault catalogue: `trap` (a gateway between a good server and bad ones), and what it is made of."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from trapped import SetTrap, Trap, trap_for
from vitals import Vitals, watching

from support.gateway import StartGateway, start
from support.rogues import StartRogue, rogue

__all__ = ["rogue", "start"]


@pytest.fixture
def trap(start: StartGateway, rogue: StartRogue) -> SetTrap:
    """Sets a trap (arguments: those of `trapped.trap_for`)."""

    async def set_trap(*moods: str, **settings: object) -> Trap:
        return await trap_for(start, rogue, moods, **settings)  # type: ignore[arg-type]  # passed on as given

    return set_trap


@pytest.fixture
async def vitals() -> AsyncIterator[Vitals]:
    """How much memory and how much of the event loop the test takes, from its beginning."""
    async with watching() as seen:
        yield seen
