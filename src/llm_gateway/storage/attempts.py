"""The attempts of logged requests: rows go in with their requests, and come out with them.

Rows are plain dicts with the names of the table's columns, as `Entry.record` makes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.storage.columns import Text, as_uuid, fit
from llm_gateway.storage.tables import attempt_log

Row = dict[str, Any]

_c: Final = attempt_log.c
_TEXTS: Final = tuple(column for column in attempt_log.columns if isinstance(column.type, Text))


async def insert_rows(s: AsyncSession, rows: Iterable[Mapping[str, Any]]) -> None:
    """Adds rows; one that is there already stays as it is. Texts of strangers are cut to their column."""
    prepared = [_prepared(row) for row in rows]
    if not prepared:
        return
    insert = postgresql.insert if s.get_bind().dialect.name == "postgresql" else sqlite.insert
    await s.execute(insert(attempt_log).on_conflict_do_nothing(index_elements=[_c.request_id, _c.number]), prepared)


async def of_request(s: AsyncSession, request_id: str) -> list[Row]:
    """In the order in which they began; none where none were kept. Raises InvalidRequest for an id that is none."""
    wanted = select(attempt_log).where(_c.request_id == as_uuid(request_id, "request id")).order_by(_c.number)
    return [dict(row) for row in (await s.execute(wanted)).mappings()]


def _prepared(row: Mapping[str, Any]) -> Row:
    texts = {c.name: fit(text, c) for c in _TEXTS if (text := row[c.name]) is not None}
    return {**row, **texts}
