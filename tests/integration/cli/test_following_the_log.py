"""`logs tail` as people run it: beside a server, over its restarts, under more traffic than a page holds."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from llm_gateway.clock import Ids
from llm_gateway.storage import requests
from llm_gateway.storage.engine import open_engine
from llm_gateway.storage.sessions import Sessions
from support.served import LOOPBACK, THIS, serve

PATIENCE = 30.0
"""Seconds that anything may take on a machine with other work to do."""
PROJECT = str(uuid4())
new_id = Ids()


def put(data_dir: Path, count: int, *, ago: float = 0.0, blocks: int = 1) -> list[str]:
    """Writes rows as a process beside the server would, in so many transactions."""
    now = time.time() - ago
    plain: dict[str, Any] = {"project_id": PROJECT, "endpoint": "/v1/chat", "status": 200, "outcome": "ok"}
    rows = [{**plain, "id": str(new_id()), "timestamp": now, "latency_ms": 5.0} for _ in range(count)]

    async def write() -> None:
        engine = open_engine("sqlite:///gateway.db", data_dir=data_dir)
        try:
            for n in range(blocks):
                async with Sessions(engine).write() as s:
                    await requests.insert_rows(s, rows[n::blocks])
        finally:
            await engine.dispose()

    asyncio.run(write())
    return [row["id"] for row in rows]


class Tail:
    """A running `logs tail --json`."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.process, self._out, self._err = process, out, err

    @property
    def ids(self) -> list[str]:
        lines = self._out.read_text().splitlines(keepends=True)
        return [json.loads(line)["request_id"] for line in lines if line.endswith("\n")]

    @property
    def said(self) -> str:
        return self._err.read_text()

    def shows(self, ids: list[str]) -> None:
        """Until all of them are there; then each is, once."""
        until(lambda: set(ids) <= set(self.ids))
        assert len(self.ids) == len(set(self.ids))

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)


def until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


@contextmanager
def tail(data_dir: Path, folder: Path, *words: str) -> Iterator[Tail]:
    out, err = folder / "out", folder / "err"
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
    with (
        out.open("wb") as to,
        err.open("wb") as errors,
        subprocess.Popen(
            [*THIS, "logs", "tail", "--json", "--data-dir", str(data_dir), *words],
            cwd=folder, env={**kept, "HOME": str(folder), "LLM_GATEWAY_ONLY_NETWORKS": LOOPBACK},
            stdin=subprocess.DEVNULL, stdout=to, stderr=errors,
        ) as process,
    ):  # fmt: skip
        try:
            yield Tail(process, out, err)
        finally:
            process.kill()


CONFIG: dict[str, Any] = {"sources": {"ollamafreeapi": {"enabled": False}}}


def test_a_tail_misses_nothing_over_a_flood_and_a_restart(tmp_path: Path):
    data = tmp_path / "data"
    with serve(data, config=CONFIG):
        first = put(data, 3)
        with tail(data, tmp_path) as seen:
            seen.shows(first)
            flood = put(data, 4000, blocks=4)  # of one moment, eight times what a look holds
            seen.shows(flood)
            late = put(data, 2, ago=1800)  # requests that took half an hour
            seen.shows(late)
        assert seen.said == ""
    with serve(data, config=CONFIG) as served, tail(data, tmp_path, "-n", "1") as seen:
        until(lambda: len(seen.ids) == 1)
        served.process.send_signal(signal.SIGINT)
        served.process.wait(PATIENCE)
        until(lambda: "Waiting for it" in seen.said)
        between = put(data, 600)
        with serve(data, config=CONFIG):
            seen.shows(between)
            after = put(data, 2)
            seen.shows(after)
            assert seen.end() == 0
        assert "Traceback" not in seen.said
        assert len(seen.said.splitlines()) <= 4


def test_without_a_server_the_database_itself_is_followed(tmp_path: Path):
    data = tmp_path / "data"
    with serve(data, config=CONFIG):
        pass
    first = put(data, 2)
    with tail(data, tmp_path) as seen:
        seen.shows(first)
        seen.shows(put(data, 700))
        assert seen.end() == 0


def test_a_reader_that_has_seen_enough_ends_an_export(tmp_path: Path):
    data = tmp_path / "data"
    with serve(data, config=CONFIG):
        put(data, 3000)
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
        with subprocess.Popen(
            [*THIS, "logs", "export", "--data-dir", str(data)],
            env={**kept, "HOME": str(tmp_path), "LLM_GATEWAY_ONLY_NETWORKS": LOOPBACK},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stderr is not None
            assert json.loads(process.stdout.readline())["project_id"] == PROJECT
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(PATIENCE) == 1


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LLM_GATEWAY_")]:
        monkeypatch.delenv(name)
