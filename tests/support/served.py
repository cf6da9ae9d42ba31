"""A gateway in a process of its own, started by its command, for tests that look at it from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEY = "a-key-that-the-config-file-names"
START = 60.0
"""Seconds that a start may take on a machine with other work to do."""
LOOPBACK = "127.0.0.0/8,::1/128"
THIS = (sys.executable, "-c", "from llm_gateway.cli import main; main()")
"""The command as this environment has it."""


@dataclass(frozen=True, slots=True)
class Served:
    """A running gateway."""

    url: str
    data_dir: Path
    process: subprocess.Popen[bytes]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def admin_token(self) -> str:
        return (self.data_dir / "admin-token").read_text().strip()


@contextmanager
def serve(
    data_dir: Path,
    *flags: str,
    config: dict[str, Any] | None = None,
    program: Sequence[str] = THIS,
    **environ: str,
) -> Iterator[Served]:
    """Runs `llm-gateway serve` on a free port until the block ends; `config` becomes its config file.

    Raises RuntimeError with the process's own words when it does not come up.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    command = [*program, "serve", *flags, "--port", "0", "--data-dir", str(data_dir)]
    if config is not None:
        file = data_dir / "gateway.yaml"
        file.write_text(json.dumps(config))  # JSON is YAML
        command += ["--config", str(file)]
    output = data_dir / "output"
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
    with output.open("wb") as sink:
        process = subprocess.Popen(
            command,
            cwd=data_dir,
            env={**inherited, "LLM_GATEWAY_ONLY_NETWORKS": LOOPBACK, **environ},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Served(_address(process, data_dir / "runtime.json", output), data_dir, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)  # closes at once, where SIGTERM drains first
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def project(*, servers: list[dict[str, Any]], name: str = "tests", **fields: Any) -> dict[str, Any]:
    """A config file's content: these servers, no catalogue, one project whose key is `KEY`'s text.

    Start with `LLM_TEST_KEY=KEY` in the environment.
    """
    keys = [{"name": "tests", "value_env": "LLM_TEST_KEY"}]
    return {
        "sources": {"ollamafreeapi": {"enabled": False}},
        "allow_private_upstreams": ["127.0.0.0/8"],
        "servers": servers,
        "projects": [{"name": name, "trust": ["own"], "keys": keys, **fields}],
    }


def _address(process: subprocess.Popen[bytes], runtime: Path, output: Path) -> str:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline and process.poll() is None:
        if runtime.exists():
            return str(json.loads(runtime.read_text())["url"])
        time.sleep(0.02)
    raise RuntimeError(f"the gateway did not start (exit code {process.poll()}):\n{output.read_text()[-4000:]}")
