"""Any of them: the simplest there is. For comparison."""

from __future__ import annotations

from collections.abc import Sequence

from llm_gateway.fleet.group import Group, Usable
from llm_gateway.fleet.policies.policy import Ask, Dice
from llm_gateway.fleet.server import ModelState


def at_random(
    group: Group, fit: Sequence[ModelState], usable: Usable, ask: Ask, now: float, dice: Dice
) -> ModelState | None:
    open_ones = [state for state in fit if usable(state)]
    return open_ones[int(dice() * len(open_ones))] if open_ones else None
