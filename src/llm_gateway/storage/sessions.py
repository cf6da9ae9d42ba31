"""Transactions. `read` sees one state of the database throughout; `write` commits when its block ends well.

Drivers' errors arrive as DatabaseUnavailable, Conflict or InvalidRequest, already within the block (see `faults`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from llm_gateway.errors import Conflict, DatabaseUnavailable
from llm_gateway.storage.engine import BEGIN, connecting

_READ: dict[str, dict[str, Any]] = {
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
    "sqlite": {BEGIN: "DEFERRED"},
}


class Sessions:
    """Opens sessions on an engine that somebody else disposes of."""

    def __init__(self, engine: AsyncEngine, *, ready: bool = True) -> None:
        self.engine = engine
        self.ready = ready
        """False: nobody knows yet whose tables are there, so none are touched. Every session is DatabaseUnavailable."""
        self._readers = async_sessionmaker(engine.execution_options(**_READ[engine.dialect.name]))
        self._writers = async_sessionmaker(engine.execution_options(**{BEGIN: "IMMEDIATE"}))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session that sees one state of the database and changes nothing."""
        self._check()
        async with _transaction(self._readers) as session:
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A session that commits at the end of its block, and leaves nothing when the block raises."""
        self._check()
        async with _transaction(self._writers) as session:
            yield session
            await session.commit()

    def _check(self) -> None:
        if not self.ready:
            raise DatabaseUnavailable("The database has been away since the gateway started. It is tried again.")


@asynccontextmanager
async def _transaction(maker: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    async with maker() as session:
        with connecting():
            await session.connection()
        yield session


@asynccontextmanager
async def unique(session: AsyncSession, sentence: str) -> AsyncIterator[None]:
    """A write within that breaks a unique constraint raises Conflict(`sentence`); the transaction can go on."""
    try:
        async with session.begin_nested():
            yield
    except Conflict as error:
        raise Conflict(sentence) from error
