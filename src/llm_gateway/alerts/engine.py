"""Looks at all rules every few seconds and tells what has changed.

What is shared (roll-ups, budgets, keys, fleet) one process looks at, the leader; each looks at itself. All keep one
book of alerts in the database, and who writes a change into it is the one who tells: so nothing is told twice, however
many processes there are and however often they start. While the database is away the leader goes on from memory, and
writes down what changed when it is back.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from msgspec.structs import replace

from llm_gateway.access.policy import Trust
from llm_gateway.alerts.courier import Courier, Delivery
from llm_gateway.alerts.message import trial
from llm_gateway.alerts.plan import Plan
from llm_gateway.alerts.readings import Found, budgets_of, read
from llm_gateway.alerts.rules import LONGEST_WINDOW, Reading, Readings, Rule
from llm_gateway.alerts.states import Book, Key, Notice, Unsent, step
from llm_gateway.errors import DatabaseUnavailable, InvalidRequest, NotFound
from llm_gateway.gateway import Gateway
from llm_gateway.storage import alarms
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.usage import UsageRow, total, usage

EVERY: Final = 15.0
"""Seconds between looks."""
PATIENCE: Final = 5.0
"""Seconds that the database has for the questions of one look, and for the book."""
MOST_UNSENT: Final = 200
"""Notices that are left to the next process."""

_Asked = dict[float, list[UsageRow]]
_Spent = dict[str, dict[str, float]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Here:
    """What this process knows of itself."""

    process: str
    """Its name among the processes that share the database; stays the same over restarts where there is one only."""
    host: str
    data_dir: Path
    database_ok: Callable[[], bool]
    redis_up: Callable[[], bool] | None = None
    """None = Redis is not used."""
    leader: Callable[[], bool] = lambda: True
    """Does this process look at what all share?"""


@dataclass(slots=True)
class _Since:
    """How long something has been away."""

    last: float | None = None

    def away(self, ok: bool, now: float) -> float:
        if ok or self.last is None:
            self.last = now
        return now - self.last


@dataclass(slots=True)
class Alerts:
    """`run` looks until it is cancelled; whoever made it awaits `end`."""

    gateway: Gateway
    sessions: Sessions
    courier: Courier
    here: Here
    plan: Plan = field(default_factory=Plan)
    book: Book = field(default_factory=Book)
    """As this process knows it: with fresh values."""
    readings: Readings = field(default_factory=dict)
    """Of the last look."""
    looked_at: float | None = None
    """Unix seconds of the last look; None = this process does not look, or not yet."""
    _kept: Book = field(default_factory=Book)
    """As it was stored last, as far as this process knows."""
    _unkept: set[Key] = field(default_factory=set)
    """Alerts that changed while the database was away."""
    _database: _Since = field(default_factory=_Since)
    _redis: _Since = field(default_factory=_Since)
    _dropped: deque[tuple[float, int]] = field(default_factory=deque)
    """When so many rows were lost, in all."""
    _troubled: bool = False

    def configure(self, plan: Plan) -> None:
        """From now on this is watched, and these are told."""
        self.plan = plan
        self.courier.configure(plan.webhooks)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.look()
            except Exception:  # the outermost edge: one bad look must not be the last
                log.exception("alerts_not_looked_at")

    async def look(self) -> None:
        """One look at everything; what changed is told."""
        wall = self.gateway.clock.wall()
        found = await self._find(wall, self.plan.rules)
        ours = self.here.leader()
        readings: dict[str, list[Reading] | None] = {}
        for rule in self.plan.rules:
            readings[rule.name] = read(rule, found) if ours or rule.about.source == "own" else None
            await asyncio.sleep(0)  # requests get their turn: a rule may be about thousands of figures
        self.readings = readings
        self.looked_at = wall
        try:
            async with asyncio.timeout(PATIENCE):
                notices = await self._turn(wall)
        except (DatabaseUnavailable, TimeoutError) as error:
            notices = self._turn_alone(wall)
            if not self._troubled:
                log.warning("alerts_kept_in_memory", error=type(error).__name__)
            self._troubled = True
        else:
            self._troubled = False
        for notice in notices:
            alert = notice.alert
            told = {"rule": alert.rule, "subject": alert.subject, "value": alert.value, "again": notice.again}
            log.warning("alert", state=alert.state, **told)
            self.courier.send(notice)

    async def current(self) -> Book:
        """All alerts: those that the database knows, with the values of this process; without it those in memory."""
        try:
            async with asyncio.timeout(PATIENCE), self.sessions.read() as s:
                return self._fresh(_book(await alarms.get_book(s)))
        except (DatabaseUnavailable, TimeoutError):
            return self.book

    async def values(self, rule: Rule) -> list[Reading] | None:
        """What a rule's metric is now, for each subject; None = this process does not know. Nothing comes of it."""
        found = await self._find(self.gateway.clock.wall(), (rule,))
        return read(rule, found) if self.here.leader() or rule.about.source == "own" else None

    async def test(self, name: str | None) -> Delivery:
        """Sends a test to a webhook, once and now. Raises InvalidRequest where it is not known which, and NotFound."""
        hooks = {hook.name: hook for hook in self.courier.hooks}
        if not hooks:
            raise InvalidRequest("No webhook is configured: `alerts.webhooks` of the config file.", param="webhook")
        if name is None and len(hooks) == 1:
            name = next(iter(hooks))
        there = f"there are: {', '.join(hooks)}."
        if name is None:
            raise InvalidRequest(f"`webhook` is missing; {there}", param="webhook")
        if name not in hooks:
            raise NotFound(f"There is no webhook {name[:60]!r}; {there}", param="webhook")
        return await self.courier.try_once(hooks[name], trial(self.gateway.clock.wall()))

    def firing(self) -> dict[str, int]:
        """Rule -> subjects for which it fires, as this process knows."""
        counts = dict.fromkeys((rule.name for rule in self.plan.rules), 0)
        for alert in self.book.firing():
            counts[alert.rule] = counts.get(alert.rule, 0) + 1
        return counts

    async def end(self) -> None:
        """What has not arrived at its webhook is left to the next process."""
        left = [Unsent(d.webhook, d.notice.alert, d.notice.again) for d in await self.courier.end()]
        if not left or not self.here.database_ok():
            return
        try:
            async with asyncio.timeout(PATIENCE), self.sessions.write() as s:
                book = _book(await alarms.hold_book(s))
                book = replace(book, unsent=(*book.unsent, *left)[:MOST_UNSENT])
                await alarms.keep_book(s, msgspec.to_builtins(book))
        except (DatabaseUnavailable, TimeoutError):
            log.error("alerts_lost", count=len(left))

    async def _turn(self, wall: float) -> list[Notice]:
        """Reads the book, and writes it only where something changed. Raises DatabaseUnavailable."""
        if not self.here.database_ok():
            raise DatabaseUnavailable("The database did not answer a moment ago.")
        async with self.sessions.read() as s:
            stored = _book(await alarms.get_book(s))
        base = self._fresh(stored)
        book, notices = self._step(base, wall)
        if not (self._unkept or stored.unsent) and book.standing == base.standing:
            self.book, self._kept = book, stored
            return []
        async with self.sessions.write() as s:
            stored = _book(await alarms.hold_book(s))
            book, notices = self._step(self._fresh(stored), wall)
            book = replace(book, unsent=())
            await alarms.keep_book(s, msgspec.to_builtins(book))
        self.book = self._kept = book
        self._unkept.clear()
        for left in stored.unsent:
            self.courier.send(Notice(left.alert, left.again), only=left.webhook)
        return notices

    def _turn_alone(self, wall: float) -> list[Notice]:
        before = {alert.key: alert for alert in self.book.alerts}
        self.book, notices = self._step(self.book, wall)
        after = {alert.key: alert for alert in self.book.alerts}
        self._unkept |= {key for key in before | after if before.get(key) != after.get(key)}
        return notices

    def _step(self, base: Book, wall: float) -> tuple[Book, list[Notice]]:
        return step(base, self.plan.rules, self.readings, wall, self.plan.repeat)

    def _fresh(self, stored: Book) -> Book:
        """The stored book, with what this process knows better."""
        return self.book if stored == self._kept else self.book.over(stored, self._unkept)

    async def _find(self, wall: float, rules: Sequence[Rule]) -> Found:
        gw, here, now = self.gateway, self.here, self.gateway.clock.now()
        asked, spent = await self._ask(wall, rules)
        trusts = frozenset(Trust)
        states: dict[str, int] = {}
        for server in gw.fleet.servers.values():
            state = server.state(now)
            states[state] = states.get(state, 0) + 1
        return Found(
            now=wall,
            day=datetime.fromtimestamp(wall, UTC).date().isoformat(),
            snapshot=gw.snapshot,
            process=here.process,
            host=here.host,
            total=total,
            states=states,
            healthy=lambda model: gw.fleet.healthy(model, trusts, now),
            asked=asked,
            spent=spent,
            database_away=self._database.away(here.database_ok(), now),
            redis_away=None if here.redis_up is None else self._redis.away(here.redis_up(), now),
            dropped=self._lost(now, rules),
            waiting=gw.ledger.waiting,
            disk_free=await _disk_free(here.data_dir),
        )

    async def _ask(self, wall: float, rules: Sequence[Rule]) -> tuple[_Asked | None, _Spent | None]:
        """What the roll-ups say: a query for each window, and at most four for all budgets."""
        windows = {rule.over for rule in rules if rule.about.source == "usage"}
        budgets = budgets_of(self.gateway.snapshot)
        if not self.here.leader() or not (windows or budgets):
            return {}, {}
        if not self.here.database_ok():
            return None, None
        try:
            async with asyncio.timeout(PATIENCE), self.sessions.read() as s:
                asked = {
                    over: await usage(s, since=wall - over, until=wall, by=("project", "model"), top=alarms.MOST_GROUPS)
                    for over in windows
                }
                return asked, await alarms.spent(s, budgets, wall)
        except (DatabaseUnavailable, TimeoutError):
            return None, None

    def _lost(self, now: float, rules: Iterable[Rule]) -> Mapping[float, int]:
        """Rows that were lost within the windows of the rules."""
        lost = self.gateway.ledger.dropped
        if not self._dropped or self._dropped[-1][1] != lost:
            self._dropped.append((now, lost))
        while len(self._dropped) > 1 and self._dropped[1][0] < now - LONGEST_WINDOW:
            self._dropped.popleft()
        return {over: lost - _before(self._dropped, now - over) for over in _windows(rules)}


def _windows(rules: Iterable[Rule]) -> set[float]:
    return {rule.over for rule in rules if rule.metric == "log_rows_dropped"}


def _before(noted: Iterable[tuple[float, int]], time: float) -> int:
    """The count as it was at that time; what a process starts with is 0."""
    count = 0
    for at, lost in noted:
        if at > time:
            break
        count = lost
    return count


def _book(stored: Any) -> Book:
    """What cannot be read (of another version) is as good as nothing."""
    try:
        return msgspec.convert(stored or {}, Book)
    except msgspec.ValidationError:
        log.error("alerts_unreadable")
        return Book()


async def _disk_free(path: Path) -> float | None:
    try:
        usage = await asyncio.to_thread(shutil.disk_usage, path)
    except OSError:
        return None
    return usage.free / usage.total if usage.total else None
