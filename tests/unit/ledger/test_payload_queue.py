"""Payloads are best effort: what comes faster than it can be redacted is dropped and counted, and nothing waits."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from llm_gateway.access.policy import ApiKey, Caller, Project
from llm_gateway.clock import SystemClock
from llm_gateway.ledger import ledger as ledger_module
from llm_gateway.ledger import payloads as payloads_module
from llm_gateway.ledger.entry import Entry
from llm_gateway.ledger.journal import Journal, read
from llm_gateway.ledger.ledger import Ledger
from llm_gateway.ledger.payloads import MOST_WAITING, Payloads
from llm_gateway.ledger.transcript import MOST, Transcript
from llm_gateway.wire.neutral import Finish, Piece, ToolPart


class Nowhere:
    def opened(self, entry: Entry) -> None: ...
    def closed(self, entry: Entry) -> None: ...


def entry(project: Project) -> Entry:
    key = ApiKey("k", project.id, "key", b"", "llm", "last")
    return Entry(Nowhere(), SystemClock(), uuid4(), Caller(project, key), "/v1/chat")


def transcript(body: bytes = b'{"a": 1}') -> Transcript:
    made = Transcript()
    made.body = body
    return made


PROJECT = Project(str(uuid4()), "legal", store_payloads=True)


async def test_they_are_written_behind_the_row_in_order(tmp_path: Path) -> None:
    ledger = Ledger(Journal(tmp_path / "mine"))
    payloads = Payloads(ledger, SystemClock(), 7)
    entries = [entry(PROJECT) for _ in range(3)]
    for one in entries:
        ledger.closed(one.id, {})
        payloads.put(one, transcript())
    task = asyncio.create_task(payloads.run())
    await payloads.stop(task)
    records = [*read(ledger.journal.directory)]
    assert [record.id for record in records[3:]] == [one.id for one in entries]
    row = records[3].row
    assert row["request"] == '{"a":1}'
    assert row["expires_at"] == row["timestamp"] + 7 * 86_400
    ledger.end(empty=False)


async def test_days_are_the_projects_own_where_it_says_some(tmp_path: Path) -> None:
    ledger = Ledger(Journal(tmp_path / "mine"))
    payloads = Payloads(ledger, SystemClock(), 7)
    payloads.put(entry(Project(PROJECT.id, "p", store_payloads=True, payload_days=2)), transcript())
    await payloads.stop(asyncio.create_task(payloads.run()))
    [record] = read(ledger.journal.directory)
    assert record.row["expires_at"] == record.row["timestamp"] + 2 * 86_400
    ledger.end(empty=False)


async def test_what_is_too_much_is_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    payloads = Payloads(Ledger(Journal(tmp_path / "mine")), SystemClock(), 7)
    for _ in range(MOST_WAITING + 5):
        payloads.put(entry(PROJECT), transcript())
    assert payloads.dropped == 5
    monkeypatch.setattr(payloads_module, "MOST_BYTES", 1000)
    large = Payloads(Ledger(Journal(tmp_path / "other")), SystemClock(), 7)
    large.put(entry(PROJECT), transcript(b"x" * 900))
    large.put(entry(PROJECT), transcript(b"x" * 200))
    assert large.dropped == 1


def test_an_endless_answer_is_not_collected_without_end() -> None:
    made = Transcript()
    for _ in range(3 * MOST // 1000):
        made.add(Piece(text="x" * 1000))
    assert MOST < made.size() < MOST + 2000


def test_calls_of_tools_are_put_together() -> None:
    made = Transcript()
    made.add(Piece(tools=[ToolPart(0, "find", "c1", '{"q":')]))
    made.add(Piece(tools=[ToolPart(1, "go", "c2", "{}"), ToolPart(0, arguments="1}")]))
    made.add(Finish("tool_calls"))
    found: dict[str, Any] = made.response()
    assert found["finish"] == "tool_calls"
    assert found["tool_calls"] == [
        {"id": "c1", "name": "find", "arguments": '{"q":1}'},
        {"id": "c2", "name": "go", "arguments": "{}"},
    ]


@pytest.mark.parametrize("body", [b"\xff\xfe", b'{"a": "\\ud800"}', b"[" * 100_000, b"", b'{"a": NaN}', b'"\x00"'])
async def test_any_body_is_kept_somehow_or_dropped_in_peace(tmp_path: Path, body: bytes) -> None:
    ledger = Ledger(Journal(tmp_path / "mine"))
    payloads = Payloads(ledger, SystemClock(), 7)
    payloads.put(entry(PROJECT), transcript(body))
    payloads.put(entry(PROJECT), transcript())
    await payloads.stop(asyncio.create_task(payloads.run()))
    assert payloads.kept >= 1
    assert [*read(ledger.journal.directory)][-1].row["request"] == '{"a":1}'
    ledger.end(empty=False)


async def test_payloads_never_take_the_place_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the database away: rows still find room when payloads no longer do."""
    monkeypatch.setattr(ledger_module, "MOST_SEGMENTS", 20)
    monkeypatch.setattr(ledger_module, "MOST_SEGMENTS_WITH_PAYLOADS", 10)
    ledger = Ledger(Journal(tmp_path / "mine", segment_bytes=1000))
    payloads = Payloads(ledger, SystemClock(), 7)
    for _ in range(30):
        payloads.put(entry(PROJECT), transcript(b'"' + b"word " * 180 + b'"'))
    await payloads.stop(asyncio.create_task(payloads.run()))
    assert 5 < payloads.kept < 12
    assert payloads.kept + payloads.dropped == 30
    for _ in range(5):
        ledger.closed(uuid4(), {})
    assert (ledger.rows, ledger.dropped) == (5, 0)
    ledger.end(empty=False)
