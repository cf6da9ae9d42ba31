"""Who holds the very model that gave the first part of an answer, and in which order they are asked for its rest."""

from __future__ import annotations

from collections.abc import Container, Sequence

from llm_gateway.access.policy import Trust
from llm_gateway.fleet.candidate import Candidate, Nobody
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.fleet.prefill import Voice
from llm_gateway.fleet.server import ModelState
from llm_gateway.names import canonical


def voice_of(fleet: Fleet, candidate: Candidate) -> Voice:
    """What decides about a candidate's template, as far as the fleet knows it."""
    spec, server = candidate.spec, fleet.servers.get(candidate.spec.id)
    model = server.model(candidate.model) if server is not None else None
    if server is None or model is None:
        return Voice(spec.id, canonical(candidate.model), spec.kind, None, server.version if server else None)
    return Voice(spec.id, model.name, spec.kind, model.listed.digest, server.version)


def twins(fleet: Fleet, origin: Candidate, voice: Voice, trust: frozenset[Trust], now: float) -> list[Candidate]:
    """Who holds the very model that gave the first part (`voice`, as of then), best first, the origin included.

    Equal digests, under whatever name; a server that has it under several is in it once. Where a kind lists no digests,
    equal names are taken for equal models only among servers of our own. Nobody sees what a caught liar adds to an
    answer, so none is among them.
    """
    if voice.digest is not None:
        same = [
            c
            for c in fleet.alike(voice.digest, trust, now)
            if c.spec.kind == voice.kind and not fleet.servers[c.spec.id].trial.resting(now)
        ]
        once: dict[str, Candidate] = {}
        for candidate in same:
            if candidate.spec.id not in once or canonical(candidate.model) == voice.model:
                once[candidate.spec.id] = candidate
        return [candidate for candidate in same if once[candidate.spec.id] is candidate]
    if voice.kind != "openai" or origin.spec.trust is not Trust.OWN:
        return []
    named = fleet.shortlist((origin.model,), trust, now)
    return [c for c in named if c.spec.trust is Trust.OWN and voice_of(fleet, c)[2:4] == voice[2:4]]


class Twins:
    """The pool of a plan that may only ask these: the first one that has a place. Of those that rest, one attempt at
    a time each. Who became another model, or was caught in a lie, while the request waited is out of it."""

    def __init__(self, fleet: Fleet, candidates: Sequence[Candidate], digest: str | None = None) -> None:
        """`digest`: that all must list still when they are asked; None = by their names they are the same."""
        self._fleet = fleet
        self._candidates = candidates
        self._digest = digest

    def pick(
        self, ask: Ask, tried: Container[str], now: float, *, resting_too: bool = True, race: bool = False
    ) -> Candidate | Nobody:
        left = [
            (candidate, state)
            for candidate in self._candidates
            if candidate.key not in tried
            and (resting_too or not candidate.resting)
            and (state := self._state(candidate)) is not None
            and not state.server.trial.resting(now)
        ]
        for candidate, state in left:
            if race and not candidate.spec.hedge:
                continue
            if not state.in_flight if candidate.resting else state.has_place(now):
                return candidate
        return Nobody.FULL if left else Nobody.LEFT

    def down(self, ask: Ask, now: float) -> bool:
        return all(candidate.resting for candidate in self._candidates)

    def busy_for(self, ask: Ask, tried: Container[str], now: float) -> float:
        left = (self._state(candidate) for candidate in self._candidates if candidate.key not in tried)
        return max(0.0, min((state.busy_until for state in left if state is not None), default=now) - now)

    def _state(self, candidate: Candidate) -> ModelState | None:
        server = self._fleet.servers.get(candidate.spec.id)
        state = server.model(candidate.model) if server else None
        if state is not None and self._digest is not None and state.listed.digest != self._digest:
            return None
        return state
