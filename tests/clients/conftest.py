"""Fixtures of the client matrix, and its table at the end of the run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from table import Table

from support.gateway import StartGateway, start
from support.llama import LlamaServer, shared_llama
from support.rogues import StartRogue, rogue

__all__ = ["LlamaServer", "StartGateway", "StartRogue", "rogue", "shared_llama", "start"]

pytest.register_assert_rewrite("columns")

_TABLE = Table()
_HERE = ("127.0.0.1", "::1", "localhost")
_WATCHED: list[str] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Libraries that call home while a test of theirs runs are stopped."""
    if not _WATCHED or event not in ("socket.connect", "socket.getaddrinfo"):
        return
    host = arguments[0] if event == "socket.getaddrinfo" else arguments[1][0]
    if isinstance(host, str) and host not in _HERE and not host.startswith("/"):
        raise PermissionError(f"{_WATCHED[-1]} wants to talk to {host}: tests talk to this machine only")


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def stays_here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing in this process connects outside this machine, by proxy or otherwise."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    _WATCHED.append(request.node.name)
    yield
    _WATCHED.remove(request.node.name)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _TABLE.note(report)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if text := _TABLE.text():
        terminalreporter.section("clients")
        terminalreporter.write_line(text)
