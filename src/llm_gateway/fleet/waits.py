"""First-token times of one model on one server, by size of the prompt: what to expect, and what is slow."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque

KEPT = 64
"""Latest samples of each class."""
CLASSES = (512, 4096)
"""Prompt tokens up to which a prompt is small, middling; beyond, it is large."""
SMALL = CLASSES[0]
PEAK_LASTS = 30.0
"""Seconds in which the memory of an unusually long wait fades to a third."""
ENOUGH = 5
"""Samples from which on a percentile means something."""


class Samples:
    """The latest values, with their percentiles at hand."""

    __slots__ = ("_latest", "_sorted", "count", "known", "peak", "peak_at", "usual")

    def __init__(self) -> None:
        self.known = False
        self.count = 0
        self._latest: deque[float] = deque()
        self._sorted: list[float] = []
        self.usual = 0.0
        """The median."""
        self.peak = 0.0
        self.peak_at = 0.0

    def add(self, value: float, now: float) -> None:
        ranked = self._sorted
        if self.count == KEPT:
            del ranked[bisect_left(ranked, self._latest.popleft())]
        else:
            self.count += 1
            self.known = True
        self._latest.append(value)
        insort(ranked, value)
        usual = self.usual = ranked[self.count // 2]
        expected = usual if self.peak <= usual else self.expected(now)
        self.peak = value if value > expected else expected
        self.peak_at = now

    def expected(self, now: float, prior: float = 0.0) -> float:
        """The median (`prior` where there is none), or more for a while after a longer wait (Finagle's "peak EWMA":
        quick to believe bad news, slow to forget it)."""
        usual, peak = self.usual if self.known else prior, self.peak
        if peak <= usual:
            return usual
        since = now - self.peak_at
        return usual + (peak - usual) * math.exp(-since / PEAK_LASTS) if since > 0 else peak

    def at_least(self, value: float, now: float) -> None:
        """An attempt was given up after so long: what it would have taken is not known, but more than that."""
        if value > self.expected(now):
            self.peak, self.peak_at = value, now

    def quantile(self, share: float) -> float:
        """Raises IndexError when there is none."""
        return self._sorted[min(self.count - 1, int(self.count * share))]

    def slow(self) -> float | None:
        """The 95th percentile, None while they are too few."""
        return self._sorted[int(self.count * 0.95)] if self.count >= ENOUGH else None

    def values(self) -> list[float]:
        """Oldest first."""
        return list(self._latest)

    def __len__(self) -> int:
        return self.count


class Waits:
    """`Samples` for each size of prompt; a class without any borrows from the nearest that has some."""

    __slots__ = ("_any", "_by_class")

    def __init__(self) -> None:
        self._any = False
        self._by_class: list[Samples | None] = [None] * (len(CLASSES) + 1)

    def add(self, wait: float, prompt_tokens: int, now: float) -> None:
        self._own(prompt_tokens).add(wait, now)

    def at_least(self, wait: float, prompt_tokens: int, now: float) -> None:
        self._own(prompt_tokens).at_least(wait, now)

    def of(self, prompt_tokens: int) -> Samples | None:
        """The samples that say most about a prompt of this size."""
        size = bisect_left(CLASSES, prompt_tokens) if prompt_tokens > SMALL else 0
        if (own := self._by_class[size]) is not None or not self._any:
            return own
        known = [(abs(size - other), other) for other, samples in enumerate(self._by_class) if samples is not None]
        return self._by_class[min(known)[1]]

    def knows(self, prompt_tokens: int) -> bool:
        """Is anything known of such a prompt, or of a small one, which is like any other small one?"""
        size = bisect_left(CLASSES, prompt_tokens)
        own = self._by_class[size]
        return not size or (own is not None and own.known)

    def usual(self, prompt_tokens: int) -> float | None:
        """What it takes when it has little to do: the first quartile, None while too little is known."""
        samples = self.of(prompt_tokens)
        return samples.quantile(0.25) if samples is not None and samples.count >= ENOUGH else None

    def classes(self) -> list[Samples | None]:
        return self._by_class

    def __len__(self) -> int:
        return sum(len(samples) for samples in self._by_class if samples is not None)

    def _own(self, prompt_tokens: int) -> Samples:
        size = bisect_left(CLASSES, prompt_tokens) if prompt_tokens > SMALL else 0
        samples = self._by_class[size]
        if samples is None:
            self._any = True
            samples = self._by_class[size] = Samples()
        return samples
