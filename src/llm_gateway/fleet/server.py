"""What is believed about one server and about each model on it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from llm_gateway.fleet.facts import ListedModel, ServerSpec
from llm_gateway.fleet.rest import Rest

SAMPLES = 20
"""First-token times kept per (server, model)."""
PRIOR_TOKENS = 15.0
"""Tokens per second under which a catalogue's measurement makes a server come later, in proportion."""
QUARANTINE = 600.0
"""A rest of this many seconds and more is called a quarantine."""

State = Literal["unknown", "healthy", "resting", "quarantined", "disabled"]


@dataclass(slots=True)
class ModelState:
    """One model on one server."""

    listed: ListedModel
    rest: Rest = field(default_factory=Rest)
    in_flight: int = 0
    successes: int = 0
    failures: int = 0
    busy_until: float = 0.0
    waits: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    """Seconds to the first content of the latest attempts."""
    tokens_per_second: float | None = None

    def expected_wait(self) -> float:
        """Seconds to the first content if asked now: the mean of what was seen, else a cautious second, more where
        a catalogue measured a slow server (it is slow to its first token, too)."""
        if self.waits:
            return sum(self.waits) / len(self.waits)
        return max(1.0, PRIOR_TOKENS / (self.listed.tokens_per_second or PRIOR_TOKENS))

    def slow_wait(self) -> float | None:
        """The 95th percentile of the first-token times seen, None while fewer than five are known."""
        if len(self.waits) < 5:
            return None
        return sorted(self.waits)[min(len(self.waits) - 1, int(len(self.waits) * 0.95))]


@dataclass(slots=True)
class ServerState:
    """One server: how it is reached, what it holds, how it has behaved."""

    spec: ServerSpec
    models: dict[str, ModelState] = field(default_factory=dict)
    """By canonical name."""
    rest: Rest = field(default_factory=Rest)
    """For what requests met."""
    probe_rest: Rest = field(default_factory=Rest)
    """For what probes met: the next good probe ends it."""
    in_flight: int = 0
    version: str | None = None
    listed_at: float | None = None
    """When the server itself last answered its model list; None = never."""

    def full(self) -> bool:
        limit = self.spec.max_concurrency
        return limit is not None and self.in_flight >= limit

    def state(self, now: float) -> State:
        if not self.spec.enabled:
            return "disabled"
        if (rest := self.rests(now)) is not None:
            return "quarantined" if rest.until - rest.last_fault_at >= QUARANTINE * 0.7 else "resting"
        if self.listed_at is None and not any(m.successes for m in self.models.values()):
            return "unknown"
        return "healthy"

    def rests(self, now: float) -> Rest | None:
        """The rest that keeps the whole server out now, the longer one of two."""
        rest = max(self.rest, self.probe_rest, key=lambda r: r.until)
        return rest if rest.resting(now) else None
