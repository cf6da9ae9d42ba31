"""Looks after each server, gently: what it answers, or how it failed, becomes a fact for the fleet.

Most servers belong to strangers, so the prober is a polite guest: it says who it is, asks the lightest question that
tells enough, spreads its questions, asks a dead server ever more rarely, stays away for a day from one that says 403 or
429, and lets a model speak only where nothing else can tell (`sampler.py`). What to ask and when is decided in
`fleet/probes.py`; here it is done.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import structlog

from llm_gateway.access.policy import Trust
from llm_gateway.clock import Clock
from llm_gateway.errors import Fault, FaultKind, GatewayError, NotFound
from llm_gateway.fleet.facts import Fact, Listed, ListedModel, ProbeFailed, ServerSpec, Shown, Warm
from llm_gateway.fleet.faults import UNCOUNTED
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.fleet.probes import (
    LONGEST_REST,
    NEW,
    STAY_AWAY,
    Looked,
    Question,
    after_failure,
    next_turn,
    questions,
    used_lately,
)
from llm_gateway.fleet.server import ServerState
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.upstream.looks import Looks, TurnedAway
from llm_gateway.upstream.sampler import Sampler
from llm_gateway.wire.models import ModelShow

AT_ONCE: Final = 8
"""Scheduled looks that run at the same time."""
FIRST_ROUND: Final = 2.0
"""Seconds over which newly met servers are spread at most, 50 ms for each."""
ROUND: Final = 5.0
"""Seconds between two rounds in which is looked who has to say a few words, and who has come into use."""

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Plan:
    """When a server is asked next, and the little that has to be kept of it for that."""

    spec: ServerSpec
    due: float = math.inf
    looked: Looked = field(default_factory=Looked)
    version: str | None = None
    remembered: int | None = None
    """Hash of the list that was handed to `remember` last."""


class Prober:
    """One owned task, `run()`; the rest may be called beside it, or without it."""

    def __init__(
        self,
        looks: Looks,
        fleet: Fleet,
        apply: Callable[[Fact], None],
        clock: Clock,
        dice: Callable[[], float],
        every: float = NEW,
        *,
        remember: Callable[[str, tuple[ListedModel, ...]], Awaitable[None]] | None = None,
        exposed: Callable[[], Container[str]] = frozenset,
    ) -> None:
        """`fleet` tells the servers of now (after a change: `kick()`) and what is believed of them, `apply` hears each
        fact and tells the fleet, `remember` hears each list that differs from the last. `every`: seconds between two
        looks; `dice` gives numbers in [0, 1); `exposed`: canonical names of models that projects know by name."""
        self.sampler = Sampler(looks, fleet, apply, clock, dice)
        self._looks = looks
        self._fleet = fleet
        self._apply = apply
        self._clock = clock
        self._dice = dice
        self._every = every
        self._remember = remember
        self._exposed = exposed
        self._plans: dict[str, _Plan] = {}
        self._queue: list[tuple[float, int, _Plan]] = []
        """A heap by due time; an entry whose plan was scheduled anew or dropped is skipped."""
        self._turn = count()
        self._asking: set[_Plan] = set()
        self._changed = True
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Probes until cancelled; then no probe is left running. May be called again."""
        self._asking.clear()  # an earlier run may have been cut short: what it had planned is planned anew
        self._queue.clear()
        self._notice(anew=True)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._rounds(group), name="probe rounds")
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

    @property
    def next_in(self) -> float:
        """Seconds until the next question; 0 while one is being asked, infinite where there is nobody to ask."""
        due = [plan.due for plan in self._plans.values()]
        return 0.0 if self._asking or self._changed else max(0.0, min(due, default=math.inf) - self._clock.now())

    def next_look(self, server_id: str) -> float | None:
        """Seconds until this server is asked something, 0 while it is; None when nothing is planned."""
        plan = self._plans.get(server_id)
        if plan is None:
            return None
        if plan in self._asking:
            return 0.0
        return max(0.0, plan.due - self._clock.now()) if plan.due < math.inf else None

    async def probe(self, server_id: str) -> Listed | ProbeFailed:
        """Asks one server for its list now, whatever the schedule says; the fact has been applied. Raises NotFound."""
        self._notice()
        plan = self._plans.get(server_id)
        if plan is None:
            raise NotFound(f"There is no server {server_id!r}.")
        found = await self._ask(plan, whole=True)
        assert found is not None
        return found

    async def verify(self, spec: ServerSpec) -> tuple[tuple[ListedModel, ...], str | None]:
        """Asks an address that is no server of the fleet for its list and its version; nothing of it is kept. Raises
        Fault."""
        models, _ = await self._looks.models(spec)
        try:
            return models, await self._looks.version(spec)
        except Fault:  # one that keeps its version to itself is no worse for it
            return models, None

    def _notice(self, *, anew: bool = False) -> None:
        """Brings the plans in line with the servers there are. One whose address, key or kind changed is new. `anew`:
        nothing is planned for those that are known either."""
        self._changed = False
        plans: dict[str, _Plan] = {}
        new: list[tuple[_Plan, float]] = []
        for state in self._fleet.servers.values():
            spec = state.spec
            known = self._plans.get(spec.id)
            other = known is not None and _asked(known.spec) != _asked(spec)
            plan = _Plan(spec) if known is None or other else known
            if spec.enabled and (anew or plan is not known):
                new.append((plan, -math.inf if other else self._due(state)))
            plan.spec = spec
            plans[spec.id] = plan
        self._plans = plans
        spread = min(FIRST_ROUND, 0.05 * len(new))
        for plan, due in new:
            self._schedule(plan, max(spread * self._dice(), due - self._clock.now()))

    def _due(self, state: ServerState) -> float:
        """When a server that we meet is to be asked, by what another prober heard of it; in the past where none did."""
        if state.probe_rest.resting(self._clock.now()):
            return state.probe_rest.until
        if state.listed_at is None:
            return -math.inf
        return state.listed_at + self._every * (0.8 + 0.4 * self._dice())

    def _schedule(self, plan: _Plan, wait: float) -> None:
        plan.due = self._clock.now() + wait
        heapq.heappush(self._queue, (plan.due, next(self._turn), plan))
        self._wake.set()

    def _start_due(self, group: asyncio.TaskGroup) -> float | None:
        """Starts what is due. Returns the seconds until the next is, None when only an event can bring more."""
        while self._queue and len(self._asking) < AT_ONCE:
            due, _, plan = self._queue[0]
            if plan.due == due and self._plans.get(plan.spec.id) is plan:
                wait = due - self._clock.now()
                if wait > 0:
                    return wait
                if plan not in self._asking:  # else it is passed over, and the end of its turn schedules it anew
                    self._asking.add(plan)
                    plan.due = math.inf
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
            if plan.due <= self._clock.now():  # its next look was due meanwhile, and was passed over
                self._schedule(plan, 0.0)
            self._wake.set()

    async def _rounds(self, group: asyncio.TaskGroup) -> None:
        """Now and then: models that have to speak, and servers that came into use since their last look."""
        while True:
            await asyncio.sleep(ROUND)
            group.create_task(self.sampler.round(), name="probe samples")
            now = self._clock.now()
            for id, plan in self._plans.items():
                state = self._fleet.servers.get(id)
                if state and now + self._every < plan.due < math.inf and _may_be_hastened(state, now):
                    self._schedule(plan, self._every / 2)

    async def _ask(self, plan: _Plan, *, whole: bool = False) -> Listed | ProbeFailed | None:
        """One look. `whole`: ask for the list whether it is due or not; without, None when it was not."""
        spec = plan.spec
        state = self._fleet.servers.get(spec.id)
        if state is None:
            self._changed = True
            return None
        listed: Listed | None = None
        try:
            listed, warm = await self._look(plan, state, whole=whole)
        except Fault as fault:
            failed = self._failed(plan, state, fault)
            if self._plans.get(spec.id) is plan:
                self._apply(failed)
                if spec.enabled:
                    self._schedule(plan, failed.again_in or 0.0)
            return failed
        if self._plans.get(spec.id) is plan:  # else it was removed or changed while it was asked
            for fact in (listed, warm):
                if fact is not None:
                    self._apply(fact)
            if spec.enabled:
                self._schedule(plan, next_turn(state, self._clock.now(), self._dice(), self._every))
            if listed is not None:
                await self._keep(plan, listed.models)
            await self._ask_shows(plan)
        return listed

    async def _look(self, plan: _Plan, state: ServerState, *, whole: bool) -> tuple[Listed | None, Warm | None]:
        """The questions of one look. Raises Fault."""
        spec, kind, now = plan.spec, KINDS[plan.spec.kind], self._clock.now()
        asks = list(
            questions(
                state,
                plan.looked,
                now,
                self._every,
                tells_version=kind.version_path is not None,
                tells_memory=kind.memory_path is not None,
            )
        )
        if whole and Question.LIST not in asks:
            asks.append(Question.LIST)
        models: tuple[ListedModel, ...] | None = None
        warm: Warm | None = None
        for question in asks:
            if question is Question.LIST:
                plan.looked.list_at = self._clock.now()
                models, plan.looked.list_size = await self._looks.models(spec)
            elif question is Question.VERSION:
                known = plan.version
                await self._ask_version(plan)
                if plan.version != known is not None and Question.LIST not in asks:
                    asks.append(Question.LIST)  # restarted as another version, or as something else altogether
            else:
                warm = await self._ask_memory(spec)
        listed = None if models is None else Listed(spec.id, self._clock.now(), models, plan.version)
        return listed, warm

    async def _ask_shows(self, plan: _Plan) -> None:
        """What a few of its models are able to, where nobody has said so. One that refuses is not asked again, and is
        no worse for it: many proxies let through no more than answers and lists."""
        state = self._fleet.servers.get(plan.spec.id)
        if state is None or KINDS[plan.spec.kind].show_path is None:
            return
        for model in self._fleet.unshown(state, self._exposed(), self._clock.now()):
            try:
                show = await self._looks.show(plan.spec, model.listed.name)
            except Fault as fault:
                if fault.kind in UNCOUNTED:
                    return  # it has just gone: the next look finds out
                show = ModelShow()
            if self._plans.get(plan.spec.id) is not plan:
                return
            now = self._clock.now()
            self._apply(Shown(plan.spec.id, now, model.listed.name, model.listed.digest, show))

    async def _ask_version(self, plan: _Plan) -> None:
        """A server that keeps its version to itself is no worse for it."""
        plan.looked.version_at = self._clock.now()
        try:
            plan.version = await self._looks.version(plan.spec)
        except TurnedAway:
            raise
        except Fault as fault:
            if fault.kind in UNCOUNTED or fault.kind is FaultKind.RESET:
                raise
            plan.version = None

    async def _ask_memory(self, spec: ServerSpec) -> Warm | None:
        try:
            return Warm(spec.id, self._clock.now(), await self._looks.memory(spec))
        except TurnedAway:
            raise
        except Fault as fault:
            if fault.kind in UNCOUNTED or fault.kind is FaultKind.RESET:
                raise
            return None  # one that does not tell

    def _failed(self, plan: _Plan, state: ServerState, fault: Fault) -> ProbeFailed:
        plan.looked.version_at = -math.inf
        wait = after_failure(state.probe_rest.faults + 1, self._dice())
        if isinstance(fault, TurnedAway) and plan.spec.trust is not Trust.OWN:
            wait = STAY_AWAY
        elif fault.retry_after is not None:
            wait = max(wait, min(fault.retry_after, STAY_AWAY))
        return ProbeFailed(plan.spec.id, self._clock.now(), fault.kind, fault.detail, wait)

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


def _may_be_hastened(state: ServerState, now: float) -> bool:
    """A server that answers, and has come into use."""
    return state.listed_at is not None and not state.probe_rest.faults and used_lately(state, now)


def _asked(spec: ServerSpec) -> tuple[str, str, str | None, bool]:
    """What makes a server another one to ask. Not its models: those change with each answer."""
    return spec.url, spec.kind, spec.api_key, spec.enabled
