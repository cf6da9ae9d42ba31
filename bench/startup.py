#!/usr/bin/env python3
"""How long a start takes, and how much memory an idle gateway holds.

    python bench/startup.py [--runs 5] [--idle 5] [--database-url postgresql://…]

A *first start* finds an empty data directory (tables, admin token and project are made), a *restart* finds its own.
The clock runs from the spawn of `llm-gateway serve` to the last byte of `GET /v1/health`; CPU is what the process used
until then, the steadier figure on a busy machine. Memory is the resident size, `--idle` seconds after the answer, of
the process and its children. One uncounted start comes first, so that files are in the page cache.

Standard library only; Linux (`/proc`). It measures the `llm-gateway` next to the Python that runs it. No connection
leaves the machine: the catalogue's servers are strangers'.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

PATIENCE = 60.0
"""Seconds until a start counts as failed."""
POLL = 0.005
"""Seconds between looks: the resolution of the figures."""
MIB = 1024.0
TICKS = os.sysconf("SC_CLK_TCK")
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Start:
    """One start: wall and CPU seconds to the first answer, MiB when idle."""

    seconds: float
    cpu: float
    idle: float


def main() -> None:
    options = _options()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LLM_GATEWAY_")}
    environ["LLM_GATEWAY_ONLY_NETWORKS"] = "127.0.0.0/8,::1/128"
    if options.database_url:
        environ["LLM_GATEWAY_DATABASE_URL"] = options.database_url
    print(machine(), flush=True)
    first: list[Start] = []
    again: list[Start] = []
    for number in range(options.runs + 1):
        with tempfile.TemporaryDirectory(prefix="startup-") as place:
            pair = [measured(Path(place), environ, options.idle if number else 0.0) for _ in range(2)]
        if number:
            first.append(pair[0])
            again.append(pair[1])
    print(f"\n{'median (min … max)':18}  first answer, s        CPU until then, s      idle, MiB RSS")
    if options.database_url:  # only its data directory was empty: the tables stay from run to run
        show("start", first + again)
    else:
        show("first start", first)
        show("restart", again)


def show(title: str, starts: list[Start]) -> None:
    cells = [
        row([start.seconds for start in starts], 2),
        row([start.cpu for start in starts], 2),
        row([start.idle for start in starts], 1),
    ]
    print(f"{title:18}  {'   '.join(f'{cell:20}' for cell in cells)}".rstrip())


def row(figures: list[float], digits: int) -> str:
    low, middle, high = min(figures), statistics.median(figures), max(figures)
    return f"{middle:.{digits}f} ({low:.{digits}f} … {high:.{digits}f})"


def measured(place: Path, environ: dict[str, str], idle: float) -> Start:
    """Starts a gateway in `place`, waits for its first answer, looks at it `idle` seconds later and ends it."""
    began = time.monotonic()
    with gateway(place, environ) as process:
        health(process, place)
        seconds, cpu = time.monotonic() - began, cpu_seconds(process.pid)
        time.sleep(idle)
        return Start(seconds, cpu, sum(resident(pid) for pid in family(process.pid)))


@contextmanager
def gateway(place: Path, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(program()), "serve", "--port", "0", "--data-dir", str(place)]
    with (place / "output").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=place, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)  # ends at once, where SIGTERM drains first
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def health(process: subprocess.Popen[bytes], place: Path) -> None:
    """Returns with the first answer of the gateway."""
    runtime, deadline = place / "runtime.json", time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        if not runtime.exists():
            time.sleep(POLL)
            continue
        try:
            with DIRECT.open(json.loads(runtime.read_text())["url"] + "/v1/health", timeout=PATIENCE) as answer:
                answer.read()
            return
        except OSError as error:
            sys.exit(f"no answer but {error}; the gateway said:\n{(place / 'output').read_text()[-4000:]}")
    sys.exit(f"the gateway did not start:\n{(place / 'output').read_text()[-4000:]}")


def program() -> Path:
    beside = Path(sys.executable).with_name("llm-gateway")
    found = beside if beside.exists() else shutil.which("llm-gateway")
    if not found:
        sys.exit("no llm-gateway beside this Python: run it with the Python of the environment that has the package")
    return Path(found)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def resident(pid: int) -> float:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) / MIB


def machine() -> str:
    """What the figures were measured on, for whoever compares them."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    from llm_gateway import __version__

    packages = ", ".join(f"{name} {version(name)}" for name in ("fastapi", "sqlalchemy", "uvicorn"))
    return (
        f"llm-gateway {__version__}, Python {platform.python_version()}, {packages}\n"
        f"{model}, {cores} cores, {platform.system()} {platform.release()}, load {load:.1f} before"
    )


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(description="Times starts of the gateway and weighs it when idle.")
    options.add_argument("--runs", type=int, default=5, help="measured runs, after one that is not (default 5)")
    options.add_argument("--idle", type=float, default=5.0, help="seconds until memory is read (default 5)")
    options.add_argument("--database-url", help="instead of SQLite in the data directory")
    return options.parse_args()


if __name__ == "__main__":
    main()
