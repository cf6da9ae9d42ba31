"""A database URL -> an engine whose connections behave alike on both databases.

SQLite: write-ahead log, foreign keys, a bounded wait for the write lock, transactions that begin when ours do, zeros
where something was deleted.
PostgreSQL: a bounded connect, bounded statements, and a look at every pooled connection before it is used, so that
a restart of the database heals by itself.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, ExceptionContext, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from llm_gateway.errors import DatabaseUnavailable, InvalidRequest
from llm_gateway.storage.faults import translated, unreachable

CONNECT: Final = 5.0
"""Seconds until PostgreSQL has answered a connect, or a pooled connection is free."""
STATEMENT: Final = 10.0
"""Seconds for one statement on PostgreSQL."""
LOCK: Final = 5.0
"""Seconds to wait for SQLite's write lock."""
BEGIN: Final = "sqlite_begin"
"""Execution option: how SQLite begins a transaction, DEFERRED (reads) or IMMEDIATE (takes the write lock at once,
because a read that becomes a write cannot wait for it)."""


def open_engine(url: str, *, data_dir: Path, patience: float | None = None) -> AsyncEngine:
    """An engine for `sqlite:///…` or `postgresql://…` (libpq's options are understood). Connects to nothing yet.

    A relative SQLite path is taken from `data_dir`; the first connection makes the file and missing directories,
    readable by their owner only, or raises DatabaseUnavailable. `patience` (seconds) replaces the longest waits, for
    migrations. Raises InvalidRequest for a URL that cannot work. Whoever opened it awaits `engine.dispose()`.
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError) as error:
        raise InvalidRequest("The database URL cannot be read.", param="database_url") from error
    if backend == "sqlite":
        return _sqlite(parsed, data_dir, LOCK if patience is None else patience)
    if backend in ("postgresql", "postgres"):
        _, _, rest = url.partition("://")
        return _postgresql(f"postgresql://{rest}", STATEMENT if patience is None else patience)
    raise InvalidRequest("The database URL must start with sqlite:/// or postgresql://.", param="database_url")


@contextmanager
def connecting() -> Iterator[None]:
    """Around a connect, and nothing else: its errors from before there is a connection become DatabaseUnavailable."""
    try:
        yield
    except (PoolTimeout, OSError) as error:
        raise unreachable(error) from error


def _sqlite(url: URL, data_dir: Path, lock: float) -> AsyncEngine:
    if not url.database or url.database == ":memory:" or url.host or url.query:
        raise InvalidRequest("A SQLite URL is sqlite:/// and the path of a file, nothing else.", param="database_url")
    path = data_dir.absolute() / url.database
    engine = create_async_engine(URL.create("sqlite+aiosqlite", database=str(path)), pool_timeout=CONNECT)
    _translate(engine)

    @event.listens_for(engine.sync_engine, "do_connect")
    def make(*_: Any) -> None:
        # Only where it is missing: closing a descriptor of a file that other connections of this process have open
        # would drop their locks (fcntl(2)), and with them the database (sqlite.org/howtocorrupt.html, 2.2).
        if path.exists():
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):  # another process was faster
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))  # -wal and -shm get the same mode
        except OSError as error:
            raise DatabaseUnavailable(f"The database file {path} cannot be opened: {error.strerror}.") from error

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late, and never before DDL
        cursor = connection.cursor()
        for pragma in (f"busy_timeout={round(lock * 1000)}", "journal_mode=WAL", "foreign_keys=ON", "secure_delete=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get(BEGIN, 'DEFERRED')}")

    return engine


def _postgresql(dsn: str, statement: float) -> AsyncEngine:
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=_connector(dsn, statement), pool_pre_ping=True, pool_timeout=CONNECT
    )
    _translate(engine)
    return engine


def _connector(dsn: str, statement: float) -> Callable[[], Awaitable[Any]]:
    """asyncpg reads the URL itself, because it knows libpq's options (`sslmode`, …) and SQLAlchemy does not."""
    named = {} if "application_name=" in dsn else {"application_name": "llm-gateway"}

    async def connect() -> Any:
        import asyncpg  # type: ignore[import-untyped]  # has no stubs; imported only where PostgreSQL is used

        connection = await asyncpg.connect(dsn, timeout=CONNECT, command_timeout=statement, server_settings=named)
        await connection.execute("SET jit = off")  # to compile a sum of 43 columns takes longer than to add them up
        return connection

    return connect


def _translate(engine: AsyncEngine) -> None:
    """Drivers' errors become ours where they enter, so that a query may already catch a Conflict."""

    @event.listens_for(engine.sync_engine, "handle_error", retval=True)
    def replace(context: ExceptionContext) -> BaseException | None:
        if context.is_pre_ping:  # the pool makes a new connection then
            return None
        return translated(context.sqlalchemy_exception or context.original_exception)
