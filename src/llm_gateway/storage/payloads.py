"""What was asked and answered, redacted, of projects that keep it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.errors import NotFound
from llm_gateway.storage.columns import as_uuid, fit, storable
from llm_gateway.storage.tables import payload

Row = dict[str, Any]

_c: Final = payload.c


async def insert_payloads(s: AsyncSession, rows: Iterable[Mapping[str, Any]]) -> None:
    """Adds payloads; one that is there already stays as it is."""
    prepared = [_prepared(row) for row in rows]
    if prepared:
        insert = postgresql.insert if s.get_bind().dialect.name == "postgresql" else sqlite.insert
        await s.execute(insert(payload).on_conflict_do_nothing(index_elements=[_c.request_id]), prepared)


async def get_payload(s: AsyncSession, request_id: str) -> Row:
    """Raises NotFound: of most requests nothing is kept, and of others no longer."""
    found = await payloads_of(s, [as_uuid(request_id, "request id")])
    if not found:
        raise NotFound(f"Of request {request_id[:60]!r} no prompt and answer are kept.")
    return next(iter(found.values()))


async def payloads_of(s: AsyncSession, ids: Sequence[str]) -> dict[str, Row]:
    """By the requests' ids; those that are kept."""
    found = await s.execute(select(payload).where(_c.request_id.in_(ids)))
    return {row["request_id"]: dict(row) for row in found.mappings()}


def _prepared(row: Mapping[str, Any]) -> Row:
    end_user = row.get("end_user")
    return {
        **row,
        "end_user": None if end_user is None else fit(end_user, _c.end_user),
        "request": storable(row["request"]),
        "response": storable(row["response"]),
    }
