"""The measurement of what a translation costs covers every pair of dialects. Its figures are for a quiet machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from llm_gateway.wire.registry import CLIENTS, SERVERS

BENCH = Path(__file__).parents[2] / "bench" / "wire.py"


def test_every_pair_of_dialects_is_measured():
    command = [sys.executable, str(BENCH), "--chunks", "20", "--rounds", "1"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert told.stderr == ""
    assert told.returncode in (0, 1), "1: a pair was over the limit"
    for server in SERVERS:
        for client in CLIENTS:
            assert f"  {server} -> {client} " in told.stdout
