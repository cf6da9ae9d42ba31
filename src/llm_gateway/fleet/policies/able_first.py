"""Any policy, for a request that needs more of a model than text: those that are known to be able to, then those of
which nobody knows, never those that are known not to be."""

from __future__ import annotations

from collections.abc import Sequence

from llm_gateway.fleet.group import Group, Usable
from llm_gateway.fleet.policies.policy import Ask, Dice, Policy
from llm_gateway.fleet.server import ModelState


def able_first(policy: Policy) -> Policy:
    def choose(
        group: Group, fit: Sequence[ModelState], usable: Usable, ask: Ask, now: float, dice: Dice
    ) -> ModelState | None:
        able = {True: set[str](), None: set[str]()}
        for state in fit:
            if (known := state.abilities.able(ask.needs, now)) is not False:
                able[known].add(state.key)
        for keys in able.values():
            if not keys:
                continue

            def may(state: ModelState, keys: set[str] = keys) -> bool:
                return state.key in keys and usable(state)

            if (chosen := policy(group, fit, may, ask, now, dice)) is not None:
                return chosen
        return None

    return choose
