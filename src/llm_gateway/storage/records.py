"""Rows of the request log as they are stored, made ready column by column: that takes a third of the time that row by
row does. `storage.requests` adds them, `storage.rollups` counts them.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import is_, itemgetter
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Double, Integer, Uuid

from llm_gateway.access.policy import MOST_NANOS
from llm_gateway.storage.bulk import slices
from llm_gateway.storage.columns import Text, UnixTime, fit, micros
from llm_gateway.storage.tables import request_log

COLUMNS: Final = list(request_log.columns.keys())
MOST: Final[Mapping[str, int]] = {"tokens_input": 10**12, "tokens_output": 10**12, "cost_nanos": MOST_NANOS}
"""What is stored at most of figures that servers send: a day's sum of nonsense must fit its column as well."""
LONGEST: Final = 1e10
"""Milliseconds."""
UNLIKE: Final = frozenset({"id", "timestamp", "correlation_id", "client_request_id"})
"""Columns whose values are nearly all different."""
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


class Records:
    """Rows as they are stored, column by column."""

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


async def ready(rows: Sequence[Mapping[str, Any]]) -> Records:
    """All of them, made ready."""
    return await whole(parts(rows))


async def whole(parts: AsyncIterable[Records]) -> Records:
    """The parts as one."""
    found = Records({name: [] for name in COLUMNS})
    async for part in parts:
        found.append(part)
    return found


def _by_column(rows: Sequence[Mapping[str, Any]]) -> Iterable[Sequence[Any]]:
    try:
        columns = zip(*map(_all_of, rows), strict=True)
        if {*map(len, rows)} == {len(COLUMNS)}:
            return columns
    except KeyError:
        pass  # not all rows name every column
    if unknown := {name for row in rows for name in row} - _NAMES:
        raise TypeError(f"request_log has no column {', '.join(sorted(unknown))}")
    return ([row.get(name) for row in rows] for name in COLUMNS)


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
            return texts if column.name in UNLIKE else same
        case Uuid():
            one = str
            return each if column.name in UNLIKE else same
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


_NAMES: Final = frozenset(COLUMNS)
_all_of: Final = itemgetter(*COLUMNS)
_PREPARE: Final = [(column.name, _preparer(column)) for column in request_log.columns]
