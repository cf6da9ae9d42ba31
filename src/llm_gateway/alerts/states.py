"""From readings to alerts: pending -> firing -> resolved, for each rule and subject by itself. Pure: times come in.

An alert waits its rule's `hold` before it fires, and stays until its condition was not so for as long (a minute at
least), so that a value that swings around its threshold tells once. What nobody could read changes nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from llm_gateway.alerts.rules import METRICS, Reading, Readings, Rule, Severity, shown

CLEAR: Final = 60.0
"""Seconds that a condition must not hold, at least, before an alert is over."""
ABSENT: Final = 600.0
"""Seconds after which an alert is over that only another process can know of, if none says any more that it is so."""
SEEN: Final = 120.0
"""Seconds between notes that it is still so."""
MOST: Final = 100
"""Alerts of one rule at a time; its further subjects are not watched."""
RECENT: Final = 100
"""Alerts that are over and still shown."""
ONCE: Final = frozenset({"budgets", "keys"})
"""Sources of which nobody is reminded: a budget that is used up stays so until its day or month is over."""

Key = tuple[str, str]
State = Literal["pending", "firing", "resolved"]


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that holds (or held) for one subject. Times are Unix seconds."""

    id: str
    """The same in all that is told of it."""
    rule: str
    subject: str
    severity: Severity
    state: State
    metric: str
    value: float
    threshold: float
    condition: str
    since: float
    """When the condition began to hold."""
    started_at: float | None = None
    """When it fired."""
    clear_since: float | None = None
    """Since when the condition does not hold, while it still fires."""
    told_at: float | None = None
    seen_at: float = 0.0
    resolved_at: float | None = None

    @property
    def key(self) -> Key:
        return self.rule, self.subject

    @property
    def message(self) -> str:
        """A sentence for people."""
        if self.state == "resolved":
            return f"{self.rule} is over for {self.subject}: not {self.condition} any more."
        metric = METRICS.get(self.metric)
        now = f", now {shown(self.value, metric.unit)}" if metric else ""
        return f"{self.rule} for {self.subject}: {self.condition}{now}."


class Unsent(msgspec.Struct, frozen=True):
    """What a process had not delivered when it ended."""

    webhook: str
    alert: Alert
    again: bool = False


class Book(msgspec.Struct, frozen=True):
    """All alerts there are, as they are stored."""

    alerts: tuple[Alert, ...] = ()
    recent: tuple[Alert, ...] = ()
    """Those that are over, newest first."""
    unsent: tuple[Unsent, ...] = ()
    """For the next process that looks."""

    @property
    def standing(self) -> frozenset[tuple[Any, ...]]:
        """All but the values, which change all the time: what is worth writing down."""
        return frozenset((a.key, a.state, a.severity, a.clear_since, a.told_at, a.seen_at) for a in self.alerts)

    def firing(self) -> list[Alert]:
        return [alert for alert in self.alerts if alert.state == "firing"]

    def over(self, other: Book, keys: Iterable[Key]) -> Book:
        """The other book, with what this one says of these alerts in its place."""
        mine, wanted = {alert.key: alert for alert in self.alerts}, set(keys)
        alerts = {alert.key: alert for alert in other.alerts if alert.key not in wanted}
        alerts |= {key: mine[key] for key in wanted if key in mine}
        known = {alert.id for alert in other.recent}
        news = [alert for alert in self.recent if alert.key in wanted and alert.id not in known]
        return Book(tuple(alerts.values()), (*news, *other.recent)[:RECENT], other.unsent)


class Notice(NamedTuple):
    """Something to tell."""

    alert: Alert
    again: bool = False
    """Was it told before, and is it still so?"""


def step(book: Book, rules: Iterable[Rule], readings: Readings, now: float, repeat: float) -> tuple[Book, list[Notice]]:
    """The book after these readings, and what is to be told. `repeat`: seconds after which people are reminded of
    what still fires."""
    known = {rule.name: rule for rule in rules}
    alerts = {alert.key: alert for alert in book.alerts}
    count = Counter(alert.rule for alert in book.alerts)
    told: list[Notice] = []
    over: list[Alert] = []

    def follow(key: Key, new: Alert | None, notice: Notice | None) -> None:
        if new is None:
            alerts.pop(key, None)
        elif new.state == "resolved":
            del alerts[key]
            over.append(new)
        elif key in alerts or count[key[0]] < MOST:
            count[key[0]] += key not in alerts
            alerts[key] = new
        else:
            return
        if notice is not None:
            told.append(notice)

    for rule in known.values():
        condition = rule.condition
        for reading in readings.get(rule.name) or ():
            key = (rule.name, reading.subject)
            follow(key, *_read(rule, condition, alerts.get(key), reading, now, repeat))
    for key, alert in list(alerts.items()):
        if _unread(alert, known, readings, now):
            follow(key, *_clear(known.get(alert.rule), alert, now))
    return Book(tuple(alerts.values()), (*over, *book.recent)[:RECENT], book.unsent), told


def _unread(alert: Alert, rules: Mapping[str, Rule], readings: Readings, now: float) -> bool:
    """Is its subject, or its rule, no longer there?"""
    rule = rules.get(alert.rule)
    if (rule is None or rule.about.source == "own") and now - alert.seen_at < ABSENT:
        return False  # another process may have that rule, or be that subject
    if rule is None:
        return True
    found = readings.get(alert.rule)
    return found is not None and all(reading.subject != alert.subject for reading in found)


def _read(
    rule: Rule, condition: str, old: Alert | None, reading: Reading, now: float, repeat: float
) -> tuple[Alert | None, Notice | None]:
    if not rule.holds(reading.value):
        return _clear(rule, old, now) if old is not None else (None, None)
    alert = old or Alert(
        id=_id(rule.name, reading.subject, now),
        rule=rule.name,
        subject=reading.subject,
        severity=rule.severity,
        state="pending",
        metric=rule.metric,
        value=reading.value,
        threshold=rule.threshold,
        condition=condition,
        since=now,
    )
    alert = replace(
        alert,
        severity=rule.severity,
        metric=rule.metric,
        value=reading.value,
        threshold=rule.threshold,
        condition=condition,
        since=min(alert.since, now),  # a clock that was set back must not make it wait longer
        clear_since=None,
        seen_at=now if not 0 <= now - alert.seen_at < SEEN else alert.seen_at,
    )
    if alert.state == "pending":
        if now - alert.since < rule.hold:
            return alert, None
        alert = replace(alert, state="firing", started_at=now, told_at=now)
        return alert, Notice(alert)
    if rule.about.source not in ONCE and alert.told_at is not None and now - alert.told_at >= repeat:
        alert = replace(alert, told_at=now)
        return alert, Notice(alert, again=True)
    return alert, None


def _clear(rule: Rule | None, alert: Alert, now: float) -> tuple[Alert | None, Notice | None]:
    if alert.state == "pending":
        return None, None
    since = now if alert.clear_since is None else min(alert.clear_since, now)
    if rule is not None and now - since < max(CLEAR, rule.hold):
        return replace(alert, clear_since=since), None
    alert = replace(alert, state="resolved", clear_since=since, resolved_at=now)
    return alert, Notice(alert)


def _id(rule: str, subject: str, now: float) -> str:
    return hashlib.sha256(f"{rule}\0{subject}\0{now!r}".encode()).hexdigest()[:24]
