"""Carries a plan out: opens attempts, lets the first one with content win, cancels and awaits the others.

Everything up to the first content is invisible to the client; from then on a `Stream` gives the events. Whatever
way a request ends (answer, error, client gone), no attempt is left running and every one has told the fleet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from llm_gateway.clock import Clock
from llm_gateway.errors import Fault, FaultKind, InvalidRequest
from llm_gateway.fleet.attempts import Check, Clocks, Plan, Queue, Start, Wait
from llm_gateway.fleet.candidate import Candidate
from llm_gateway.fleet.contexts import Contexts
from llm_gateway.fleet.facts import AttemptEnded, AttemptStarted, Fact, FirstToken
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.fleet.prefill import Skills
from llm_gateway.names import canonical
from llm_gateway.upstream.attempt import CHECK_TIMEOUT, Asked, Attempt, Places, Work
from llm_gateway.upstream.guard import Guard
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.upstream.lines import Lines
from llm_gateway.upstream.stream import Stream
from llm_gateway.upstream.transport import Request, Transport

__all__ = ["Drive", "Stream", "Work"]

THINKING = frozenset({"thinking"})
WRONG_IF_ANSWERED = frozenset({FaultKind.CALLER, FaultKind.UNFIT, FaultKind.EMPTY})
LIGHT_ANSWER = 1024 * 1024
"""Bytes of the answer to a light question: a list of models at most."""

Running = dict[asyncio.Task[Stream], Attempt]
Checks = dict[asyncio.Task[bool], Candidate]


class Drive:
    """The only way of a request to the model servers."""

    def __init__(
        self,
        fleet: Fleet,
        transport: Transport,
        guard: Guard,
        clock: Clock,
        clocks: Clocks,
        told: Callable[[Fact], None] = lambda _: None,
    ) -> None:
        """`told` hears each fact after the fleet did (metrics, logs)."""
        self.fleet = fleet
        self.clock = clock
        self.clocks = clocks
        self.skills = Skills()
        """Who can go on with an answer that somebody else began."""
        self.transport = transport
        self.guard = guard
        self._told = told
        self.requests: dict[Asked, Request] = {}
        self._lines = Lines(self)
        self._contexts = Contexts()

    def apply(self, fact: Fact) -> None:
        """Tells the fleet, and lets those begin for whom there is a place now."""
        self.fleet.apply(fact)
        self._told(fact)
        if self._lines.joined and isinstance(fact, AttemptEnded | FirstToken):
            self._lines.serve()

    def looked(self, fact: Fact) -> None:
        """As `apply`, for what we found out of our own accord: no request's attempt, which nobody is told of."""
        self.fleet.apply(fact)
        if self._lines.joined and isinstance(fact, AttemptEnded | FirstToken):
            self._lines.serve()

    @property
    def waiting(self) -> int:
        """Requests that wait for a place at some server."""
        return self._lines.waiting()

    def places(self, ask: Ask) -> Places:
        """Where the attempts of projects in flight are counted for this model."""
        return self._lines.of(ask).queue

    def context(self, key: str, needed: int | None) -> int | None:
        """The context to ask a candidate for: as `Contexts.size`."""
        return self._contexts.size(key, needed, self.clock.now())

    def too_large(self, key: str) -> bool:
        """A candidate has no memory for the context it was asked for: as `Contexts.forget`."""
        return self._contexts.forget(key)

    def thinks(self, candidate: Candidate) -> bool | None:
        """Is its model able to think? None = nobody knows."""
        server = self.fleet.servers.get(candidate.spec.id)
        model = server.models.get(canonical(candidate.model)) if server else None
        return model.abilities.able(THINKING, self.clock.now()) if model else None

    def plan(self, ask: Ask, total: float | None = None) -> Plan:
        """A fresh plan over all permitted candidates; `total` (seconds) may lower the whole request's time."""
        now, fleet, clocks = self.clock.now(), self.fleet, self.clocks
        hurried = total is not None and total < clocks.total
        ends = now + (total if hurried and total is not None else clocks.total)
        crowded = self._lines.of(ask).crowded
        return Plan(fleet, ask, clocks, now, ends, fleet.dice, fleet.budgets(ask), crowded, hurried)

    def open(self, work: Work) -> Opening:
        """As `answer`, for `async with`: closes it."""
        return Opening(self, work)

    async def answer(self, work: Work) -> Stream:
        """The first answer that has content; whoever gets it closes it. Raises a GatewayError where the plan gives
        up."""
        plan, news, loop = work.plan, News(), asyncio.get_running_loop()
        running: Running = {}
        checks: Checks = {}
        winner: Stream | None = None
        try:
            while winner is None:
                decision = plan.next(self.clock.now())
                attempt: Attempt | None = None
                if isinstance(decision, Start):
                    attempt = Attempt(self, plan, decision.candidate)
                elif isinstance(decision, Wait):
                    if not news.here:
                        news.waiter = waiter = loop.create_future()
                        seconds = decision.until - self.clock.now()
                        timer = loop.call_later(seconds if seconds > 0 else 0, news.come)
                        try:
                            await waiter
                        finally:
                            timer.cancel()
                    news.here = False
                    winner = self._ended_attempts(plan, running)
                    if winner is None and checks:
                        await self._ended_checks(plan, running, checks)
                elif isinstance(decision, Queue):
                    attempt = await self._lines.place(plan, decision.until)
                elif isinstance(decision, Check):
                    check = loop.create_task(self._alive(decision.candidate))
                    check.add_done_callback(news.come)
                    checks[check] = decision.candidate
                else:
                    raise decision.error
                if attempt is not None:
                    task = loop.create_task(attempt.run(work))  # a name would cost as much as the rest of it
                    task.add_done_callback(news.come)
                    running[task] = attempt
        finally:
            if running or checks:
                try:
                    await _abandon(running, checks)
                except BaseException:
                    if winner is not None:
                        winner.abort()
                    raise
        if plan.faults:
            self._compare(plan, winner)
        return winner

    def _ended_attempts(self, plan: Plan, running: Running) -> Stream | None:
        """Takes the attempts that have ended off the list; the first with content wins."""
        for task in tuple(running):
            if not task.done():
                continue
            failure = task.exception()
            if failure is None:
                plan.won(running.pop(task).candidate)
                return task.result()
            if not isinstance(failure, Fault):
                raise failure
            plan.failed(running.pop(task).candidate, failure, self.clock.now())
        return None

    async def _ended_checks(self, plan: Plan, running: Running, checks: Checks) -> None:
        """Gives up the silent attempts whose servers are dead."""
        for check in [c for c in checks if c.done()]:
            candidate = checks.pop(check)
            if not plan.checked(candidate, check.result(), self.clock.now()):
                continue
            fault = Fault(FaultKind.FIRST_TOKEN_TIMEOUT, "silent, and dead on a second connection")
            dead = {task: attempt for task, attempt in running.items() if attempt.candidate is candidate}
            for task, attempt in dead.items():
                attempt.ended(fault)
                del running[task]
            plan.failed(candidate, fault, self.clock.now())
            await _abandon(dead, {})

    def _compare(self, plan: Plan, winner: Stream) -> None:
        """A server that called the request wrong, or had no word for it, or made no tool call of it, which another one
        then answered, was wrong itself."""
        for n, (candidate, fault) in enumerate(plan.faults):
            if fault.kind in WRONG_IF_ANSWERED and not (fault.kind is FaultKind.EMPTY and winner.empty):
                did = "refused" if fault.kind is FaultKind.CALLER else "failed at"
                plan.faults[n] = (
                    candidate,
                    self.outdone(plan, candidate, f"{did} what another server answered: {fault.detail}"),
                )

    def outdone(self, plan: Plan, candidate: Candidate, detail: str) -> Fault:
        """A server failed at what another one then did well: that is held against it."""
        now, blame = self.clock.now(), Fault(FaultKind.SERVER_ERROR, detail)
        plan.tries.blame(candidate, blame)
        self.apply(AttemptStarted(candidate.spec.id, candidate.model, now))
        self.apply(AttemptEnded(candidate.spec.id, candidate.model, now, blame.kind, blame.detail))
        return blame

    async def _alive(self, candidate: Candidate) -> bool:
        """Does a silent server answer a light question on another connection?"""
        kind = KINDS[candidate.spec.kind]
        try:
            origin, base = self.guard.check_url(candidate.spec.url)
            headers = kind.auth_headers(candidate.spec.api_key)
            until = self.clock.now() + CHECK_TIMEOUT
            response = await self.transport.send(
                origin, "GET", base + kind.alive_path, headers, b"", deadline=until, max_body=LIGHT_ANSWER
            )
            try:  # to its end: the head alone may be a proxy's, or all that ever comes
                while await response.read(until):
                    pass
            finally:
                response.abort()
        except (Fault, InvalidRequest):
            return False
        return response.status < 500


class Opening:
    """`Drive.open`."""

    __slots__ = ("_drive", "_stream", "_work")

    def __init__(self, drive: Drive, work: Work) -> None:
        self._drive = drive
        self._work = work

    async def __aenter__(self) -> Stream:
        self._stream = await self._drive.answer(self._work)
        return self._stream

    async def __aexit__(self, *_: object) -> None:
        await self._stream.close()


class News:
    """What one request waits for while its attempts run: the end of any of them, or a time. One future for all that
    may happen; `asyncio.wait` would go through all of it anew at each turn."""

    __slots__ = ("here", "waiter")

    def __init__(self) -> None:
        self.waiter: asyncio.Future[None] | None = None
        self.here = False
        """They came since they were waited for last."""

    def come(self, _: object = None) -> None:
        """A task has ended, or the time is over."""
        self.here = True
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


async def _abandon(running: Running, checks: Checks) -> None:
    """Cancels all and waits for all, however often it is cancelled itself; then passes the cancellation on. An
    attempt that found content in the same instant is closed."""
    tasks: set[asyncio.Task[Any]] = {*running, *checks}
    for task in tasks:
        task.cancel()
    cancelled: asyncio.CancelledError | None = None
    left: Iterable[asyncio.Task[Any]] = tasks
    while left:
        try:
            _, left = await asyncio.wait(left)
        except asyncio.CancelledError as again:
            cancelled = again
            left = [task for task in tasks if not task.done()]
    for task, attempt in running.items():
        if not task.cancelled() and task.exception() is None:
            task.result().abort()
        attempt.ended(None)  # also one that was cancelled before it ran at all
    if cancelled is not None:
        raise cancelled
