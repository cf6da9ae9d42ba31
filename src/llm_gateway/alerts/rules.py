"""What can be watched, and the rules that watch it: plain values, no clock.

A metric has a value for each of its subjects (a project, a model, a key, a host, or the gateway as a whole); a rule
compares these with a threshold. `config.alerts` makes rules of the config file's entries; those of `BUILT_IN` hold
without any configuration.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["info", "warning", "critical"]
Comparison = Literal[">", ">=", "<", "<="]
Scope = Literal["project", "model"]
Source = Literal["usage", "budgets", "keys", "fleet", "shared", "own"]
"""Where a metric comes from. `own`: each process knows its own; of the others one process is enough to ask."""
Unit = Literal["share", "ms", "s", "days", "requests", "tokens", "cost", "servers", "rows"]

OVERALL: Final = "gateway"
"""The subject of what is about everything."""
SHORTEST_WINDOW: Final = 60.0
"""Seconds: figures are kept by the minute."""
LONGEST_WINDOW: Final = 86_400.0
LONGEST_HOLD: Final = 86_400.0

COMPARISONS: Final[Mapping[Comparison, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True, slots=True)
class Metric:
    """Something with a value that a rule may be about."""

    source: Source
    unit: Unit
    says: str
    scopes: frozenset[Scope] = frozenset()
    """By what a rule may narrow it."""
    windowed: bool = False
    """Is it a sum over a time?"""
    sampled: bool = False
    """Does it mean nothing while there are few requests?"""


_BY_BOTH: Final[frozenset[Scope]] = frozenset({"project", "model"})


def _usage(unit: Unit, says: str, *, sampled: bool = False) -> Metric:
    return Metric("usage", unit, says, _BY_BOTH, windowed=True, sampled=sampled)


METRICS: Final[Mapping[str, Metric]] = {
    "requests": _usage("requests", "Requests that ended."),
    "errors": _usage("requests", "Of these, the ones with a status of 400 or more."),
    "error_share": _usage("share", "Share of requests with a status of 400 or more.", sampled=True),
    "latency_p95_ms": _usage("ms", "Time that all but the slowest 5 % of requests took.", sampled=True),
    "ttft_p95_ms": _usage("ms", "The same until the first token.", sampled=True),
    "tokens": _usage("tokens", "Tokens of prompts and answers."),
    "cost": _usage("cost", "Cost, in the unit of the prices."),
    "budget_used": Metric(
        "budgets",
        "share",
        "Used share of each daily or monthly budget of a project or key.",
        frozenset({"project"}),
    ),
    "key_days_left": Metric(
        "keys", "days", "Days until a key expires, of keys that live longer than a week.", frozenset({"project"})
    ),
    "model_healthy_servers": Metric(
        "fleet", "servers", "Servers that can answer for a logical name, or for the named model.", frozenset({"model"})
    ),
    "healthy_servers": Metric("fleet", "servers", "Servers that are healthy."),
    "healthy_share": Metric("fleet", "share", "Their share of all servers that are not disabled."),
    "servers_quarantined": Metric("fleet", "servers", "Servers that are not what they claim to be."),
    "database_away_s": Metric("shared", "s", "Seconds since the database last answered; 0 while it does."),
    "redis_away_s": Metric("shared", "s", "The same of Redis, where it is used."),
    "log_rows_dropped": Metric("own", "rows", "Rows of the request log that were lost.", windowed=True),
    "log_rows_waiting": Metric("own", "rows", "Rows of the request log that wait for the database."),
    "disk_free_share": Metric("own", "share", "Free share of the disk that holds the data directory."),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """`value comparison threshold` for at least `hold` seconds, for every subject by itself."""

    name: str
    metric: str
    comparison: Comparison
    threshold: float
    severity: Severity = "warning"
    over: float = 300.0
    """Seconds that a windowed metric is summed up over."""
    hold: float = 0.0
    """Seconds that it must be so before anybody is told."""
    project: str | None = None
    """Only of this project, by name; `model` likewise."""
    model: str | None = None
    each: Scope | None = None
    """One subject per project or model; None = one for everything."""
    min_requests: int = 10
    """Requests within the window without which a sampled metric has no value."""

    @property
    def about(self) -> Metric:
        return METRICS[self.metric]

    @property
    def condition(self) -> str:
        """For people: `error_share > 5 %`."""
        return f"{self.metric} {self.comparison} {shown(self.threshold, self.about.unit)}"

    def holds(self, value: float) -> bool:
        return COMPARISONS[self.comparison](value, self.threshold)


BUILT_IN: Final[Mapping[str, Rule]] = {
    rule.name: rule
    for rule in (
        Rule("budget_80", "budget_used", ">=", 0.8),
        Rule("budget_100", "budget_used", ">=", 1.0, "critical"),
        Rule("model_down", "model_healthy_servers", "<", 1, "critical", hold=120.0),
        Rule("database_unavailable", "database_away_s", ">", 15.0, "critical"),
        Rule("redis_unavailable", "redis_away_s", ">", 60.0),
        Rule("log_rows_dropped", "log_rows_dropped", ">", 0, "critical", over=600.0),
        Rule("disk_nearly_full", "disk_free_share", "<", 0.05, "critical"),
        Rule("key_expires", "key_days_left", "<", 7, "info"),
    )
}
"""By name. A rule of the config file with one of these names takes its place."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The value of a rule's metric for one subject."""

    subject: str
    value: float


Readings = Mapping[str, list[Reading] | None]
"""Rule -> its readings; None = nobody knows now, so nothing changes."""


def shown(value: float, unit: Unit) -> str:
    """A value as people write it."""
    if unit == "share":
        return f"{value * 100:.4g} %"
    text = f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:,.4g}"
    return text if unit == "cost" else f"{text} {unit}"
