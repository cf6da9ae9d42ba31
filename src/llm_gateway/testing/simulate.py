"""Replays days of a churning fleet in seconds: the fleet's own decisions over made-up machines and a made-up clock.

    python -m llm_gateway.testing.simulate --days 7 --servers 500 --seed 11

The same machines, the same traffic and the same attempts logic for each policy; only the choice among servers
differs. Nothing sleeps: a heap of events is the only clock, one seed the only chance.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from typing import Any, Final

from llm_gateway.access.policy import Trust
from llm_gateway.errors import Fault, FaultKind, GatewayError
from llm_gateway.fleet.attempts import Check, Clocks, GiveUp, Plan, Queue, Start
from llm_gateway.fleet.candidate import Candidate
from llm_gateway.fleet.facts import (
    AttemptEnded,
    AttemptStarted,
    FirstToken,
    Listed,
    ListedModel,
    ProbeFailed,
    ServerSpec,
    Warm,
)
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.fleet.policies import POLICIES
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.fleet.probes import next_look
from llm_gateway.fleet.queue import ModelQueue, Waiting
from llm_gateway.testing.churn import DAY, SIZES, Down, Job, Machine, Wish, machines, wishes

EVERYBODY: Final = frozenset(Trust)
TOTAL: Final = 180.0
"""Seconds that a client gives a request."""
RATE: Final = 0.12
"""Requests per second."""


@dataclass(slots=True)
class Outcome:
    """What a run came to."""

    policy: str
    requests: int = 0
    good: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """Requests that failed, by code."""
    waits: list[float] = field(default_factory=list)
    """Seconds to the first content, of those that succeeded."""
    failed_after: list[float] = field(default_factory=list)
    """Seconds, of those that failed."""
    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    """Requests by project."""
    attempts: int = 0
    most_attempts: int = 0
    """Of one request."""
    looks: int = 0
    """Questions to servers beside requests: lists and memory."""
    server_minutes: float = 0.0
    detected: list[float] = field(default_factory=list)
    """Seconds from a server's going to the fleet's knowing."""
    seconds: float = 0.0
    """That the run took."""

    @property
    def success(self) -> float:
        return self.good / self.requests if self.requests else 1.0

    def wait(self, share: float) -> float:
        return quantile(self.waits, share)

    def row(self) -> str:
        return (
            f"{self.policy:16} {self.requests:8} {100 * self.success:8.3f} %"
            f" {self.wait(0.5):7.2f} {self.wait(0.99):7.2f}"
            f" {self.attempts / max(1, self.requests):8.3f} {self.looks / max(1.0, self.server_minutes):9.3f}"
            f" {quantile(self.detected, 0.5):9.1f} {quantile(self.detected, 0.9):9.1f} {self.seconds:7.1f}"
        )


HEAD: Final = (
    f"{'policy':16} {'requests':>8} {'success':>10} {'p50 s':>7} {'p99 s':>7} {'attempts':>8} {'looks/min':>9}"
    f" {'detect50':>9} {'detect90':>9} {'took s':>7}"
)


def quantile(values: Sequence[float], share: float) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * share))] if ranked else 0.0


def _models(machine: Machine) -> tuple[ListedModel, ...]:
    return tuple(ListedModel(name, size=int(SIZES[name] * 1e9)) for name in machine.models)


class Attempt:
    """One attempt of a request at a machine."""

    __slots__ = ("candidate", "content_at", "ended", "job", "machine", "request", "started")

    def __init__(self, request: Request, candidate: Candidate, machine: Machine, now: float) -> None:
        self.request = request
        self.candidate = candidate
        self.machine = machine
        self.started = now
        self.content_at: float | None = None
        self.ended = False
        self.job: Job | None = None


class Request:
    """One client's request and its plan."""

    __slots__ = ("done", "plan", "running", "turn", "waiting", "wish")

    def __init__(self, wish: Wish, plan: Plan) -> None:
        self.wish = wish
        self.plan = plan
        self.running: list[Attempt] = []
        self.waiting: Waiting[Request] | None = None
        self.done = False
        self.turn = 0
        """Wake-ups of earlier turns are void."""


class Simulation:
    """One run of one policy over one world."""

    def __init__(
        self, policy: str, world: Sequence[Machine], wished: Iterable[Wish], *, seconds: float, seed: int = 0
    ) -> None:
        """`world` is played with and used up; `wished` is in order of time."""
        self.outcome = Outcome(policy)
        self.now = 0.0
        self._seconds = seconds
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._dice = Random(f"gateway {seed}").random  # noqa: S311 - to replay a run, no secret
        self.fleet = Fleet(self._dice, policy)
        self._clocks = Clocks(total=TOTAL)
        self._machines = {machine.name: machine for machine in world}
        self._active: dict[str, dict[Attempt, None]] = {machine.name: {} for machine in world}
        self._queues: dict[str, ModelQueue[Request]] = {}
        self._gone_at: dict[str, float] = {}
        """Machines that are gone while the fleet does not know."""
        self._specs: list[ServerSpec] = []
        for machine in world:
            listed = max(0.0, machine.ups[0][0]) if machine.ups else 0.0
            self._at(listed, self._list, machine)
            for begin, end in machine.ups:
                self._at(max(0.0, begin), self._comes, machine)
                self._at(end, self._goes, machine)
        self._wishes = iter(wished)
        self._next_wish()

    def run(self) -> Outcome:
        began = time.perf_counter()
        heap = self._heap
        while heap and heap[0][0] < self._seconds + TOTAL:
            self.now, _, what, args = heappop(heap)
            what(*args)
        self.outcome.seconds = time.perf_counter() - began
        return self.outcome

    def _at(self, at: float, what: Callable[..., None], *args: Any) -> None:
        self._count += 1
        heappush(self._heap, (at, self._count, what, args))

    # -- machines ------------------------------------------------------------------------------------------

    def _list(self, machine: Machine) -> None:
        """A catalogue lists the machine."""
        models = _models(machine)
        self._specs.append(
            ServerSpec(machine.name, machine.name, f"http://{machine.name}", "ollama", Trust.PUBLIC, models=models)
        )
        self.fleet.describe(self._specs)
        self._at(self.now + 2 * self._dice(), self._look, machine)

    def _comes(self, machine: Machine) -> None:
        machine.up = True
        self._gone_at.pop(machine.name, None)

    def _goes(self, machine: Machine) -> None:
        machine.up = False
        machine.crash()
        state = self.fleet.servers.get(machine.name)
        if state is not None and state.listed_at is not None and not state.resting(self.now):
            self._gone_at[machine.name] = self.now
        for attempt in list(self._active[machine.name]):
            self._fault(attempt, FaultKind.CUT if attempt.content_at is not None else FaultKind.RESET)

    def _look(self, machine: Machine) -> None:
        """The gateway asks for its list, and what it has in memory when it is in use."""
        state, out = self.fleet.servers[machine.name], self.outcome
        if self.now < self._seconds:
            out.looks += 1
            if machine.up:
                self.fleet.apply(Listed(machine.name, self.now, _models(machine)))
                if any(model.in_flight or model.warm(self.now) for model in state.models.values()):
                    out.looks += 1
                    self.fleet.apply(Warm(machine.name, self.now, tuple(machine.memory(self.now))))
                wait = next_look(state, self.now, self._dice())
            else:
                fault = FaultKind.REFUSED if machine.down is Down.REFUSES else FaultKind.CONNECT_TIMEOUT
                self.fleet.apply(ProbeFailed(machine.name, self.now, fault))
                wait = next_look(state, self.now, self._dice())
                state.probe_rest.until = max(state.probe_rest.until, self.now + wait + 10)
            out.server_minutes += wait / 60
            self._at(self.now + wait, self._look, machine)
            self._noticed(machine)
            self._serve()

    def _noticed(self, machine: Machine) -> None:
        gone_at = self._gone_at.get(machine.name)
        if gone_at is not None and self.fleet.servers[machine.name].resting(self.now):
            self.outcome.detected.append(self.now - gone_at)
            del self._gone_at[machine.name]

    # -- requests ------------------------------------------------------------------------------------------

    def _next_wish(self) -> None:
        wish = next(self._wishes, None)
        if wish is not None:
            self._at(wish.at, self._arrives, wish)

    def _arrives(self, wish: Wish) -> None:
        self._next_wish()
        if not self.fleet.holders(wish.model):
            return
        self.outcome.requests += 1
        self.outcome.asked[wish.project] += 1
        ask = Ask((wish.model,), EVERYBODY, wish.project, wish.prompt_tokens, wish.answer_tokens, wish.place)
        queue = self._queues.setdefault(wish.model, ModelQueue())
        plan = Plan(
            self.fleet,
            ask,
            self._clocks,
            self.now,
            self.now + TOTAL,
            self._dice,
            self.fleet.budgets(ask),
            lambda: len(queue) > 0,
        )
        self._go_on(Request(wish, plan))

    def _go_on(self, request: Request) -> None:
        """Asks the plan what to do until it says to wait."""
        while not request.done:
            request.turn += 1
            decision = request.plan.next(self.now)
            if isinstance(decision, Start):
                self._start(request, decision.candidate)
            elif isinstance(decision, Check):
                machine = self._machines[decision.candidate.spec.id]
                wait = 0.1 if machine.up or machine.down is Down.REFUSES else 5.0
                self._at(self.now + wait, self._checked, request, decision.candidate)
            elif isinstance(decision, GiveUp):
                return self._fails(request, decision.error.code)
            else:
                if isinstance(decision, Queue) and request.waiting is None and not self._queue_up(request, decision):
                    return None
                if not request.running or not request.done:
                    self._at(decision.until, self._wake, request, request.turn)
                return None
        return None

    def _wake(self, request: Request, turn: int) -> None:
        if request.done or turn != request.turn:
            return
        self._leave_queue(request)
        self._go_on(request)

    def _start(self, request: Request, candidate: Candidate) -> None:
        machine = self._machines[candidate.spec.id]
        attempt = Attempt(request, candidate, machine, self.now)
        request.running.append(attempt)
        self._active[machine.name][attempt] = None
        self.outcome.attempts += 1
        self.outcome.most_attempts = max(self.outcome.most_attempts, request.plan.attempts)
        self._queues[request.wish.model].held(request.wish.project, 1)
        self.fleet.apply(AttemptStarted(machine.name, candidate.model, self.now))
        if not machine.up:
            if machine.down is Down.REFUSES:
                self._at(self.now + 0.05, self._fault, attempt, FaultKind.REFUSED)
            elif machine.down is Down.HANGS:
                self._at(self.now + 2.0, self._fault, attempt, FaultKind.CONNECT_TIMEOUT)
        elif (refusal := machine.refusal()) is not None:
            self._at(self.now + refusal[1], self._fault, attempt, refusal[0])
        else:
            wish = request.wish
            attempt.job = Job(
                candidate.model,
                wish.prompt_tokens,
                wish.answer_tokens,
                lambda wait: self._at(self.now + wait, self._content, attempt),
            )
            machine.take(attempt.job, self.now)

    def _content(self, attempt: Attempt) -> None:
        if attempt.ended or not attempt.machine.up:
            return
        request, job = attempt.request, attempt.job
        assert job is not None
        attempt.content_at = self.now
        name, wait = attempt.machine.name, self.now - attempt.started
        self.fleet.apply(FirstToken(name, attempt.candidate.model, self.now, wait, job.prompt_tokens))
        request.plan.won(attempt.candidate)
        request.turn += 1
        for other in list(request.running):
            if other is not attempt:
                self._end(other, None, cancelled=True)
        seconds = attempt.machine.seconds(job)
        share = attempt.machine.breaks()
        if share is None:
            self._at(self.now + seconds, self._finished, attempt)
        else:
            self._at(self.now + seconds * share, self._fault, attempt, FaultKind.CUT)
        self._serve()

    def _finished(self, attempt: Attempt) -> None:
        if attempt.ended:
            return
        request = attempt.request
        self._end(attempt, None)
        assert attempt.content_at is not None
        request.done = True
        self.outcome.good += 1
        self.outcome.answered[request.wish.project] += 1
        self.outcome.waits.append(attempt.content_at - request.wish.at)
        self._serve()

    def _fault(self, attempt: Attempt, kind: FaultKind) -> None:
        if attempt.ended:
            return
        request, had_content = attempt.request, attempt.content_at is not None
        self._end(attempt, kind)
        if had_content and request.wish.streams:
            self._fails(request, "upstream_stream_lost")
        elif had_content:
            request.plan.lost(attempt.candidate, Fault(kind), self.now)
            self._go_on(request)
        else:
            request.plan.failed(attempt.candidate, Fault(kind), self.now)
            self._go_on(request)
        self._serve()

    def _checked(self, request: Request, candidate: Candidate) -> None:
        machine = self._machines[candidate.spec.id]
        if request.done or not request.plan.checked(candidate, machine.up, self.now):
            return
        for attempt in [a for a in request.running if a.candidate is candidate]:
            self._fault(attempt, FaultKind.FIRST_TOKEN_TIMEOUT)

    def _end(self, attempt: Attempt, kind: FaultKind | None, *, cancelled: bool = False) -> None:
        attempt.ended = True
        request, machine = attempt.request, attempt.machine
        request.running.remove(attempt)
        self._active[machine.name].pop(attempt, None)
        if attempt.job is not None:
            machine.drop(attempt.job, self.now)
        self._queues[request.wish.model].held(request.wish.project, -1)
        seconds = self.now - attempt.content_at if attempt.content_at is not None else 0.0
        self.fleet.apply(
            AttemptEnded(
                machine.name,
                attempt.candidate.model,
                self.now,
                fault=kind,
                cancelled=cancelled,
                tokens=request.wish.answer_tokens,
                seconds=seconds,
                waited=0.0 if attempt.content_at is not None else self.now - attempt.started,
                prompt_tokens=request.wish.prompt_tokens,
            )
        )
        self._noticed(machine)

    def _fails(self, request: Request, code: str) -> None:
        request.done = True
        for attempt in list(request.running):
            self._end(attempt, None, cancelled=True)
        self._leave_queue(request)
        self.outcome.errors[code] += 1
        self.outcome.failed_after.append(self.now - request.wish.at)

    # -- the queue -----------------------------------------------------------------------------------------

    def _queue_up(self, request: Request, decision: Queue) -> bool:
        wish, plan = request.wish, request.plan
        queue = self._queues[wish.model]
        tokens = float(wish.prompt_tokens + wish.answer_tokens)
        waiting = Waiting(request, wish.project, frozenset(plan.tried), tokens, decision.until)
        try:
            outcast = queue.join(waiting, self.fleet.capacity(plan.ask, self.now), self.now, ahead=plan.attempts > 0)
        except GatewayError as full:
            self._fails(request, plan.refused(full, self.now).code)
            return False
        request.waiting = waiting
        if outcast is not None:
            outcast.item.waiting = None
            self._fails(outcast.item, outcast.item.plan.refused(queue.full(self.now), self.now).code)
        self._at(self.now + 0.5, self._serve_queue, wish.model)
        self._serve_queue(wish.model)
        return not request.done and request.waiting is not None

    def _leave_queue(self, request: Request) -> None:
        if request.waiting is not None:
            self._queues[request.wish.model].leave(request.waiting)
            request.waiting = None

    def _serve(self) -> None:
        for model, queue in self._queues.items():
            if len(queue):
                self._serve_queue(model)

    def _serve_queue(self, model: str) -> None:
        queue = self._queues[model]
        if len(queue):
            ask = Ask((model,), EVERYBODY)
            queue.serve(self._grant, self.fleet.capacity(ask, self.now), self.now)

    def _grant(self, request: Request) -> bool:
        candidate = request.plan.place(self.now)
        if candidate is None:
            return False
        request.waiting = None
        self._start(request, candidate)
        self._at(self.now, self._wake, request, request.turn)
        return True


def replay(policy: str, *, servers: int, days: float, seed: int, rate: float = RATE) -> Outcome:
    """One run of a policy over the world and the traffic of a seed, the same for every policy."""
    seconds = days * DAY
    world = machines(servers, seconds, seed)
    return Simulation(policy, world, wishes(seconds, rate, seed), seconds=seconds, seed=seed).run()


def main(argv: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m llm_gateway.testing.simulate", description=__doc__)
    options.add_argument("--days", type=float, default=7.0)
    options.add_argument("--servers", type=int, default=500)
    options.add_argument("--seed", type=int, action="append", help="may be given several times; default 11")
    options.add_argument("--rate", type=float, default=RATE, help="requests per second on average")
    options.add_argument("--policy", action="append", choices=list(POLICIES), help="default: all")
    asked = options.parse_args(argv)
    out = sys.stdout
    for seed in asked.seed or [11]:
        out.write(f"seed {seed}: {asked.servers} servers, {asked.days:g} days, {asked.rate:g} requests/s\n{HEAD}\n")
        for name in asked.policy or POLICIES:
            outcome = replay(name, servers=asked.servers, days=asked.days, seed=seed, rate=asked.rate)
            out.write(f"{outcome.row()}\n")
            if outcome.errors:
                out.write(f"{'':16} {dict(outcome.errors.most_common())}\n")
            out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
