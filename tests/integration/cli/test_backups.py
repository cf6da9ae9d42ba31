"""`llm-gateway db backup|restore|prune`: what was saved comes back, and what is restored over is not lost."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from llm_gateway.cli import dumps
from llm_gateway.clock import Ids
from llm_gateway.ledger.journal import Journal, Position, read
from llm_gateway.ledger.ledger import Ledger
from llm_gateway.ledger.shipper import Shipper
from llm_gateway.ledger.store import DatabaseStore
from llm_gateway.storage import erasures, requests
from llm_gateway.storage.engine import open_engine
from llm_gateway.storage.sessions import Sessions
from support.command import Command
from support.databases import GivenServer, _binaries
from support.served import KEY, project, serve

DAY = 86_400.0
ids = Ids()


def row(project_id: str, *, age: float = 1.0, end_user: str | None = None) -> dict[str, Any]:
    return {
        "id": str(ids()), "project_id": project_id, "timestamp": time.time() - age * DAY, "endpoint": "/v1/chat",
        "status": 200, "outcome": "ok", "latency_ms": 1.0, "end_user": end_user,
    }  # fmt: skip


def insert(url: str, data_dir: Path, *rows: dict[str, Any]) -> None:
    async def work(sessions: Sessions) -> None:
        async with sessions.write() as s:
            await requests.insert_rows(s, rows)

    with_sessions(url, data_dir, work)


def log_of(url: str, data_dir: Path) -> list[str]:
    """Ids of the log's rows."""

    async def work(sessions: Sessions) -> list[str]:
        return [one["id"] async for one in requests.export(sessions)]

    found: list[str] = with_sessions(url, data_dir, work)
    return found


def with_sessions(url: str, data_dir: Path, work: Any) -> Any:
    async def run() -> Any:
        engine = open_engine(url, data_dir=data_dir)
        try:
            return await work(Sessions(engine))
        finally:
            await engine.dispose()

    return asyncio.run(run())


@pytest.fixture
def url(command: Command) -> str:
    return f"sqlite:///{command.data_dir}/gateway.db"


@pytest.fixture
def legal(command: Command) -> str:
    made: str = command.done("projects", "create", "legal", "--json").json["id"]
    return made


def test_what_postgresqls_programs_say_of_versions_is_said():
    said = ["pg_dump: error: aborting because of server version mismatch"]
    said.append("pg_dump: detail: server version: 16.10; pg_dump version: 15.12")
    assert dumps.told(said) == f"{said[0]}; server version: 16.10; pg_dump version: 15.12."
    assert dumps.told(["pg_restore: error: no."]) == "pg_restore: error: no."


def test_a_look_at_no_database_makes_none_and_an_empty_one_is_not_backed_up(command: Command, tmp_path: Path):
    for words in (("check",), ("prune",), ("backup", str(tmp_path / "backup"))):
        ended = command("db", *words)
        assert (ended.code, "There is no database" in ended.err) == (3, True)
    assert not command.data_dir.exists()
    command.data_dir.mkdir(mode=0o700)
    (command.data_dir / "gateway.db").touch(mode=0o600)
    ended = command("db", "backup", str(tmp_path / "backup"))
    assert (ended.code, ended.err) == (1, f"llm-gateway: {command.data_dir}/gateway.db is empty.\n")


def test_a_backup_brings_everything_back_and_keeps_what_it_replaces(
    command: Command, url: str, legal: str, tmp_path: Path
) -> None:
    first, later = row(legal), row(legal)
    insert(url, command.data_dir, first)
    command.done("db", "backup", "saved.db")
    assert (tmp_path / "saved.db").stat().st_mode & 0o777 == 0o600
    insert(url, command.data_dir, later)
    command.done("projects", "create", "sales")

    refused = command("db", "restore", "saved.db")
    assert (refused.code, "not empty" in refused.err) == (4, True), refused
    assert len(log_of(url, command.data_dir)) == 2

    said = command.done("db", "restore", "saved.db", "--force").out
    assert log_of(url, command.data_dir) == [first["id"]]
    assert [one["name"] for one in command.done("projects", "list", "--json").rows] == ["legal"]
    kept = command.data_dir / "gateway.db.before-restore"
    assert str(kept) in said
    assert len(log_of(f"sqlite:///{kept}", command.data_dir)) == 2
    command.done("db", "restore", "saved.db", "--force")
    assert (command.data_dir / "gateway.db.before-restore.2").exists()


def test_an_empty_place_needs_no_force(command: Command, url: str, legal: str, tmp_path: Path) -> None:
    insert(url, command.data_dir, row(legal))
    command.done("db", "backup", "saved.db")
    shutil.rmtree(command.data_dir)
    command.done("db", "restore", "saved.db")
    assert len(log_of(url, command.data_dir)) == 1


def test_no_secret_is_in_a_backup(command: Command, legal: str, tmp_path: Path) -> None:
    key = command.done("keys", "create", "-p", "legal", "--json").json["key"]
    command.done("db", "backup", "saved.db")
    content = (tmp_path / "saved.db").read_bytes()
    token = (command.data_dir / "admin-token").read_text().strip()
    assert b"legal" in content
    for secret in (key, key[9:30], token):
        assert secret.encode() not in content


def test_a_file_is_not_replaced_by_mistake(command: Command, legal: str, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    assert command("db", "backup", "there").code == 4
    assert (tmp_path / "there").read_text() == "mine"
    command.done("db", "backup", "there", "--force")
    itself = command("db", "backup", command.data_dir / "gateway.db", "--force")
    assert (itself.code, "itself" in itself.err) == (2, True)


def test_only_whole_backups_of_ours_are_restored(command: Command, url: str, legal: str, tmp_path: Path) -> None:
    insert(url, command.data_dir, *(row(legal) for _ in range(200)))
    command.done("db", "backup", "saved.db")
    before = log_of(url, command.data_dir)
    (tmp_path / "text").write_text("this is no database at all, whatever it is called")
    with closing(sqlite3.connect(tmp_path / "strange.db")) as strange:
        strange.execute("CREATE TABLE project (id)")
    with closing(sqlite3.connect(tmp_path / "newer.db")) as newer, closing(sqlite3.connect("saved.db")) as saved:
        saved.backup(newer)
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
        newer.commit()
    damaged = bytearray((tmp_path / "saved.db").read_bytes())
    damaged[8192:20_000] = b"\xaa" * (20_000 - 8192)
    (tmp_path / "damaged.db").write_bytes(damaged)
    for name, why in {
        "nowhere.db": "no file",
        "text": "no backup",
        "strange.db": "another program",
        "newer.db": "newer version",
        "damaged.db": "",
    }.items():
        refused = command("db", "restore", name, "--force")
        assert refused.code != 0
        assert why in refused.err
        assert "Traceback" not in refused.err
    assert log_of(url, command.data_dir) == before
    assert not list(command.data_dir.glob("*before-restore*"))


def test_an_older_backup_is_brought_to_this_version(command: Command, url: str, tmp_path: Path) -> None:
    from alembic import command as alembic
    from alembic.config import Config

    from llm_gateway.storage.upgrade import MIGRATIONS, locked

    def old(connection: Any) -> None:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        alembic.upgrade(config, "0004")

    async def work(sessions: Sessions) -> None:
        await locked(sessions.engine, old)

    with_sessions(f"sqlite:///{tmp_path}/old.db", tmp_path, work)
    command.done("db", "restore", "old.db")
    assert "already is the newest" in command.done("db", "upgrade").out


def test_a_server_can_be_saved_and_must_end_before_it_is_restored(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(command.data_dir, config=project(servers=[]), LLM_TEST_KEY=KEY):
        command.done("db", "backup", "saved.db")
        refused = command("db", "restore", "saved.db", "--force")
        assert (refused.code, "server runs" in refused.err) == (4, True), refused
    command.done("db", "restore", "saved.db", "--force")


def test_rows_of_a_journal_that_the_backup_knows_less_of_arrive_once(
    command: Command, url: str, legal: str, tmp_path: Path
) -> None:
    """The positions of journals in the backup are older than the journals."""
    journal = Journal(command.data_dir / "journal" / "host")
    rows = [row(legal) for _ in range(5)]
    ends = [journal.closed(UUID(one["id"]), one) for one in rows]
    journal.end()

    def ship(upto: Position) -> None:
        """As a shipper does that was killed behind `upto`."""

        async def work(sessions: Sessions) -> None:
            store = DatabaseStore(sessions)
            after = await store.position("host") or Position(0, 0)
            found = [one for one in read(journal.directory, after) if one.end <= upto]
            if found:
                batch = shipper_batch([one.row for one in found])
                await store.ship("host", batch, found[-1].end)

        with_sessions(url, command.data_dir, work)

    ship(ends[1])
    command.done("db", "backup", "saved.db")
    ship(ends[3])
    assert len(log_of(url, command.data_dir)) == 4
    command.done("db", "restore", "saved.db", "--force")
    assert len(log_of(url, command.data_dir)) == 2

    async def recover(sessions: Sessions) -> None:
        ledger = Ledger(Journal(tmp_path / "mine" / "journal"))
        await Shipper(ledger, DatabaseStore(sessions)).recover(command.data_dir / "journal")

    with_sessions(url, command.data_dir, recover)
    assert log_of(url, command.data_dir) == sorted(one["id"] for one in rows)


def shipper_batch(rows: list[dict[str, Any]]) -> Any:
    from llm_gateway.ledger.shipper import Batch

    return Batch(rows, [], [])


def test_what_was_erased_after_the_backup_is_erased_again(
    command: Command, url: str, legal: str, tmp_path: Path
) -> None:
    rows = [row(legal, end_user=user) for user in ("eve-4711", "bob", "eve-4711")]
    insert(url, command.data_dir, *rows)
    command.done("db", "backup", "saved.db")
    refused = command("logs", "erase", "-p", "legal", "--end-user", "eve-4711")
    assert (refused.code, "--yes" in refused.err) == (2, True)
    said = command.done("logs", "erase", "-p", "legal", "--end-user", "eve-4711", "--yes")
    assert said.out.startswith("2 requests of end user 'eve-4711'")
    assert said.err == ""
    assert b"eve-4711" not in (command.data_dir / "gateway.db").read_bytes()

    said = command.done("db", "restore", "saved.db", "--force")

    assert "2 requests that were erased since the backup are erased again" in said.out
    assert log_of(url, command.data_dir) == [rows[1]["id"]]
    assert b"eve-4711" not in (command.data_dir / "gateway.db").read_bytes()

    async def days(sessions: Sessions) -> int:
        async with sessions.read() as s:
            return sum((await erasures.erased_days(s)).values())

    assert with_sessions(url, command.data_dir, days) == 2


def test_old_rows_are_deleted_by_hand(command: Command, url: str, legal: str) -> None:
    insert(url, command.data_dir, *(row(legal, age=age) for age in (1, 40, 50, 100, 200)))
    told = command.done("db", "prune", "--dry-run", "--json").json
    assert told == {"payloads": 0, "requests": 2, "minutes": 0, "audit": 0}
    assert len(log_of(url, command.data_dir)) == 5
    assert "2 requests" in command.done("db", "prune").out
    assert len(log_of(url, command.data_dir)) == 3
    assert "2 requests" in command.done("db", "prune", "--older-than", "30d").out
    assert len(log_of(url, command.data_dir)) == 1
    assert command("db", "prune", "--older-than", "soon").code == 2
    assert command("db", "prune", "--older-than", "1h").code == 2


@pytest.fixture
def postgresql(
    command: Command, postgresql_server: GivenServer, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> str:
    """PostgreSQL as the command's database, with programs that are not older than the server."""
    try:
        monkeypatch.setenv("PATH", f"{_binaries()}:{os.environ['PATH']}")
    except Exception as error:
        pytest.skip(str(error))
    if shutil.which("pg_dump") is None:
        pytest.skip("pg_dump is not installed")
    monkeypatch.setenv("LLM_GATEWAY_DATABASE_URL", postgresql_url)
    tried = subprocess.run(["pg_dump", "--version"], capture_output=True)
    if tried.returncode:
        pytest.skip("pg_dump does not run here")
    return postgresql_url


def test_postgresql_is_saved_and_restored_by_its_own_programs(
    command: Command, postgresql: str, tmp_path: Path
) -> None:
    legal = command.done("projects", "create", "legal", "--json").json["id"]
    first, later = row(legal), row(legal, end_user="eve")
    insert(postgresql, command.data_dir, first)
    command.done("db", "backup", "saved.dump")
    insert(postgresql, command.data_dir, later)
    assert command("db", "restore", "saved.dump").code == 4
    said = command.done("db", "restore", "saved.dump", "--force")
    assert "before-restore.dump" in said.out
    assert log_of(postgresql, command.data_dir) == [first["id"]]
    command.done("db", "restore", command.data_dir / "before-restore.dump", "--force")
    assert len(log_of(postgresql, command.data_dir)) == 2
    (tmp_path / "text").write_text("no dump")
    assert command("db", "restore", "text", "--force").code == 1


def test_without_its_programs_postgresql_says_what_is_missing(
    command: Command, postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    ended = command("db", "backup", "saved.dump")
    assert ended.code == 1
    assert "pg_dump is not installed" in ended.err
    assert "postgresql-client" in ended.err
