"""The request log: rows go in by batches, come out by pages, newest first.

Rows are plain dicts with the names of the table's columns. Lists use keyset pages, (timestamp, id): rows that arrive
while somebody leafs never shift a page. What a follower of the log asks is in `storage.arrivals`.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, Column, ColumnElement, Integer, Select, Uuid, literal, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.errors import InvalidRequest, NotFound
from llm_gateway.storage.columns import Text, as_uuid, fit, micros
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.tables import request_log

Row = dict[str, Any]

MAX_PAGE: Final = 500
FAILED: Final = 400
"""The least status of a request that failed."""
_EXPORT_CHUNK: Final = 500
_ABSENT: Final[Mapping[str, Any]] = {
    "stream": False,
    "attempts": 0,
    "continuations": 0,
    "tokens_input": 0,
    "tokens_output": 0,
    "tokens_estimated": False,
    "failovers": 0,
    "cost_nanos": 0,
}
_c: Final = request_log.c


@dataclass(frozen=True, slots=True)
class RequestFilters:
    """What rows must be; None = anything. Times are Unix seconds, `since` within, `until` without."""

    since: float | None = None
    until: float | None = None
    project_id: str | None = None
    key_id: str | None = None
    model: str | None = None
    backend_model: str | None = None
    server_id: str | None = None
    endpoint: str | None = None
    status: int | None = None
    status_class: int | None = None
    """The first digit of `status`: 2, 4, 5."""
    outcome: str | None = None
    error_code: str | None = None
    tier: str | None = None
    failed: bool | None = None
    """With a status of 400 or more, as the `errors` of roll-ups."""
    min_latency_ms: float | None = None
    max_latency_ms: float | None = None
    stream: bool | None = None
    request_id: str | None = None
    correlation_id: str | None = None
    client_request_id: str | None = None
    end_user: str | None = None


class Cursor(NamedTuple):
    """The last row of a page. Opaque to clients: `str(cursor)` and `Cursor.parse`."""

    timestamp: float
    id: str

    def __str__(self) -> str:
        packed = struct.pack(">q16s", micros(self.timestamp), UUID(self.id).bytes)
        return base64.urlsafe_b64encode(packed).decode()

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Raises InvalidRequest."""
        try:
            time, id = struct.unpack(">q16s", base64.b64decode(text.encode(), altchars=b"-_", validate=True))
        except (ValueError, struct.error) as error:
            raise InvalidRequest("The cursor is not one that a page of this list gave.", param="cursor") from error
        return cls(time / 1_000_000, str(UUID(bytes=id)))


async def insert_rows(s: AsyncSession, rows: Iterable[Mapping[str, Any]]) -> int:
    """Adds rows and returns how many were new: an id that is there already stays as it is.

    A row is never refused for what clients or servers wrote: texts are cut to their column, characters that cannot be
    stored are replaced, numbers bounded. `timestamp` is Unix seconds or an aware datetime, ids are UUIDs or their text.
    """
    prepared = [_prepared(row) for row in rows]
    if not prepared:
        return 0
    insert = postgresql.insert if s.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert(request_log).on_conflict_do_nothing(index_elements=[_c.id]).returning(_c.id)
    return len((await s.execute(statement, prepared)).all())


async def get(s: AsyncSession, id: str, *, project_id: str | None = None) -> Row:
    """With `project_id`, other projects' rows do not exist. Raises NotFound."""
    wanted = _where(select(request_log), RequestFilters(request_id=id, project_id=project_id))
    row = (await s.execute(wanted)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no request {id!r} in the log.")
    return dict(row)


async def page(
    s: AsyncSession, *, filters: RequestFilters | None = None, before: Cursor | None = None, limit: int = 50
) -> tuple[list[Row], Cursor | None]:
    """Up to `limit` rows (at most 500), newest first, and the cursor of the next page, None on the last one."""
    limit = max(1, min(limit, MAX_PAGE))
    wanted = _where(select(request_log), filters).order_by(_c.timestamp.desc(), _c.id.desc()).limit(limit + 1)
    if before is not None:
        wanted = wanted.where(tuple_(_c.timestamp, _c.id) < place(before))
    rows = [dict(row) for row in (await s.execute(wanted)).mappings()]
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], Cursor(last["timestamp"], last["id"])


async def export(sessions: Sessions, filters: RequestFilters | None = None) -> AsyncIterator[Row]:
    """Every matching row in the order of (timestamp, id), a bounded number in memory at a time.

    Each block is read in a transaction of its own, so that a slow reader holds neither a connection nor the clean-up of
    the database back. A key never changes, so no row comes twice, and every row that was there at the beginning comes
    unless it is pruned before its turn; of those that arrive meanwhile some may come.
    """
    after: Cursor | None = None
    while True:
        wanted = _where(select(request_log), filters).order_by(_c.timestamp, _c.id).limit(_EXPORT_CHUNK)
        if after is not None:
            wanted = wanted.where(tuple_(_c.timestamp, _c.id) > place(after))
        async with sessions.read() as s:
            rows = [dict(row) for row in (await s.execute(wanted)).mappings()]
        for row in rows:
            yield row
        if len(rows) < _EXPORT_CHUNK:
            return
        after = Cursor(rows[-1]["timestamp"], rows[-1]["id"])


def place(cursor: Cursor) -> ColumnElement[Any]:
    """The cursor as SQL, to compare (timestamp, id) with."""
    return tuple_(literal(cursor.timestamp, _c.timestamp.type), literal(cursor.id, _c.id.type))


def conditions(filters: RequestFilters) -> list[ColumnElement[bool]]:
    """The filters as SQL. Raises InvalidRequest for an id that is none."""
    found: list[ColumnElement[bool]] = []
    if filters.since is not None:
        found.append(_c.timestamp >= filters.since)
    if filters.until is not None:
        found.append(_c.timestamp < filters.until)
    if filters.status_class is not None:
        found.append(_c.status.between(filters.status_class * 100, filters.status_class * 100 + 99))
    if filters.min_latency_ms is not None:
        found.append(_c.latency_ms >= filters.min_latency_ms)
    if filters.max_latency_ms is not None:
        found.append(_c.latency_ms <= filters.max_latency_ms)
    if filters.failed is not None:
        found.append(_c.status >= FAILED if filters.failed else _c.status < FAILED)
    for column, id, what in (
        (_c.id, filters.request_id, "request id"),
        (_c.project_id, filters.project_id, "project id"),
        (_c.key_id, filters.key_id, "key id"),
    ):
        if id is not None:
            found.append(column == as_uuid(id, what))
    for name in _EQUAL:
        value = getattr(filters, name)
        if value is not None:
            found.append(_c[name] == value)
    return found


_EQUAL: Final = (
    "model",
    "backend_model",
    "server_id",
    "tier",
    "endpoint",
    "status",
    "outcome",
    "error_code",
    "stream",
    "correlation_id",
    "client_request_id",
    "end_user",
)


def _where(wanted: Select[Any], filters: RequestFilters | None) -> Select[Any]:
    return wanted.where(*conditions(filters)) if filters else wanted


def _prepared(row: Mapping[str, Any]) -> Row:
    unknown = row.keys() - _PREPARE.keys()
    if unknown:
        raise TypeError(f"request_log has no column {', '.join(sorted(unknown))}")
    full = {**_ABSENT, **row}
    return {name: None if full.get(name) is None else prepare(full[name]) for name, prepare in _PREPARE.items()}


def _preparer(column: Column[Any]) -> Callable[[Any], Any]:
    match column.type:
        case Text():
            return lambda text: fit(text, column)
        case Uuid():
            return str
        case BigInteger():
            return lambda number: min(int(number), 2**63 - 1)
        case Integer():
            return lambda number: min(int(number), 2**31 - 1)
    return lambda value: value


_PREPARE: Final[Mapping[str, Callable[[Any], Any]]] = {column.name: _preparer(column) for column in request_log.columns}
