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
        for known, states in zip((True, None), group.able(ask.trust, ask.needs, now), strict=True):
            if not states:
                continue

            def may(state: ModelState, known: bool | None = known) -> bool:
                return state.abilities.able(ask.needs, now) is known and usable(state)

            if (chosen := policy(group, states, may, ask, now, dice)) is not None:
                return chosen
        return None

    return choose
