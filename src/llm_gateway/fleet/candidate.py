"""A server that is to be asked, as the plan of a request sees it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from msgspec import Struct

from llm_gateway.fleet.facts import ServerSpec
from llm_gateway.fleet.group import latest_rest, rests_until
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.fleet.score import cost
from llm_gateway.fleet.server import ModelState


class Candidate(Struct, frozen=True, eq=False, gc=False):
    """A server that is to be asked for a model, and what is expected of it."""

    spec: ServerSpec
    model: str
    """The name as that server lists it."""
    resting: bool = False
    """Asked although it rests: there was nobody else."""
    slow_wait: float | None = None
    """Seconds: the 95th percentile of its first-token times for such a prompt, None while unknown."""
    samples: int = 0
    """First-token times that this is known from."""
    key: str = ""
    """Of (server, model): no request asks it twice."""
    unproven: bool = False
    """Nothing is known of how it answers."""
    returning: bool = False
    """It comes back from a rest: this attempt shows whether for good."""
    cold: bool = False
    """It said that it has to load the model first."""
    speed: float | None = None
    """Tokens per second, where measured."""
    success: float = 0.0
    """Share of its answers that were whole, 0 while none was."""
    context: int | None = None
    """Tokens: the longest context that the model is listed with there."""


class Nobody(Enum):
    """Why there is no candidate."""

    FULL = "full"
    """All that are left have as many attempts as they can bear, or are being tried though they rest."""
    LEFT = "left"
    """All were tried, or nobody holds the model."""


def ranked_candidates(states: Iterable[tuple[int, ModelState]], ask: Ask, now: float) -> list[Candidate]:
    """The permitted ones of (preference, state), best first."""
    ranked: list[tuple[tuple[float, ...], Candidate]] = []
    for preference, state in states:
        if state.server.spec.trust not in ask.trust:
            continue
        resting = rests_until(state) > now
        order = (2.0, 0.0, latest_rest(state).last_fault_at)
        if not resting:
            order = (0.0 if state.has_place(now) else 1.0, float(preference), cost(state, 0, now))
        ranked.append((order, candidate(state, ask, now, resting=resting)))
    ranked.sort(key=lambda item: item[0])
    return [candidate for _, candidate in ranked]


def candidate(state: ModelState, ask: Ask, now: float, *, resting: bool) -> Candidate:
    server, warm = state.server, now < state.warm_until
    samples = state.warm_waits.of(ask.prompt_tokens)
    if not warm or samples is None:
        samples = state.samples(ask.prompt_tokens, now)
    returns = state.rest.returning or state.identity.returning or server.rest.returning  # hardly any does
    listed = state.listed
    return Candidate(
        server.spec,
        listed.name,
        resting,
        None if samples is None else samples.slow(),
        0 if samples is None else samples.count,
        state.key,
        not state.successes and not state.failures,
        returns and (state.half_open(now) or server.half_open(now)),
        not warm and now < state.cold_until,
        state.tokens_per_second,
        state.success_rate() if state.successes else 0.0,
        listed.context_length if state.abilities.shown is None else state.context_length(),
    )
