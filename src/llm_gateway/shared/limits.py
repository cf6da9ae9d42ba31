"""Limits that several processes and hosts keep together, over Redis or Valkey; exact as long as that answers.

One round trip when a request is admitted, one when its tokens are reserved (only where tokens or costs are limited),
none for callers without limits. Its end is told in the background. Redis away: the process decides by what it knows,
as if each of the living instances took as much as itself, so that together they stay within the limits; what is used
meanwhile is told when Redis is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

import msgspec
import structlog

from llm_gateway.access.accounts import Account, Rules
from llm_gateway.access.limits import MOST_RULES, Holders, Lease, Limits
from llm_gateway.access.periods import Periods
from llm_gateway.access.policy import Caller
from llm_gateway.access.refusals import ADMITTED, NAMES, Ask, refused
from llm_gateway.clock import Clock
from llm_gateway.shared.client import PATIENT, Away, Client, Keys
from llm_gateway.shared.scripts import MEMORY, RENEW, SETTLE, STORED, TAKE
from llm_gateway.shared.settling import Batch, counters, day_and_month, holder_keys

LEASE: Final = 30.0
"""Seconds after which the place of a process that is dead is free."""
RETRY: Final = 0.5
SHORT: Final = 200
"""Arguments of a batch that is no burden to the requests whose packet it shares."""
MOST_RENEWED: Final = 500
"""Leases of one call."""
FIGURES: Final = 13
"""That Redis tells of each project or key."""
LARGEST: Final = 2**62
"""Of a limit, as Redis counts."""
_FIELDS: Final = tuple(NAMES)
_KEPT: Final = (Batch.KEPT["day"], Batch.KEPT["month"])
_encode: Final = msgspec.msgpack.Encoder().encode

log = structlog.get_logger(__name__)


class _Asked(NamedTuple):
    """What is the same in every question about a project and its key on one day."""

    holders: Holders
    at: Periods
    limited: list[tuple[Rules, Account]]
    keys: Keys
    limits: list[list[int]]
    """Of each that is limited, as Redis counts them."""

    @classmethod
    def of(cls, holders: Holders, at: Periods) -> Self:
        limited = [(rules, account) for rules, account in holders if rules is not None]
        project = holders.project.id
        keys = Keys(
            key for rules, _ in limited for key in (*holder_keys(project, rules.id), *counters(project, rules.id, at))
        )
        limits = [[-1 if limit is None else min(limit, LARGEST) for limit in rules.limits] for rules, _ in limited]
        return cls(holders, at, limited, keys, limits)


class SharedLimits:
    """`run` is one task that tells and renews until it is cancelled; `flush` tells what is left at the end."""

    def __init__(
        self,
        limits: Limits,
        client: Client,
        clock: Clock,
        process: str,
        instances: Callable[[], int] = lambda: 1,
        *,
        lease: float = LEASE,
    ) -> None:
        """`process`: unique, as in `limits`. `instances`: how many processes live that share the limits."""
        self._limits = limits
        self._client = client
        self._clock = clock
        self._process = process
        self._instances = instances
        self._lease = lease
        self._milliseconds = int(lease * 1000)
        self._running: dict[str, Lease] = {}
        self._ended: dict[str, Batch] = {}
        """Project -> what Redis has not heard yet."""
        self._asked: dict[int, _Asked] = {}
        """By id of the holders' object."""
        self._number = 0
        self._wake = asyncio.Event()
        self._away = False

    @property
    def up(self) -> bool:
        """Does Redis answer, and know of all that runs?"""
        return self._client.up and not self._away

    @property
    def settled(self) -> bool:
        """Does Redis know of all that has ended?"""
        return not self._ended

    async def admit(self, caller: Caller) -> Lease:
        """As `Limits.admit`."""
        now, wall = self._clock.now(), self._clock.wall()
        limits = self._limits
        holders = limits.holders(caller, now)
        if all(rules is None for rules, _ in holders):
            return limits.admit(caller, now, wall)
        at = limits.periods(wall)
        id = limits.next_id()
        try:
            await self._take(id, holders, ADMITTED, at, wall)
        except Away:
            lease = limits.admit(caller, self._clock.now(), wall, sharing=self._sharing())
        except asyncio.CancelledError:  # Redis may have counted it, and nobody would ever end it
            drop = self._ended.setdefault(caller.project.id, Batch()).open()
            drop.drop(id, [rules.id for rules, _ in holders if rules is not None])
            self._wake.set()
            raise
        else:
            lease = Lease(holders, at, 0)  # Redis has counted the request
        lease.id, lease.told = id, self._told
        self._running[id] = lease
        return lease

    async def reserve(self, lease: Lease, ask: Ask) -> None:
        """As `Limits.reserve`."""
        if lease.told is None:
            return
        wall = self._clock.wall()
        try:
            await self._take(lease.id, lease.holders, ask, lease.at, wall)
        except Away:
            self._limits.reserve(lease, ask, self._clock.now(), wall, sharing=self._sharing())
        else:
            self._limits.kept(lease, ask)
            lease.rate_elsewhere = ask.rate

    async def stored(self, spent: Mapping[tuple[str, str], Sequence[int]], at: Periods) -> None:
        """Redis learns what stands in the database: (project, project or key) -> tokens and costs of the day, of the
        month. Where it is away that has to wait."""
        try:
            for (project, id), (day_tokens, day_nanos, month_tokens, month_nanos) in spent.items():
                day = (day_tokens, day_nanos, Batch.KEPT["day"])
                month = (month_tokens, month_nanos, Batch.KEPT["month"])
                await self._client.run(STORED, counters(project, id, at), [*day, *month], patience=PATIENT)
        except Away:
            self._away = True

    async def prepare(self) -> None:
        """Makes Redis ready for the first request, where it is there."""
        try:
            await self._client.load(TAKE, SETTLE, RENEW, STORED, MEMORY)
        except Away:
            self._away = True

    async def run(self) -> None:
        """Until cancelled. What ends while a batch is under way goes with the next one."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tell(), name="limits telling")
            group.create_task(self._renew(), name="limits renewing")

    async def flush(self, *, along: bool = False) -> None:
        """Tells what is left. `along`: short batches go in one packet with the questions of requests, before those that
        begin later, instead of in packets of their own. Raises Away."""
        while self._ended:
            project, batch = next(iter(self._ended.items()))
            if not batch.number:
                self._number += 1
                batch.number = self._number
            keys, arguments = batch.call(project, self._process, self._limits, self._clock.now())
            batch.sent = True
            patience = None if along and len(arguments) < SHORT else PATIENT
            told = await self._client.run(SETTLE, keys, arguments, patience=patience)
            batch.arrived(told, self._limits, self._clock.now())
            if batch.following is None:
                del self._ended[project]
            else:
                self._ended[project] = batch.following

    async def _tell(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.flush(along=True)
            except Away:
                self._wake.set()
                await asyncio.sleep(RETRY)
            except Exception:  # the outermost edge: every later request would be held against its project for ever
                log.exception("limits_not_told")

    async def _renew(self) -> None:
        """Also tells a Redis that was away or has lost its memory what runs, as soon as it is back."""
        tick, next_at, memory = min(RETRY, self._lease / 3), 0.0, b""
        while True:
            await asyncio.sleep(tick)
            try:
                if self._running:
                    found = await self._client.run(MEMORY, ["llmgw:memory"], [], patience=PATIENT)
                    if found != memory:
                        memory, next_at = found, 0.0
                if not self._away and self._clock.now() < next_at:
                    continue
                next_at = self._clock.now() + self._lease / 3
                for project, holders, leases in self._by_holders():
                    keys = [key for id in holders for key in holder_keys(project, id)]
                    held = [v for one in leases for v in (one.id, one.taken.tokens, one.taken.nanos)]
                    await self._client.run(RENEW, keys, [self._milliseconds, *held], patience=PATIENT)
                self._away = False
            except Away:
                self._away = True

    def _by_holders(self) -> Iterable[tuple[str, tuple[str, ...], Sequence[Lease]]]:
        groups: dict[tuple[str, tuple[str, ...]], list[Lease]] = {}
        for lease in self._running.values():
            limited = tuple(rules.id for rules, _ in lease.holders if rules is not None)
            groups.setdefault((lease.caller.project.id, limited), []).append(lease)
        for (project, limited), leases in groups.items():
            for first in range(0, len(leases), MOST_RENEWED):
                # those that have ended in the meantime would come to life again
                alive = [lease for lease in leases[first : first + MOST_RENEWED] if lease.id in self._running]
                if alive:
                    yield project, limited, alive

    def _sharing(self) -> int:
        self._away = True
        return max(1, self._instances())

    def _told(self, lease: Lease) -> None:
        self._running.pop(lease.id, None)
        project = lease.caller.project.id
        self._ended.setdefault(project, Batch()).open().add(lease)
        self._wake.set()

    async def _take(self, lease: str, holders: Holders, ask: Ask, at: Periods, wall: float) -> None:
        """Raises Away, and RateLimited and its kin as `Limits` does."""
        asked = self._asked.get(id_of := id(holders))
        if asked is None or asked.holders is not holders or asked.at != at:
            if len(self._asked) >= MOST_RULES:
                self._asked.clear()
            asked = self._asked[id_of] = _Asked.of(holders, at)
        limited = asked.limited
        arguments: list[Any] = [lease, self._milliseconds, ask.requests, ask.places, ask.rate]
        arguments += (str(ask.tokens), str(ask.nanos))
        for (_, account), limits in zip(limited, asked.limits, strict=True):
            arguments += limits
            for spent in day_and_month(account, at):
                arguments += (str(spent.heard_tokens), str(spent.heard_nanos))
            arguments += _KEPT
        told = (await self._client.run(TAKE, asked.keys, (_encode(arguments),))).split()
        after = self._clock.now()
        for n, (rules, account) in enumerate(limited):
            _mirror(rules, account, told[3 + FIGURES * n :][:FIGURES], at, after)
        if refuser := int(told[0]):
            rules, account = limited[refuser - 1]
            raise refused(rules, _FIELDS[int(told[1]) - 1], ask, account, at, wall, float(told[2]))


def _mirror(rules: Rules, account: Account, told: Sequence[Any], at: Periods, now: float) -> None:
    """What all have used, for headers and for the time when Redis is away."""
    if rules.requests:
        account.requests.drain(rules.requests, now)
        account.requests.used = float(told[0])
    if rules.tokens:
        account.tokens.drain(rules.tokens, now)
        account.tokens.used = float(told[1])
    account.elsewhere_tokens = max(0, int(told[3]) - account.held_tokens)
    account.elsewhere_nanos = max(0, int(told[4]) - account.held_nanos)
    day, month = day_and_month(account, at)
    if rules.day_tokens is not None or rules.day_nanos is not None:
        day.heard(*map(int, told[5:9]))
    if rules.month_tokens is not None or rules.month_nanos is not None:
        month.heard(*map(int, told[9:13]))
