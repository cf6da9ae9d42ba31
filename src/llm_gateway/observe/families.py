"""Every metric of the gateway: name, sentence, labels, buckets. The page of the docs is made from this table.

Names and buckets follow OpenTelemetry's GenAI conventions where they have one (`gen_ai_…`); our own begin with
`llmgw_`. No label holds a client's free text, and each label has a bound: see `labels`.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

DURATIONS: Final = tuple(0.01 * 2**i for i in range(16))
"""Seconds, .01 to 81.92 as the convention has them, and two steps more."""
FIRST_TOKENS: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
"""Seconds, of the convention up to 10."""
PER_TOKEN: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
"""Seconds, of the convention."""
OVERHEADS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""
TOKENS: Final = tuple(float(4**i) for i in range(14))


class Family(NamedTuple):
    """One metric, as it is scraped."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    says: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    def counter(self, registry: CollectorRegistry) -> Counter:
        return Counter(self.name, self.says, self.labels, registry=registry)

    def gauge(self, registry: CollectorRegistry, workers: Literal["livesum", "livemax"] = "livesum") -> Gauge:
        """`workers`: what is shown of the living ones, where several share figures."""
        return Gauge(self.name, self.says, self.labels, registry=registry, multiprocess_mode=workers)

    def histogram(self, registry: CollectorRegistry) -> Histogram:
        return Histogram(self.name, self.says, self.labels, buckets=self.buckets, registry=registry)

    def series(self) -> tuple[str, ...]:
        """The names of its time series."""
        if self.kind == "histogram":
            return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")
        return (self.name,)


_GEN_AI: Final = (
    *("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_response_model"),
    "llmgw_project",
)

BUILD: Final = Family("gauge", "llmgw_build_info", "What runs here; always 1.", ("version", "python"))
REQUESTS: Final = Family(
    "counter",
    "llmgw_requests_total",
    "Requests that ended and have a row in the log.",
    ("project", "endpoint", "model", "status_class"),
)
INFLIGHT: Final = Family("gauge", "llmgw_inflight", "Requests that are being worked on.")
DURATION: Final = Family(
    "histogram",
    "gen_ai_server_request_duration_seconds",
    "From the request to the end of its answer, as the client saw it.",
    (*_GEN_AI, "error_type"),
    DURATIONS,
)
FIRST_TOKEN: Final = Family(
    "histogram",
    "gen_ai_server_time_to_first_token_seconds",
    "From the request to its first content, after all failover.",
    _GEN_AI,
    FIRST_TOKENS,
)
OUTPUT_TOKEN: Final = Family(
    "histogram",
    "gen_ai_server_time_per_output_token_seconds",
    "Of an answer after its first token; answers whose servers counted no tokens are left out.",
    _GEN_AI,
    PER_TOKEN,
)
USAGE: Final = Family(
    "histogram",
    "gen_ai_client_token_usage",
    "Tokens per request as servers counted them; estimates are left out.",
    (*_GEN_AI, "gen_ai_token_type"),
    TOKENS,
)
ESTIMATED: Final = Family(
    "counter",
    "llmgw_tokens_estimated_total",
    "Tokens that we counted, because the server counted none, or more than there can have been.",
    ("project", "gen_ai_token_type"),
)
COST: Final = Family("counter", "llmgw_cost_total", "What tokens cost, in the unit of the prices.", ("project",))
OVERHEAD: Final = Family(
    "histogram",
    "llmgw_overhead_seconds",
    "Of an answered request: the time in which no server was at work on it (reading, deciding, waiting for a place).",
    (),
    OVERHEADS,
)
ATTEMPT: Final = Family(
    "histogram",
    "gen_ai_client_operation_duration_seconds",
    "An attempt at a model server, from its beginning to its end.",
    ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "error_type"),
    DURATIONS,
)
_ATTEMPT: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
FIRST_CHUNK: Final = Family(
    "histogram",
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    "An attempt that had content: from its beginning to the first of it.",
    _ATTEMPT,
    FIRST_TOKENS,
)
OUTPUT_CHUNK: Final = Family(
    "histogram",
    "gen_ai_client_operation_time_per_output_chunk_seconds",
    "An attempt's answer after its first content, for each token that came.",
    _ATTEMPT,
    PER_TOKEN,
)
ATTEMPTS: Final = Family(
    "counter",
    "llmgw_attempts_total",
    "Attempts of requests that ended: ok, cancelled, or what the server did wrong.",
    ("server", "tier", "outcome"),
)
FAILOVERS: Final = Family(
    "counter",
    "llmgw_failovers_total",
    "Times a request went on to another server, by what the one before did wrong.",
    ("reason",),
)
ABSORBED: Final = Family(
    "counter",
    "llmgw_absorbed_errors_total",
    "Failed attempts of requests that were answered: what clients did not see.",
    ("fault",),
)
RACES: Final = Family(
    "counter",
    "llmgw_races_total",
    "Attempts that were started beside a slow one (started), and those of them that spoke (won).",
    ("result",),
)
RESUMED: Final = Family(
    "counter",
    "llmgw_stream_resumed_total",
    "Times another server went on with an answer that had broken off or was far too slow.",
)
WASTED: Final = Family(
    "counter",
    "llmgw_tokens_wasted_total",
    "Tokens that servers made and no client got, by how the attempt ended.",
    ("outcome",),
)
SHED: Final = Family(
    "counter",
    "llmgw_shed_total",
    "Requests refused under load: queue_full, queue_timeout, retry_budget_exhausted, overloaded.",
    ("reason",),
)
QUARANTINES: Final = Family(
    "counter",
    "llmgw_quarantines_total",
    "Times a server or a model on it was put out for not being what it claims to be.",
    ("reason",),
)
STATE_CHANGES: Final = Family(
    "counter",
    "llmgw_server_state_changes_total",
    "Times a server was seen in another state than a second before, by the new one.",
    ("state",),
)
RATE_LIMITED: Final = Family(
    "counter",
    "llmgw_rate_limited_total",
    "Requests refused by the limits of a project or its keys.",
    ("project", "limit"),
)
AUTH_FAILURES: Final = Family(
    "counter", "llmgw_auth_failures_total", "Requests without a valid API key, or of a disabled project."
)

SERVERS: Final = Family("gauge", "llmgw_servers", "Model servers by state.", ("state",))
HEALTHY: Final = Family(
    "gauge",
    "llmgw_model_healthy_servers",
    "Servers that hold a model and do not rest; of the models that most servers hold.",
    ("model",),
)
RESTING: Final = Family(
    "gauge",
    "llmgw_resting",
    "Servers, and models on servers that are well otherwise, by what they rest for.",
    ("scope", "fault"),
)
QUEUE: Final = Family("gauge", "llmgw_queue_depth", "Requests that wait for a place at some server.")
LOG_ROWS: Final = Family(
    "counter", "llmgw_log_rows_total", "Rows of the request log: written to the database, or dropped.", ("result",)
)
LOG_QUEUE: Final = Family("gauge", "llmgw_log_queue_depth", "Rows that wait for the database.")
ALERTS: Final = Family("gauge", "llmgw_alerts_firing", "Alerts that fire, by their rule.", ("rule",))
TASKS: Final = Family("gauge", "llmgw_tasks", "asyncio tasks of the process, or of all its workers.")

FAMILIES: Final = (
    *(BUILD, REQUESTS, INFLIGHT, DURATION, FIRST_TOKEN, OUTPUT_TOKEN, USAGE, ESTIMATED),
    *(COST, OVERHEAD, ATTEMPT, FIRST_CHUNK, OUTPUT_CHUNK, ATTEMPTS, FAILOVERS, ABSORBED, RACES, RESUMED),
    *(WASTED, SHED, QUARANTINES, STATE_CHANGES, RATE_LIMITED, AUTH_FAILURES, SERVERS, HEALTHY),
    *(RESTING, QUEUE, LOG_ROWS, LOG_QUEUE, ALERTS, TASKS),
)
"""All of them, in the order of this file."""
