"""Which context each model was given last, so that no request makes a server load its model anew without need.

A request with another `num_ctx` makes Ollama unload the model and load it again: seconds to minutes. So once a long
prompt was given a larger context there, the short ones after it ask for the same, for as long as the model stays in
memory by itself.
"""

from __future__ import annotations

from typing import Final

IN_MEMORY: Final = 300.0
"""Seconds after its last request that Ollama keeps a model, unless told otherwise."""
MOST: Final = 10_000
"""Models that are remembered."""


class Contexts:
    """Keys are those of candidates, (server, model); sizes are tokens."""

    def __init__(self) -> None:
        self._given: dict[str, tuple[int, float]] = {}
        """Key -> size, and when it was asked for last. In that order, too."""

    def size(self, key: str, needed: int | None, now: float) -> int | None:
        """What to ask for where `needed` would do (None = what the server chooses by itself); None = ask for none."""
        size, at = self._given.pop(key, (0, now))
        size = max(size if now - at < IN_MEMORY else 0, needed or 0)
        if not size:
            return None
        self._given[key] = size, now
        if len(self._given) > MOST:
            del self._given[next(iter(self._given))]
        return size

    def forget(self, key: str) -> bool:
        """The server had no memory for what it was asked for. False when that was no context of ours."""
        return self._given.pop(key, None) is not None
