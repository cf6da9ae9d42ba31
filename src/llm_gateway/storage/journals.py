"""How far each journal is in the database: written in the transaction of the rows themselves, so it is never wrong."""

from __future__ import annotations

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.storage.tables import journal_position

_c = journal_position.c


async def get_position(s: AsyncSession, journal: str) -> tuple[int, int] | None:
    """(segment, offset) behind the last record that is in, None when nothing of the journal is."""
    row = (await s.execute(select(_c.segment, _c.offset).where(_c.journal == journal))).one_or_none()
    return (row[0], row[1]) if row is not None else None


async def set_position(s: AsyncSession, journal: str, segment: int, offset: int) -> None:
    insert = postgresql.insert if s.get_bind().dialect.name == "postgresql" else sqlite.insert
    values = {"segment": segment, "offset": offset}
    await s.execute(
        insert(journal_position)
        .values(journal=journal, **values)
        .on_conflict_do_update(index_elements=[_c.journal], set_=values)
    )


async def move_position(s: AsyncSession, journal: str, before: tuple[int, int] | None, after: tuple[int, int]) -> bool:
    """As `set_position`, where it is `before`; None = nothing of the journal is in. False: it is not, and nothing has
    changed. Whoever moves it lets others wait until the transaction ends."""
    segment, offset = after
    if before is None:
        insert = postgresql.insert if s.get_bind().dialect.name == "postgresql" else sqlite.insert
        made = insert(journal_position).values(journal=journal, segment=segment, offset=offset)
        moved = await s.execute(made.on_conflict_do_nothing(index_elements=[_c.journal]))
    else:
        there = (_c.journal == journal, _c.segment == before[0], _c.offset == before[1])
        moved = await s.execute(update(journal_position).where(*there).values(segment=segment, offset=offset))
    return moved.rowcount == 1  # type: ignore[attr-defined,no-any-return]  # a CursorResult, as of all that write


async def forget(s: AsyncSession, journal: str) -> None:
    """The journal was removed: everything in it is in."""
    await s.execute(delete(journal_position).where(_c.journal == journal))
