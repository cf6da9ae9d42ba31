"""The figures of this process for Prometheus: counted where things happen, rendered when asked.

`families` says what there is, `labels` keeps the labels few, `figures` is what is looked up instead of counted. A
request and its attempts are counted when its row is closed, so the counters are the sums of the rows since this
process started: no 401, 403 of a disabled project or 429 of a rate limit, which have no row.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from llm_gateway.observe import families as f
from llm_gateway.observe.ended import Ended, Tried, Usage, idle, pace
from llm_gateway.observe.figures import Figures, Looked
from llm_gateway.observe.labels import AttemptLabels, Labels, RequestLabels
from llm_gateway.observe.sums import Sum
from llm_gateway.observe.workers import Slot

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

SHED: Final = frozenset({"queue_full", "queue_timeout", "retry_budget_exhausted", "overloaded"})
"""Error codes of requests that were refused because the fleet, or the gateway itself, bears no more."""


@dataclass(frozen=True, slots=True)
class _Series:
    """The time series of one set of labels of requests, looked up once."""

    count: Counter
    seconds: Histogram


@dataclass(frozen=True, slots=True)
class _Answers:
    """Those of requests that had content."""

    first_token: Histogram
    output_token: Histogram
    tokens_input: Histogram
    tokens_output: Histogram
    estimated_input: Counter
    estimated_output: Counter
    cost: Counter


@dataclass(frozen=True, slots=True)
class _Tries:
    """Those of attempts."""

    seconds: Histogram
    first_chunk: Histogram
    output_chunk: Histogram


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
        self._series: dict[RequestLabels, _Series] = {}
        self._answers: dict[tuple[str, ...], _Answers] = {}
        self._tries: dict[AttemptLabels, _Tries] = {}
        self._attempt_counts: dict[tuple[str, str, str], Counter] = {}
        self._states: Mapping[str, str] = {}

    def request_began(self) -> None:
        self._inflight.inc()

    def request_ended(self, request: Ended) -> None:
        """Counts one request and its attempts, after its `request_began`."""
        self._inflight.dec()
        labels = self._labels.of_request(request)
        series = self._series.get(labels)
        if series is None:
            status = f"{labels.status // 100}xx"
            series = self._series[labels] = _Series(
                self._requests.labels(labels.project, labels.endpoint, labels.model, status),
                self._seconds.labels(*labels.gen_ai, labels.error),
            )
        series.count.inc()
        series.seconds.observe(request.latency)
        if len(request.servers) > 1:
            self._resumed.inc(len(request.servers) - 1)
        if request.error_code in SHED:
            self._shed.labels(request.error_code).inc()
        if request.usage is not None:
            self._answered(request, request.usage, labels)
        answered = request.outcome == "ok"
        if answered:
            self._overhead.observe(idle(request))
        for one in request.tries:
            self._attempt_ended(one, labels.operation, absorbed=answered)

    def _answered(self, request: Ended, usage: Usage, labels: RequestLabels) -> None:
        """What clients had of a request, whole or not."""
        gen_ai = labels.gen_ai
        answers = self._answers.get(gen_ai)
        if answers is None:
            answers = self._answers[gen_ai] = self._look_up(gen_ai, labels.project)
        if request.ttft is not None:
            answers.first_token.observe(request.ttft)
        if request.cost:
            answers.cost.inc(request.cost / 1e9)
        if usage.estimated:
            answers.estimated_input.inc(usage.input)
            answers.estimated_output.inc(usage.output)
            return
        answers.tokens_input.observe(usage.input)
        answers.tokens_output.observe(usage.output)
        if request.outcome == "ok" and request.ttft is not None and usage.output > 1:
            answers.output_token.observe((request.latency - request.ttft) / (usage.output - 1))

    def _attempt_ended(self, one: Tried, operation: str, *, absorbed: bool) -> None:
        outcome = one.outcome
        error = "" if outcome == "ok" else outcome
        labels = self._labels.of_attempt(operation, one.provider, one.model, error)
        series = self._tries.get(labels)
        if series is None:
            its = (labels.operation, labels.provider, labels.model)
            series = self._tries[labels] = _Tries(
                self._attempt.labels(*labels), self._first_chunk.labels(*its), self._output_chunk.labels(*its)
            )
        series.seconds.observe(one.ended - one.began)
        if one.first_at:
            series.first_chunk.observe(one.first_at - one.began)
        if (each := pace(one)) is not None:
            series.output_chunk.observe(each)
        who = (self._labels.server(one.server), one.tier, outcome)
        count = self._attempt_counts.get(who)
        if count is None:
            count = self._attempt_counts[who] = self._attempts.labels(*who)
        count.inc()
        if one.why == "failover" and one.after is not None:
            self._failovers.labels(one.after.value).inc()
        elif one.why == "race":
            self._races.labels("started").inc()
            if one.first_at:
                self._races.labels("won").inc()
        if one.failed and absorbed:
            self._absorbed.labels(outcome).inc()
        if wasted := one.wasted:
            self._wasted.labels(outcome).inc(wasted)

    def request_refused(self) -> None:
        """By a limit, after its `request_began`: it leaves no row and counts as none."""
        self._inflight.dec()

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
        return generate_latest(self._registry if self._sum is None else self._sum.registry())

    def note(self, mine: Figures) -> None:
        """Lets the other workers know what waits here now. A process of its own has nobody to tell."""
        if self._sum is not None:
            self._sum.note(mine)

    def _look_up(self, gen_ai: tuple[str, ...], project: str) -> _Answers:
        return _Answers(
            first_token=self._first_token.labels(*gen_ai),
            output_token=self._output_token.labels(*gen_ai),
            tokens_input=self._tokens.labels(*gen_ai, "input"),
            tokens_output=self._tokens.labels(*gen_ai, "output"),
            estimated_input=self._estimated.labels(project, "input"),
            estimated_output=self._estimated.labels(project, "output"),
            cost=self._cost.labels(project),
        )
