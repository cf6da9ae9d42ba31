"""What is asked, of whom: each scenario is a declaration. Subjects take turns in every round, so that whatever else the
machine does meets all of them; of the rounds the median counts."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from processes import Used, family, settle
from rig import Model, Rig, Told
from subjects import Subject

ANSWER = Model("sse", 4, 250, each=True)
"""About 1 KB in four chunks, one write each."""
OLLAMA_ANSWER = Model("nd", 4, 250, each=True)
PACED = Model("sse", 100, 40, 20)
OLLAMA_PACED = Model("nd", 100, 40, 20)
BURST = Model("sse", 100, 40)
OLLAMA_BURST = Model("nd", 100, 40)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One comparison. The gateway's figure is a multiple of nginx's in the same rounds."""

    name: str
    figure: str
    """Of the issue; "" = told beside it."""
    title: str
    model: Model
    stream: bool
    connections: int
    per: str
    """`request` | `chunk`: what CPU is told by."""
    floor: float | None = None
    goal: float | None = None
    seconds: float = 3.0
    ramp: int = 0
    latency: bool = False
    """Latency added over `direct` is the figure, not CPU."""


SCENARIOS = (
    Scenario("json-c32", "F1", "JSON of ~1 KB, 32 connections", ANSWER, False, 32, "request", 5.0, 3.2),
    Scenario("json-c256", "F1b", "JSON of ~1 KB, 256 connections", ANSWER, False, 256, "request", 6.0, 3.6),
    Scenario("ollama-c32", "", "JSON of ~1 KB of Ollama, 32 connections", OLLAMA_ANSWER, False, 32, "request"),
    Scenario(
        "json-c1", "F4", "JSON of ~1 KB, 1 connection: p50 added over direct", ANSWER, False, 1, "request", 3.0, 2.2,
        latency=True,
    ),
    Scenario(
        "paced", "F2", "SSE, 128 streams of 100 chunks, one every 20 ms", PACED, True, 128, "chunk", 1.7, 1.4,
        seconds=4.0, ramp=2000,
    ),
    Scenario(
        "paced-ollama", "F2", "NDJSON -> SSE, 128 streams of 100 chunks, one every 20 ms", OLLAMA_PACED, True, 128,
        "chunk", 1.9, 1.5, seconds=4.0, ramp=2000,
    ),
    Scenario("burst", "F2b", "SSE, 32 streams of 100 chunks at once", BURST, True, 32, "chunk", 2.0, 1.3),
    Scenario("burst-ollama", "", "NDJSON -> SSE, 32 streams of 100 chunks at once", OLLAMA_BURST, True, 32, "chunk"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Round:
    """One subject's turn."""

    told: Told
    cpu: float
    """Seconds of the subject."""
    main: float
    """Of these, the ones of main threads."""


@dataclass(slots=True)
class Figures:
    """A scenario's rounds by subject."""

    scenario: Scenario
    rounds: dict[str, list[Round]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    """Subjects that could not take part, and why."""

    def cpu_per(self, subject: str) -> float:
        """Median microseconds of CPU per request or chunk. Raises ValueError when no round of it counts."""
        per = self.scenario.per + "s"
        return median([each.cpu * 1e6 / getattr(each.told, per) for each in self.good(subject)])

    def main_per(self, subject: str) -> float:
        """The same of main threads alone."""
        per = self.scenario.per + "s"
        return median([each.main * 1e6 / getattr(each.told, per) for each in self.good(subject)])

    def rate(self, subject: str) -> float:
        """Median requests or chunks per second."""
        per = self.scenario.per + "s"
        return median([getattr(each.told, per) / each.told.elapsed for each in self.good(subject)])

    def delay_p99(self, subject: str) -> float:
        return median([each.told.delay_p99 for each in self.good(subject)])

    def p50(self, subject: str) -> float:
        return median([each.told.latency_p50 for each in self.good(subject)])

    def added(self, subject: str) -> float:
        """Microseconds of latency more than without it."""
        return self.p50(subject) - self.p50("direct")

    def ratio(self, subject: str, to: str = "nginx") -> float:
        """The figure as a multiple of `to`'s."""
        figure = self.added if self.scenario.latency else self.cpu_per
        return figure(subject) / figure(to)

    def good(self, subject: str) -> list[Round]:
        """A run in which any answer was bad does not count."""
        return [each for each in self.rounds.get(subject, []) if not each.told.bad and each.told.requests]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int
    share: float = 1.0
    """Of the scenarios' seconds."""
    warm: float = 1.0
    """Seconds of load before the first round."""


def median(values: Sequence[float]) -> float:
    if not values:
        raise ValueError("no round counts")
    return float(statistics.median(values))


def measure(
    scenario: Scenario,
    subjects: Sequence[Any],
    rig: Rig,
    effort: Effort,
    say: Callable[[str], None],
    turn: Callable[[Scenario, Any, Rig, float], Round] | None = None,
) -> Figures:
    """Warms every subject up, then lets them take turns. `turn`: another load than `one_load`; subjects are what it
    takes, and have names."""
    figures, turn = Figures(scenario), turn or one_load
    for subject in subjects:
        turn(scenario, subject, rig, effort.warm)
    for n in range(effort.rounds):
        for subject in subjects:
            done = turn(scenario, subject, rig, scenario.seconds * effort.share)
            figures.rounds.setdefault(subject.name, []).append(done)
            if done.told.bad:
                say(f"{scenario.name}, {subject.name}, round {n + 1}: {why(done.told)}, as in {done.told.first_wrong}")
    return figures


def one_load(scenario: Scenario, subject: Subject, rig: Rig, seconds: float) -> Round:
    """One load on one subject, and the work that it puts off."""
    how = {"connections": scenario.connections, "seconds": seconds, "ramp": scenario.ramp}
    before = Used.of(family(subject.pid)) if subject.pid else None
    told = rig.load(subject.port, subject.request(scenario.model, scenario.stream), subject.headers, **how)
    if subject.pid is None or before is None:
        return Round(told, 0.0, 0.0)
    after = settle(subject.pid)
    return Round(told, after.since(before), after.main_since(before))


def why(told: Told) -> str:
    """What was wrong with answers, and how often."""
    return ", ".join(f"{name} {count:,}" for name, count in told.wrong.items() if count)
