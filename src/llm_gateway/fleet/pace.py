"""When a stream has become so slow that it is better given on."""

from __future__ import annotations

from typing import Final

SLOWEST: Final = 0.5
"""Tokens per second below which a stream is far too slow."""
WORTH: Final = 5.0
"""How many times as fast another server has to be."""


class Pace:
    """Counts tokens in spans of some seconds. Complete silence is the stall clock's matter."""

    __slots__ = ("_since", "_span", "_tokens")

    def __init__(self, since: float, span: float) -> None:
        """`since`: when the stream began, seconds on the monotonic clock, as `now` below."""
        self._span = span
        self._since = since
        self._tokens = 0

    def passed(self, tokens: int, now: float) -> float | None:
        """Notes tokens. At the end of a span that was far too slow: its tokens per second."""
        self._tokens += tokens
        span = now - self._since
        if span < self._span:
            return None
        rate = self._tokens / span
        self._since, self._tokens = now, 0
        return rate if rate < SLOWEST else None


def faster(tokens_per_second: float | None, rate: float) -> bool:
    """Is a server that is known to give so many tokens per second worth the change?"""
    return tokens_per_second is not None and tokens_per_second >= WORTH * rate
