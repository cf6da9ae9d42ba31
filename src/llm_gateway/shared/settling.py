"""What ended requests give back and have used, gathered per project until Redis has heard it.

Batches of a process are numbered, and Redis takes each number once: a batch whose answer got lost is sent again
exactly as it was, and nothing counts twice. While one is under way what ends is gathered in the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final, Literal

from llm_gateway.access.accounts import Account, Spent
from llm_gateway.access.limits import Lease, Limits
from llm_gateway.access.periods import DAY, Periods

MOST_LEASES: Final = 5_000
"""Leases that one batch ends. Of more, in a long absence of Redis, the oldest have expired by themselves."""

Kind = Literal["day", "month"]


def holder_keys(project: str, id: str) -> tuple[str, str]:
    """Of leases and state."""
    base = f"llmgw:{{{project}}}:{id}"
    return f"{base}:leases", f"{base}:state"


def counter(project: str, id: str, kind: Kind, begin: int) -> str:
    return f"llmgw:{{{project}}}:{id}:{kind[0]}:{begin}"


def counters(project: str, id: str, at: Periods) -> tuple[str, str]:
    return counter(project, id, "day", at.day), counter(project, id, "month", at.month)


def day_and_month(account: Account, at: Periods) -> tuple[Spent, Spent]:
    return account.spent("day", at.day), account.spent("month", at.month)


class Batch:
    """Of one project. `open` is the batch that can still be added to."""

    KEPT: ClassVar[dict[Kind, int]] = {"day": 3 * DAY * 1000, "month": 40 * DAY * 1000}
    """Milliseconds that counters outlive their last use."""

    def __init__(self) -> None:
        self.number = 0
        self.sent = False
        self.following: Batch | None = None
        self._leases: dict[str, None] = {}
        self._rates: dict[str, list[float]] = {}
        """Project or key -> the limit of tokens per minute, and what is to be added to what was used of it."""
        self._spent: dict[tuple[str, Kind, int], list[int]] = {}
        """What is to be added to counters: tokens, costs."""
        self._arguments: list[Any] | None = None
        self._keys: list[str] = []

    def open(self) -> Batch:
        if not self.sent:
            return self
        if self.following is None:
            self.following = Batch()
        return self.following

    def add(self, lease: Lease) -> None:
        """One that has ended."""
        self._leases[lease.id] = None
        if len(self._leases) > MOST_LEASES:
            del self._leases[next(iter(self._leases))]
        tokens, nanos = lease.spent or (0, 0)
        for rules, account in lease.holders:
            if rules is None:
                continue
            rate = self._rates.setdefault(rules.id, [0, 0])
            if rules.tokens is not None:
                rate[0] = rules.tokens
                rate[1] += tokens - lease.rate_elsewhere
            if not rules.budgeted or not (tokens or nanos):
                continue
            for kind, begin in (("day", lease.at.day), ("month", lease.at.month)):
                spent = account.spent(kind, begin)  # type: ignore[arg-type]  # the two kinds there are
                spent.pending_tokens += tokens
                spent.pending_nanos += nanos
                add = self._spent.setdefault((rules.id, kind, begin), [0, 0])  # type: ignore[arg-type]
                add[0] += tokens
                add[1] += nanos

    def drop(self, id: str, holders: Iterable[str]) -> None:
        """A lease that nobody has: what asked for it is gone."""
        self._leases[id] = None
        for holder in holders:
            self._rates.setdefault(holder, [0, 0])

    def call(self, project: str, process: str, limits: Limits, now: float) -> tuple[list[str], list[Any]]:
        """Keys and arguments of the script, the same however often it is sent."""
        if self._arguments is None:
            keys = [f"llmgw:{{{project}}}:told"]
            arguments: list[Any] = [process, self.number, len(self._rates), len(self._spent), len(self._leases)]
            for id, rate in self._rates.items():
                keys += holder_keys(project, id)
                arguments += rate
            for (id, kind, begin), (tokens, nanos) in self._spent.items():
                keys.append(counter(project, id, kind, begin))
                spent = limits.account(id, now).spent(kind, begin)
                arguments += [tokens, nanos, spent.heard_tokens, spent.heard_nanos, self.KEPT[kind]]
            self._keys, self._arguments = keys, [*arguments, *self._leases]
        return self._keys, self._arguments

    def arrived(self, told: Sequence[int], limits: Limits, now: float) -> None:
        """Redis has it: it is no longer pending. `told`: what the counters are now; nothing where it had it before."""
        for n, ((id, kind, begin), (tokens, nanos)) in enumerate(self._spent.items()):
            spent = limits.account(id, now).spent(kind, begin)
            spent.pending_tokens -= tokens
            spent.pending_nanos -= nanos
            if told:
                spent.heard_tokens = max(spent.heard_tokens, told[2 * n])
                spent.heard_nanos = max(spent.heard_nanos, told[2 * n + 1])
