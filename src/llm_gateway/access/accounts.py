"""What a project or a key may use, and what it has used.

Numbers only: who is refused is decided in `limits`. Tokens and costs are whole (costs in billionths of the unit of
prices), so sums are exact in any order.
"""

from __future__ import annotations

import math
from typing import Final, Literal, NamedTuple

from llm_gateway.access.periods import Periods
from llm_gateway.access.policy import LIMITS, ApiKey, Project

Whose = Literal["project", "key"]

MINUTE: Final = 60.0
NANOS: Final = 1_000_000_000
SLACK: Final = 1e-6
"""Of a request: below what floats lose in a day of additions, far above what anyone could gain."""


class Rules(NamedTuple):
    """The limits of one project or key in the numbers that are counted; None = unlimited."""

    whose: Whose
    id: str
    name: str
    requests: int | None
    """Per minute, as `tokens`."""
    tokens: int | None
    running: int | None
    day_tokens: int | None
    month_tokens: int | None
    day_nanos: int | None
    month_nanos: int | None
    budgeted: bool
    """Is there any budget?"""
    counted: bool
    """Is there any limit on tokens or costs, so that what a request will use has to be known?"""

    @property
    def limits(self) -> tuple[int | None, ...]:
        """Those from `requests` to `month_nanos`."""
        return self[3:10]

    @property
    def budgets(self) -> tuple[int | None, ...]:
        """Those from `day_tokens` on, as BUDGETS names them."""
        return self[6:10]


def rules_of(of: Project | ApiKey) -> Rules | None:
    """None where nothing is limited."""
    rpm, tpm, running, *budgets = (getattr(of, name) for name in LIMITS)
    if rpm is None and tpm is None and running is None and all(limit is None for limit in budgets):
        return None
    day_tokens, month_tokens, *costs = budgets
    day_nanos, month_nanos = (None if cost is None else round(cost * NANOS) for cost in costs)
    whose: Whose = "project" if isinstance(of, Project) else "key"
    limits = rpm, tpm, running, day_tokens, month_tokens, day_nanos, month_nanos
    budgeted = any(limit is not None for limit in budgets)
    return Rules(whose, of.id, of.name, *limits, budgeted, counted=budgeted or tpm is not None)


class Standing(NamedTuple):
    """How somebody stands against a limit of so many per minute, day or month."""

    limit: int
    remaining: int
    """What would pass at once."""
    reset: float
    """Seconds until the whole limit is free again, if nothing more is asked."""


class Bucket:
    """A leaky bucket as large as a minute's limit: GCRA (ITU-T I.371). It counts what was used, not times, so that it
    means the same under a changed limit."""

    __slots__ = ("_limit", "at", "used")

    def __init__(self, now: float) -> None:
        self.used = 0.0
        """What still weighs on the limit, as of `at`; more than the limit when requests used more than was thought."""
        self.at = now
        self._limit = 0

    def drain(self, limit: int, now: float) -> float:
        """Lets time pass; returns what is used then. A lowered limit counts as full at most: nobody pays for a use that
        was allowed then."""
        if limit != self._limit:
            self._limit, self.used = limit, min(self.used, limit)
        elapsed = now - self.at
        if elapsed > 0.0:
            left = self.used - elapsed * limit / MINUTE
            self.used = left if left > 0.0 else 0.0
            self.at = now
        return self.used

    def standing(self, limit: int, now: float) -> Standing:
        used = self.drain(limit, now)
        return Standing(limit, remaining(limit, used), used * MINUTE / limit)


def remaining(limit: int, used: float) -> int:
    """What would pass at once."""
    left = math.floor(limit - used + SLACK)
    return left if left > 0 else 0


class Spent:
    """What was used of one day's or month's budgets."""

    __slots__ = (
        *("_told", "heard_nanos", "heard_tokens", "nanos", "own_nanos", "own_tokens"),
        *("pending_nanos", "pending_tokens", "tokens"),
    )

    def __init__(self) -> None:
        self.tokens = self.nanos = 0
        """By everybody, as it was last known."""
        self.own_tokens = self.own_nanos = 0
        """By this process since then."""
        self.pending_tokens = self.pending_nanos = 0
        """By this process, and not yet told to the others."""
        self.heard_tokens = self.heard_nanos = 0
        """By everybody, of what was told to the others: what they have to be told when they have forgotten."""
        self._told = False

    @property
    def all_tokens(self) -> int:
        return self.tokens + self.own_tokens

    @property
    def all_nanos(self) -> int:
        return self.nanos + self.own_nanos

    def add(self, tokens: int, nanos: int) -> None:
        self.own_tokens += tokens
        self.own_nanos += nanos

    def heard(self, tokens: int, nanos: int, stored_tokens: int, stored_nanos: int) -> None:
        """That much was told by all processes together, and that much stands in the database."""
        self._told = True
        self.heard_tokens, self.heard_nanos = max(self.heard_tokens, tokens), max(self.heard_nanos, nanos)
        self.tokens = max(tokens + self.pending_tokens, stored_tokens)
        self.nanos = max(nanos + self.pending_nanos, stored_nanos)
        self.own_tokens = self.own_nanos = 0

    def stored(self, tokens: int, nanos: int) -> None:
        """So much stands in the database. More than that may have been used: rows arrive there a little later."""
        self.tokens, self.nanos = max(self.all_tokens, tokens), max(self.all_nanos, nanos)
        self.own_tokens = self.own_nanos = 0
        if not self._told:
            self.heard_tokens, self.heard_nanos = self.tokens, self.nanos


class Account:
    """What one project or key uses."""

    __slots__ = (
        *("_spent", "elsewhere_nanos", "elsewhere_tokens", "held_nanos", "held_tokens", "requests", "running"),
        "tokens",
    )

    def __init__(self, now: float) -> None:
        self.requests = Bucket(now)
        self.tokens = Bucket(now)
        self.running = 0
        self.held_tokens = self.held_nanos = 0
        """Of budgets, for requests under way."""
        self.elsewhere_tokens = self.elsewhere_nanos = 0
        """The same by other processes, as it was last heard."""
        self._spent: dict[tuple[str, int], Spent] = {}

    def spent(self, kind: Literal["day", "month"], begin: int) -> Spent:
        """Of the day or month that began then. A clock that goes back finds what it left; the one that was asked for
        longest ago is forgotten first."""
        found = self._spent.pop((kind, begin), None)
        if found is None:
            found = Spent()
            while len(self._spent) >= MOST_PERIODS:
                del self._spent[next(iter(self._spent))]
        self._spent[(kind, begin)] = found
        return found

    def left(self, rules: Rules, name: Budget, at: Periods) -> int:
        """Of a budget, what is reserved left out."""
        spent = self.spent("day", at.day) if name in ("day_tokens", "day_nanos") else self.spent("month", at.month)
        limit: int = getattr(rules, name)
        if name in ("day_tokens", "month_tokens"):
            return max(0, limit - spent.all_tokens - self.held_tokens - self.elsewhere_tokens)
        return max(0, limit - spent.all_nanos - self.held_nanos - self.elsewhere_nanos)


Budget = Literal["day_tokens", "month_tokens", "day_nanos", "month_nanos"]
BUDGETS: Final[tuple[Budget, ...]] = ("day_tokens", "month_tokens", "day_nanos", "month_nanos")
MOST_PERIODS: Final = 6
"""Days and months that an account remembers."""
