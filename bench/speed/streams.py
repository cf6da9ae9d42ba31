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
WARM = Model("sse", 4, 40)
RAMP = 5.0
"""Seconds over which the streams begin."""
LOOKED = 1.5
"""Seconds for which CPU is looked at."""


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
            rig.load(subject.port, subject.request(WARM, True), subject.headers, connections=8, seconds=1.0)
            time.sleep(1.0)
            found.append(opened(subject, rig, count, model))
    return found


def opened(subject: Subject, rig: Rig, count: int, model: Model) -> Opened:
    before = memory(family(subject.pid)) if subject.pid else 0
    lasts = model.chunks * model.interval / 1000
    load = rig.start_load(
        subject.port,
        subject.request(model, True),
        subject.headers,
        connections=count,
        requests=count,
        ramp=int(1000 * RAMP),
        patience=RAMP + lasts + 30,
    )
    time.sleep(RAMP + (lasts - RAMP) / 2)  # all have begun and none has ended, also where they began late
    grown, used = 0, 0.0
    if subject.pid:
        used_before = Used.of(family(subject.pid))
        time.sleep(LOOKED)
        used = Used.of(family(subject.pid)).since(used_before) / LOOKED
        grown = memory(family(subject.pid)) - before
    return Opened(subject.name, count, told(load), grown / count, used)
