"""What is not counted but looked up at the moment of rendering: the fleet, the queues, the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from llm_gateway.observe import families as f
from llm_gateway.observe.labels import MAX_MODELS
from llm_gateway.observe.sums import SUMMED


@dataclass(frozen=True, slots=True)
class Figures:
    """As they are now."""

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
    """Result (`written`, `dropped`, `repeated`) -> rows since this process started."""
    alerts: Mapping[str, int] = field(default_factory=dict)
    """Rule -> subjects for which it fires."""


class Looked(Collector):
    """`Figures` as time series."""

    def __init__(self, look: Callable[[], Figures]) -> None:
        self._look = look

    def fleet(self) -> Iterable[Metric]:
        """The part that is alike in all processes."""
        return [metric for metric in self.collect() if metric.name not in SUMMED]

    def collect(self) -> Iterable[Metric]:
        now = self._look()
        held: Any = now.healthy.items()
        if len(held) > MAX_MODELS:
            held = sorted(held, key=lambda each: (-each[1], each[0]))[:MAX_MODELS]
        yield _gauge(f.SERVERS, {(state,): count for state, count in now.servers.items()})
        yield _gauge(f.HEALTHY, {(model,): count for model, count in held})
        yield _gauge(f.RESTING, now.resting)
        yield _gauge(f.QUEUE, {(): now.queue})
        rows = CounterMetricFamily(f.LOG_ROWS.name, f.LOG_ROWS.says, labels=f.LOG_ROWS.labels)
        for result, count in now.log_rows.items():
            rows.add_metric((result,), count)
        yield rows
        yield _gauge(f.LOG_QUEUE, {(): now.log_queue})
        yield _gauge(f.ALERTS, {(rule,): count for rule, count in now.alerts.items()})
        yield _gauge(f.TASKS, {(): now.tasks})


def _gauge(family: f.Family, values: Mapping[Any, int]) -> Metric:
    """`values`: labels, a tuple of texts -> value."""
    gauge = GaugeMetricFamily(family.name, family.says, labels=family.labels)
    for labels, value in values.items():
        gauge.add_metric(labels, value)
    return gauge
