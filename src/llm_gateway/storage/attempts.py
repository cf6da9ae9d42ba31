"""The attempts of logged requests: rows go in with their requests, and come out with them.

Rows are plain dicts with the names of the table's columns, as `Entry.told` makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Double, Integer, Uuid, select
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.storage.bulk import driver, faults, on_postgresql, slices
from llm_gateway.storage.columns import EPOCH, Text, UnixTime, as_uuid, fit, micros
from llm_gateway.storage.tables import attempt_log

Row = dict[str, Any]

_c: Final = attempt_log.c
_COLUMNS: Final = list(attempt_log.columns)
_NAMES: Final = [column.name for column in _COLUMNS]
_all_of: Final = itemgetter(*_NAMES)
_Ready = Callable[[Sequence[Any], bool], Sequence[Any]]


async def insert_rows(s: AsyncSession, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds rows; one that is there already stays as it is. Texts of strangers are cut to their column."""
    postgresql = on_postgresql(s)
    connection = None
    async for part in slices(rows):
        connection = connection or await driver(s)
        columns = [ready(values, postgresql) for ready, values in zip(_READY, _by_column(part), strict=True)]
        with faults():
            if postgresql:
                await connection.execute(_ADD_ARRAYS, *columns)
            else:
                await connection.executemany(_ADD, zip(*columns, strict=True))


async def of_request(s: AsyncSession, request_id: str) -> list[Row]:
    """In the order in which they began; none where none were kept. Raises InvalidRequest for an id that is none."""
    wanted = select(attempt_log).where(_c.request_id == as_uuid(request_id, "request id")).order_by(_c.number)
    return [dict(row) for row in (await s.execute(wanted)).mappings()]


def _by_column(rows: Sequence[Mapping[str, Any]]) -> Iterable[Sequence[Any]]:
    try:
        return zip(*map(_all_of, rows), strict=True)
    except KeyError:  # not all rows name every column
        return [[row.get(name) for row in rows] for name in _NAMES]


def _ready(column: Column[Any]) -> _Ready:
    """What makes a part of the column ready for the driver; `postgresql` or not."""
    match column.type:
        case Text():
            return lambda values, _: _texts(values, column)
        case UnixTime():
            return _times
        case Uuid():
            return lambda values, postgresql: [*map(str, values)] if postgresql else [*map(_hex, values)]
    return lambda values, _: values


def _texts(values: Sequence[Any], column: Column[Any]) -> Sequence[Any]:
    """In most columns there are few values: each is looked at once."""
    fitting = {value: None if value is None else fit(value, column) for value in set(values)}
    return [fitting[value] for value in values]


def _times(values: Sequence[Any], postgresql: bool) -> Sequence[Any]:
    if postgresql:
        return [EPOCH + timedelta(microseconds=micros(value)) for value in values]
    return [*map(micros, values)]


def _hex(id: Any) -> str:
    return str(id).replace("-", "")


def _array(column: Column[Any]) -> str:
    match column.type:
        case UnixTime():
            return "timestamptz[]"
        case BigInteger():
            return "bigint[]"
        case Integer():
            return "integer[]"
        case Double():
            return "float8[]"
        case Uuid():
            return "uuid[]"
    return "text[]"


_INTO: Final = f"INSERT INTO attempt_log ({', '.join(c.name for c in _COLUMNS)})"
_ONCE: Final = "ON CONFLICT (request_id, number) DO NOTHING"
_ADD: Final = f"{_INTO} VALUES ({', '.join('?' for _ in _COLUMNS)}) {_ONCE}"
_ARRAYS: Final = ", ".join(f"${n}::{_array(c)}" for n, c in enumerate(_COLUMNS, start=1))
_ADD_ARRAYS: Final = f"{_INTO} SELECT * FROM unnest({_ARRAYS}) {_ONCE}"  # noqa: S608 - names of the schema
_READY: Final = [_ready(column) for column in _COLUMNS]
