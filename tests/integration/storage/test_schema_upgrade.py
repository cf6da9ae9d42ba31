from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from llm_gateway.errors import Conflict, DatabaseTooNew
from llm_gateway.storage.engine import open_engine
from llm_gateway.storage.tables import metadata
from llm_gateway.storage.upgrade import HEAD, MIGRATIONS, Upgrade, current_revision, upgrade

ROOT = Path(__file__).parents[3]
UPGRADE = """
import asyncio, sys, pathlib
from llm_gateway.storage.upgrade import upgrade
print(asyncio.run(upgrade(sys.argv[1], pathlib.Path(sys.argv[2]))).before, "alembic" in sys.modules)
"""


async def test_alembic_finds_no_difference_between_migrations_and_tables(engine: AsyncEngine):
    def check(connection: Connection) -> None:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.check(config)  # raises when it finds one

    async with engine.connect() as connection:
        await connection.run_sync(check)


async def test_the_migrations_make_the_same_definitions_as_the_tables(
    engine: AsyncEngine, empty_postgresql_url: str, empty_sqlite_url: str, tmp_path: Path
):
    url = empty_sqlite_url if engine.dialect.name == "sqlite" else empty_postgresql_url
    other = open_engine(url, data_dir=tmp_path)
    async with other.begin() as connection:
        await connection.run_sync(metadata.create_all)
        made = await connection.run_sync(definitions)
    await other.dispose()
    async with engine.connect() as connection:
        migrated = await connection.run_sync(definitions)
    assert migrated == made


def definitions(connection: Connection) -> dict[str, object]:
    """More than Alembic compares: checks, keys, and the conditions and methods of indexes."""
    if connection.dialect.name == "sqlite":
        indexes = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name"))
    else:
        indexes = connection.execute(text("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"))
    look = inspect(connection)
    found: dict[str, object] = {
        "indexes": {name: sql for name, sql in indexes if name != "alembic_version_pkc" and "alembic" not in name}
    }
    for table in metadata.tables:
        found[table] = {
            "columns": {c["name"]: (str(c["type"]), c["nullable"], c["default"]) for c in look.get_columns(table)},
            "checks": {(c["name"], c["sqltext"]) for c in look.get_check_constraints(table)},
            "keys": [(k["name"], k["constrained_columns"], k["options"]) for k in look.get_foreign_keys(table)],
            "unique": {(u["name"], *u["column_names"]) for u in look.get_unique_constraints(table)},
            "primary": (look.get_pk_constraint(table)["name"], *look.get_pk_constraint(table)["constrained_columns"]),
        }
    return found


async def test_an_empty_database_is_upgraded_once(empty_database_url: str, tmp_path: Path):
    assert await upgrade(empty_database_url, tmp_path) == Upgrade(None, HEAD)
    assert await upgrade(empty_database_url, tmp_path) == Upgrade(HEAD, HEAD)


async def test_several_processes_may_upgrade_at_once(empty_database_url: str, tmp_path: Path):
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", UPGRADE, empty_database_url, str(tmp_path), stdout=subprocess.PIPE
        )
        for _ in range(3)
    ]
    for process in processes:
        await asyncio.wait_for(process.communicate(), 60)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert await upgrade(empty_database_url, tmp_path) == Upgrade(HEAD, HEAD)


def test_at_the_newest_schema_alembic_is_not_even_imported(sqlite_url: str, tmp_path: Path):
    done = subprocess.run([sys.executable, "-c", UPGRADE, sqlite_url, tmp_path], capture_output=True, text=True)
    assert done.stdout.split() == [HEAD, "False"]


async def test_a_database_of_a_newer_version_is_left_alone(engine: AsyncEngine, database_url: str, tmp_path: Path):
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseTooNew, match=r"newer version \(schema 9999; this one knows up to"):
        await upgrade(database_url, tmp_path)
    assert await current_revision(engine) == "9999"


async def test_a_database_of_another_program_is_left_alone(empty_database_url: str, tmp_path: Path):
    engine = open_engine(empty_database_url, data_dir=tmp_path)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE setting (theirs INTEGER)"))
    with pytest.raises(Conflict, match="'setting' that is not of this program"):
        await upgrade(empty_database_url, tmp_path)
    async with engine.connect() as connection:
        assert await connection.run_sync(lambda c: inspect(c).get_table_names()) == ["setting"]
    await engine.dispose()


async def test_an_upgrade_that_fails_leaves_nothing(empty_database_url: str, tmp_path: Path):
    engine = open_engine(empty_database_url, data_dir=tmp_path)
    async with engine.begin() as connection:  # in the way of an index that is made near the end
        await connection.execute(text("CREATE TABLE ix_request_log_correlation_id (theirs INTEGER)"))
    with pytest.raises(DBAPIError):
        await upgrade(empty_database_url, tmp_path)
    async with engine.connect() as connection:
        left = await connection.run_sync(lambda c: inspect(c).get_table_names())
    await engine.dispose()
    assert left == ["ix_request_log_correlation_id"]


def test_alembics_own_command_works_from_the_repository(empty_database_url: str, tmp_path: Path):
    done = alembic("upgrade", "head", url=empty_database_url, data=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "The first tables" in done.stderr
    assert f"{HEAD} (head)" in alembic("current", url=empty_database_url, data=tmp_path).stdout


def test_alembics_own_command_says_in_a_line_what_is_wrong(tmp_path: Path):
    done = alembic("upgrade", "head", url="postgresql://nobody@127.0.0.1:1/none", data=tmp_path)
    assert done.returncode != 0
    assert "The database cannot be used: " in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def alembic(*words: str, url: str, data: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "LLM_GATEWAY_DATABASE_URL": url, "LLM_GATEWAY_DATA_DIR": str(data)}
    return subprocess.run(
        [sys.executable, "-m", "alembic", *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )
