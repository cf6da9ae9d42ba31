"""The figures of this process for Prometheus: counted where things happen, rendered when asked.

Names and buckets follow OpenTelemetry's GenAI conventions where they have one (`gen_ai_…`); our own begin with
`llmgw_`. Every label value comes from the configuration, the code or the fleet, never from a client's free text, and
each label is bounded. `llmgw_requests_total` counts what has a row in the request log: no 401, 403 of a disabled
project or 429 of a rate limit.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from llm_gateway.observe.sums import SUMMED, Sum
from llm_gateway.observe.workers import Slot

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
UNKNOWN: Final = "unknown"
"""The model of a request whose name was not read or did not resolve."""
OTHER: Final = "other"
MAX_MODELS: Final = 1000
"""Different model labels of one process; later ones are counted as `other`."""

SHED: Final = frozenset({"queue_full", "queue_timeout", "retry_budget_exhausted", "overloaded"})
"""Error codes of requests that were refused because the fleet, or the gateway itself, bears no more."""
UNRESOLVED: Final = frozenset({"model_not_found", "no_permitted_upstream", "internal_error"})
"""Error codes of requests whose model may be whatever the client wrote."""

DURATIONS: Final = tuple(0.01 * 2**i for i in range(16))
"""Seconds, .01 to 81.92 as the convention has them, and two steps more."""
FIRST_TOKENS: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
"""Seconds."""
TOKENS: Final = tuple(float(4**i) for i in range(14))


class _Project(Protocol):
    @property
    def name(self) -> str: ...


class _Caller(Protocol):
    @property
    def project(self) -> _Project: ...


class _Usage(Protocol):
    @property
    def input(self) -> int: ...
    @property
    def output(self) -> int: ...
    @property
    def estimated(self) -> bool: ...


class Ended(Protocol):
    """What is read of a request that has ended (`ledger.entry.Entry` is one)."""

    @property
    def caller(self) -> _Caller: ...
    @property
    def endpoint(self) -> str: ...
    @property
    def model(self) -> str | None:
        """The asked name."""

    @property
    def backend_model(self) -> str | None:
        """The physical model that answered."""

    @property
    def status(self) -> int: ...
    @property
    def error_code(self) -> str | None: ...
    @property
    def latency(self) -> float:
        """Seconds, as `ttft`."""

    @property
    def ttft(self) -> float | None: ...
    @property
    def usage(self) -> _Usage | None: ...
    @property
    def servers(self) -> Sequence[str]:
        """Who spoke: each after the first went on with an answer that had broken off."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is not counted but looked up at the moment of rendering."""

    servers: Mapping[str, int] = field(default_factory=dict)
    """State -> servers in it."""
    healthy: Mapping[str, int] = field(default_factory=dict)
    """Physical model -> servers that hold it and do not rest."""
    resting: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(`server` or `model`, fault) -> how many rest for it."""
    queue: int = 0
    """Requests that wait for a place at some server."""
    log_queue: int = 0
    """Rows that wait for the database."""
    tasks: int = 0
    """asyncio tasks of this process: requests, attempts and what runs all the time."""
    log_rows: Mapping[str, int] = field(default_factory=dict)
    """Result (`written`, `dropped`) -> rows since this process started."""


@dataclass(frozen=True, slots=True)
class _Children:
    """The time series of one set of labels, looked up once."""

    count: Counter
    seconds: Histogram
    first_token: Histogram
    tokens_input: Histogram
    tokens_output: Histogram
    estimated_input: Counter
    estimated_output: Counter


class Metrics:
    """The figures of one process, in a registry of their own: two gateways in one process do not meet."""

    def __init__(self, version: str, slot: Slot | None = None) -> None:
        """`slot`: this process is one of several workers, and shows what all of them have counted."""
        # `_created` would be one more series per series, of no use to anybody
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library forgot its annotation
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._sum = Sum(slot) if slot is not None else None
        build = Gauge(
            "llmgw_build_info", "What runs here.", ("version", "python"), registry=registry, multiprocess_mode="livemax"
        )
        build.labels(version, platform.python_version()).set(1)

        self._requests = Counter(
            "llmgw_requests_total",
            "Requests that ended and have a row in the log.",
            ("project", "endpoint", "model", "status_class"),
            registry=registry,
        )
        self._inflight = Gauge(
            "llmgw_inflight", "Requests that are being worked on.", registry=registry, multiprocess_mode="livesum"
        )
        self._attempts = Counter(
            "llmgw_attempts_total",
            "Attempts at model servers: ok, cancelled, or what the server did wrong.",
            ("outcome",),
            registry=registry,
        )
        self._failovers = Counter(
            "llmgw_failovers_total",
            "Times a request went on to another server, by what the one before did wrong.",
            ("reason",),
            registry=registry,
        )
        self._races = Counter(
            "llmgw_races_total",
            "Attempts that were started beside a slow one (started), and those of them that spoke first (won).",
            ("result",),
            registry=registry,
        )
        self._resumed = Counter(
            "llmgw_stream_resumed_total",
            "Times another server went on with an answer that had broken off or was far too slow.",
            registry=registry,
        )
        self._shed = Counter(
            "llmgw_shed_total",
            "Requests refused under load: queue_full, queue_timeout, retry_budget_exhausted, overloaded.",
            ("reason",),
            registry=registry,
        )
        self._quarantines = Counter(
            "llmgw_quarantines_total",
            "Times a server or a model on it was put out for not being what it claims to be.",
            ("reason",),
            registry=registry,
        )
        self._rate_limited = Counter(
            "llmgw_rate_limited_total", "Requests refused by a project's limits.", ("project",), registry=registry
        )
        self._auth_failures = Counter(
            "llmgw_auth_failures_total", "Requests without a valid API key.", registry=registry
        )
        labels = ("gen_ai_operation_name", "gen_ai_request_model", "gen_ai_response_model", "llmgw_project")
        self._seconds = Histogram(
            "gen_ai_server_request_duration_seconds",
            "From the request to the end of its answer, as the client saw it.",
            (*labels, "error_type"),
            buckets=DURATIONS,
            registry=registry,
        )
        self._first_token = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "From the request to its first content, after all failover.",
            labels,
            buckets=FIRST_TOKENS,
            registry=registry,
        )
        self._tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens per request as servers counted them; estimates are left out.",
            (*labels, "gen_ai_token_type"),
            buckets=TOKENS,
            registry=registry,
        )
        self._estimated = Counter(
            "llmgw_tokens_estimated_total",
            "Tokens of answers whose servers counted none.",
            ("project", "gen_ai_token_type"),
            registry=registry,
        )
        self._children: dict[tuple[str, str, str, str, int, str], _Children] = {}
        self._models: set[str] = set()

    def request_began(self) -> None:
        self._inflight.inc()

    def request_ended(self, request: Ended) -> None:
        """Counts one request, after its `request_began`."""
        self._inflight.dec()
        model = self._label(None if request.error_code in UNRESOLVED else request.model)
        backend = self._label(request.backend_model) if request.backend_model else ""
        key = (request.caller.project.name, request.endpoint, model, backend, request.status, request.error_code or "")
        children = self._children.get(key)
        if children is None:
            children = self._children[key] = self._look_up(*key)
        children.count.inc()
        if len(request.servers) > 1:
            self._resumed.inc(len(request.servers) - 1)
        if request.error_code in SHED:
            self._shed.labels(request.error_code).inc()
        children.seconds.observe(request.latency)
        if request.ttft is not None:
            children.first_token.observe(request.ttft)
        if (usage := request.usage) is None:
            return
        if usage.estimated:
            children.estimated_input.inc(usage.input)
            children.estimated_output.inc(usage.output)
        else:
            children.tokens_input.observe(usage.input)
            children.tokens_output.observe(usage.output)

    def attempt_ended(self, outcome: str) -> None:
        """`ok`, `cancelled` or a `errors.FaultKind`."""
        self._attempts.labels(outcome).inc()

    def failover(self, reason: str) -> None:
        """A request went on to another server; `reason` is the `errors.FaultKind` of the one before."""
        self._failovers.labels(reason).inc()

    def race(self, result: str) -> None:
        """`started` or `won`."""
        self._races.labels(result).inc()

    def quarantined(self, reason: str) -> None:
        """`reason`: `wrong_digest`, `misnamed` or an `errors.FaultKind`."""
        self._quarantines.labels(reason).inc()

    def rate_limited(self, project: str) -> None:
        self._rate_limited.labels(project).inc()

    def auth_failed(self) -> None:
        self._auth_failures.inc()

    def watch(self, look: Callable[[], Figures]) -> None:
        """From now on `look` is asked at every rendering; it may not wait for anything. Call it once."""
        if self._sum is not None:
            self._sum.watch(_Looked(look).fleet)
        else:
            self._registry.register(_Looked(look))

    def render(self) -> bytes:
        """All figures in Prometheus' text format, to be served as `CONTENT_TYPE`."""
        return generate_latest(self._registry if self._sum is None else self._sum.registry())

    def note(self, mine: Figures) -> None:
        """Lets the other workers know what waits here now. A process of its own has nobody to tell."""
        if self._sum is not None:
            self._sum.note(mine)

    def _label(self, model: str | None) -> str:
        if model is None:
            return UNKNOWN
        if model not in self._models:
            if len(self._models) >= MAX_MODELS:
                return OTHER
            self._models.add(model)
        return model

    def _look_up(self, project: str, endpoint: str, model: str, backend: str, status: int, error: str) -> _Children:
        labels = ("chat", model, backend, project)
        return _Children(
            count=self._requests.labels(project, endpoint, model, f"{status // 100}xx"),
            seconds=self._seconds.labels(*labels, error),
            first_token=self._first_token.labels(*labels),
            tokens_input=self._tokens.labels(*labels, "input"),
            tokens_output=self._tokens.labels(*labels, "output"),
            estimated_input=self._estimated.labels(project, "input"),
            estimated_output=self._estimated.labels(project, "output"),
        )


class _Looked(Collector):
    """`Figures` as time series."""

    def __init__(self, look: Callable[[], Figures]) -> None:
        self._look = look

    def fleet(self) -> Iterable[Metric]:
        """The part that is alike in all processes."""
        return [metric for metric in self.collect() if metric.name not in SUMMED]

    def collect(self) -> Iterable[Metric]:
        figures = self._look()
        servers = GaugeMetricFamily("llmgw_servers", "Model servers by state.", labels=("state",))
        for state, count in figures.servers.items():
            servers.add_metric((state,), count)
        healthy = GaugeMetricFamily(
            "llmgw_model_healthy_servers", "Servers that hold a model and do not rest.", labels=("model",)
        )
        for model, count in figures.healthy.items():
            healthy.add_metric((model,), count)
        resting = GaugeMetricFamily(
            "llmgw_resting",
            "Servers, and models on servers that are well otherwise, by what they rest for.",
            labels=("scope", "fault"),
        )
        for scope_and_fault, count in figures.resting.items():
            resting.add_metric(scope_and_fault, count)
        waiting = GaugeMetricFamily(
            "llmgw_queue_depth", "Requests that wait for a place at some server.", value=figures.queue
        )
        rows = CounterMetricFamily(
            "llmgw_log_rows", "Rows of the request log by what became of them.", labels=("result",)
        )
        for result, count in figures.log_rows.items():
            rows.add_metric((result,), count)
        queue = GaugeMetricFamily("llmgw_log_queue_depth", "Rows that wait for the database.", value=figures.log_queue)
        tasks = GaugeMetricFamily("llmgw_tasks", "asyncio tasks of this process.", value=figures.tasks)
        return servers, healthy, resting, waiting, rows, queue, tasks
