"""A database that goes away is invisible to clients: nothing of a request waits for it, and rows arrive later."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from support.databases import CannotRun, OwnServer
from support.gateway import Live, StartGateway, words
from support.net import wait_until
from support.rogues import StartRogue


@pytest.fixture(scope="module")
def server_of_ours() -> Iterator[OwnServer]:
    """A PostgreSQL that may be stopped."""
    try:
        server = OwnServer()
    except CannotRun as error:
        pytest.skip(str(error))
    yield server
    server.close()


async def knows_its_database(live: Live) -> bool:
    """What `/readyz` says of it, whatever that means for load balancers."""
    checks = (await live.http.get("/readyz")).json()["checks"]
    return bool(checks["database"])


async def misses_its_database(live: Live) -> bool:
    return not await knows_its_database(live)


async def everything_but_the_database_works(live: Live) -> int:
    """Returns how many rows that makes."""
    for path in ("/v1/chat", "/v1/chat/completions"):
        answer = await live.chat(path)
        assert answer.json()["choices"][0]["message"]["content"] == words()
    assert (await live.stream()).text == words()
    assert (await live.chat(model="unheard-of")).status_code == 404
    assert (await live.chat(headers={"X-API-Key": "wrong-key-wrong-key-wrong"})).status_code == 401
    assert (await live.http.get("/v1/models")).status_code == 200
    assert (await live.http.get("/livez")).status_code == 200
    health = (await live.http.get("/v1/health")).json()
    assert health["status"] in ("ok", "degraded")
    return 4


async def admin_says_so(live: Live) -> None:
    for method, path, body in (
        ("GET", "/admin/api/requests", None),
        ("GET", "/admin/api/projects", None),
        ("POST", "/admin/api/projects", {"name": "new"}),
    ):
        answer = await live.http.request(method, path, json=body, headers=live.admin())
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "db_unavailable"), answer.text
        assert "Traceback" not in answer.text
        assert "postgres:" not in answer.text  # the user whom its password would follow


@pytest.mark.parametrize("at_once", [False, True], ids=["stopped", "killed"])
async def test_postgresql_that_is_stopped_and_started_again(
    server_of_ours: OwnServer, start: StartGateway, rogue: StartRogue, at_once: bool
):
    url = server_of_ours.create(f"outage_{int(at_once)}")
    live = await start(await rogue(), database_url=url)
    rows = await everything_but_the_database_works(live)
    await live.rows(rows)
    server_of_ours.execute("CHECKPOINT")  # for tests it keeps what was committed in memory for a while
    server_of_ours.stop(at_once=at_once)
    try:
        rows += await everything_but_the_database_works(live)
        await wait_until(lambda: misses_its_database(live), 5.0)
        assert (await live.http.get("/v1/health")).json()["database"] == "unavailable"
        rows += await everything_but_the_database_works(live)
        await admin_says_so(live)
        assert live.gateway.ledger.waiting == 8
    finally:
        server_of_ours.start()  # in this thread: it ends with the one that starts it
    found = await live.rows(rows)
    assert len({row["id"] for row in found}) == rows
    assert [row["status"] for row in found] == [200, 200, 200, 404] * 3
    await wait_until(lambda: knows_its_database(live), 5.0)
    made = await live.http.post("/admin/api/projects", json={"name": "new"}, headers=live.admin())
    assert made.status_code == 201


async def test_sqlite_that_another_process_holds_for_itself(
    sqlite_url: str, start: StartGateway, rogue: StartRogue, tmp_path: Path
):
    live = await start(await rogue(), database_url=sqlite_url)
    rows = await everything_but_the_database_works(live)
    await live.rows(rows)
    other: Any = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        rows += await everything_but_the_database_works(live)
        await wait_until(lambda: live.gateway.ledger.waiting == 4)
    finally:
        other.execute("ROLLBACK")
        other.close()
    found = await live.rows(rows, within=30)
    assert len({row["id"] for row in found}) == rows


async def changed(file: Path, statement: str) -> None:
    """As another process would, without stopping the gateway meanwhile."""

    def run() -> None:
        with sqlite3.connect(file) as other:
            other.execute(statement)

    await asyncio.to_thread(run)


async def test_sqlite_whose_tables_are_gone_and_come_back(
    sqlite_url: str, start: StartGateway, rogue: StartRogue, tmp_path: Path
):
    """As when a volume is unmounted or a backup is put in place."""
    live = await start(await rogue(), database_url=sqlite_url)
    await changed(tmp_path / "test.db", "ALTER TABLE request_log RENAME TO elsewhere")
    rows = await everything_but_the_database_works(live)
    await wait_until(lambda: live.gateway.ledger.waiting == rows)
    await changed(tmp_path / "test.db", "ALTER TABLE elsewhere RENAME TO request_log")
    await live.rows(rows)


WRITES = ("INSERT INTO", "UPDATE journal_position", "PRAGMA", "BEGIN", "SAVEPOINT", "RELEASE")
"""How the shipper's statements begin, as far as they do not go straight to the driver."""


async def test_no_request_reads_the_database(sqlite_url: str, start: StartGateway, rogue: StartRogue):
    """Every statement is seen, whichever connection carries it: between two requests there is none of theirs."""
    live = await start(await rogue(), database_url=sqlite_url)
    await live.chat()
    await live.rows(1)
    said: list[str] = []

    def seen(conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        said.append(statement)

    event.listen(Engine, "before_cursor_execute", seen)
    try:
        for _ in range(20):
            assert (await live.chat()).status_code == 200
            assert (await live.http.get("/v1/models")).status_code == 200
        await wait_until(lambda: any("journal_position" in statement for statement in said))
    finally:
        event.remove(Engine, "before_cursor_execute", seen)
    reads = [s for s in said if not s.startswith(WRITES) and "FROM erasure" not in s]  # asked while rows go in
    assert all("version" in s for s in reads), reads  # the watch for changes, once a second
    assert len(reads) <= 5
