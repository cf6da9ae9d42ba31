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
    warm, holders = group.warm(now), len(group.holders)
    if holders == 1 and fit:  # there is nothing to choose; the dice fall as often as they do elsewhere
        if warm:
            dice()
        dice()
        return fit[0] if usable(fit[0]) else None
    may = usable
    if len(fit) < holders:  # else nobody of them rests

        def may(state: ModelState) -> bool:
            return usable(state) and is_fit(state, ask.trust, now)

    drawn: list[ModelState] = []
    if warm:
        _draw(drawn, 2, warm, may, dice)
    _draw(drawn, 3 if len(drawn) == 2 else 2, fit, usable, dice)
    if not drawn:
        return None
    own = None
    if ask.place is not None:
        own = group.own(ask.place, ask.trust, may, now)
        if own is not None and own not in drawn:
            drawn.append(own)
    return drawn[0] if len(drawn) == 1 else _cheapest(drawn, own, ask.prompt_tokens, now)


def _cheapest(drawn: Sequence[ModelState], own: ModelState | None, prompt_tokens: int, now: float) -> ModelState:
    """Of those that cost about as little as the cheapest: one that is warm, the conversation's own, the cheapest."""
    costs = [cost(state, prompt_tokens, now) for state in drawn]
    best_price = min(costs)
    best, bound = drawn[costs.index(best_price)], ALIKE * best_price
    best_is_warm = now < best.warm_until
    for n, price in enumerate(costs):
        if price > bound or (state := drawn[n]) is best:
            continue
        is_warm = now < state.warm_until
        better = is_warm
        if is_warm is best_is_warm:
            better = state is own or (best is not own and price < best_price)
        if better:
            best, best_price, best_is_warm = state, price, is_warm
    return best


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
