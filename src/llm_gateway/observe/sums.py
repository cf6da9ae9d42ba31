"""What `/metrics` shows where several workers share figures: the sums of all, and the fleet as this one sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from llm_gateway.observe import families as f
from llm_gateway.observe.workers import Slot

SUMMED: Final = frozenset({"llmgw_queue_depth", "llmgw_log_queue_depth", "llmgw_tasks", "llmgw_log_rows"})
"""Of the figures that are looked up: those that every worker has of its own. All others are alike in all of them."""


class Queues(Protocol):
    """`metrics.Figures`, as far as each worker has its own."""

    @property
    def queue(self) -> int: ...
    @property
    def log_queue(self) -> int: ...
    @property
    def tasks(self) -> int: ...
    @property
    def log_rows(self) -> Any:
        """Result -> rows since this process started."""


class Sum:
    """Of one worker."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        mine = CollectorRegistry()
        self._queue = f.QUEUE.gauge(mine)
        self._log_queue = f.LOG_QUEUE.gauge(mine)
        self._tasks = f.TASKS.gauge(mine)
        self._rows = f.LOG_ROWS.counter(mine)
        self._counted: dict[str, int] = {}
        self._fleet: Collector | None = None

    def watch(self, fleet: Callable[[], Iterable[Metric]]) -> None:
        self._fleet = _Asked(fleet)

    def note(self, mine: Queues) -> None:
        """Lets the others know what waits here now."""
        self._queue.set(mine.queue)
        self._log_queue.set(mine.log_queue)
        self._tasks.set(mine.tasks)
        for result, rows in mine.log_rows.items():
            self._rows.labels(result).inc(rows - self._counted.get(result, 0))
            self._counted[result] = rows

    def registry(self) -> CollectorRegistry:
        """All that is to be shown now."""
        self._slot.forget_the_dead()
        shown = CollectorRegistry()
        MultiProcessCollector(shown, str(self._slot.directory))  # type: ignore[no-untyped-call]
        if self._fleet is not None:
            shown.register(self._fleet)
        return shown


class _Asked(Collector):
    def __init__(self, ask: Callable[[], Iterable[Metric]]) -> None:
        self._ask = ask

    def collect(self) -> Iterable[Metric]:
        return self._ask()
