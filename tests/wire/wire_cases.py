"""Captured exchanges with real servers, and how a test feeds them to a reader."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llm_gateway.errors import Fault
from llm_gateway.wire.neutral import Event, Finish, StreamReader
from llm_gateway.wire.registry import SERVERS

CASES = Path(__file__).parent / "cases"


@dataclass(frozen=True)
class Case:
    name: str
    dialect: str
    """A name of `SERVERS`, or the folder's name."""
    status: int
    content_type: str
    body: bytes
    expect: dict[str, Any]

    def reader(self) -> StreamReader:
        return SERVERS[self.dialect].stream_reader()


def cases(folder: str) -> list[Any]:
    return [pytest.param(read_case(path), id=path.stem) for path in sorted((CASES / folder).glob("*.json"))]


def read_case(path: Path) -> Case:
    case = json.loads(path.read_text())
    response = case["response"]
    content_type = response["headers"].get("content-type", "")
    return Case(
        path.stem, path.parent.name, response["status"], content_type, response["body"].encode(), case["expect"]
    )


def read_all(reader: StreamReader, chunks: Iterable[bytes]) -> tuple[list[Event], str | None]:
    """The events of a whole body, and the kind of Fault that ended it (None = it ended well)."""
    events: list[Event] = []
    try:
        for chunk in chunks:
            events += reader.feed(chunk)
        events += reader.eof()
    except Fault as fault:
        return events, fault.kind.value
    assert reader.done
    assert isinstance(events[-1], Finish)
    return events, None
