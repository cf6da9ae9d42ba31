"""What it would cost to ask a candidate now, in parts that can be shown."""

from __future__ import annotations

from typing import NamedTuple

from llm_gateway.fleet.server import ModelState

ALIKE = 1.2
"""Costs within this factor are equal: then a warm model, then the prompt's own server is the better choice."""


class Score(NamedTuple):
    """`cost` is what counts, the lower the better; the other fields are what it was made of."""

    cost: float
    wait: float
    """Seconds to the first content, were it idle."""
    load: float
    """(in flight + 1) / limit."""
    speed: float
    """Tokens per second."""
    success: float
    """Share of its answers that are whole."""
    warm: bool | None


def cost(state: ModelState, prompt_tokens: int, now: float) -> float:
    """Expected wait × (in flight + 1) / limit ÷ tokens per second ÷ success rate to the power of `DOUBT`."""
    samples = state.warm_waits.of(prompt_tokens)
    if samples is not None and samples.known and now < state.warm_until:  # most of the time
        wait = samples.usual
        if samples.peak > wait:
            wait = samples.expected(now)
    else:
        wait = state.expected_wait(now, prompt_tokens)
    wait = wait * (state.in_flight + 1) / state.slots.limit
    if state.rate is None:
        state.success_rate()
    return wait / ((state.tokens_per_second or state.speed()) * state.trusted)


def score(state: ModelState, prompt_tokens: int, now: float) -> Score:
    """`cost` with its parts."""
    return Score(
        cost(state, prompt_tokens, now),
        state.expected_wait(now, prompt_tokens),
        (state.in_flight + 1) / state.slots.limit,
        state.speed(),
        state.success_rate(),
        state.warm(now),
    )
