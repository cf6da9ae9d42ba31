"""What is not a comparison: starts, and the benchmarks of single parts beside this folder."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from report import Table
from rig import CannotMeasure
from subjects import ROOT

sys.path.insert(0, str(ROOT / "bench"))

import startup

PARTS = ("wire.py", "decisions.py", "rows.py")
MB_OF_MIB = 1.048576


def starts(runs: int, idle: float) -> tuple[Table, float, float]:
    """First starts and restarts after one that is not counted. Returns also seconds and MB of a restart."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LLM_GATEWAY_")}
    environ["LLM_GATEWAY_ONLY_NETWORKS"] = "127.0.0.0/8,::1/128"
    found: dict[str, list[startup.Start]] = {"first start": [], "restart": []}
    for run in range(runs + 1):
        with tempfile.TemporaryDirectory(prefix="bench-start-") as place:
            for kind in found:
                try:
                    start = startup.measured(Path(place), environ, idle if run else 0.0)
                except SystemExit as problem:
                    raise CannotMeasure(f"no start: {problem}") from None
                if run:
                    found[kind].append(start)
    table = Table("Start and rest", ("", "to the first answer, s", "CPU until then, s", "at rest, MB"))
    for kind, each in found.items():
        table.rows.append(
            (
                kind,
                f"{median_of(each, lambda one: one.seconds):.2f}",
                f"{median_of(each, lambda one: one.cpu):.2f}",
                f"{median_of(each, lambda one: one.idle) * MB_OF_MIB:.1f}",
            )
        )
    worst = found["first start"]
    return table, median_of(worst, lambda one: one.seconds), median_of(worst, lambda one: one.idle) * MB_OF_MIB


def median_of(each: Sequence[startup.Start], what: Callable[[startup.Start], float]) -> float:
    return statistics.median(map(what, each))


def part(name: str) -> tuple[str, str]:
    """Another benchmark of this folder: its command and what it printed."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / name)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return f"python bench/{name}", done.stdout or done.stderr
