"""When a stream has become so slow that it is better given on."""

from __future__ import annotations

from typing import Final

SLOWEST: Final = 0.5
"""Tokens per second below which a stream is far too slow."""
WORTH: Final = 5.0
"""How many times as fast another server has to be."""


class Pace:
    """Counts tokens in spans of some seconds, from the first that pass. Silence is the stall clock's matter."""

    __slots__ = ("_since", "_span", "_tokens")

    def __init__(self, span: float) -> None:
        self._span = span
        self._since: float | None = None
        self._tokens = 0

    def passed(self, tokens: int, now: float) -> float | None:
        """Notes tokens; `now`: seconds on the monotonic clock. At the end of a span that was far too slow: its tokens
        per second. The first ones took no time of it and do not count."""
        if self._since is None:
            self._since = now
            return None
        self._tokens += tokens
        span = now - self._since
        if span < self._span:
            return None
        rate = self._tokens / span
        self._since, self._tokens = now, 0
        return rate if rate < SLOWEST else None


def faster(tokens_per_second: float | None, rate: float) -> bool:
    """Is a server that gives so many tokens per second worth the change? One whose speed nobody knows is: hardly any
    is that slow, and the slow stream is kept until the other one speaks."""
    return tokens_per_second is None or tokens_per_second >= WORTH * rate
