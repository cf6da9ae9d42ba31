from __future__ import annotations

import stat
from pathlib import Path

import pytest
from databases import GivenServer, OwnServer
from sqlalchemy import text

from llm_gateway.errors import DatabaseUnavailable, InvalidRequest
from llm_gateway.storage.engine import open_engine
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.snapshot import current_version
from llm_gateway.storage.upgrade import upgrade


async def version(url: str, data_dir: Path) -> int:
    engine = open_engine(url, data_dir=data_dir)
    try:
        async with Sessions(engine).read() as s:
            return await current_version(s)
    finally:
        await engine.dispose()


async def test_only_their_owner_can_read_the_files_of_sqlite(tmp_path: Path):
    home = tmp_path / "a" / "b"
    engine = open_engine("sqlite:///gateway.db", data_dir=home)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE x (y INTEGER)"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()}
    await engine.dispose()
    assert modes == {"gateway.db": 0o600, "gateway.db-wal": 0o600, "gateway.db-shm": 0o600}
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


async def test_a_relative_sqlite_path_is_in_the_data_directory_and_an_absolute_one_is_not(tmp_path: Path):
    for url, file in (
        ("sqlite:///x.db", tmp_path / "data" / "x.db"),
        (f"sqlite:///{tmp_path}/y.db", tmp_path / "y.db"),
    ):
        engine = open_engine(url, data_dir=tmp_path / "data")
        async with engine.connect():
            pass
        await engine.dispose()
        assert file.exists()


async def test_sqlite_is_set_up_for_several_readers_and_a_writer(sqlite_url: str, tmp_path: Path):
    engine = open_engine(sqlite_url, data_dir=tmp_path)
    async with engine.connect() as connection:
        found = {
            name: (await connection.execute(text(f"PRAGMA {name}"))).scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        }
    await engine.dispose()
    assert found == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 5000}


@pytest.mark.parametrize(
    "url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:", "sqlite:///x.db?mode=ro", "nonsense", "postgresql+:", ""]
)
def test_a_url_that_cannot_work_is_refused(url: str, tmp_path: Path):
    with pytest.raises(InvalidRequest, match="URL"):
        open_engine(url, data_dir=tmp_path)


def test_an_url_that_cannot_be_read_is_not_repeated(tmp_path: Path):
    with pytest.raises(InvalidRequest) as refused:
        open_engine("postgresql:/user:secret@host:port/x", data_dir=tmp_path)
    assert "secret" not in str(refused.value)


async def test_a_sqlite_file_that_cannot_be_is_a_database_that_is_away(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseUnavailable, match="cannot be opened"):
        await version("sqlite:///file/gateway.db", tmp_path)
    with pytest.raises(DatabaseUnavailable, match="unable to open"):
        await version(f"sqlite:///{tmp_path}", tmp_path)


async def test_further_connections_to_sqlite_drop_no_locks_of_the_earlier_ones(sqlite_url: str, tmp_path: Path):
    """POSIX drops all locks of a process on a file with the first descriptor of it that the process closes."""
    engine = open_engine(sqlite_url, data_dir=tmp_path)
    async with engine.connect() as first:
        await first.execute(text("CREATE TABLE x (y INTEGER)"))
        inode = (tmp_path / "test.db").stat().st_ino
        before = [line for line in Path("/proc/locks").read_text().splitlines() if f":{inode} " in line]
        assert before
        async with engine.connect(), engine.connect():
            pass
        after = [line for line in Path("/proc/locks").read_text().splitlines() if f":{inode} " in line]
        assert len(after) == len(before)
    await engine.dispose()


async def test_a_sqlite_file_that_is_no_database_is_a_database_that_is_away(tmp_path: Path):
    (tmp_path / "gateway.db").write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(DatabaseUnavailable, match="file is not a database"):
        await version("sqlite:///gateway.db", tmp_path)
    with pytest.raises(DatabaseUnavailable, match="file is not a database"):
        await upgrade("sqlite:///gateway.db", tmp_path)


async def test_a_database_without_tables_says_how_they_are_made(empty_database_url: str, tmp_path: Path):
    with pytest.raises(DatabaseUnavailable, match="llm-gateway db upgrade"):
        await version(empty_database_url, tmp_path)


async def test_nobody_listening_is_a_database_that_is_away(tmp_path: Path):
    with pytest.raises(DatabaseUnavailable, match="LLM_GATEWAY_DATABASE_URL"):
        await version("postgresql://gateway:secret@127.0.0.1:1/gateway", tmp_path)
    with pytest.raises(DatabaseUnavailable):
        await upgrade("postgresql://gateway:secret@127.0.0.1:1/gateway", tmp_path)


async def test_a_wrong_password_is_a_database_that_is_away_and_is_not_repeated(postgresql_url: str, tmp_path: Path):
    right = postgresql_url.split("@")[0].rpartition(":")[2]
    with pytest.raises(DatabaseUnavailable, match="password authentication failed") as refused:
        await version(postgresql_url.replace(right, "wrong-one"), tmp_path)
    assert "wrong-one" not in str(refused.value)


async def test_a_database_that_does_not_exist_is_a_database_that_is_away(postgresql_url: str, tmp_path: Path):
    with pytest.raises(DatabaseUnavailable, match="does not exist"):
        await version(postgresql_url.rpartition("/")[0] + "/nowhere", tmp_path)


async def test_libpqs_options_and_sqlalchemys_driver_names_are_understood(postgresql_url: str, tmp_path: Path):
    url = postgresql_url.replace("postgresql://", "postgresql+asyncpg://") + "?sslmode=prefer&application_name=mine"
    engine = open_engine(url, data_dir=tmp_path)
    async with engine.connect() as connection:
        assert (await connection.execute(text("SHOW application_name"))).scalar() == "mine"
    await engine.dispose()


async def test_connections_heal_when_postgresql_comes_back(
    postgresql_server: GivenServer, postgresql_url: str, tmp_path: Path
):
    if not isinstance(postgresql_server, OwnServer):
        pytest.skip("TEST_POSTGRES_URL is a server that is not ours to stop")
    engine = open_engine(postgresql_url, data_dir=tmp_path)
    sessions = Sessions(engine)
    async with sessions.read() as s:
        assert await current_version(s) == 1
    postgresql_server.stop(at_once=True)
    try:
        with pytest.raises(DatabaseUnavailable):
            async with sessions.read() as s:
                await current_version(s)
    finally:
        postgresql_server.start()
    async with sessions.read() as s:
        assert await current_version(s) == 1
    await engine.dispose()


async def test_a_database_that_goes_away_within_a_session_is_away(
    postgresql_server: GivenServer, postgresql_url: str, tmp_path: Path
):
    engine = open_engine(postgresql_url, data_dir=tmp_path)

    async def lose_the_connection() -> None:
        async with Sessions(engine).write() as s:
            pid = (await s.execute(text("SELECT pg_backend_pid()"))).scalar()
            postgresql_server.execute(f"SELECT pg_terminate_backend({pid}, 5000)")
            await current_version(s)

    with pytest.raises(DatabaseUnavailable):
        await lose_the_connection()
    await engine.dispose()
