"""What all requests for one model together may spend on retries and races: so that failing never becomes a storm."""

from __future__ import annotations

from dataclasses import dataclass, field

LASTS = 10
"""Seconds that deposits and withdrawals count."""


@dataclass(slots=True)
class Budget:
    """A share of the requests plus a reserve (Finagle's RetryBudget: deposits and withdrawals lapse alike)."""

    share: float
    """Of each request, that is deposited."""
    reserve: float
    """Per second, always there."""
    _seconds: list[float] = field(default_factory=lambda: [0.0] * LASTS)
    _second: int = 0

    def deposit(self, now: float) -> None:
        second = int(now)
        self._seconds[(second if second == self._second else self._roll(second)) % LASTS] += self.share

    def take(self, now: float) -> bool:
        """One attempt, if there is enough for it."""
        second = self._roll(int(now))
        if not self._enough():
            return False
        self._seconds[second % LASTS] -= 1
        return True

    def enough(self, now: float) -> bool:
        self._roll(int(now))
        return self._enough()

    def _enough(self) -> bool:
        return sum(self._seconds) + self.reserve * LASTS >= 1 - 1e-9  # sums of fractions

    def _roll(self, second: int) -> int:
        """Forgets what has lapsed; the second of now."""
        for gone in range(max(self._second + 1, second - LASTS + 1), second + 1):
            self._seconds[gone % LASTS] = 0.0
        self._second = max(self._second, second)
        return self._second


@dataclass(slots=True)
class Budgets:
    """Of one model."""

    retries: Budget = field(default_factory=lambda: Budget(share=0.2, reserve=10.0))
    races: Budget = field(default_factory=lambda: Budget(share=0.05, reserve=2.0))

    def request(self, now: float) -> None:
        """A request has come: it pays in."""
        self.retries.deposit(now)
        self.races.deposit(now)
