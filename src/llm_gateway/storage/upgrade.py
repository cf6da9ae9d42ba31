"""Brings a database's schema to this version's.

Alembic is imported only when there is something to do. The whole upgrade is one transaction under a lock that other
processes wait for: SQLite's write lock, an advisory lock on PostgreSQL. Either all of it is done or nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from llm_gateway.errors import Conflict, DatabaseTooNew
from llm_gateway.storage.engine import BEGIN, connecting, open_engine
from llm_gateway.storage.tables import metadata

HEAD: Final = "0007"
"""The newest migration (a test keeps this true)."""
MIGRATIONS: Final = Path(__file__).parent / "migrations"
PATIENCE: Final = 600.0
"""Seconds: a migration may rewrite a large table, and a second process waits for it."""
_ADVISORY_LOCK: Final = 0x6C6C6D6777  # "llmgw"


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What `upgrade` found and left. `before` None = an empty database."""

    before: str | None
    after: str


async def upgrade(url: str, data_dir: Path) -> Upgrade:
    """Applies the migrations that are missing; at the newest one already, reads one row and returns.

    Raises DatabaseTooNew when a newer version of this program has been here, Conflict when another program has,
    DatabaseUnavailable, InvalidRequest.
    """
    engine = open_engine(url, data_dir=data_dir)
    try:
        before = await current_revision(engine)  # with the patience of everyday: a database may hang
    finally:
        await engine.dispose()
    if before != HEAD:
        engine = open_engine(url, data_dir=data_dir, patience=PATIENCE)
        try:
            await locked(engine, _to_head)
        finally:
            await engine.dispose()
    return Upgrade(before, HEAD)


async def current_revision(engine: AsyncEngine) -> str | None:
    """The newest migration that the database has seen, None when it is empty. Raises DatabaseUnavailable."""
    async with _connected(engine) as connection:
        return await connection.run_sync(_revision)


async def locked(engine: AsyncEngine, work: Callable[[Connection], None]) -> None:
    """Runs `work` in one transaction that no other upgrade runs beside, and commits."""
    async with _connected(engine.execution_options(**{BEGIN: "IMMEDIATE"})) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
        await connection.run_sync(work)


@asynccontextmanager
async def _connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    with connecting():
        connection = await engine.connect()
    try:
        yield connection
    finally:
        await connection.close()


def check_known(revision: str | None) -> None:
    """Raises DatabaseTooNew for a revision that this version has no migration for."""
    from alembic.script import ScriptDirectory

    if revision is not None and revision not in {
        known.revision for known in ScriptDirectory(str(MIGRATIONS)).walk_revisions()
    }:
        raise DatabaseTooNew(
            f"The database was made by a newer version (schema {revision[:40]}; this one knows up to {HEAD}). "
            "Install that version, or restore a backup from before it."
        )


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _to_head(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    revision = _revision(connection)  # again, now that nobody else upgrades
    check_known(revision)
    strangers = set(inspect(connection).get_table_names()) & set(metadata.tables)
    if revision is None and strangers:
        raise Conflict(
            f"The database has a table {min(strangers)!r} that is not of this program: give it a database of its own."
        )
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")
