"""Each in its turn: what many gateways do. For comparison."""

from __future__ import annotations

from collections.abc import Sequence

from llm_gateway.fleet.group import Group, Usable, first_usable
from llm_gateway.fleet.policies.policy import Ask, Dice
from llm_gateway.fleet.server import ModelState


def round_robin(
    group: Group, fit: Sequence[ModelState], usable: Usable, ask: Ask, now: float, dice: Dice
) -> ModelState | None:
    group.turn += 1
    return first_usable(fit, usable, group.turn)
