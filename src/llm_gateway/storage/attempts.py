"""The attempts of logged requests: rows go in with their requests, and come out with them.

Rows are plain dicts with the names of the table's columns, as `Entry.record` makes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Double, Integer, Uuid, select
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.storage.bulk import driver, faults, on_postgresql, slices
from llm_gateway.storage.columns import EPOCH, Text, UnixTime, as_uuid, fit, micros
from llm_gateway.storage.tables import attempt_log

Row = dict[str, Any]

_c: Final = attempt_log.c
_COLUMNS: Final = list(attempt_log.columns)


async def insert_rows(s: AsyncSession, rows: Iterable[Mapping[str, Any]]) -> None:
    """Adds rows; one that is there already stays as it is. Texts of strangers are cut to their column."""
    postgresql = on_postgresql(s)
    connection = None
    async for part in slices([*rows]):
        connection = connection or await driver(s)
        ready = [tuple(_value(column, row.get(column.name), postgresql) for column in _COLUMNS) for row in part]
        with faults():
            if postgresql:
                await connection.execute(_ADD_ARRAYS, *zip(*ready, strict=True))
            else:
                await connection.executemany(_ADD, ready)


async def of_request(s: AsyncSession, request_id: str) -> list[Row]:
    """In the order in which they began; none where none were kept. Raises InvalidRequest for an id that is none."""
    wanted = select(attempt_log).where(_c.request_id == as_uuid(request_id, "request id")).order_by(_c.number)
    return [dict(row) for row in (await s.execute(wanted)).mappings()]


def _value(column: Column[Any], value: Any, postgresql: bool) -> Any:
    """As the driver takes it."""
    match column.type:
        case Text() if value is not None:
            return fit(value, column)
        case UnixTime():
            return EPOCH + timedelta(microseconds=micros(value)) if postgresql else micros(value)
        case Uuid():
            return str(value) if postgresql else str(value).replace("-", "")
    return value


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
