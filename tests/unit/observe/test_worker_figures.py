"""Several workers count together: in processes of their own, as they do it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from llm_gateway.observe.workers import VARIABLE, shared_figures

WORKER = """
import sys
from llm_gateway.observe.metrics import Figures, Metrics
from llm_gateway.observe.workers import my_slot
metrics = Metrics("1", my_slot())
metrics.watch(lambda: Figures(servers={"healthy": 3}, queue=99))
metrics.note(Figures(queue=2, log_rows={"written": 5}))
for _ in range(4):
    metrics.auth_failed()
metrics.request_began()
print("ready", flush=True)
sys.stdin.readline()
print(metrics.render().decode(), flush=True)
sys.stdin.readline()
"""

SERVING = """
import asyncio, sys
from llm_gateway.observe.metrics import Metrics
from llm_gateway.observe.workers import my_slot
metrics = Metrics("1", my_slot())
async def serve():
    metrics.request_began()
    metrics.request_began()
    metrics.request_refused()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
asyncio.run(serve())
"""


def start(code: str = WORKER) -> subprocess.Popen[str]:
    worker = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def shown(worker: subprocess.Popen[str]) -> dict[str, float]:
    """What it renders; then it ends."""
    out, _ = worker.communicate("\n\n", timeout=20)
    pairs = (line.rpartition(" ") for line in out.splitlines() if line and line[0] != "#")
    return {name: float(value) for name, _, value in pairs}


def test_counters_outlive_a_killed_worker_and_what_is_true_of_the_living_does_not():
    with shared_figures():
        first, second = start(), start()
        first.kill()
        first.communicate()
        third = start()  # takes over the place of the first, and counts on
        figures = shown(third)
        assert figures["llmgw_auth_failures_total"] == 12
        assert figures['llmgw_log_rows_total{result="written"}'] == 15
        assert figures["llmgw_inflight"] == 2
        assert figures["llmgw_queue_depth"] == 4
        assert figures['llmgw_servers{state="healthy"}'] == 3
        figures = shown(second)
        assert figures["llmgw_auth_failures_total"] == 12
        assert figures["llmgw_inflight"] == 1
        assert len(list(Path(os.environ[VARIABLE]).glob("counter_*.db"))) == 2
    assert VARIABLE not in os.environ


def test_a_worker_that_serves_shows_the_others_what_it_counts_a_moment_later():
    with shared_figures():
        serving, other = start(SERVING), start()
        assert shown(other)["llmgw_inflight"] == 2
        serving.communicate("\n")


def test_what_a_killed_parent_left_is_removed_by_the_next_one_and_what_a_living_one_has_is_not():
    begin = "import os\nfrom llm_gateway.observe.workers import *\n"
    begin += "with shared_figures():\n    print(os.environ[VARIABLE], flush=True)\n    {end}\n"
    command = [sys.executable, "-c", begin.format(end="os._exit(9)")]
    killed = Path(subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip())
    assert killed.is_dir()
    command = [sys.executable, "-c", begin.format(end="input()")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as living:
        assert living.stdout is not None
        serves = Path(living.stdout.readline().strip())
        assert not killed.exists()
        with shared_figures():
            assert serves.is_dir()
        living.communicate("\n")
    assert not serves.exists()
