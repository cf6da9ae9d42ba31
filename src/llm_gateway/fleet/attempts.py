"""When to ask whom: the plan of one request, a state machine that is told what happened and says what to do.

Rules (all figures are settings): distinct candidates in the shortlist's order; a failed attempt is followed by
the next candidate at once; one that is slow to its first content gets company instead of being given up; at most
`MAX_COUNTED` attempts that a server may have worked on; a server that is alive but slow is waited for as long
as the total allows when nobody else can serve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from llm_gateway.access.policy import Trust
from llm_gateway.errors import (
    ContextLengthExceeded,
    Fault,
    FaultKind,
    GatewayError,
    InvalidRequest,
    NoHealthyUpstream,
    QueueTimeout,
    UpstreamFailed,
    UpstreamTimeout,
)
from llm_gateway.fleet.faults import CONSEQUENCES, UNCOUNTED
from llm_gateway.fleet.fleet import Candidate

MAX_COUNTED = 12
"""Attempts per request that a server may have worked on."""
AGREED = 2
"""Servers of strangers that must say that the request is wrong before it is not tried elsewhere: one may lie."""
THE_CALLERS = frozenset({FaultKind.CALLER, FaultKind.CONTEXT})
QUEUE_WAIT = 10.0
"""Seconds that a request waits while every candidate is at its concurrency."""
CHECK_AGAIN = 20.0
"""Seconds after which a silent server that was found alive is asked again."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds. Defaults of a setup where nothing is known about the servers."""

    first_token_min: float = 4.0
    first_token_max: float = 20.0
    first_token_unknown: float = 10.0
    """For a (server, model) with too few measurements: it may have to load the model."""
    stall: float = 20.0
    """Silence inside an answer."""
    slow_span: float = 20.0
    """A stream that was far too slow for so long is given to a faster server."""
    budget: float = 30.0
    """Before the first content, unless a server that is alive works on it."""
    total: float = 600.0


@dataclass(frozen=True, slots=True)
class Start:
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Check:
    """Ask this silent server on a second connection whether it is alive, and tell the plan."""

    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Wait:
    until: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    error: GatewayError


Decision = Start | Check | Wait | GiveUp


@dataclass(slots=True)
class _Running:
    candidate: Candidate
    slow_at: float
    """From then on it gets company."""
    check_at: float
    """When to ask (again) whether the server is alive."""
    asking: bool = False
    alive: bool = False


@dataclass(slots=True)
class Plan:
    """One request's attempts up to its first content."""

    shortlist: Sequence[Candidate]
    clocks: Clocks
    started: float
    deadline: float
    """When the whole request must have ended: start + total, or earlier at the caller's wish."""
    full: Callable[[str], bool] = lambda _: False
    """Is this server at the concurrency its owner allows?"""
    hurried: bool = False
    """The deadline is the caller's own, earlier than ours would be."""
    faults: list[tuple[Candidate, Fault]] = field(default_factory=list)
    counted: int = 0
    attempts: int = 0
    _untried: list[Candidate] = field(default_factory=list)
    _running: list[_Running] = field(default_factory=list)
    _fatal: GatewayError | None = None
    _full_since: float | None = None

    def __post_init__(self) -> None:
        self._untried = list(self.shortlist)

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
        if late and not any(r.alive or r.asking for r in self._running):
            return GiveUp(self._exhausted())
        open_to_more = not late or any(r.alive for r in self._running)
        if open_to_more and self.counted < MAX_COUNTED and all(now >= r.slow_at for r in self._running):
            free = next((c for c in self._untried if not self.full(c.spec.id)), None)
            if free is not None:
                return self._start(free, now)
        if not self._running:
            if not self._untried or self.counted >= MAX_COUNTED:
                return GiveUp(self._exhausted())
            self._full_since = now if self._full_since is None else self._full_since
            if now >= self._full_since + QUEUE_WAIT:
                return GiveUp(QueueTimeout("Every server that holds this model is at its concurrency.", retry_after=5))
        return Wait(min(self._next_moments(now)))

    def _start(self, candidate: Candidate, now: float) -> Start:
        self._untried.remove(candidate)
        slow_at = now + self._patience(candidate)
        self._running.append(_Running(candidate, slow_at, check_at=slow_at))
        self._full_since = None
        self.attempts += 1
        self.counted += 1
        return Start(candidate)

    def _patience(self, candidate: Candidate) -> float:
        """Seconds until a silent attempt gets company: three times its usual slow case, within bounds."""
        clocks = self.clocks
        if candidate.slow_wait is None:
            return min(clocks.first_token_unknown, clocks.first_token_max)
        return min(max(3 * candidate.slow_wait, clocks.first_token_min), clocks.first_token_max)

    def _next_moments(self, now: float) -> list[float]:
        moments = [self.deadline]
        if now < self.started + self.clocks.budget:
            moments.append(self.started + self.clocks.budget)
        if not self._running and self._full_since is not None:
            moments.append(self._full_since + QUEUE_WAIT)
        for running in self._running:
            moments += [at for at in (running.slow_at, running.check_at) if at > now]
        return moments

    def failed(self, candidate: Candidate, fault: Fault) -> None:
        """An attempt ended without content."""
        self._running = [r for r in self._running if r.candidate is not candidate]
        self.faults.append((candidate, fault))
        if fault.kind in UNCOUNTED:
            self.counted -= 1
        if not CONSEQUENCES[fault.kind].try_elsewhere:
            agreed = sum(1 for _, other in self.faults if other.kind is fault.kind)
            if candidate.spec.trust is Trust.OWN or agreed >= AGREED:
                self._fatal = _wrong(fault)

    def lost(self, candidate: Candidate, fault: Fault, now: float) -> None:
        """An answer broke after its first content and nothing of it was delivered: the others are asked anew."""
        self.failed(candidate, fault)
        self.started = now

    def won(self, candidate: Candidate) -> None:
        """An attempt has content: the others are no longer running."""
        self._running = [r for r in self._running if r.candidate is candidate]

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
            return _wrong(self.faults[-1][1])
        tried = f" ({self.attempts} tried)" if self.attempts else ""
        if kinds and kinds <= {FaultKind.INCAPABLE}:
            return InvalidRequest("No server that holds this model supports what the request needs (tools, images, …).")
        if kinds & {FaultKind.FIRST_TOKEN_TIMEOUT, FaultKind.TOTAL_TIMEOUT} or self._running:
            return UpstreamTimeout(f"No model server answered in time{tried}.", retry_after=5)
        if kinds and not kinds & (UNCOUNTED | {FaultKind.BUSY, FaultKind.RESET, FaultKind.MODEL_MISSING}):
            return UpstreamFailed(f"Every model server that holds this model failed{tried}.", retry_after=5)
        return NoHealthyUpstream(f"No healthy server holds this model right now{tried}.", retry_after=5)


def _wrong(fault: Fault) -> GatewayError:
    """The caller's mistake in the server's own words."""
    wrong = ContextLengthExceeded if fault.kind is FaultKind.CONTEXT else InvalidRequest
    return wrong(fault.said or "The model server refused the request.")
