"""Thousands of open streams, a chunk a second each: what one costs in memory, and whether anything is lost or late."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from processes import Used, family, memory
from rig import Model, Rig, Told, told
from subjects import Subject

SLOW = Model("sse", 15, 40, 1000)
BRIEF = Model("sse", 9, 40, 1000)
RAMP = 5.0
"""Seconds over which the streams begin."""


@dataclass(frozen=True, slots=True)
class Opened:
    """So many streams at the same time, of one subject."""

    subject: str
    streams: int
    told: Told
    bytes_each: float
    """What the process grew by, for each of them."""
    core: float
    """Share of a core that it used while all were open."""


def measure(subjects: Iterable[Subject], rig: Rig, counts: Iterable[int], model: Model = SLOW) -> list[Opened]:
    """One turn for each count and subject, each after a second of small streams."""
    found = []
    for count in counts:
        for subject in subjects:
            warm = Model("sse", 4, 250, each=True)
            rig.load(subject.port, subject.request(warm, True), subject.headers, connections=8, seconds=1.0)
            time.sleep(1.0)
            found.append(opened(subject, rig, count, model))
    return found


def opened(subject: Subject, rig: Rig, count: int, model: Model) -> Opened:
    before = memory(family(subject.pid)) if subject.pid else 0
    load = rig.start_load(
        subject.port,
        subject.request(model, True),
        subject.headers,
        connections=count,
        requests=count,
        ramp=int(1000 * RAMP),
        patience=RAMP + model.chunks * model.interval / 1000 + 30,
    )
    time.sleep(RAMP + 0.5)
    looked = 2.0 if model.chunks * model.interval / 1000 > RAMP + 5 else 1.0
    grown, used = 0, 0.0
    if subject.pid:
        used_before = Used.of(family(subject.pid))
        time.sleep(looked)
        used = Used.of(family(subject.pid)).since(used_before) / looked
        grown = memory(family(subject.pid)) - before
    return Opened(subject.name, count, told(load), grown / count, used)
