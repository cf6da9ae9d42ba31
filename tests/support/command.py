"""The command line inside the test's process: what it printed, and how it ended."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from llm_gateway.cli.app import call
from support.served import LOOPBACK


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[Any]:
        return list(self.json["data"])


class Command:
    """`command("projects", "list")` runs it on the test's own data directory and returns the `Ended`."""

    def __init__(self, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.data_dir = data_dir
        self._capsys = capsys

    def __call__(self, *words: str | Path) -> Ended:
        self._capsys.readouterr()
        code = call([str(word) for word in words])
        said = self._capsys.readouterr()
        return Ended(code, said.out, said.err)

    def done(self, *words: str | Path) -> Ended:
        """The same for a command that must succeed."""
        ended = self(*words)
        assert ended.code == 0, ended
        return ended


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    for name in [name for name in os.environ if name.startswith("LLM_GATEWAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LLM_GATEWAY_ONLY_NETWORKS", LOOPBACK)
    monkeypatch.setenv("LLM_GATEWAY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Command(tmp_path / "data", capsys)
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()
