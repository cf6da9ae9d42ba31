"""The figures of this process for Prometheus: counted where things happen, rendered when asked.

`families` says what there is, `labels` keeps the labels few, `figures` is what is looked up instead of counted. A
request and its attempts are counted when its row is closed, so the counters are the sums of the rows since this
process started: no 401, 403 of a disabled project or 429 of a rate limit, which have no row.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from llm_gateway.errors import UNRESOLVED
from llm_gateway.observe import families as f
from llm_gateway.observe.ended import Ended, Tried, Usage, idle, pace
from llm_gateway.observe.figures import Figures, Looked
from llm_gateway.observe.labels import MAX_SETS, AttemptLabels, Labels, RequestLabels
from llm_gateway.observe.sums import Sum
from llm_gateway.observe.tally import Count, Spread, Tally
from llm_gateway.observe.workers import Slot

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

SHED: Final = frozenset({"queue_full", "queue_timeout", "retry_budget_exhausted", "overloaded"})
"""Error codes of requests that were refused because the fleet, or the gateway itself, bears no more."""


CARRY: Final = 0.02
"""Seconds that figures of a worker may wait before the others see them; a worker that is killed takes them along."""
MOST_KNOWN: Final = 2 * MAX_SETS
"""Kinds of requests, and of attempts, whose series are found at once."""

_KindOfRequest = tuple[str, str, str, str | None, str | None, int, str | None]
_KindOfAttempt = tuple[str, str, str, str, str, str]


class _Request(Tally):
    """The series of one set of labels of requests."""

    __slots__ = ("answers", "count", "labels", "seconds")

    def __init__(self, labels: RequestLabels, count: Count, seconds: Spread) -> None:
        super().__init__(count, seconds)
        self.labels = labels
        self.count = count
        self.seconds = seconds
        self.answers: _Answers | None = None
        """None = none had content so far."""


class _Answers(Tally):
    """Those of requests that had content."""

    __slots__ = ("cost", "estimated_in", "estimated_out", "first_token", "output_token", "tokens_in", "tokens_out")

    def __init__(
        self,
        first_token: Spread,
        output_token: Spread,
        tokens: tuple[Spread, Spread],
        estimated: tuple[Count, Count],
        cost: Count,
    ) -> None:
        super().__init__(first_token, output_token, *tokens, *estimated, cost)
        self.first_token = first_token
        self.output_token = output_token
        self.tokens_in, self.tokens_out = tokens
        self.estimated_in, self.estimated_out = estimated
        self.cost = cost


class _Tries(Tally):
    """Those of attempts."""

    __slots__ = ("first_chunk", "output_chunk", "seconds")

    def __init__(self, seconds: Spread, first_chunk: Spread, output_chunk: Spread) -> None:
        super().__init__(seconds, first_chunk, output_chunk)
        self.seconds = seconds
        self.first_chunk = first_chunk
        self.output_chunk = output_chunk


class _Outcomes(Tally):
    """The series of a server's attempts that ended alike."""

    __slots__ = ("count",)

    def __init__(self, count: Count) -> None:
        super().__init__(count)
        self.count = count


class Metrics:
    """The figures of one process, in a registry of their own: two gateways in one process do not meet."""

    def __init__(self, version: str, slot: Slot | None = None) -> None:
        """`slot`: this process is one of several workers, and shows what all of them have counted."""
        # `_created` would be one more series per series, of no use to anybody
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library forgot its annotation
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._sum = Sum(slot) if slot is not None else None
        f.BUILD.gauge(registry, "livemax").labels(version, platform.python_version()).set(1)
        self._requests = f.REQUESTS.counter(registry)
        self._inflight = f.INFLIGHT.gauge(registry)
        self._seconds = f.DURATION.histogram(registry)
        self._first_token = f.FIRST_TOKEN.histogram(registry)
        self._output_token = f.OUTPUT_TOKEN.histogram(registry)
        self._tokens = f.USAGE.histogram(registry)
        self._estimated = f.ESTIMATED.counter(registry)
        self._cost = f.COST.counter(registry)
        self._overhead = f.OVERHEAD.histogram(registry)
        self._attempt = f.ATTEMPT.histogram(registry)
        self._first_chunk = f.FIRST_CHUNK.histogram(registry)
        self._output_chunk = f.OUTPUT_CHUNK.histogram(registry)
        self._attempts = f.ATTEMPTS.counter(registry)
        self._failovers = f.FAILOVERS.counter(registry)
        self._absorbed = f.ABSORBED.counter(registry)
        self._races = f.RACES.counter(registry)
        self._resumed = f.RESUMED.counter(registry)
        self._wasted = f.WASTED.counter(registry)
        self._shed = f.SHED.counter(registry)
        self._quarantines = f.QUARANTINES.counter(registry)
        self._state_changes = f.STATE_CHANGES.counter(registry)
        self._rate_limited = f.RATE_LIMITED.counter(registry)
        self._auth_failures = f.AUTH_FAILURES.counter(registry)
        self._labels = Labels()
        self._states: Mapping[str, str] = {}
        self._under_way = 0
        """Requests that began, less those that ended, since they were carried over."""
        self._idle = Spread(self._overhead, f.OVERHEADS)
        self._noted: list[Tally] = []
        self._carrying = False
        """Is it settled when what was noted is carried over?"""
        self._requests_of: dict[RequestLabels, _Request] = {}
        self._answers_of: dict[tuple[str, ...], _Answers] = {}
        self._tries_of: dict[AttemptLabels, _Tries] = {}
        self._outcomes_of: dict[tuple[str, str, str], _Outcomes] = {}
        self._known_requests: dict[_KindOfRequest, _Request] = {}
        self._known_attempts: dict[_KindOfAttempt, tuple[_Tries, _Outcomes]] = {}

    def request_began(self) -> None:
        self._under_way += 1
        if self._sum is not None and not self._carrying:
            self._carry_soon()

    def request_ended(self, request: Ended) -> None:
        """Counts one request and its attempts, after its `request_began`."""
        self._under_way -= 1
        error = request.error_code
        project, endpoint, model = request.caller.project.name, request.endpoint, request.model
        kind = (project, endpoint, request.provider, model, request.backend_model, request.status, error)
        series = self._known_requests.get(kind)
        if series is None:
            series = self._request(request)
            if len(self._known_requests) < MOST_KNOWN and error not in UNRESOLVED:
                self._known_requests[kind] = series
        if not series.noted:
            self._note(series)
        series.count.more += 1
        series.seconds.note(request.latency)
        if len(request.servers) > 1:
            self._resumed.inc(len(request.servers) - 1)
        if error is not None and error in SHED:
            self._shed.labels(error).inc()
        if (usage := request.usage) is not None:
            self._answered(request, usage, series)
        answered = request.outcome == "ok"
        if answered:
            self._idle.note(idle(request))
        for one in request.tries:
            self._attempt_ended(one, series.labels.operation, absorbed=answered)
        if self._sum is not None and not self._carrying:
            self._carry_soon()

    def _answered(self, request: Ended, usage: Usage, series: _Request) -> None:
        """What clients had of a request, whole or not."""
        answers = series.answers
        if answers is None:
            answers = series.answers = self._answers(series.labels)
        if not answers.noted:
            self._note(answers)
        if (ttft := request.ttft) is not None:
            answers.first_token.note(ttft)
        if cost := request.cost:
            answers.cost.more += cost / 1e9
        if usage.estimated:
            answers.estimated_in.more += usage.input
            answers.estimated_out.more += usage.output
            return
        answers.tokens_in.note(usage.input)
        answers.tokens_out.note(usage.output)
        if ttft is not None and usage.output > 1 and request.outcome == "ok":
            answers.output_token.note((request.latency - ttft) / (usage.output - 1))

    def _attempt_ended(self, one: Tried, operation: str, *, absorbed: bool) -> None:
        outcome = one.outcome
        kind = (operation, one.provider, one.model, outcome, one.server, one.tier)
        known = self._known_attempts.get(kind)
        if known is None:
            known = (self._tries(kind), self._outcomes(one))
            if len(self._known_attempts) < MOST_KNOWN:
                self._known_attempts[kind] = known
        series, outcomes = known
        if not series.noted:
            self._note(series)
        if not outcomes.noted:
            self._note(outcomes)
        outcomes.count.more += 1
        began, first_at = one.began, one.first_at
        series.seconds.note(one.ended - began)
        if first_at:
            series.first_chunk.note(first_at - began)
            if (each := pace(one)) is not None:
                series.output_chunk.note(each)
        if one.why == "failover" and one.after is not None:
            self._failovers.labels(one.after.value).inc()
        elif one.why == "race":
            self._races.labels("started").inc()
            if first_at:
                self._races.labels("won").inc()
        if outcome != "ok" and absorbed and one.failed:
            self._absorbed.labels(outcome).inc()
        if not one.given and (wasted := one.wasted):
            self._wasted.labels(outcome).inc(wasted)

    def request_refused(self) -> None:
        """By a limit, after its `request_began`: it leaves no row and counts as none."""
        self._under_way -= 1
        if self._sum is not None and not self._carrying:
            self._carry_soon()

    def quarantined(self, reason: str) -> None:
        """`reason`: `wrong_digest`, `misnamed` or an `errors.FaultKind`."""
        self._quarantines.labels(reason).inc()

    def server_states(self, states: Mapping[str, str]) -> None:
        """Counts what has changed since the last call; server -> its state. New servers have not changed."""
        for server, state in states.items():
            if self._states.get(server, state) != state:
                self._state_changes.labels(state).inc()
        self._states = states

    def rate_limited(self, project: str, limit: str) -> None:
        """`limit`: a name of `access.policy.LIMITS`."""
        self._rate_limited.labels(self._labels.project(project), limit).inc()

    def auth_failed(self) -> None:
        self._auth_failures.inc()

    def watch(self, look: Callable[[], Figures]) -> None:
        """From now on `look` is asked at every rendering; it may not wait for anything. Call it once."""
        if self._sum is not None:
            self._sum.watch(Looked(look).fleet)
        else:
            self._registry.register(Looked(look))

    def render(self) -> bytes:
        """All figures in Prometheus' text format, to be served as `CONTENT_TYPE`."""
        self.carry()
        return generate_latest(self._registry if self._sum is None else self._sum.registry())

    def note(self, mine: Figures) -> None:
        """Lets the other workers know what waits here now. A process of its own has nobody to tell."""
        if self._sum is not None:
            self._sum.note(mine)

    def carry(self) -> None:
        """What was noted since the last time becomes part of the figures that are shown."""
        self._carrying = False
        more, self._under_way = self._under_way, 0
        if more:
            self._inflight.inc(more)
        self._idle.carry()
        noted, self._noted = self._noted, []
        for tally in noted:
            tally.carry()

    def _carry_soon(self) -> None:
        """Other workers show what this one has counted."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.carry()
            return
        self._carrying = True
        loop.call_later(CARRY, self.carry)

    def _note(self, tally: Tally) -> None:
        tally.noted = True
        self._noted.append(tally)

    def _request(self, request: Ended) -> _Request:
        labels = self._labels.of_request(request)
        series = self._requests_of.get(labels)
        if series is None:
            status = f"{labels.status // 100}xx"
            series = self._requests_of[labels] = _Request(
                labels,
                Count(self._requests.labels(labels.project, labels.endpoint, labels.model, status)),
                Spread(self._seconds.labels(*labels.gen_ai, labels.error), f.DURATIONS),
            )
        return series

    def _answers(self, labels: RequestLabels) -> _Answers:
        gen_ai, project = labels.gen_ai, labels.project
        answers = self._answers_of.get(gen_ai)
        if answers is None:
            answers = self._answers_of[gen_ai] = _Answers(
                Spread(self._first_token.labels(*gen_ai), f.FIRST_TOKENS),
                Spread(self._output_token.labels(*gen_ai), f.PER_TOKEN),
                (
                    Spread(self._tokens.labels(*gen_ai, "input"), f.TOKENS),
                    Spread(self._tokens.labels(*gen_ai, "output"), f.TOKENS),
                ),
                (
                    Count(self._estimated.labels(project, "input")),
                    Count(self._estimated.labels(project, "output")),
                ),
                Count(self._cost.labels(project)),
            )
        return answers

    def _tries(self, kind: _KindOfAttempt) -> _Tries:
        operation, provider, model, outcome, *_ = kind
        labels = self._labels.of_attempt(operation, provider, model, "" if outcome == "ok" else outcome)
        series = self._tries_of.get(labels)
        if series is None:
            its = (labels.operation, labels.provider, labels.model)
            series = self._tries_of[labels] = _Tries(
                Spread(self._attempt.labels(*labels), f.DURATIONS),
                Spread(self._first_chunk.labels(*its), f.FIRST_TOKENS),
                Spread(self._output_chunk.labels(*its), f.PER_TOKEN),
            )
        return series

    def _outcomes(self, one: Tried) -> _Outcomes:
        who = (self._labels.server(one.server), one.tier, one.outcome)
        outcomes = self._outcomes_of.get(who)
        if outcomes is None:
            outcomes = self._outcomes_of[who] = _Outcomes(Count(self._attempts.labels(*who)))
        return outcomes
