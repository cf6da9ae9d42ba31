"""The default: the cheapest of a few random servers, and the conversation's own where it costs about the same.

Two random choices are nearly as good as knowing all loads, and a server that looks best is not overrun by everybody
at once (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001). Two of all would hardly ever
meet one of the few that have the model in memory, and loading it takes longer than anything else: so where there are
such, two are drawn of them and one of all.
"""

from __future__ import annotations

from collections.abc import Sequence

from llm_gateway.fleet.group import Group, Usable, is_fit
from llm_gateway.fleet.policies.policy import Ask, Dice
from llm_gateway.fleet.score import ALIKE, cost
from llm_gateway.fleet.server import ModelState

DRAWS = 4
"""Random draws for each that is wanted, before all are looked through."""


def p2c(group: Group, fit: Sequence[ModelState], usable: Usable, ask: Ask, now: float, dice: Dice) -> ModelState | None:
    drawn: list[ModelState] = []
    if warm := group.warm(now):
        _draw(drawn, 2, warm, lambda state: usable(state) and is_fit(state, ask.trust, now), dice)
    _draw(drawn, max(2, len(drawn) + 1), fit, usable, dice)
    if not drawn:
        return None
    own = None
    if ask.place is not None:
        own = group.own(ask.place, ask.trust, usable, now)
        if own is not None and own not in drawn:
            drawn.append(own)
    if len(drawn) == 1:
        return drawn[0]
    prompt_tokens = ask.prompt_tokens
    costs = [cost(state, prompt_tokens, now) for state in drawn]
    bound = ALIKE * min(costs)
    alike = [(not drawn[n].warm(now), drawn[n] is not own, price, n) for n, price in enumerate(costs) if price <= bound]
    return drawn[min(alike)[3]]


def _draw(drawn: list[ModelState], wanted: int, states: Sequence[ModelState], usable: Usable, dice: Dice) -> None:
    """Adds different usable ones until so many are drawn, or there are no more."""
    count = len(states)
    if count > wanted:
        for _ in range(DRAWS * (wanted - len(drawn))):
            state = states[int(dice() * count)]
            if state not in drawn and usable(state):
                drawn.append(state)
                if len(drawn) == wanted:
                    return
    begin = int(dice() * count)
    for n in range(count):
        state = states[(begin + n) % count]
        if state not in drawn and usable(state):
            drawn.append(state)
            if len(drawn) >= wanted:
                return
