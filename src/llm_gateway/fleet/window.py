"""How many of the latest attempts succeeded: a ring of buckets over one minute."""

from __future__ import annotations

from dataclasses import dataclass, field

BUCKETS = 10
BUCKET = 6.0
"""Seconds."""
SAMPLES = 5
"""Results in the window below which it says nothing."""
TOO_FEW = 0.5
"""Share of successes below which a (server, model) rests."""


@dataclass(slots=True)
class Window:
    """Catches what answers every other time: never two failures in a row, and still no good."""

    _good: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    _all: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    _bucket: int = 0
    """Number of the latest bucket since the clock's zero."""

    def add(self, now: float, good: bool) -> None:
        bucket = int(now // BUCKET)
        at = (bucket if bucket == self._bucket else self._roll(bucket)) % BUCKETS
        self._all[at] += 1
        self._good[at] += good

    def bad(self, now: float) -> bool:
        """Do too few of the last minute's attempts succeed?"""
        self._roll(int(now // BUCKET))
        count = sum(self._all)
        return count >= SAMPLES and sum(self._good) < TOO_FEW * count

    def clear(self) -> None:
        self._good, self._all = [0] * BUCKETS, [0] * BUCKETS

    def _roll(self, bucket: int) -> int:
        """Empties what is over; the bucket of now."""
        if bucket - self._bucket >= BUCKETS:
            self.clear()
        else:
            for gone in range(self._bucket + 1, bucket + 1):
                self._good[gone % BUCKETS] = self._all[gone % BUCKETS] = 0
        self._bucket = max(self._bucket, bucket)
        return self._bucket
