"""What is logged of one end user can be taken out and erased by command (GDPR, articles 15 and 17)."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from llm_gateway.clock import Ids
from llm_gateway.storage import payloads, requests
from llm_gateway.storage.engine import open_engine
from llm_gateway.storage.sessions import Sessions
from support.command import Command

ids = Ids()


@pytest.fixture
def legal(command: Command) -> Command:
    """Two requests of eve, one of bob, with what was said."""
    project: str = command.done("projects", "create", "legal", "--json").json["id"]
    rows: list[dict[str, Any]] = [
        {
            "id": str(ids()), "project_id": project, "timestamp": time.time() - 60, "endpoint": "/v1/chat",
            "status": 200, "outcome": "ok", "latency_ms": 1.0, "end_user": user,
        }
        for user in ("eve", "bob", "eve")
    ]  # fmt: skip
    said = [
        {
            "request_id": one["id"], "project_id": project, "timestamp": one["timestamp"],
            "expires_at": one["timestamp"] + 1000, "end_user": one["end_user"], "request": '{"said":"zebra"}',
            "response": '{"text":"okapi"}', "redactions": 0, "cut": False,
        }
        for one in rows
    ]  # fmt: skip
    asyncio.run(store(command.data_dir, rows, said))
    return command


async def store(data_dir: Path, rows: list[dict[str, Any]], said: list[dict[str, Any]]) -> None:
    engine = open_engine(f"sqlite:///{data_dir}/gateway.db", data_dir=data_dir)
    try:
        async with Sessions(engine).write() as s:
            await requests.insert_rows(s, rows)
            await payloads.insert_payloads(s, said)
    finally:
        await engine.dispose()


def exported(command: Command, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in command.done("logs", "export", *words).out.splitlines()]


def test_an_export_holds_what_was_said_when_it_is_asked_for(legal: Command) -> None:
    rows = exported(legal, "--end-user", "eve", "--payloads")
    assert [row["end_user"] for row in rows] == ["eve", "eve"]
    assert rows[0]["payload"]["request"] == {"said": "zebra"}
    assert rows[0]["payload"]["response"] == {"text": "okapi"}
    assert "payload" not in exported(legal)[0]
    refused = legal("logs", "export", "--payloads", "--format", "csv")
    assert (refused.code, "ndjson" in refused.err) == (2, True)


def test_one_end_user_is_erased_and_then_the_project(legal: Command) -> None:
    told = legal.done("logs", "erase", "-p", "legal", "--end-user", "eve", "--yes", "--json").json
    assert (told["rows"], told["done"], told["gone"]) == (2, True, True)
    assert [row["end_user"] for row in exported(legal)] == ["bob"]
    assert "1 requests of project 'legal'" in legal.done("logs", "erase", "-p", "legal", "-y").out
    assert exported(legal) == []
    listed = legal.done("logs", "erasures", "--json").rows
    assert sorted((one["of"], one["rows"], one["done"]) for one in listed) == [
        ("end_user", 2, True),
        ("project", 1, True),
    ]
    assert "end_user" in legal.done("logs", "erasures").out
    content = (legal.data_dir / "gateway.db").read_bytes()
    assert b"zebra" not in content
    assert b"okapi" not in content


def test_what_does_not_exist_cannot_be_erased(legal: Command) -> None:
    ended = legal("logs", "erase", "-p", "nobody", "--yes")
    assert (ended.code, "nobody" in ended.err) == (3, True)
    assert len(exported(legal)) == 3
