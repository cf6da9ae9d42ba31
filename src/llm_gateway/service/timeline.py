"""How the states of the servers changed over the last day, as one look a second saw it. In memory, and bounded.

What was before this process began, or has been pushed out by a server that changes all the time, is not known; each
answer says since when it is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from llm_gateway.fleet.server import ServerState, State

KEPT: Final = 24 * 3600.0
"""Seconds back."""
MOST: Final = 200
"""Spells of one server."""
CHANGES: Final = 500
"""Latest changes that are kept for those who look on: as many as a fleet may have at once."""
LONGEST: Final = 200
"""Characters of a reason."""
WORST: Final[dict[State, int]] = {"disabled": 0, "healthy": 1, "unknown": 2, "resting": 3, "quarantined": 4}
"""What is shown of a stretch in which a server had several states: the last of these."""


@dataclass(slots=True)
class Spell:
    """A time in one state. Unix seconds."""

    begin: float
    state: State
    reason: str | None
    end: float | None = None
    """None = it lasts."""


class Change(NamedTuple):
    """A server is in another state than before, or new."""

    server: str
    """Its id."""
    name: str
    before: State | None
    spell: Spell


class Timeline:
    """`look` now and then; everything else reads."""

    def __init__(self) -> None:
        self.since: float | None = None
        """Unix seconds of the first look; None = there was none."""
        self.changed = 0
        """Changes since then."""
        self.changes: deque[Change] = deque(maxlen=CHANGES)
        """The latest of them."""
        self._spells: dict[str, deque[Spell]] = {}

    def look(self, servers: Mapping[str, ServerState], states: Mapping[str, State], now: float, wall: float) -> None:
        """Notes the `states` of now (seconds of the monotonic clock, and of Unix time), by id."""
        if self.since is None:
            self.since = wall
        for id, state in states.items():
            spells = self._spells.get(id)
            if spells is None:
                spells = self._spells[id] = deque(maxlen=MOST)
            last = spells[-1] if spells else None
            if last is not None and last.state == state:
                continue
            server = servers[id]
            spell = Spell(wall, state, _reason(server, now))
            if last is not None:
                last.end = wall
            while spells and spells[0].end is not None and spells[0].end < wall - KEPT:
                spells.popleft()
            spells.append(spell)
            self.changed += 1
            self.changes.append(Change(id, server.spec.name, last.state if last else None, spell))
        if len(self._spells) > len(states):  # who has left the fleet
            self._spells = {id: spells for id, spells in self._spells.items() if id in states}

    def of(self, server: str, wall: float) -> tuple[float | None, list[Spell]]:
        """Since when the server's states are known, and the spells of the last day, oldest first."""
        spells = [spell for spell in self._spells.get(server, ()) if spell.end is None or spell.end >= wall - KEPT]
        return (max(wall - KEPT, spells[0].begin) if spells else None), spells

    def lane(self, server: str, begin: float, step: float, steps: int) -> list[State | None]:
        """The worst state in each of so many stretches of `step` seconds; None = it is not known."""
        lane: list[State | None] = [None] * steps
        for spell in self._spells.get(server, ()):
            end = begin + steps * step if spell.end is None else spell.end
            first = max(0, math.floor((spell.begin - begin) / step))
            last = min(steps - 1, math.ceil((end - begin) / step) - 1)
            for n in range(first, last + 1):
                known = lane[n]
                if known is None or WORST[spell.state] > WORST[known]:
                    lane[n] = spell.state
        return lane

    def new(self, seen: int) -> list[Change]:
        """The changes behind the first `seen`, as far as they are kept."""
        count = min(self.changed - seen, len(self.changes))
        return list(self.changes)[-count:] if count > 0 else []


def _reason(server: ServerState, now: float) -> str | None:
    rest = server.rests(now)
    if rest is None:
        return server.quarantined(now)
    reason = f"{rest.last_fault}: {rest.detail}" if rest.detail else str(rest.last_fault)
    return reason[:LONGEST]
