"""What a request adds to the figures, noted for a fraction of what `prometheus_client` takes for it.

A request touches nine time series, and each costs the library 1.6 to 3.4 µs (a lock, checks, a walk over the buckets).
Noting is a look-up in a list and a sum; what was noted is carried over into the library's series when somebody looks.
Whoever notes writes into the slots of `Count` and `Spread` himself: nine calls would cost more than the rest of it.
"""

from __future__ import annotations

from prometheus_client import Counter, Histogram


class Count:
    """Of one series of a counter: add to `more`."""

    __slots__ = ("_series", "more")

    def __init__(self, series: Counter) -> None:
        self._series = series
        self.more = 0.0

    def carry(self) -> None:
        if self.more:
            more, self.more = self.more, 0.0
            self._series.inc(more)


class Spread:
    """Of one series of a histogram. To note a value: `counts[bisect_left(bounds, value)] += 1` and `sum += value`."""

    __slots__ = ("_series", "bounds", "counts", "sum")

    def __init__(self, series: Histogram, bounds: tuple[float, ...]) -> None:
        self._series = series
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def carry(self) -> None:
        counts = self.counts
        if any(counts):
            self.counts, more, self.sum = [0] * len(counts), self.sum, 0.0
            # `observe` takes one value at a time, and this is all that it does with it
            self._series._sum.inc(more)
            for bucket, count in zip(self._series._buckets, counts, strict=True):
                if count:
                    bucket.inc(count)


class Tally:
    """Of the series that belong together, because they have labels in common."""

    __slots__ = ("_parts", "noted")

    def __init__(self, *parts: Count | Spread) -> None:
        self._parts = parts
        self.noted = False
        """Is there anything to carry over?"""

    def carry(self) -> None:
        self.noted = False
        for part in self._parts:
            part.carry()
