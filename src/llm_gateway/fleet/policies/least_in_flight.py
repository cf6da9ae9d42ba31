"""The one with the fewest requests of ours, ties broken at random: nginx's `least_conn`. For comparison."""

from __future__ import annotations

from collections.abc import Sequence

from llm_gateway.fleet.group import Group, Usable
from llm_gateway.fleet.policies.policy import Ask, Dice
from llm_gateway.fleet.server import ModelState


def least_in_flight(
    group: Group, fit: Sequence[ModelState], usable: Usable, ask: Ask, now: float, dice: Dice
) -> ModelState | None:
    open_ones = [state for state in fit if usable(state)]
    return min(open_ones, key=lambda state: (state.in_flight, dice()), default=None)
