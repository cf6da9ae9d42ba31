"""How many attempts one model on one server may have at a time: learnt, because servers do not tell.

Ollama works on one request at a time by default and lets hundreds wait in silence, so latency is the only signal:
slow start, then additive increase and multiplicative decrease (Jacobson, "Congestion Avoidance and Control", 1988).
"""

from __future__ import annotations

from dataclasses import dataclass

from llm_gateway.access.policy import Trust
from llm_gateway.fleet.facts import ServerSpec

CEILINGS = {Trust.PUBLIC: 8, Trust.PARTNER: 32, Trust.OWN: None}
"""Of strangers' machines we take little, however well they bear it."""
STRAINED = 3.0
"""Times the usual first-token time that say that the server has too much to do."""
NOTICED = 1.0
"""Seconds to the first content below which nobody minds."""
BELIEVED = 8
"""Attempts at a time that are begun with at most, however many others have found a server to bear."""


@dataclass(slots=True)
class Slots:
    """Starts at 1, doubles with each good sign while it is used to the full; grows by 1 after the first bad sign."""

    ceiling: int | None = None
    limit: int = 1
    careful: bool = False

    def good(self, in_flight: int) -> None:
        """An answer began in good time while so many were in flight, itself included. A limit that was not even half
        used proves nothing and stays."""
        if 2 * in_flight > self.limit:
            grown = self.limit + 1 if self.careful else 2 * self.limit
            self.limit = grown if self.ceiling is None else min(grown, self.ceiling)

    def strained(self, in_flight: int) -> None:
        """The server said that it is busy, or took far too long: half of what it had is what it can bear."""
        self.limit = max(1, min(self.limit, in_flight // 2))
        self.careful = True

    def bound(self, ceiling: int | None) -> None:
        """The most that it may ever be from now on."""
        self.ceiling = ceiling
        if ceiling is not None:
            self.limit = min(self.limit, ceiling)

    def heard(self, limit: int, careful: bool) -> None:
        """Another process had found this limit: begins with half of it, for it may still be there."""
        self.limit = max(self.limit, min(limit // 2, BELIEVED))
        self.careful = careful
        self.bound(self.ceiling)

    def restart(self) -> None:
        """It rests: after its return it is new to us."""
        self.limit, self.careful = 1, False


def ceiling(spec: ServerSpec) -> int | None:
    """The most attempts for one model on this server; None = no bound but what it bears."""
    bounds = [bound for bound in (CEILINGS[spec.trust], spec.max_concurrency) if bound is not None]
    return min(bounds, default=None)
