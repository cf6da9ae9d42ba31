"""Asks each server for its models, gently: what it answers, or how it failed, becomes a fact for the fleet.

Most servers belong to strangers, so the prober is a polite guest: it never asks for a generation, says who it is,
spreads its questions, asks a dead server ever more rarely, and stays away for a day from one that says 403 or 429.
It keeps its own schedule and knows nothing of the fleet's beliefs.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

import structlog

from llm_gateway import __version__
from llm_gateway.access.policy import Trust
from llm_gateway.clock import Clock
from llm_gateway.errors import Fault, FaultKind, GatewayError, InvalidRequest, NotFound
from llm_gateway.fleet.facts import Listed, ListedModel, ProbeFailed, ServerSpec
from llm_gateway.upstream.guard import Guard
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.upstream.kinds.kind import MOST_MODELS, MOST_OF_STRANGERS, Kind
from llm_gateway.upstream.transport import Transport

AT_ONCE: Final = 8
"""Scheduled probes that run at the same time."""
LARGEST_LIST: Final = 2**20
"""Bytes of a model list."""
LARGEST_VERSION: Final = 4096
"""Bytes of a version answer."""
FIRST_ROUND: Final = 2.0
"""Seconds over which newly met servers are spread at most, 50 ms for each."""
VERSION_EVERY: Final = 600.0
"""Seconds between two questions for a server's version."""
FIRST_REST: Final = 5.0
LONGEST_REST: Final = 300.0
STAY_AWAY: Final = 86_400.0
"""Seconds after a 403 or 429 of somebody else's server."""

log = structlog.get_logger(__name__)


def gap(every: float, roll: float) -> float:
    """Seconds until a server that answered is asked again: `every` ± 20 %, by a roll in [0, 1)."""
    return every * (0.8 + 0.4 * roll)


def rest(failures: int, roll: float) -> float:
    """Seconds until a server is asked again that failed so many times in a row: 5 s doubled up to 300 s, ± 30 %."""
    return min(FIRST_REST * 2.0 ** min(failures - 1, 16), LONGEST_REST) * (0.7 + 0.6 * roll)


def user_agent(contact: str | None = None) -> str:
    """Who asks, for the `Transport`: with a URL or address by which a server's owner can find us, where one is set."""
    words = "".join(c for c in contact or "" if c.isascii() and c.isprintable() and c not in "()\\")
    return f"llm-gateway/{__version__}" + (f" (+{words})" if words else "")


class TurnedAway(Fault):
    """The server answered 403 or 429: it does not want to be asked."""


@dataclass(slots=True, eq=False)
class _Plan:
    """When a server is asked next, and the little that has to be kept of it for that."""

    spec: ServerSpec
    due: float = math.inf
    failures: int = 0
    version: str | None = None
    version_due: float = -math.inf
    remembered: int | None = None
    """Hash of the list that was handed to `remember` last."""


class Prober:
    """One owned task, `run()`; the rest may be called beside it, or without it."""

    def __init__(
        self,
        transport: Transport,
        guard: Guard,
        specs: Callable[[], Sequence[ServerSpec]],
        apply: Callable[[Listed | ProbeFailed], None],
        clock: Clock,
        dice: Callable[[], float],
        every: float = 60.0,
        timeout: float = 5.0,
        *,
        remember: Callable[[str, tuple[ListedModel, ...]], Awaitable[None]] | None = None,
    ) -> None:
        """`specs` gives the servers of now (after a change: `kick()`), `apply` hears each fact, `remember` each
        list that differs from the last. `every` and `timeout` (of one question) are seconds; `dice` gives numbers
        in [0, 1)."""
        self._transport = transport
        self._guard = guard
        self._specs = specs
        self._apply = apply
        self._clock = clock
        self._dice = dice
        self._every = every
        self._timeout = timeout
        self._remember = remember
        self._plans: dict[str, _Plan] = {}
        self._queue: list[tuple[float, int, _Plan]] = []
        """A heap by due time; an entry whose plan was scheduled anew or dropped is skipped."""
        self._turn = count()
        self._asking: set[_Plan] = set()
        self._changed = True
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Probes until cancelled; then no probe is left running."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                if self._changed:
                    self._notice()
                try:
                    async with asyncio.timeout(self._start_due(group)):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    def kick(self) -> None:
        """The servers have changed: new ones are asked soon, ones that are gone no more."""
        self._changed = True
        self._wake.set()

    async def probe(self, server_id: str) -> Listed | ProbeFailed:
        """Asks one server now, whatever the schedule says; the fact has been applied. Raises NotFound."""
        self._notice()
        plan = self._plans.get(server_id)
        if plan is None:
            raise NotFound(f"There is no server {server_id!r}.")
        return await self._ask(plan)

    def _notice(self) -> None:
        """Brings the plans in line with the servers there are. One whose address, key or kind changed is new."""
        self._changed = False
        plans: dict[str, _Plan] = {}
        new: list[_Plan] = []
        for spec in self._specs():
            plan = self._plans.get(spec.id)
            if plan is None or _asked(plan.spec) != _asked(spec):
                plan = _Plan(spec)
                if spec.enabled:
                    new.append(plan)
            plan.spec = spec
            plans[spec.id] = plan
        self._plans = plans
        spread = min(FIRST_ROUND, 0.05 * len(new))
        for plan in new:
            self._schedule(plan, spread * self._dice())

    def _schedule(self, plan: _Plan, wait: float) -> None:
        plan.due = self._clock.now() + wait
        heapq.heappush(self._queue, (plan.due, next(self._turn), plan))
        self._wake.set()

    def _start_due(self, group: asyncio.TaskGroup) -> float | None:
        """Starts what is due. Returns the seconds until the next is, None when only an event can bring more."""
        while self._queue and len(self._asking) < AT_ONCE:
            due, _, plan = self._queue[0]
            if plan.due == due and self._plans.get(plan.spec.id) is plan and plan not in self._asking:
                wait = due - self._clock.now()
                if wait > 0:
                    return wait
                self._asking.add(plan)
                group.create_task(self._take_turn(plan), name=f"probe {plan.spec.id}")
            heapq.heappop(self._queue)
        return None

    async def _take_turn(self, plan: _Plan) -> None:
        try:
            await self._ask(plan)
        except Exception:
            # The outermost edge of a background task: what one stranger sent must not end the watch over all others.
            log.exception("probe_crashed", server=plan.spec.name)
            self._schedule(plan, LONGEST_REST)
        finally:
            self._asking.discard(plan)
            self._wake.set()

    async def _ask(self, plan: _Plan) -> Listed | ProbeFailed:
        spec = plan.spec
        fact: Listed | ProbeFailed
        try:
            models = await self._list(spec)
            await self._ask_version(plan)
        except Fault as fault:
            plan.failures += 1
            plan.version_due = -math.inf
            wait = rest(plan.failures, self._dice())
            if isinstance(fault, TurnedAway) and spec.trust is not Trust.OWN:
                wait = STAY_AWAY
            elif fault.retry_after is not None:
                wait = max(wait, min(fault.retry_after, STAY_AWAY))
            fact = ProbeFailed(spec.id, self._clock.now(), fault.kind, fault.detail)
        else:
            plan.failures = 0
            wait = gap(self._every, self._dice())
            fact = Listed(spec.id, self._clock.now(), models, plan.version)
        if self._plans.get(spec.id) is plan:  # else it was removed or changed while it was asked
            if spec.enabled:
                self._schedule(plan, wait)
            self._apply(fact)
            if isinstance(fact, Listed):
                await self._keep(plan, fact.models)
        return fact

    async def _keep(self, plan: _Plan, models: tuple[ListedModel, ...]) -> None:
        """Hands a changed list on, to be kept over a restart."""
        if self._remember is None or hash(models) == plan.remembered:
            return
        try:
            await self._remember(plan.spec.id, models)
        except GatewayError as error:  # e.g. the database is gone: the next list tries again
            log.warning("list_not_remembered", server=plan.spec.name, error=error.message)
        else:
            plan.remembered = hash(models)

    async def _list(self, spec: ServerSpec) -> tuple[ListedModel, ...]:
        kind = KINDS[spec.kind]
        status, body = await self._get(spec, kind, kind.list_path, LARGEST_LIST)
        if status == 200:
            return kind.read_list(body, MOST_OF_STRANGERS if spec.trust is Trust.PUBLIC else MOST_MODELS)
        if status in (404, 405, 501) and kind.may_lack_list and spec.models:
            return spec.models  # it answers, and its owner said what it holds
        raise Fault(FaultKind.NOT_THE_PROTOCOL, f"status {status} to {kind.list_path}")

    async def _ask_version(self, plan: _Plan) -> None:
        """Now and then; a server that keeps its version to itself is no worse for it."""
        kind = KINDS[plan.spec.kind]
        if kind.version_path is None or self._clock.now() < plan.version_due:
            return
        plan.version_due = self._clock.now() + VERSION_EVERY
        try:
            status, body = await self._get(plan.spec, kind, kind.version_path, LARGEST_VERSION)
        except TurnedAway:
            raise
        except Fault:
            return
        plan.version = kind.read_version(body) if status == 200 else None

    async def _get(self, spec: ServerSpec, kind: Kind, path: str, limit: int) -> tuple[int, bytes]:
        """Status and body of one question, both within the timeout. Raises Fault for all that is no answer."""
        try:
            origin, base = self._guard.check_url(spec.url)
        except InvalidRequest as wrong:
            raise Fault(FaultKind.NOT_PERMITTED, wrong.message) from wrong
        until = self._clock.now() + self._timeout
        headers = kind.auth_headers(spec.api_key)
        try:
            response = await self._transport.send(origin, "GET", base + path, headers, deadline=until, max_body=limit)
        except Fault as fault:
            if fault.kind is FaultKind.FIRST_TOKEN_TIMEOUT:  # a list waits for no model: this server hangs
                raise Fault(FaultKind.HEAD_TIMEOUT, f"silent for {self._timeout:g} s after {path}") from None
            raise
        try:
            _refuse(response.status, response.headers.get("retry-after", ""))
            if "html" in response.headers.get("content-type", ""):
                raise Fault(FaultKind.NOT_THE_PROTOCOL, f"an HTML page with status {response.status}")
            body = b""
            while response.status == 200 and (data := await response.read(until, FaultKind.TOTAL_TIMEOUT)):
                body += data
            return response.status, body
        finally:
            await response.close()


def _asked(spec: ServerSpec) -> tuple[str, str, str | None, bool]:
    """What makes a server another one to ask. Not its models: those change with each answer."""
    return spec.url, spec.kind, spec.api_key, spec.enabled


def _refuse(status: int, retry_after: str) -> None:
    """Raises the fault of a status that says no, whatever was asked for."""
    after = float(retry_after) if retry_after.isdecimal() and len(retry_after) < 10 else None
    said = f"status {status}"
    if 300 <= status < 400:
        raise Fault(FaultKind.REDIRECT, said)
    if status == 403:
        raise TurnedAway(FaultKind.AUTH, said)
    if status == 429:
        raise TurnedAway(FaultKind.BUSY, said, retry_after=after)
    if status in (401, 402, 407):
        raise Fault(FaultKind.AUTH, said)
    if status == 503:
        raise Fault(FaultKind.BUSY, said, retry_after=after)
    if status >= 500 and status != 501:
        raise Fault(FaultKind.SERVER_ERROR, said)
