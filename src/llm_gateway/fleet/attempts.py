"""When to ask whom: the plan of one request, a state machine that is told what happened and says what to do.

Rules (all figures are settings): distinct servers; a failed attempt is followed by the next at once, or after a
blink when a server may have worked on it; retries and races are paid from budgets that all requests for a model
share; one that is slow to its first content gets company instead of being given up; at most `MAX_COUNTED` attempts
that a server may have worked on; a server that is alive but slow is waited for as long as the total allows when
nobody else can serve; when all are at their limits the request waits in the model's queue.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct, field

from llm_gateway.access.policy import Trust
from llm_gateway.errors import (
    Fault,
    FaultKind,
    GatewayError,
    InvalidRequest,
    NoHealthyUpstream,
    QueueTimeout,
    RetryBudgetExhausted,
    UpstreamFailed,
    UpstreamTimeout,
)
from llm_gateway.fleet.budget import Budgets
from llm_gateway.fleet.candidate import Candidate, Nobody
from llm_gateway.fleet.faults import CONSEQUENCES, TRANSPARENT, UNCOUNTED
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.fleet.too_long import too_long
from llm_gateway.fleet.tries import Tries
from llm_gateway.names import pinned

MAX_COUNTED = 12
"""Attempts per request that a server may have worked on."""
AGREED = 2
"""Servers of strangers that must say that the request is wrong before it is not tried elsewhere: one may lie."""
MOST_UNFIT = 4
"""Fluent answers that were no good ones, after which the request, or the model, is taken for the reason."""
TOO_LONG = frozenset({FaultKind.CONTEXT, FaultKind.PROMPT_CUT})
THE_CALLERS = TOO_LONG | {FaultKind.CALLER}
MAX_RACES = 2
"""Attempts of one request that are started only to be quicker."""
QUEUE_WAIT = 10.0
"""Seconds that a request waits while every candidate is at its limit, at most; and a third of what is left of it."""
CHECK_AGAIN = 20.0
"""Seconds after which a silent server that was found alive is asked again."""
RELIABLE = 0.8
"""Share of whole answers from which on a server may be asked a second time by the same request."""
SLIPS = frozenset(
    {FaultKind.CUT, FaultKind.STALLED, FaultKind.SERVER_ERROR, FaultKind.EMPTY, FaultKind.UNFIT, FaultKind.RESET}
)
"""Faults that happen to good servers, too."""
BACKOFF = 0.1
"""Seconds before the next attempt at most, after one that a server may have worked on."""
BUDGET_AGAIN = 0.25
"""Seconds after which an empty budget is looked at again."""
RACE_MIN, RACE_MAX = 0.3, 2.0
"""Seconds without content after which a race begins, when it is known how long the server usually takes."""
RACE_UNKNOWN = 1.0
"""And when it is not, for fewer measurements than `RACE_SAMPLES`."""
RACE_SAMPLES = 20
TOKENS_READ = 50
"""Prompt tokens per second that the slowest server worth waiting for reads."""
GAPS = 10.0
"""Usual gaps between two pieces of content that make a silence."""
UNABLE = "No server that holds this model supports what the request needs."
STALL_MIN = 5.0
"""Seconds of silence inside an answer that every server may have."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds. Defaults of a setup where nothing is known about the servers."""

    first_token_min: float = 4.0
    first_token_max: float = 20.0
    first_token_unknown: float = 10.0
    """For a (server, model) with too few measurements."""
    first_token_cold: float = 60.0
    """For one that has to load the model first."""
    stall: float = 20.0
    """Silence inside an answer, at most."""
    thinking: float = 120.0
    """Thinking without any word of the answer."""
    slow_span: float = 20.0
    """A stream that was far too slow for so long is given to a faster server."""
    budget: float = 30.0
    """Before the first content, unless a server that is alive works on it."""
    total: float = 600.0


class Start(Struct, frozen=True, gc=False):
    candidate: Candidate


class Check(Struct, frozen=True, gc=False):
    """Ask this silent server on a second connection whether it is alive, and tell the plan."""

    candidate: Candidate


class Wait(Struct, frozen=True, gc=False):
    until: float


class Queue(Struct, frozen=True, gc=False):
    """Nobody has a place: wait in the model's queue, which calls `Plan.place`; at `until` ask `next` again."""

    until: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    error: GatewayError


Decision = Start | Check | Wait | Queue | GiveUp


class Pool(Protocol):
    """Where candidates come from: the fleet."""

    def pick(
        self, ask: Ask, tried: Container[str], now: float, *, resting_too: bool = True, race: bool = False
    ) -> Candidate | Nobody: ...

    def down(self, ask: Ask, now: float) -> bool: ...

    def busy_for(self, ask: Ask, tried: Container[str], now: float) -> float: ...


class _Running(Struct, eq=False, gc=False):
    candidate: Candidate
    began: float
    slow_at: float
    """From then on it gets company."""
    check_at: float
    """When to ask (again) whether the server is alive."""
    asking: bool = False
    alive: bool = False
    race: bool = False


def _nobody() -> bool:
    return False


def _plain(lacking: frozenset[str]) -> GatewayError:
    return InvalidRequest(UNABLE)


def _within(least: float, value: float, most: float) -> float:
    """`min(max(value, least), most)`, without two calls."""
    if value < least:
        value = least
    return most if value > most else value


class Plan(Struct, eq=False):
    """One request's attempts up to its first content."""

    pool: Pool
    ask: Ask
    clocks: Clocks
    started: float
    deadline: float
    """When the whole request must have ended: start + total, or earlier at the caller's wish."""
    dice: Callable[[], float]
    budgets: Budgets = field(default_factory=Budgets)
    crowded: Callable[[], bool] = _nobody
    """Do others wait in the model's queue? Then nobody passes them by, and no place is taken for a race."""
    hurried: bool = False
    """The deadline is the caller's own, earlier than ours would be."""
    faults: list[tuple[Candidate, Fault]] = []
    counted: int = 0
    attempts: int = 0
    owes: bool = False
    """Does the next attempt cost retry budget?"""
    underway: bool = False
    """Does the client read a part of the answer already? Then it is not sent to the end of a queue."""
    races: int = 0
    tries: Tries = field(default_factory=Tries)
    """What is told of the attempts afterwards."""
    tried: set[str] = set()
    _slipped: frozenset[str] = frozenset()
    """Of these: reliable servers that failed once, and may be asked again before the doubtful ones."""
    _running: list[_Running] = []
    _fatal: GatewayError | None = None
    _not_before: float = 0.0
    """No attempt before: backoff, or the budget is empty."""
    _race_at: float = 0.0
    unable: Callable[[frozenset[str]], GatewayError] = _plain
    """What to say when all that were asked refused it for want of these capabilities."""
    _poor: bool = False
    """Was the budget empty when it was needed last?"""
    _queued_since: float | None = None

    def __post_init__(self) -> None:
        if not self.underway:  # it has paid in already
            self.budgets.request(self.started)

    def next(self, now: float) -> Decision:
        """What to do now. After `Start` and `Check` ask again; after `Wait` ask when something ended or it is time."""
        if self._fatal is not None:
            return GiveUp(self._fatal)
        if now >= self.deadline:
            return GiveUp(UpstreamTimeout("No model server answered within the time this request had."))
        late = now >= self.started + self.clocks.budget
        for running in self._running:
            if not running.asking and (now >= running.check_at or (late and not running.alive)):
                running.asking = True
                return Check(running.candidate)
        if late and self._queued_since is None and not any(r.alive for r in self._running):
            if not any(r.asking for r in self._running):
                return GiveUp(self._exhausted())
            return Wait(self._next_moment(now))
        if self._running or not self.crowded():
            return self._more(now) or Wait(self._next_moment(now))
        if self.attempts and (self.counted >= MAX_COUNTED or self._pick(now, race=False) is Nobody.LEFT):
            return GiveUp(self._exhausted())  # no place that comes free is of any use
        return self._wait_for_place(now)

    def place(self, now: float) -> Candidate | None:
        """For the queue: a candidate that has a place now, as after `Start`; None when there is none for this one."""
        if self._fatal is not None or now >= self.deadline or now < self._not_before:
            return None
        more = self._more(now)
        return more.candidate if isinstance(more, Start) else None

    def _more(self, now: float) -> Start | Queue | GiveUp | None:
        """A further attempt, if it is time for one."""
        alone, race = not self._running, False
        for running in self._running:
            if now < running.slow_at:  # beside those that are late, even if alive, it is no race
                race = True
        if race and (self.races >= MAX_RACES or now < self._race_at or not self._may_race()):
            return None
        if self.counted >= MAX_COUNTED:
            return GiveUp(self._exhausted()) if alone else None
        if now < self._not_before:
            return None
        found = self._pick(now, race=race)
        if isinstance(found, Candidate):
            return self._start(found, now, race=race) if self._pay(found, now, race=race) else None
        if race:
            self._race_at = now + BUDGET_AGAIN
        elif alone:
            return GiveUp(self._exhausted()) if found is Nobody.LEFT else self._wait_for_place(now)
        else:
            self._not_before = now + BUDGET_AGAIN
        return None

    def _pick(self, now: float, *, race: bool) -> Candidate | Nobody:
        """The untried that do not rest, then good ones that failed once, then those that rest."""
        found = self.pool.pick(self.ask, self.tried, now, resting_too=False, race=race)
        if isinstance(found, Candidate):
            return found
        if found is Nobody.LEFT and not race:
            if self._slipped:
                found = self.pool.pick(self.ask, self.tried - self._slipped, now, resting_too=False)
            if found is Nobody.LEFT:
                found = self.pool.pick(self.ask, self.tried, now)
        return found

    def _wait_for_place(self, now: float) -> Queue | GiveUp:
        if self._queued_since is None:
            self._queued_since = now
        until = self._queued_since + min(QUEUE_WAIT, (self.deadline - self._queued_since) / 3)
        if self.attempts:
            until = min(until, self.started + self.clocks.budget)
        busy = self.pool.busy_for(self.ask, self.tried, now)
        if now + busy < until:
            return Queue(until)
        late = QueueTimeout("Every server that holds this model is busy.", retry_after=max(5, math.ceil(busy)))
        return GiveUp(self.refused(late, now))

    def refused(self, error: GatewayError, now: float) -> GatewayError:
        """What to say when the queue has no place or no time for it: `error`, but nobody is busy where all are down."""
        return self._exhausted() if self.pool.down(self.ask, now) else error

    def _pay(self, candidate: Candidate, now: float, *, race: bool) -> bool:
        """The first attempt is free, and so is finding out about a server of which nothing is known (its limit is 1, so
        that is no storm)."""
        if race:
            if not candidate.returning and not self.budgets.races.take(now):
                self._race_at = now + BUDGET_AGAIN
                return False
            return True
        owes = self.owes or bool(self._running) or (candidate.resting and self.attempts > 0)
        if owes and (candidate.resting or not candidate.unproven) and not self.budgets.retries.take(now):
            self._not_before, self._poor = now + BUDGET_AGAIN, True
            return False
        if self._poor:
            self._poor = False
        return True

    def _start(self, candidate: Candidate, now: float, *, race: bool) -> Start:
        self.tried.add(candidate.key)
        if self._slipped:
            self._slipped -= {candidate.key}
        slow_at = now + self._patience(candidate)
        self._running.append(_Running(candidate, now, slow_at, slow_at, race=race))
        if len(self._running) == 1:
            self._race_at = now + self._race_after(candidate)
        elif race:
            began = self._running[0].began
            self._race_at = began + 2 * (now - began)
            self.races += 1
        self._queued_since = None
        self.attempts += 1
        self.counted += 1
        return Start(candidate)

    def _may_race(self) -> bool:
        """Not where every answer that is begun is paid for, nor while others wait for a place."""
        may = self.ask.hedge and not self.crowded()
        for running in self._running:
            may = may and running.candidate.spec.hedge
        return may

    def _race_after(self, candidate: Candidate) -> float:
        wait = candidate.slow_wait
        if wait is None or candidate.samples < RACE_SAMPLES or candidate.returning:
            return RACE_UNKNOWN
        return _within(RACE_MIN, wait, RACE_MAX)

    def _patience(self, candidate: Candidate) -> float:
        """Seconds until a silent attempt gets company: three times its usual slow case, within bounds; a long prompt
        and a model that is not in memory take their time."""
        clocks, most = self.clocks, self.ask.prompt_tokens / TOKENS_READ
        if most < clocks.first_token_max:
            most = clocks.first_token_max
        if candidate.cold:
            return max(most, clocks.first_token_cold)
        if candidate.slow_wait is None:
            return min(clocks.first_token_unknown, most)
        return _within(clocks.first_token_min, 3 * candidate.slow_wait, most)

    def stall(self, candidate: Candidate) -> float:
        """Seconds of silence inside an answer after which the stream is given up."""
        speed = candidate.speed
        return self.clocks.stall if speed is None else _within(STALL_MIN, GAPS / speed, self.clocks.stall)

    def _next_moment(self, now: float) -> float:
        """When there is something to do if nothing happens before."""
        first, budget = self.deadline, self.started + self.clocks.budget
        if now < budget < first:
            first = budget
        if now < self._not_before < first:
            first = self._not_before
        for running in self._running:
            if now < running.slow_at < first:
                first = running.slow_at
            if now < running.check_at < first:
                first = running.check_at
        if self._running and now < self._race_at < first and self.races < MAX_RACES and self._may_race():
            first = self._race_at
        return first

    def failed(self, candidate: Candidate, fault: Fault, now: float) -> None:
        """An attempt ended without content."""
        self._running = [r for r in self._running if r.candidate is not candidate]
        self.faults.append((candidate, fault))
        if fault.kind in UNCOUNTED and not candidate.resting:  # one that rests is known to be a doubtful one
            self.counted -= 1
        first = all(earlier.key != candidate.key for earlier, _ in self.faults[:-1])
        if first and candidate.success >= RELIABLE and fault.kind in SLIPS:
            self._slipped |= {candidate.key}
        if fault.kind in TRANSPARENT:
            self.owes = False
        else:
            self.owes = True
            self._not_before = now + BACKOFF * self.dice()
        agreed = sum(1 for _, other in self.faults if other.kind is fault.kind)
        # without its words no server was asked: the prompt is too long for what this one lists, not for all
        wrong = not CONSEQUENCES[fault.kind].try_elsewhere and fault.said is not None
        if (wrong and (candidate.spec.trust is Trust.OWN or agreed >= AGREED)) or (
            fault.kind is FaultKind.PROMPT_CUT and agreed >= AGREED
        ):
            self._fatal = self._wrong(fault)
        if fault.kind is FaultKind.UNFIT and agreed >= MOST_UNFIT:
            self._fatal = self._exhausted()

    def lost(self, candidate: Candidate, fault: Fault, now: float, *, elsewhere: bool = False) -> None:
        """An answer broke after its first content and nothing of it was delivered: the others are asked anew, and a
        good server itself unless only an answer from `elsewhere` is of use."""
        self.failed(candidate, fault, now)
        if elsewhere:
            self._slipped -= {candidate.key}
        self.started = now

    def raced(self, candidate: Candidate) -> bool:
        """Was it started only to be quicker than another one?"""
        return self.races > 0 and any(r.race for r in self._running if r.candidate is candidate)

    def won(self, candidate: Candidate) -> None:
        """An attempt has content: the others are no longer running."""
        if len(self._running) > 1:
            self._running = [r for r in self._running if r.candidate is candidate]

    def speaks(self, candidate: Candidate, now: float) -> None:
        """It has begun what is no content before it is whole (a tool call): it is at work until it falls silent."""
        for running in self._running:
            if running.candidate is candidate:
                running.slow_at, running.check_at = now + self.stall(candidate), now + CHECK_AGAIN
                running.alive = True

    def checked(self, candidate: Candidate, alive: bool, now: float) -> bool:
        """The answer to a `Check`. True when the attempt is to be given up: the server is dead."""
        for running in self._running:
            if running.candidate is candidate:
                running.asking, running.alive, running.check_at = False, alive, now + CHECK_AGAIN
                return not alive
        return False

    def _exhausted(self) -> GatewayError:
        """The one sentence a client gets when nobody answered; no server is named."""
        kinds = {fault.kind for _, fault in self.faults}
        if kinds and kinds <= THE_CALLERS:
            return self._wrong(self.faults[-1][1])
        tried = f" ({self.attempts} tried)" if self.attempts else ""
        if kinds and kinds <= {FaultKind.INCAPABLE}:
            lacks = self.ask.needs.union(fault.lacks for _, fault in self.faults if fault.lacks)
            return self.unable(lacks) if lacks else InvalidRequest(UNABLE)
        if self._poor and not self._running:
            return RetryBudgetExhausted(
                f"Too many requests for this model fail for each to be tried on all servers{tried}.", retry_after=5
            )
        if kinds & {FaultKind.FIRST_TOKEN_TIMEOUT, FaultKind.TOTAL_TIMEOUT} or self._running:
            return UpstreamTimeout(f"No model server answered in time{tried}.", retry_after=5)
        if kinds and not kinds & (UNCOUNTED | {FaultKind.BUSY, FaultKind.RESET, FaultKind.MODEL_MISSING}):
            return UpstreamFailed(f"Every model server that holds this model failed{tried}.", retry_after=5)
        if any(pinned(backend).digest for backend in self.ask.backends):
            return NoHealthyUpstream(
                f"No healthy server holds this model with the digest that it is pinned to right now{tried}.",
                retry_after=5,
            )
        return NoHealthyUpstream(f"No healthy server holds this model right now{tried}.", retry_after=5)

    def _wrong(self, fault: Fault) -> GatewayError:
        """The caller's mistake, in the server's own words where it is not the length of the prompt."""
        if fault.kind not in TOO_LONG:
            return InvalidRequest(fault.said or "The model server refused the request.")
        return too_long([met for met in self.faults if met[1].kind in TOO_LONG], self.ask.prompt_tokens)
