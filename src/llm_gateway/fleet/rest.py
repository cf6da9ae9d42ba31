"""Growing, jittered rests: when something that failed may be tried again, and that it is then tried once at first."""

from __future__ import annotations

from dataclasses import dataclass

from llm_gateway.errors import FaultKind
from llm_gateway.fleet.faults import Consequence

JITTER = 0.3
"""Each rest is 70-130 % of its nominal length, so that servers that fell together do not return together."""
FORGET = 60.0
"""Seconds, and twice the last rest: so long it has to behave until earlier rests no longer lengthen the next."""


@dataclass(slots=True)
class Rest:
    """Rests after `Consequence.after` faults in a row, twice as long each time. When the rest is over it is
    *returning*: one attempt at a time, and the next fault sends it back at once. A success ends all that."""

    until: float = 0.0
    """Seconds on the gateway's monotonic clock."""
    first: float = 0.0
    """Seconds: the first rest of the present row of rests."""
    rests: int = 0
    """That lengthen the next one."""
    faults: int = 0
    """In a row."""
    last_fault: FaultKind | None = None
    last_fault_at: float = 0.0
    detail: str = ""
    returning: bool = False
    """From the begin of a rest until the first sign that it is over for good."""
    well_since: float | None = None
    """When it last succeeded after a rest."""

    def failed(
        self,
        now: float,
        fault: FaultKind,
        consequence: Consequence,
        dice: float,
        detail: str = "",
        *,
        at_once: bool = False,
    ) -> bool:
        """Notes one fault; `dice` is in [0, 1). True when it starts a new rest, which it does with the first fault
        when it is returning or `at_once`."""
        self.faults += 1
        if now < self.until:
            if consequence.rest <= self.first:
                return False
        elif self.faults < consequence.after and not self.returning and not at_once:
            self.last_fault, self.last_fault_at, self.detail = fault, now, detail
            return False
        if consequence.rest != self.first:  # another kind of fault begins a row of rests of its own
            self.first, self.rests = consequence.rest, 0
        self.last_fault, self.last_fault_at, self.detail = fault, now, detail
        length = min(consequence.rest * 2.0 ** min(self.rests, 16), consequence.cap)
        if self.well_since is not None and now - self.well_since > FORGET + length:
            self.rests, length = 0, consequence.rest
        self.until = now + length * (1 - JITTER + 2 * JITTER * dice)
        self.rests += 1
        self.returning, self.well_since = True, None
        return True

    def promising(self, now: float) -> None:
        """A first sign of life after a rest: more than one attempt at a time again, but no fault is forgiven yet."""
        if now >= self.until:
            self.returning = False

    def succeeded(self, now: float) -> None:
        if self.rests and self.well_since is None:
            self.well_since = now
        self.until, self.faults, self.returning = 0.0, 0, False

    def resting(self, now: float) -> bool:
        return now < self.until

    def half_open(self, now: float) -> bool:
        """Is the rest over, and nothing is known yet of what comes after it?"""
        return self.returning and now >= self.until
