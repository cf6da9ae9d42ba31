"""The request log: rows go in by batches, come out by pages, newest first.

Rows are plain dicts with the names of the table's columns. Lists use keyset pages, (timestamp, id): rows that arrive
while somebody leafs never shift a page.

What is fast at any size: all rows, those of a project or of a time, of one correlation id, client's request id, end
user or error code, and failed ones; each has an index in the order of pages. Any other filter is looked up among the
rows of such an index, 10,000 at a time. What a follower of the log asks is in `storage.arrivals`.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import (
    ColumnElement,
    Select,
    case,
    func,
    literal,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.errors import Conflict, InvalidRequest, NotFound
from llm_gateway.storage import copying
from llm_gateway.storage.bulk import driver, faults, on_postgresql
from llm_gateway.storage.columns import as_uuid, micros
from llm_gateway.storage.records import COLUMNS, UNLIKE, Records, parts, whole
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.tables import request_log

Row = dict[str, Any]
_Condition = Callable[[Any], ColumnElement[bool]]

MAX_PAGE: Final = 500
SCAN: Final = 10_000
"""Rows that one query looks at where no index answers all filters."""
_EXPORT_CHUNK: Final = 500
_c: Final = request_log.c

log = structlog.get_logger(__name__)


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
    tier: str | None = None
    endpoint: str | None = None
    status: int | None = None
    status_class: int | None = None
    """The first digit of `status`: 2, 4, 5."""
    failed: bool | None = None
    """With a status of 400 or more, as the `errors` of roll-ups."""
    outcome: str | None = None
    error_code: str | None = None
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


async def insert(s: AsyncSession, parts: AsyncIterable[Records]) -> Records:
    """Adds rows, on PostgreSQL while the next part is made ready, and returns those that were new: an id that is there
    already stays as it is, which is an alarm, for the journal's position lets nothing in twice."""
    rows, new = await (_copied(s, parts) if on_postgresql(s) else _executed(s, await whole(parts)))
    if repeated := len(rows) - len(new):
        log.error("log_rows_were_there_already", rows=repeated)
    return new


async def insert_rows(s: AsyncSession, rows: Iterable[Mapping[str, Any]]) -> int:
    """Adds rows without what they add to the sums, and returns how many were new."""
    return len(await insert(s, parts([*rows])))


async def get(s: AsyncSession, id: str, *, project_id: str | None = None) -> Row:
    """With `project_id`, other projects' rows do not exist. Raises NotFound."""
    wanted = select(request_log).where(_c.id == as_uuid(id, "request id"))
    if project_id is not None:
        wanted = wanted.where(_c.project_id == as_uuid(project_id, "project id"))
    row = (await s.execute(wanted)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no request {id!r} in the log.")
    return dict(row)


async def page(
    s: AsyncSession, *, filters: RequestFilters | None = None, before: Cursor | None = None, limit: int = 50
) -> tuple[list[Row], Cursor | None]:
    """Up to `limit` rows (at most 500), newest first, and the cursor of the next page, None on the last one.

    One query, and none looks at more than 10,000 rows: where a filter has no index and finds little, a page holds
    fewer rows than asked for, or none, and the next one goes on behind what was looked at.
    """
    return await _look(s, filters or RequestFilters(), before, max(1, min(limit, MAX_PAGE)), newest_first=True)


async def export(sessions: Sessions, filters: RequestFilters | None = None) -> AsyncIterator[Row]:
    """Every matching row in the order of (timestamp, id), a bounded number in memory at a time.

    Each block is read in a transaction of its own, so that a slow reader holds neither a connection nor the clean-up of
    the database back. A key never changes, so no row comes twice, and every row that was there at the beginning comes
    unless it is pruned before its turn; of those that arrive meanwhile some may come.
    """
    after: Cursor | None = None
    while True:
        async with sessions.read() as s:
            rows, after = await _look(s, filters or RequestFilters(), after, _EXPORT_CHUNK, newest_first=False)
        for row in rows:
            yield row
        if after is None:
            return


def conditions(filters: RequestFilters) -> list[ColumnElement[bool]]:
    """The filters as SQL. Raises InvalidRequest for an id that is none."""
    return [condition(_c) for condition in _conditions(filters).values()]


def place(cursor: Cursor) -> ColumnElement[Any]:
    """The cursor as SQL, to compare (timestamp, id) with."""
    return tuple_(literal(cursor.timestamp, _c.timestamp.type), literal(cursor.id, _c.id.type))


async def _look(
    s: AsyncSession, filters: RequestFilters, at: Cursor | None, limit: int, *, newest_first: bool
) -> tuple[list[Row], Cursor | None]:
    """The next rows from a cursor on, and where to go on from."""
    along, within = _ways(filters)
    if at is not None:
        key = tuple_(_c.timestamp, _c.id)
        along.append(key < place(at) if newest_first else key > place(at))

    def ordered(wanted: Select[Any], columns: Any) -> Select[Any]:
        if newest_first:
            return wanted.order_by(columns.timestamp.desc(), columns.id.desc())
        return wanted.order_by(columns.timestamp, columns.id)

    if not within:
        wanted = ordered(select(request_log).where(*along), _c).limit(limit + 1)
        rows = [dict(row) for row in (await s.execute(wanted)).mappings()]
        if len(rows) <= limit:
            return rows, None
        return rows[:limit], _cursor(rows[limit - 1])
    seen = ordered(select(request_log).where(*along), _c).limit(SCAN).subquery("seen")
    found = ordered(select(seen).where(*(condition(seen.c) for condition in within)), seen.c).limit(limit + 1)
    part = found.cte("part")
    # where looking ends; a scalar subquery that is reached only when too little was found
    end = ordered(select(_c.id).where(*along), _c).offset(SCAN - 1).limit(1).scalar_subquery()
    count = select(func.count()).select_from(part).scalar_subquery()
    last = select(case((count <= limit, end), else_=None).label("last")).subquery("last")
    ended = request_log.alias("ended")
    wanted = (
        select(ended.c.timestamp.label("end_timestamp"), ended.c.id.label("end_id"), part)
        .select_from(last)
        .outerjoin(ended, ended.c.id == last.c.last)
        .outerjoin(part, true())
    )
    rows = [dict(row) for row in (await s.execute(ordered(wanted, part.c))).mappings()]
    ends = {(row.pop("end_timestamp"), row.pop("end_id")) for row in rows}
    rows = [row for row in rows if row["id"] is not None]
    if len(rows) > limit:
        return rows[:limit], _cursor(rows[limit - 1])
    (time, id), *_ = ends
    return rows, None if id is None else Cursor(time, id)


def _cursor(row: Row) -> Cursor:
    return Cursor(row["timestamp"], row["id"])


_INDEXED: Final = ("request_id", "correlation_id", "client_request_id", "end_user", "error_code")
"""Filters that find their rows by an index of their own, the finest first."""


def _ways(filters: RequestFilters) -> tuple[list[ColumnElement[bool]], list[_Condition]]:
    """What an index in the order of pages answers, and what must be looked up row by row among those."""
    found = _conditions(filters)
    along = [found.pop(name)(_c) for name in ("since", "until") if name in found]
    if (way := next((name for name in _INDEXED if name in found), None)) is not None:
        along.append(found.pop(way)(_c))
    elif filters.failed or (filters.status or 0) >= 400 or (filters.status_class or 0) >= 4:
        along.append(_c.status >= text("400"))  # as in the index: a bound number would not be known for that
        found.pop("failed", None)
    elif "project_id" in found:
        along.append(found.pop("project_id")(_c))
    return along, list(found.values())


def _conditions(filters: RequestFilters) -> dict[str, _Condition]:
    """The filters that are set, each as a condition on columns. Raises InvalidRequest for an id that is none."""
    found: dict[str, _Condition] = {}
    if (since := filters.since) is not None:
        found["since"] = lambda c: c.timestamp >= since
    if (until := filters.until) is not None:
        found["until"] = lambda c: c.timestamp < until
    if (first := filters.status_class) is not None:
        found["status_class"] = lambda c: c.status.between(first * 100, first * 100 + 99)
    if (least := filters.min_latency_ms) is not None:
        found["min_latency_ms"] = lambda c: c.latency_ms >= least
    if (most := filters.max_latency_ms) is not None:
        found["max_latency_ms"] = lambda c: c.latency_ms <= most
    if filters.failed is not None:
        found["failed"] = (lambda c: c.status >= 400) if filters.failed else (lambda c: c.status < 400)
    for name, column, what in (
        ("request_id", "id", "request id"),
        ("project_id", "project_id", "project id"),
        ("key_id", "key_id", "key id"),
    ):
        if (id := getattr(filters, name)) is not None:
            found[name] = _equal(column, as_uuid(id, what))
    for name in _EQUAL:
        if (value := getattr(filters, name)) is not None:
            found[name] = _equal(name, value)
    return found


def _equal(name: str, value: Any) -> _Condition:
    return lambda c: c[name] == value


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


async def _executed(s: AsyncSession, rows: Records) -> tuple[Records, Records]:
    """All of them, and those that were new. Without a savepoint, for which SQLite would write a copy of each page that
    it touches: a seventh of what a batch costs."""
    connection = await driver(s)
    with faults():
        added = (await connection.executemany(_INSERT, _for_sqlite(rows))).rowcount
        if added == len(rows):
            return rows, rows
        fresh = {id for (id,) in await connection.execute_fetchall(_LAST, (added,))}
    places = {_hex(id): n for n, id in reversed([*enumerate(rows.columns["id"])])}  # of two with one id the first is in
    return rows, rows.only(sorted(n for id, n in places.items() if id in fresh))


async def _copied(s: AsyncSession, parts: AsyncIterable[Records]) -> tuple[Records, Records]:
    """All of them, and those that were new."""
    rows = Records({name: [] for name in COLUMNS})

    async def kept() -> AsyncIterator[Records]:
        async for part in parts:
            rows.append(part)
            yield part

    source = kept()
    try:
        await _copy(s, source)
    except Conflict:
        async for _ in source:  # what the driver did not ask for any more
            pass
        return rows, rows.only([n for n in range(len(rows)) if await _is_added(s, rows.only([n]))])
    return rows, rows


async def _copy(s: AsyncSession, parts: AsyncIterable[Records]) -> None:
    """Raises Conflict when one is there already: then none of them is."""
    async with s.begin_nested():
        connection = await driver(s)
        with faults():
            await connection.copy_to_table(request_log.name, columns=COLUMNS, source=_binary(parts), format="binary")


async def _binary(parts: AsyncIterable[Records]) -> AsyncIterator[bytes]:
    yield copying.BEGIN
    async for part in parts:
        yield _BINARY.rows(part.columns)
    yield copying.END


async def _is_added(s: AsyncSession, row: Records) -> bool:
    """Was it new?"""

    async def alone() -> AsyncIterator[Records]:
        yield row

    try:
        await _copy(s, alone())
    except Conflict:
        return False
    return True


def _for_sqlite(rows: Records) -> Iterator[tuple[Any, ...]]:
    """As tuples, made one by one. To SQLite a UUID is 32 digits."""
    columns: dict[str, Iterable[Any]] = dict(rows.columns)
    columns["id"] = map(_hex, rows.columns["id"])
    for name in ("project_id", "key_id"):
        known = {id: _hex(id) for id in set(rows.columns[name])}
        columns[name] = map(known.__getitem__, rows.columns[name])
    return zip(*columns.values(), strict=True)


def _hex(id: str | None) -> str | None:
    return id and id.replace("-", "")


_INSERT: Final = (
    f"INSERT INTO request_log ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) "  # noqa: S608 - names
    "ON CONFLICT (id) DO NOTHING"
)
_LAST: Final = "SELECT id FROM request_log ORDER BY rowid DESC LIMIT ?"
"""The ids that came last: a new row's number is one more than the largest there is (sqlite.org/autoinc.html)."""
_BINARY: Final = copying.Binary(request_log, UNLIKE | {"latency_ms", "ttft_ms", "tokens_input", "tokens_output"})
