"""Two workers beside one: what a request costs, each worker with 32 connections that are always busy.

Two cores do not hold two workers, the load generators, the upstream, Redis and PostgreSQL, so requests per second say
little; CPU per request does. Twice one worker is measured twice:

    one worker      alone on the first core
    two gateways    of one worker each, that know nothing of each other (each has its own Redis and its own database),
                    on the same cores and under the same load as the two workers: what the machine itself takes of two

What two workers need more than two gateways is the price of what they share. Storage, limits and duties are the same
for all.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import scenarios
from processes import Used, cores, family, pin, settle
from rig import CannotMeasure, Model, Rig, Told, told
from scenarios import Effort, Figures, Round, Scenario
from subjects import Subject, gateway

ONE, GATEWAYS, WORKERS = "one worker", "two gateways", "two workers"


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the comparison."""

    name: str
    loaded: tuple[Subject, ...]
    """Each gets the scenario's connections, from a load generator of its own."""

    @property
    def pids(self) -> list[int]:
        return sorted({subject.pid for subject in self.loaded if subject.pid is not None})


def measure(
    scenario: Scenario, models: Sequence[Model], rig: Rig, effort: Effort, say: Callable[[str], None]
) -> Figures:
    """All three sides take turns. Raises CannotMeasure where PostgreSQL or Redis cannot be had."""
    try:
        from support import databases, redises
    except ImportError as problem:
        raise CannotMeasure(f"the development environment is missing: {problem}") from problem
    redis = redises.program()
    if redis is None:
        raise CannotMeasure("there is no Redis here (Debian package redis-server)")
    with ExitStack() as stack:
        try:
            server = databases.OwnServer()
        except databases.CannotRun as problem:
            raise CannotMeasure(str(problem)) from problem
        stack.callback(server.close)

        def started(name: str, workers: int) -> Subject:
            shared = redises.RedisServer(redis)
            stack.callback(shared.close)
            places = {"LLM_GATEWAY_DATABASE_URL": server.create(name), "LLM_GATEWAY_REDIS_URL": shared.url}
            flags = ("--workers", str(workers))
            return stack.enter_context(gateway(rig, models, name=name, flags=flags, **places))

        one, other, two = started("bench_one", 1), started("bench_other", 1), started("bench_two", 2)
        sides = [Side(ONE, (one,)), Side(GATEWAYS, (one, other)), Side(WORKERS, (two, two))]
        return scenarios.measure(scenario, sides, rig, effort, say, _turn)


def _turn(scenario: Scenario, side: Side, rig: Rig, seconds: float) -> Round:
    """One load on each, at the same time, and the work that it puts off."""
    first, second = cores()
    for pid in side.pids:
        pin(pid, first if len(side.loaded) == 1 else sorted({*first, *second}))
    before = [Used.of(family(pid)) for pid in side.pids]
    loads = [
        rig.start_load(
            subject.port,
            subject.request(scenario.model, scenario.stream),
            subject.headers,
            connections=scenario.connections,
            seconds=seconds,
        )
        for subject in side.loaded
    ]
    seen = together([told(load) for load in loads])
    after = [settle(pid) for pid in side.pids]
    return Round(
        seen,
        sum(now.since(then) for now, then in zip(after, before, strict=True)),
        sum(now.main_since(then) for now, then in zip(after, before, strict=True)),
    )


def together(each: Sequence[Told]) -> Told:
    """What load generators saw that ran at the same time."""
    return replace(
        each[0],
        requests=sum(one.requests for one in each),
        chunks=sum(one.chunks for one in each),
        bad=sum(one.bad for one in each),
        wrong={name: sum(one.wrong[name] for one in each) for name in each[0].wrong},
        first_wrong=next((one.first_wrong for one in each if one.first_wrong), ""),
        elapsed=max(one.elapsed for one in each),
        latency_p50=round(statistics.mean(one.latency_p50 for one in each)),
    )
