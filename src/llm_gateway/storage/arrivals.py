"""The request log in the order in which rows arrive, for whoever follows it.

A row has the time of its request's beginning and comes when the request has ended, from any of many processes, and
late after an outage: neither its time nor its id says what is new. The databases know. SQLite, which has one writer at
a time, numbers rows as they come. PostgreSQL knows which transaction wrote a row, and which were still running when
somebody looked last: what was written by one of those or by a later one is new.
"""

from __future__ import annotations

import base64
import struct
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, func, literal, literal_column, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.errors import InvalidRequest
from llm_gateway.storage.bulk import on_postgresql
from llm_gateway.storage.columns import micros
from llm_gateway.storage.requests import MAX_PAGE, Cursor, RequestFilters, Row, conditions, place
from llm_gateway.storage.tables import request_log

WINDOW: Final = 3_600.0
"""Seconds before the newest row that PostgreSQL looks through: the age at which a row may still arrive."""
LOOK_BACK: Final = 1_000
"""Rows that come once more on SQLite when the last one seen was deleted, with whose number it could have counted on."""
_NOWHERE: Final = "00000000-0000-0000-0000-000000000000"
_NUMBER: Final[ColumnElement[int]] = literal_column("request_log.rowid", BigInteger)
_WRITER: Final[ColumnElement[int]] = literal_column("CAST(CAST(request_log.xmin AS text) AS bigint)", BigInteger)
_c: Final = request_log.c


class Mark(NamedTuple):
    """How far a follower has come. Opaque to clients: `str(mark)` and `Mark.parse`."""

    seen: int
    """SQLite: the number of the last row. PostgreSQL: the oldest transaction that ran at the last whole look."""
    newest: float
    """PostgreSQL: the time of the newest row at that look, Unix seconds."""
    following: int = 0
    """PostgreSQL: what `seen` becomes when this look is whole, 0 = it is."""
    following_newest: float = 0.0
    timestamp: float = 0.0
    """PostgreSQL: the last row of a look that is not whole."""
    id: str = _NOWHERE
    """Of that row; SQLite: of the last row."""

    def __str__(self) -> str:
        times = (micros(time) for time in (self.newest, self.following_newest, self.timestamp))
        packed = _PACKED.pack(self.seen, self.following, *times, UUID(self.id).bytes)
        return base64.urlsafe_b64encode(packed).decode()

    @classmethod
    def parse(cls, text: str) -> Mark:
        """Raises InvalidRequest."""
        try:
            seen, following, newest, later, at, id = _PACKED.unpack(base64.b64decode(text, b"-_", validate=True))
        except (ValueError, struct.error) as error:
            raise InvalidRequest("The cursor is not one that following the log gave.", param="cursor") from error
        return cls(seen, newest / 1e6, following, later / 1e6, at / 1e6, str(UUID(bytes=id)))


_PACKED: Final = struct.Struct(">qqqqq16s")


async def now(s: AsyncSession) -> Mark:
    """Where the log is: what arrives from here on comes `after` it."""
    return await (_now_postgresql if on_postgresql(s) else _now_sqlite)(s)


async def after(
    s: AsyncSession, mark: Mark, *, filters: RequestFilters | None = None, limit: int = MAX_PAGE, wall: float
) -> tuple[list[Row], Mark, bool]:
    """Up to `limit` rows (at most 500) that arrived after `mark`, the mark to go on from, and whether more are waiting.

    No row is missed that begins within an hour before the newest; one may come twice (PostgreSQL cannot say of a
    transaction's parts when they began): ids tell. `wall`: Unix seconds now.
    """
    wanted = filters or RequestFilters()
    limit = max(1, min(limit, MAX_PAGE))
    if on_postgresql(s):
        return await _after_postgresql(s, mark, wanted, limit, wall)
    return await _after_sqlite(s, mark, wanted, limit)


async def _now_sqlite(s: AsyncSession) -> Mark:
    last = (await s.execute(select(_NUMBER, _c.id).order_by(_NUMBER.desc()).limit(1))).one_or_none()
    return Mark(last[0], 0.0, id=last[1]) if last else Mark(0, 0.0)


async def _after_sqlite(
    s: AsyncSession, mark: Mark, filters: RequestFilters, limit: int
) -> tuple[list[Row], Mark, bool]:
    end = await _now_sqlite(s)
    # by its id: VACUUM may number rows anew, and the number of a deleted last row is given again
    number = (await s.execute(select(_NUMBER).where(_c.id == mark.id))).scalar_one_or_none()
    if number is None:
        number = max(0, min(mark.seen, end.seen) - LOOK_BACK)
    wanted = (
        select(request_log, _NUMBER.label("number"))
        .where(*conditions(filters), number < _NUMBER)
        .order_by(_NUMBER)
        .limit(limit + 1)
    )
    found = [dict(row) for row in (await s.execute(wanted)).mappings()]
    rows, more = found[:limit], len(found) > limit
    numbers = [row.pop("number") for row in rows]
    return rows, Mark(numbers[-1], 0.0, id=rows[-1]["id"]) if more else end, more


async def _now_postgresql(s: AsyncSession) -> Mark:
    oldest = literal_column("CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)", BigInteger)
    newest = select(func.max(_c.timestamp)).scalar_subquery()
    running, latest = (await s.execute(select(oldest, newest))).one()
    return Mark(running, latest or 0.0)


async def _after_postgresql(
    s: AsyncSession, mark: Mark, filters: RequestFilters, limit: int, wall: float
) -> tuple[list[Row], Mark, bool]:
    end = await _now_postgresql(s)
    # Rows know the lower half of their transaction's number, so it is compared modulo 2**32.
    is_new = (_WRITER - literal(mark.seen, BigInteger)).op("&")(literal(2**32 - 1, BigInteger)) < 2**31
    wanted = (
        select(request_log)
        .where(*conditions(filters), _c.timestamp >= max(0.0, min(mark.newest, wall) - WINDOW), is_new)
        .order_by(_c.timestamp, _c.id)
        .limit(limit + 1)
    )
    if mark.following:
        wanted = wanted.where(tuple_(_c.timestamp, _c.id) > place(Cursor(mark.timestamp, mark.id)))
        end = Mark(mark.following, mark.following_newest)
    found = [dict(row) for row in (await s.execute(wanted)).mappings()]
    if len(found) <= limit:
        return found, end, False
    last = found[limit - 1]
    begun = Mark(mark.seen, mark.newest, end.seen, end.newest, last["timestamp"], last["id"])
    return found[:limit], begun, True
