"""PostgreSQL's binary COPY format (postgresql.org/docs/current/sql-copy.html, "Binary Format"), made column by column.

Most columns hold few different values, and each is encoded once: the driver, which takes a tuple for each row and looks
at every value, needs nearly twice as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, repeat
from struct import Struct
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, Table, Uuid

from llm_gateway.storage.columns import UnixTime

BEGIN: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END: Final = b"\xff\xff"

Encode = Callable[[Sequence[Any]], list[bytes]]

_NULL: Final = b"\xff\xff\xff\xff"
_EPOCH: Final = 946_684_800_000_000
"""Microseconds from the Unix epoch to that of PostgreSQL."""
_count: Final = Struct("!h").pack
_length: Final = Struct("!i").pack
_int4: Final = Struct("!ii").pack
_int8: Final = Struct("!iq").pack
_float8: Final = Struct("!id").pack


class Binary:
    """For a table. Times are whole microseconds since the Unix epoch, ids text."""

    def __init__(self, table: Table, unlike: frozenset[str]) -> None:
        """`unlike`: columns whose values are nearly all different."""
        self._columns = [(column.name, _encoder(column, unlike=column.name in unlike)) for column in table.columns]
        self._begin = _count(len(self._columns))

    def rows(self, columns: Mapping[str, Sequence[Any]]) -> bytes:
        """What stands between BEGIN and END."""
        fields = (encode(columns[name]) for name, encode in self._columns)
        return b"".join(chain.from_iterable(zip(repeat(self._begin), *fields)))


def _encoder(column: Column[Any], *, unlike: bool) -> Encode:
    one = _one(column)

    def same(values: Sequence[Any]) -> list[bytes]:
        known = {value: _NULL if value is None else one(value) for value in set(values)}
        return [known[value] for value in values] if len(known) > 1 else [*known.values()] * len(values)

    def each(values: Sequence[Any]) -> list[bytes]:
        return [_NULL if value is None else one(value) for value in values]

    return each if unlike else same


def _one(column: Column[Any]) -> Callable[[Any], bytes]:
    match column.type:
        case UnixTime():
            return lambda micros: _int8(8, micros - _EPOCH)
        case Uuid():
            return lambda id: b"\0\0\0\x10" + bytes.fromhex(id.replace("-", ""))
        case Boolean():
            return lambda yes: b"\0\0\0\1\1" if yes else b"\0\0\0\1\0"
        case BigInteger():
            return lambda number: _int8(8, number)
        case Integer():
            return lambda number: _int4(4, number)
        case Double():
            return lambda number: _float8(8, number)
    return _text


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _length(len(encoded)) + encoded
