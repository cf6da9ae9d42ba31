"""What a process does by itself for the log: old rows go, erasures are finished, journals let go. On both databases."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from llm_gateway.clock import Ids, SystemClock
from llm_gateway.ledger.journal import Journal, Position
from llm_gateway.ledger.ledger import Ledger
from llm_gateway.ledger.retention import Housekeeping
from llm_gateway.ledger.shipper import Batch
from llm_gateway.ledger.store import DatabaseStore
from llm_gateway.storage import erasures, requests
from llm_gateway.storage.sessions import Sessions

DAY = 86_400.0
PROJECT = str(uuid4())
ids = Ids()


def row(age: float, end_user: str | None = None) -> dict[str, Any]:
    return {
        "id": str(ids()), "project_id": PROJECT, "timestamp": time.time() - age * DAY, "endpoint": "/v1/chat",
        "status": 200, "outcome": "ok", "latency_ms": 1.0, "end_user": end_user,
    }  # fmt: skip


def keeper(sessions: Sessions, tmp_path: Path) -> tuple[Housekeeping, Ledger]:
    ledger = Ledger(Journal(tmp_path / "journal" / "mine"))
    return Housekeeping(sessions, ledger, SystemClock(), request_days=90, minute_days=14, audit_days=365), ledger


async def left(sessions: Sessions) -> list[str | None]:
    return [one["end_user"] async for one in requests.export(sessions)]


async def test_a_round_deletes_what_is_old_and_finishes_erasures_that_were_given_up(
    sessions: Sessions, tmp_path: Path
) -> None:
    housekeeping, _ = keeper(sessions, tmp_path)
    async with sessions.write() as s:
        await requests.insert_rows(s, [row(100, "old"), row(1, "eve"), row(1, "bob"), row(1, "ada")])
    async with sessions.write() as s:
        await erasures.begin(s, PROJECT, "eve", time.time() - 2 * 3600)  # whoever began it was killed
        await erasures.begin(s, PROJECT, "ada", time.time())  # somebody is at it
    await housekeeping.round()
    assert sorted(map(str, await left(sessions))) == ["ada", "bob"]
    async with sessions.read() as s:
        assert [one.done for one in await erasures.list_erasures(s)] == [False, True]


async def test_a_journal_lets_go_when_another_process_has_erased(sessions: Sessions, tmp_path: Path) -> None:
    housekeeping, ledger = keeper(sessions, tmp_path)
    ledger.closed(uuid4(), {"end_user": "eve-4711"})
    ledger.shipped(1, ledger.journal.position)
    await housekeeping.look()
    assert len(list(ledger.journal.directory.glob("*.seg"))) == 1
    async with sessions.write() as s:
        await erasures.begin(s, PROJECT, "eve-4711", time.time())
    await housekeeping.look()
    assert not list(ledger.journal.directory.glob("*.seg"))
    ledger.closed(uuid4(), {})
    await housekeeping.look()
    assert len(list(ledger.journal.directory.glob("*.seg"))) == 1  # once for each erasure
    ledger.end(empty=True)


async def test_a_batch_arrives_without_what_was_erased_meanwhile(sessions: Sessions, tmp_path: Path) -> None:
    eve, bob = row(1, "eve"), row(1, "bob")
    tries = [
        {
            "request_id": one["id"], "number": 1, "timestamp": one["timestamp"], "server_id": "s", "backend_model": "m",
            "tier": "own", "why": "first", "outcome": "ok", "duration_ms": 1.0, "tokens_output": 1, "tokens_wasted": 0,
        }
        for one in (eve, bob)
    ]  # fmt: skip
    said = [
        {
            "request_id": one["id"], "project_id": PROJECT, "timestamp": one["timestamp"], "expires_at": time.time(),
            "end_user": one["end_user"], "request": "1", "response": "2", "redactions": 0, "cut": False,
        }
        for one in (eve, bob)
    ]  # fmt: skip
    async with sessions.write() as s:
        await erasures.begin(s, PROJECT, "eve", time.time())
    store = DatabaseStore(sessions)
    await store.ship("mine", Batch([eve, bob], tries, said), Position(1, 10))
    await store.ship("mine", Batch([eve], [], []), Position(1, 20))
    assert await left(sessions) == ["bob"]
    assert await store.position("mine") == Position(1, 20)
