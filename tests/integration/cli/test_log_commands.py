"""`llm-gateway logs` and `usage`, on rows in the database."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
import sqlite3
import time
from pathlib import Path
from uuid import UUID

import pytest

from llm_gateway.cli import logs
from llm_gateway.clock import Ids
from llm_gateway.storage import records, requests, rollups
from llm_gateway.storage.engine import open_engine
from llm_gateway.storage.sessions import Sessions
from llm_gateway.web.admin.requests import COLUMNS
from support.command import Command

ROWS = 7


async def _insert(data_dir: Path, rows: list[dict[str, object]]) -> None:
    engine = open_engine(f"sqlite:///{data_dir}/gateway.db", data_dir=data_dir)
    try:
        async with Sessions(engine).write() as s:
            await rollups.add(s, await rollups.summed(await requests.insert(s, records.parts(rows))))
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
            "tier": "own" if n == 0 else None,
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
        (("--failed",), [0]),
        (("--no-failed", "--min-latency", "100", "--max-latency", "200"), [2, 1]),
        (("--tier", "own"), [0]),
        (("--model", "=fast"), [5, 3, 1]),
        (("--correlation-id", "c-2"), [2]),
        (("--project", "legal", "--endpoint", "/v1/chat", "--no-stream", "--since", "1h"), [6]),
        (("--endpoint", "/v1/other"), []),
    ],
)
def test_filters(logged: Command, filters: tuple[str, ...], found: list[int]):
    assert tokens(logged.done("logs", "search", *filters, "--json").rows) == found


def test_a_key_is_found_by_its_name_where_only_one_has_it(command: Command):
    project = command.done("projects", "create", "legal", "--json").json["id"]
    key = command.done("keys", "create", "-p", "legal", "--name", "ci", "--json").json["id"]
    row: dict[str, object] = {"project_id": project, "endpoint": "/v1/chat", "status": 200, "outcome": "ok"}
    ids, now = Ids(), time.time() - 60
    rows = [{**row, "id": str(ids()), "timestamp": now, "latency_ms": 1.0, "key_id": one} for one in (key, None)]
    asyncio.run(_insert(command.data_dir, rows))
    assert [found["key"] for found in command.done("logs", "search", "--key", "ci", "--json").rows] == ["ci"]
    assert len(command.done("logs", "tail", "--no-follow", "--key", "ci").out.splitlines()) == 1
    (exported,) = csv.DictReader(io.StringIO(command.done("logs", "export", "--format", "csv", "--key", "ci").out))
    assert (exported["key"], exported["key_id"]) == ("ci", key)
    assert command.done("usage", "--key", "ci", "--json").rows[0]["requests"] == 1
    assert command.done("usage", "--key", key, "--by", "key", "--json").rows[0]["key"] == "ci"
    assert f"ci ({key})" in command.done("logs", "show", exported["request_id"]).out
    assert command("usage", "--key", "nobody").code == 3

    other = command.done("keys", "rotate", "ci", "--json").json["id"]
    refused = command("usage", "--key", "ci")
    assert refused.code == 4
    assert key in refused.err
    assert other in refused.err


def test_what_requests_cost_is_in_the_page_where_anything_does(command: Command):
    project = command.done("projects", "create", "legal", "--json").json["id"]
    row: dict[str, object] = {"project_id": project, "endpoint": "/v1/chat", "status": 200, "outcome": "ok"}
    row |= {"timestamp": time.time() - 60, "latency_ms": 1.0}
    ids = Ids()
    asyncio.run(_insert(command.data_dir, [{**row, "id": str(ids())}]))
    assert " Cost " not in command.done("logs", "search").out
    asyncio.run(_insert(command.data_dir, [{**row, "id": str(ids()), "cost_nanos": 990_000}]))
    assert " 0.00099 " in command.done("logs", "search").out


def test_a_request_is_found_by_the_id_that_its_client_got(logged: Command):
    row = logged.done("logs", "search", "-n", "1", "--json").rows[0]
    assert logged.done("logs", "search", "--request-id", row["request_id"], "--json").rows == [row]
    assert row["request_id"] in logged.done("logs", "search", "-n", "1").out


def test_all_pages_at_once(logged: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logs, "PAGE", 2)
    ended = logged.done("logs", "search", "--all", "--json")
    assert (tokens(ended.rows), ended.json["next_cursor"]) == ([6, 5, 4, 3, 2, 1, 0], None)
    monkeypatch.setattr(logs, "MOST", 3)
    ended = logged.done("logs", "search", "--all")
    assert len(ended.out.splitlines()) == 1 + 3
    assert "logs export" in ended.err


@pytest.mark.parametrize(
    "filters", [("--tier", "mine"), ("--outcome", "good"), ("--since", "1h", "--until", "2h"), ("--min-latency", "nan")]
)
def test_filters_that_mean_nothing_are_refused(logged: Command, filters: tuple[str, ...]):
    for command in ("search", "export"):
        ended = logged("logs", command, *filters)
        assert (ended.code, ended.out) == (2, ""), ended
        assert "literal" not in ended.err


def test_figures_of_a_time_that_has_not_come_are_refused(logged: Command):
    ended = logged("usage", "--since", "2999-01-01")
    assert (ended.code, ended.err) == (2, "llm-gateway: `since` must not be later than now.\n")
    assert "later than `until`" in logged("usage", "--since", "1h", "--until", "2h").err


def test_one_request_is_shown_with_all_that_is_known(logged: Command):
    row = logged.done("logs", "search", "--failed", "--json").rows[0]
    shown = logged.done("logs", "show", row["request_id"])
    for part in ("legal", "503", "no_healthy_upstream", "c-0", row["request_id"]):
        assert part in shown.out
    told = logged.done("logs", "show", row["request_id"], "--payload", "--json").json
    assert (told["request_id"], told["payload"]) == (row["request_id"], None)
    assert "not kept" in logged.done("logs", "show", row["request_id"], "--payload").out


def test_a_request_that_is_not_there_is_said_to_be_missing(logged: Command):
    assert logged("logs", "show", "019a2f6e-7c1b-7d3e-9f00-0123456789ab").code == 3
    assert logged("logs", "show", "../projects").code in (2, 3)


def test_an_export_holds_every_row_oldest_first(logged: Command, tmp_path: Path):
    lines = [json.loads(line) for line in logged.done("logs", "export").out.splitlines()]
    assert tokens(lines) == list(range(ROWS))
    assert {row["project"] for row in lines} == {"legal"}
    assert str(UUID(lines[0]["request_id"])) == lines[0]["request_id"]
    logged.done("logs", "export", "--format", "csv", "-o", "rows", "--status", "2xx")
    with (tmp_path / "rows").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["tokens_output"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert rows[0]["model"] == "'=fast"  # a spreadsheet takes it for text
    assert tuple(rows[0]) == COLUMNS


def test_the_name_of_the_file_says_how_it_is_written(logged: Command, tmp_path: Path):
    whole = logged.done("logs", "export", "--format", "csv").out
    logged.done("logs", "export", "-o", "rows.csv")
    logged.done("logs", "export", "-o", "rows.csv.gz")
    logged.done("logs", "export", "-o", "rows.ndjson.gz")
    assert (tmp_path / "rows.csv").read_bytes().decode() == whole
    assert gzip.decompress((tmp_path / "rows.csv.gz").read_bytes()).decode() == whole
    assert len(gzip.decompress((tmp_path / "rows.ndjson.gz").read_bytes()).splitlines()) == ROWS


def test_a_sheet_without_rows_has_its_columns(logged: Command):
    out = logged.done("logs", "export", "--format", "csv", "--model", "nobody").out
    assert out.splitlines() == [",".join(COLUMNS)]


def test_the_columns_of_a_sheet_are_those_of_a_row(logged: Command):
    row = logged.done("logs", "search", "-n", "1", "--json").rows[0]
    assert set(row) - set(COLUMNS) <= {"cost_nanos"}
    assert set(COLUMNS) - set(row) <= {"cost"}


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
    of_week = logged.done("usage", "--by", "hour_of_week", "--json").rows
    assert sum(row["requests"] for row in of_week) == ROWS
    day, hour = divmod(of_week[0]["hour_of_week"], 24)
    name = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[day]
    assert f"{name} {hour:02}:00" in logged.done("usage", "--by", "hour_of_week").out


def test_usage_for_people_has_shares_and_a_total(logged: Command):
    out = logged.done("usage").out.splitlines()
    assert out[0].split()[:2] == ["Project", "Model"]
    total = out[-1].split()
    assert (total[0], *total[2:5]) == ("Total", "7", "1", "14")  # 14 %
    assert "Cost" not in out[0]
    assert "Saved" not in out[0]
    assert "Total" not in logged.done("usage", "--by", "project").out
    assert logged.done("usage", "--by", "project,day").out.startswith("From")


def test_usage_as_a_sheet(logged: Command):
    rows = list(csv.DictReader(io.StringIO(logged.done("usage", "--by", "model,project,day", "--csv").out)))
    assert list(rows[0])[:6] == ["bucket", "model", "project", "project_id", "requests", "errors"]
    assert {row["model"] for row in rows} == {"'=fast", "llama3.2:3b"}
    assert sum(int(row["requests"]) for row in rows) == ROWS


def test_usage_of_the_largest_and_of_some(logged: Command):
    (row,) = logged.done("usage", "--by", "model", "--top", "1", "--json").rows
    assert (row["model"], row["requests"]) == ("llama3.2:3b", 4)
    (row,) = logged.done("usage", "--by", "error_code", "--status", "5xx", "--json").rows
    assert (row["error_code"], row["errors"]) == ("no_healthy_upstream", 1)


@pytest.mark.parametrize(
    "words",
    [("--by", "colour"), ("--by", "day,hour"), ("--csv", "--json"), ("--top", "0"), ("--status", "503"), ("--stream",)],
)
def test_usage_of_nonsense_is_refused(logged: Command, words: tuple[str, ...]):
    ended = logged("usage", *words)
    assert (ended.code, ended.out) == (2, "")


def test_the_check_of_the_database_finds_figures_that_are_not_those_of_the_log(logged: Command):
    assert "the same" in logged.done("db", "check").out
    with sqlite3.connect(logged.data_dir / "gateway.db") as database:
        database.execute("UPDATE usage_rollup SET requests = requests + 1 WHERE seconds = 86400 AND detail = 1")
    wrong = logged("db", "check")
    assert wrong.code == 1
    assert "requests: rows " in wrong.out
    assert "not what the log says" in wrong.err
