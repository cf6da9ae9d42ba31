"""Growing, jittered rests: when something that failed may be tried again."""

from __future__ import annotations

from dataclasses import dataclass

from llm_gateway.errors import FaultKind
from llm_gateway.fleet.faults import Consequence

JITTER = 0.3
"""Each rest is 70-130 % of its nominal length, so that servers that fell together do not return together."""


@dataclass(slots=True)
class Rest:
    """Rests after `Consequence.after` faults in a row, twice as long each time; one success clears it."""

    until: float = 0.0
    """Seconds on the gateway's monotonic clock."""
    first: float = 0.0
    """Seconds: the first rest of the present row of rests."""
    rests: int = 0
    faults: int = 0
    last_fault: FaultKind | None = None
    last_fault_at: float = 0.0
    detail: str = ""

    def failed(self, now: float, fault: FaultKind, consequence: Consequence, dice: float, detail: str = "") -> bool:
        """Notes one fault; `dice` is in [0, 1). True when it starts a new rest."""
        self.faults += 1
        if self.faults < consequence.after or (now < self.until and consequence.rest <= self.first):
            if now >= self.until:
                self.last_fault, self.last_fault_at, self.detail = fault, now, detail
            return False
        if consequence.rest != self.first:  # another kind of fault begins a row of rests of its own
            self.first, self.rests = consequence.rest, 0
        self.last_fault, self.last_fault_at, self.detail = fault, now, detail
        length = min(consequence.rest * 2.0 ** min(self.rests, 16), consequence.cap)
        self.until = now + length * (1 - JITTER + 2 * JITTER * dice)
        self.rests += 1
        return True

    def succeeded(self) -> None:
        self.until, self.first, self.rests, self.faults = 0.0, 0.0, 0, 0

    def resting(self, now: float) -> bool:
        return now < self.until
