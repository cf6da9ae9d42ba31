"""Why a server would be asked now or not: for people who wonder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llm_gateway.access.policy import Trust
from llm_gateway.fleet.facts import ServerSpec
from llm_gateway.fleet.rest import Rest
from llm_gateway.fleet.score import Score, score
from llm_gateway.fleet.server import ModelState

Standing = Literal["usable", "returning", "doubted", "full", "busy", "resting", "not_permitted", "disabled"]
ORDER: tuple[Standing, ...] = ("usable", "returning", "doubted", "full", "busy", "resting", "not_permitted", "disabled")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One server and one model on it."""

    spec: ServerSpec
    model: str
    """The name as that server lists it."""
    digest: str | None
    standing: Standing
    reason: str
    """A sentence's worth; empty for a usable one."""
    again_in: float | None
    """Seconds until it is tried next, where it is out for a time."""
    preference: int
    """Place of its model among those that were asked for, from 0."""
    score: Score
    in_flight: int
    limit: int

    @property
    def order(self) -> tuple[int, int, float]:
        """Best first."""
        return ORDER.index(self.standing), self.preference, self.score.cost


def verdict(state: ModelState, trust: frozenset[Trust], preference: int, now: float, prompt_tokens: int = 0) -> Verdict:
    """How this model on this server stands for a project that may use servers of `trust`."""
    standing, reason, until = _standing(state, trust, now)
    return Verdict(
        state.server.spec,
        state.listed.name,
        state.listed.digest,
        standing,
        reason,
        None if until is None else max(0.0, until - now),
        preference,
        score(state, prompt_tokens, now),
        state.in_flight,
        state.slots.limit,
    )


def _standing(state: ModelState, trust: frozenset[Trust], now: float) -> tuple[Standing, str, float | None]:
    server = state.server
    if not server.spec.enabled:
        return "disabled", "taken out of service", None
    if server.spec.trust not in trust:
        return "not_permitted", f"trust class {server.spec.trust} is not permitted", None
    for what, rest in _rests(state):
        if rest.resting(now):
            return "resting", f"{what}: {_why(rest)}", rest.until
    if now < state.busy_until:
        return "busy", "it said that it is busy", state.busy_until
    returning = state.half_open(now) or server.half_open(now)
    if not state.has_place(now):
        taken = f"{state.in_flight} of {state.slots.limit} places taken"
        return "full", "one attempt shows whether it is back" if returning else taken, None
    if returning:
        rest = max((rest for _, rest in _rests(state)), key=lambda r: r.last_fault_at)
        return "returning", f"back from a rest: {_why(rest)}", None
    if server.doubted:
        return "doubted", "it lists more than can be believed and comes last until it was tried", None
    return "usable", "", None


def _rests(state: ModelState) -> list[tuple[str, Rest]]:
    """The longest first: it decides when the candidate is tried next."""
    server = state.server
    rests = [
        ("server", server.rest),
        ("probe", server.probe_rest),
        ("trial", server.trial),
        ("model", state.rest),
        ("identity", state.identity),
    ]
    return sorted(rests, key=lambda item: -item[1].until)


def _why(rest: Rest) -> str:
    kind = str(rest.last_fault) if rest.last_fault is not None else "unknown"
    return f"{kind} ({rest.detail})" if rest.detail else kind
