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
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import is_, itemgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Double,
    Integer,
    Select,
    Uuid,
    case,
    func,
    literal,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.access.policy import MOST_NANOS
from llm_gateway.errors import Conflict, InvalidRequest, NotFound
from llm_gateway.storage import copying
from llm_gateway.storage.bulk import driver, faults, on_postgresql, slices
from llm_gateway.storage.columns import Text, UnixTime, as_uuid, fit, micros
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.tables import request_log

Row = dict[str, Any]
_Condition = Callable[[Any], ColumnElement[bool]]

MAX_PAGE: Final = 500
SCAN: Final = 10_000
"""Rows that one query looks at where no index answers all filters."""
MOST: Final[Mapping[str, int]] = {"tokens_input": 10**12, "tokens_output": 10**12, "cost_nanos": MOST_NANOS}
"""What is stored at most of figures that servers send: a day's sum of nonsense must fit its column as well."""
LONGEST: Final = 1e10
"""Milliseconds."""
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


class Records:
    """Rows as they are stored, column by column, because that is how they are made ready at a third of the cost."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        """Times are whole microseconds since the Unix epoch, ids canonical text."""
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns["id"])

    def append(self, more: Records) -> None:
        for name, values in self.columns.items():
            values += more.columns[name]

    def only(self, which: Sequence[int]) -> Records:
        """Some of the rows, by their place."""
        return Records({name: [values[n] for n in which] for name, values in self.columns.items()})


async def parts(rows: Sequence[Mapping[str, Any]]) -> AsyncIterator[Records]:
    """Makes rows ready, a short part at a time; other tasks get their turn in between.

    A row is never refused for what clients or servers wrote: texts are cut to their column, characters that cannot be
    stored are replaced, numbers bounded. `timestamp` is Unix seconds or an aware datetime, ids are UUIDs or their text.
    """
    async for part in slices(rows):
        columns = zip(_PREPARE, _by_column(part), strict=True)
        yield Records({name: prepare(values) for (name, prepare), values in columns})


async def records(rows: Sequence[Mapping[str, Any]]) -> Records:
    """All of them, made ready."""
    return await _whole(parts(rows))


async def _whole(parts: AsyncIterable[Records]) -> Records:
    found = Records({name: [] for name in _COLUMNS})
    async for part in parts:
        found.append(part)
    return found


def _by_column(rows: Sequence[Mapping[str, Any]]) -> Iterable[Sequence[Any]]:
    try:
        columns = zip(*map(_all_of, rows), strict=True)
        if {*map(len, rows)} == {len(_COLUMNS)}:
            return columns
    except KeyError:
        pass  # not all rows name every column
    if unknown := {name for row in rows for name in row} - _NAMES:
        raise TypeError(f"request_log has no column {', '.join(sorted(unknown))}")
    return ([row.get(name) for row in rows] for name in _COLUMNS)


async def insert(s: AsyncSession, parts: AsyncIterable[Records]) -> Records:
    """Adds rows, on PostgreSQL while the next part is made ready, and returns those that were new: an id that is there
    already stays as it is, which is an alarm, for the journal's position lets nothing in twice."""
    rows, new = await (_copied(s, parts) if on_postgresql(s) else _executed(s, await _whole(parts)))
    if repeated := len(rows) - len(new):
        log.error("log_rows_were_there_already", rows=repeated)
    return new


async def insert_rows(s: AsyncSession, rows: Iterable[Mapping[str, Any]]) -> int:
    """Adds rows without what they add to the sums, and returns how many were new."""
    return len(await insert(s, parts(list(rows))))


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
    rows = Records({name: [] for name in _COLUMNS})

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
            await connection.copy_to_table(request_log.name, columns=_COLUMNS, source=_binary(parts), format="binary")


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


def _preparer(column: Column[Any]) -> Callable[[Sequence[Any]], list[Any]]:
    """Makes a part of the column ready. In most columns there are few values: each is looked at once. Of the others it
    is asked first whether all are as they should be."""
    absent = _ABSENT.get(column.name)

    def same(values: Sequence[Any]) -> list[Any]:
        known = {value: absent if value is None else one(value) for value in set(values)}
        if len(known) == 1:
            return [*known.values()] * len(values)
        if one is not bool and all(map(is_, known, known.values())):  # 1 is equal to True, and not the same
            return [*values]
        return [known[value] for value in values]

    def each(values: Sequence[Any]) -> list[Any]:
        return [None if value is None else one(value) for value in values]

    def texts(values: Sequence[Any]) -> list[Any]:
        there = [value for value in values if value is not None]
        together = "".join(there)
        fine = together.isascii() and "\0" not in together and max(map(len, there), default=0) <= length
        return [*values] if fine else each(values)

    def numbers(values: Sequence[Any]) -> list[Any]:
        if {*map(type, values)} == {int} and max(values) <= most:
            return [*values]
        return [value if value.__class__ is int and value <= most else _least(value, most, absent) for value in values]

    one: Callable[[Any], Any] = bool
    most = 2**31 - 1
    match column.type:
        case UnixTime():
            return lambda values: [round(v * 1_000_000) if v.__class__ is float else micros(v) for v in values]
        case Text(length=length):
            one = partial(_text, column)
            return texts if column.name in _UNLIKE else same
        case Uuid():
            one = str
            return each if column.name in _UNLIKE else same
        case BigInteger():
            most = MOST[column.name]
            return numbers
        case Integer():
            return numbers
        case Double():
            return lambda values: [v if v.__class__ is float and 0.0 <= v <= LONGEST else _near(v) for v in values]
    return same


def _text(column: Column[Any], text: str) -> str:
    short = len(text) <= column.type.length  # type: ignore[attr-defined]  # it is a Text
    return text if short and text.isascii() and "\0" not in text else fit(text, column)


def _least(number: Any, most: int, absent: Any) -> Any:
    return absent if number is None else min(int(number), most)


def _near(number: Any) -> float | None:
    return None if number is None else min(max(float(number), 0.0), LONGEST)


_COLUMNS: Final = list(request_log.columns.keys())
_NAMES: Final = frozenset(_COLUMNS)
_all_of: Final = itemgetter(*_COLUMNS)
_INSERT: Final = (
    f"INSERT INTO request_log ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "  # noqa: S608 - names
    "ON CONFLICT (id) DO NOTHING"
)
_LAST: Final = "SELECT id FROM request_log ORDER BY rowid DESC LIMIT ?"
"""The ids that came last: a new row's number is one more than the largest there is (sqlite.org/autoinc.html)."""
_UNLIKE: Final = frozenset({"id", "timestamp", "correlation_id", "client_request_id"})
"""Columns whose values are nearly all different."""
_PREPARE: Final = [(column.name, _preparer(column)) for column in request_log.columns]
_BINARY: Final = copying.Binary(request_log, _UNLIKE | {"latency_ms", "ttft_ms", "tokens_input", "tokens_output"})
