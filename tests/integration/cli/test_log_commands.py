"""`llm-gateway logs` and `usage`, on rows in the database."""

from __future__ import annotations

import asyncio
import csv
import json
import time
from pathlib import Path
from uuid import UUID

import pytest

from llm_gateway.clock import Ids
from llm_gateway.storage import requests, rollups
from llm_gateway.storage.engine import open_engine
from llm_gateway.storage.sessions import Sessions
from support.command import Command

ROWS = 7


async def _insert(data_dir: Path, rows: list[dict[str, object]]) -> None:
    engine = open_engine(f"sqlite:///{data_dir}/gateway.db", data_dir=data_dir)
    try:
        async with Sessions(engine).write() as s:
            await rollups.add(s, await rollups.summed(await requests.insert(s, await requests.records(rows))))
    finally:
        await engine.dispose()


@pytest.fixture
def logged(command: Command) -> Command:
    """Seven requests of one project, an hour apart, the latest a minute ago; the oldest failed."""
    project = command.done("projects", "create", "legal", "--json").json["id"]
    ids, now = Ids(), time.time()
    rows: list[dict[str, object]] = [
        {
            "id": str(ids()),
            "project_id": project,
            "timestamp": now - 60 - 3600 * (ROWS - 1 - n),
            "endpoint": "/v1/chat",
            "model": "=fast" if n % 2 else "llama3.2:3b",
            "backend_model": "llama3.2:3b",
            "status": 503 if n == 0 else 200,
            "outcome": "error" if n == 0 else "ok",
            "error_code": "no_healthy_upstream" if n == 0 else None,
            "latency_ms": 100.0 * n,
            "tokens_input": 10,
            "tokens_output": n,
            "correlation_id": f"c-{n}",
        }
        for n in range(ROWS)
    ]
    asyncio.run(_insert(command.data_dir, rows))
    return command


def tokens(rows: list[dict[str, int]]) -> list[int]:
    return [row["tokens_output"] for row in rows]


def test_a_page_is_newest_first_and_names_the_next(logged: Command):
    first = logged.done("logs", "search", "-n", "3", "--json").json
    assert tokens(first["data"]) == [6, 5, 4]
    second = logged.done("logs", "search", "-n", "10", "--cursor", first["next_cursor"], "--json").json
    assert (tokens(second["data"]), second["next_cursor"]) == ([3, 2, 1, 0], None)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (("--since", "90m"), [6, 5]),
        (("--since", "4h", "--until", "90m"), [4, 3]),
        (("--status", "503"), [0]),
        (("--status", "5xx"), [0]),
        (("--status", "2XX", "--since", "70m"), [6, 5]),
        (("--error", "no_healthy_upstream"), [0]),
        (("--outcome", "ok", "--min-latency", "500"), [6, 5]),
        (("--model", "=fast"), [5, 3, 1]),
        (("--correlation-id", "c-2"), [2]),
        (("--project", "legal", "--endpoint", "/v1/chat", "--no-stream", "--since", "1h"), [6]),
        (("--endpoint", "/v1/other"), []),
    ],
)
def test_filters(logged: Command, filters: tuple[str, ...], found: list[int]):
    assert tokens(logged.done("logs", "search", *filters, "--json").rows) == found


def test_a_request_is_found_by_the_id_that_its_client_got(logged: Command):
    row = logged.done("logs", "search", "-n", "1", "--json").rows[0]
    assert logged.done("logs", "search", "--request-id", row["request_id"], "--json").rows == [row]
    assert row["request_id"] in logged.done("logs", "search", "-n", "1").out


def test_an_export_holds_every_row_oldest_first(logged: Command, tmp_path: Path):
    lines = [json.loads(line) for line in logged.done("logs", "export").out.splitlines()]
    assert tokens(lines) == list(range(ROWS))
    assert {row["project"] for row in lines} == {"legal"}
    assert str(UUID(lines[0]["request_id"])) == lines[0]["request_id"]
    logged.done("logs", "export", "--format", "csv", "-o", "rows.csv", "--status", "2xx")
    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["tokens_output"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert rows[0]["model"] == "'=fast"  # a spreadsheet takes it for text


def test_an_export_that_fails_leaves_the_old_file_alone(logged: Command, tmp_path: Path):
    (tmp_path / "rows").write_text("precious")
    assert logged("logs", "export", "-o", "rows", "--project", "nope").code == 3
    assert logged("logs", "export", "-o", "missing/rows").code == 1
    assert (tmp_path / "rows").read_text() == "precious"
    assert [path.name for path in tmp_path.glob(".*part")] == []


def test_the_tail_is_oldest_first(logged: Command):
    out = logged.done("logs", "tail", "--no-follow", "-n", "2", "--json").out
    assert tokens([json.loads(line) for line in out.splitlines()]) == [5, 6]
    assert len(logged.done("logs", "tail", "--no-follow", "-n", "3").out.splitlines()) == 3


def test_usage_sums_up(logged: Command):
    (row,) = logged.done("usage", "--by", "project", "--json").rows
    assert (row["project"], row["requests"], row["errors"], row["tokens_output"]) == ("legal", 7, 1, 21)
    by_model = logged.done("usage", "--by", "model,status_class", "--since", "1d", "--json").rows
    assert [(r["model"], r["status_class"], r["requests"]) for r in by_model] == [
        ("=fast", 2, 3),
        ("llama3.2:3b", 2, 3),
        ("llama3.2:3b", 5, 1),
    ]
    over_time = logged.done("usage", "--by", "project", "--bucket", "hour", "--json").rows
    assert sum(row["requests"] for row in over_time) == ROWS
    assert len(over_time) >= ROWS
    assert "legal" in logged.done("usage").out
