"""What processes use, as Linux tells it: CPU seconds and memory of a process with its children, and on which core they
may run.

CPU comes from `/proc/PID/task/*/schedstat` (nanoseconds) as long as no thread has ended meanwhile, else from
`/proc/PID/stat` (ticks of 10 ms, which counts threads that have ended too).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
QUIET, LOOK, PATIENCE = 0.03, 0.25, 6.0
"""A process is quiet when it used this share of a core between two looks, so many seconds apart; waited for at most."""


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


@dataclass(frozen=True, slots=True)
class Used:
    """CPU of some processes up to one moment: nanoseconds by thread, and ticks."""

    threads: dict[tuple[int, int], int]
    ticks: int

    @classmethod
    def of(cls, pids: Iterable[int]) -> Used:
        threads: dict[tuple[int, int], int] = {}
        ticks = 0
        for pid in pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                    threads[pid, int(task.name)] = int((task / "schedstat").read_text().split()[0])
        return cls(threads, ticks)

    def main_since(self, before: Used) -> float:
        """Seconds that main threads used since then: the event loop's, without those that write to a database."""
        mains = {thread: ns for thread, ns in self.threads.items() if thread[0] == thread[1]}
        return sum(ns - before.threads.get(thread, 0) for thread, ns in mains.items()) / 1e9

    def since(self, before: Used) -> float:
        """Seconds used since then."""
        if before.threads.keys() <= self.threads.keys():
            return sum(ns - before.threads.get(thread, 0) for thread, ns in self.threads.items()) / 1e9
        return (self.ticks - before.ticks) / TICKS


def settle(pid: int) -> Used:
    """Waits until work that was put off (a log in batches) is done as well. Returns what was used up to then."""
    until = time.monotonic() + PATIENCE
    before = Used.of(family(pid))
    while True:
        time.sleep(LOOK)
        after = Used.of(family(pid))
        if after.since(before) < QUIET * LOOK or time.monotonic() > until:
            return after
        before = after


def memory(pids: Iterable[int]) -> int:
    """Bytes that these processes hold, shared pages by their share."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += 1024 * int(line.split()[1])
    return total


def cores() -> tuple[list[int], list[int]]:
    """Those for what is measured and those for what measures: the same where there is only one."""
    mine = sorted(os.sched_getaffinity(0))
    return mine[:1], mine[1:2] or mine[:1]


def pin(pid: int, to: list[int]) -> None:
    """All threads of the process and its children; those that they start later inherit it."""
    for each in family(pid):
        for task in Path(f"/proc/{each}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), to)
