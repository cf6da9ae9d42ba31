"""Slows down whoever guesses passwords.

An attempt is counted before it is looked at, so that a hundred at the same time count as a hundred; one that succeeds
is taken back.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

LIMIT: Final = 5
WINDOW: Final = 900.0


class Lockout:
    """Counts attempts by whatever they have in common: an account, an address."""

    __slots__ = ("_bound", "_limit", "_seen", "_window")

    def __init__(self, limit: int = LIMIT, window: float = WINDOW, bound: int = 10_000) -> None:
        """`limit` failures within `window` seconds, counted from the first; at most `bound` names are remembered, those
        that failed longest ago are forgotten first."""
        self._limit = limit
        self._window = window
        self._bound = bound
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """Name -> (when its window began, attempts in it)."""

    def wait(self, name: str, now: float) -> float:
        """Seconds until another attempt is looked at; 0: now. `now` is monotonic."""
        began, count = self._seen.get(name, (now, 0))
        return max(0.0, began + self._window - now) if count >= self._limit else 0.0

    def attempt(self, name: str, now: float) -> None:
        """Counts one."""
        began, count = self._seen.get(name, (now, 0))
        if now >= began + self._window:
            began, count = now, 0
        self._seen[name] = (began, count + 1)
        self._seen.move_to_end(name)
        if len(self._seen) > self._bound:
            self._seen.popitem(last=False)

    def take_back(self, name: str) -> None:
        """The attempt has not failed. Earlier ones stay counted."""
        if name in self._seen:
            began, count = self._seen[name]
            self._seen[name] = (began, max(0, count - 1))

    def forget(self, name: str) -> None:
        """Whoever it is has shown who they are."""
        self._seen.pop(name, None)

    def __len__(self) -> int:
        return len(self._seen)
