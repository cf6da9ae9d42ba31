"""All servers that hold one model: the index by which a choice costs the same for five servers as for five hundred."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from llm_gateway.access.policy import Trust
from llm_gateway.fleet.budget import Budgets
from llm_gateway.fleet.rest import Rest
from llm_gateway.fleet.server import ModelState

POINTS = 8
"""On the ring, for each server."""
STEPS = 8
"""Servers that are looked at from a prompt's place on the ring onward."""
BOUND = 1.25
"""Times the average load that a prompt's own server may have (Mirrokni, Thorup, Zadimoghaddam: "Consistent Hashing
with Bounded Loads", 2016)."""

COUNT_WARM = 16
"""Holders that have the model in memory, beyond which not each of them is looked at to find out who still has it."""

WANTED = 3600.0
"""Seconds for which a model counts as wanted after somebody asked for it."""

Usable = Callable[[ModelState], bool]


def affinity(project: str, first: str) -> int:
    """The place of a conversation: the same for all requests of a project that begin alike, 64 bits."""
    return _point(f"{project}\0{first}")


def _point(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


class _Able(NamedTuple):
    """Who of the fit ones is able to something."""

    of: list[ModelState]
    """The very list of the fit ones that it was made of."""
    until: float
    """When the next refusal is forgotten."""
    states: tuple[list[ModelState], ...]


class Group:
    """The holders of a model. Who of them does not rest is remembered until that may have changed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.holders: list[ModelState] = []
        self.budgets = Budgets()
        self.in_flight = 0
        self.turn = 0
        """How often a policy that takes turns has chosen here."""
        self.wanted_at = -math.inf
        """When somebody last asked for the model."""
        self.wanted_since = -math.inf
        """Since when it is asked for now and then."""
        self._warm: dict[str, ModelState] = {}
        """By key: those that have the model in memory, and some that had it."""
        self._warm_states: list[ModelState] | None = None
        """The same as a list; None = to be made anew."""
        self._warm_until = -math.inf
        """Until then nobody has to be looked at to know that this list is right."""
        self._fit: dict[frozenset[Trust], tuple[float, list[ModelState]]] = {}
        self._able: dict[tuple[frozenset[Trust], frozenset[str]], _Able] = {}
        self._ring: tuple[list[int], list[ModelState]] | None = None
        """Points in order, and whose each is."""

    def hold(self, holders: list[ModelState]) -> None:
        if holders != self.holders:
            self.holders = holders
            self._ring = None
            self._warm = {state.key: state for state in holders if state.warm_until > -math.inf}
            self._warm_states, self._warm_until = None, -math.inf
        self.in_flight = sum(state.in_flight for state in holders)
        self._fit.clear()
        self._able.clear()

    def stale(self) -> None:
        """A rest has begun or ended, or what is known of somebody's abilities has changed."""
        self._fit.clear()

    def fit(self, trust: frozenset[Trust], now: float) -> list[ModelState]:
        """Permitted holders that do not rest. Not to be changed."""
        known = self._fit.get(trust)
        if known is not None and now < known[0]:
            return known[1]
        found: list[ModelState] = []
        until = math.inf
        for state in self.holders:
            if is_fit(state, trust, now):
                found.append(state)
            elif state.server.spec.trust in trust:
                until = min(until, rests_until(state))
        self._fit[trust] = (until, found)
        return found

    def able(self, trust: frozenset[Trust], needs: frozenset[str], now: float) -> tuple[list[ModelState], ...]:
        """Of those that are fit: the ones that are known to be able to what is needed, and the ones of which nobody
        knows. Not to be changed."""
        fit, known = self.fit(trust, now), self._able.get((trust, needs))
        if known is not None and known.of is fit and now < known.until:
            return known.states
        able: dict[bool | None, list[ModelState]] = {True: [], None: [], False: []}
        until = math.inf
        for state in fit:
            able[state.abilities.able(needs, now)].append(state)
            until = min(until, *(over for over in state.abilities.lacks.values() if over > now), math.inf)
        known = self._able[trust, needs] = _Able(fit, until, (able[True], able[None]))
        return known.states

    def wanted(self, now: float) -> None:
        """Somebody asks for the model."""
        if now - self.wanted_at > WANTED:
            self.wanted_since = now
        self.wanted_at = now

    def heat(self, state: ModelState) -> None:
        """The model is in that server's memory."""
        if self._warm.get(state.key) is not state:
            self._warm[state.key] = state
            self._warm_states, self._warm_until = None, -math.inf
        elif state.warm_until < self._warm_until:  # a fact of another process may come late
            self._warm_until = state.warm_until

    def cool(self) -> None:
        """It is no longer in some server's."""
        self._warm_until = -math.inf

    def warm(self, now: float) -> list[ModelState]:
        """Holders that have the model in memory, and perhaps some that had it lately. Not to be changed."""
        states = self._warm_states
        if states is None:
            states = self._warm_states = list(self._warm.values())
        elif now < self._warm_until:
            return states
        if len(states) > COUNT_WARM and now < states[0].warm_until:
            self._warm_until = states[0].warm_until
            return states
        warm = [state for state in states if now < state.warm_until]
        if len(warm) < len(states):
            self._warm = {state.key: state for state in warm}
            self._warm_states = warm
        self._warm_until = min((state.warm_until for state in warm), default=math.inf)
        return warm

    def own(self, place: int, trust: frozenset[Trust], usable: Usable, now: float) -> ModelState | None:
        """The server on which a conversation has its place, the next ones when it is not `usable` (which says also
        that it is permitted and does not rest) or has too much to do. All requests of the conversation get the same
        answer as long as the fleet stays the same."""
        points, owners = self._ring or self._made_ring()
        bound = BOUND * (self.in_flight + 1) / (len(self.fit(trust, now)) or 1)
        at, count = bisect(points, place), len(owners)
        for n in range(at, at + STEPS):
            state = owners[n % count]
            if state.in_flight < bound and usable(state):
                return state
        return None

    def _made_ring(self) -> tuple[list[int], list[ModelState]]:
        points = [(_point(f"{state.key} {n}"), state) for state in self.holders for n in range(POINTS)]
        points.sort(key=lambda point: point[0])
        self._ring = [point for point, _ in points], [state for _, state in points]
        return self._ring

    def limit(self, trust: frozenset[Trust], now: float) -> int:
        """Attempts that its fit servers may have at a time."""
        return sum(state.slots.limit for state in self.fit(trust, now))


def rests_until(state: ModelState) -> float:
    """When the last of its own and its server's rests ends; in the past when it does not rest."""
    server = state.server
    return max(server.rest.until, server.probe_rest.until, server.trial.until, state.rest.until, state.identity.until)


def latest_rest(state: ModelState) -> Rest:
    """Of the rests that keep it out, the one whose fault was the last."""
    server = state.server
    return max(server.rest, server.probe_rest, server.trial, state.rest, state.identity, key=lambda r: r.last_fault_at)


def is_fit(state: ModelState, trust: frozenset[Trust], now: float) -> bool:
    """Is it permitted, and does it not rest?"""
    server = state.server
    return (
        state.rest.until <= now
        and server.rest.until <= now
        and server.probe_rest.until <= now
        and server.trial.until <= now
        and state.identity.until <= now
        and server.spec.trust in trust
    )


def first_usable(states: Sequence[ModelState], usable: Usable, begin: int = 0) -> ModelState | None:
    """The first that may be used, from `begin` onward and round."""
    for n in range(len(states)):
        state = states[(begin + n) % len(states)]
        if usable(state):
            return state
    return None
