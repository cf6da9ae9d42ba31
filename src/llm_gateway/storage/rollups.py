"""What rows add to the sums that figures are read from: by minute, hour and day, apart by what `tables.GROUPED` names.

Each is kept twice: in detail, and apart by `tables.COARSE` only.

The sums of a batch are made here and added in the transaction of its rows, so that the two never differ. All of them
are whole numbers: any order of any batches gives the same.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterable
from itertools import starmap
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Integer, Uuid
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.errors import UNRESOLVED
from llm_gateway.storage.bulk import driver, faults, on_postgresql, slices
from llm_gateway.storage.records import Records
from llm_gateway.storage.tables import COARSE, GROUPED, LATENCY_BOUNDS, ROLLED, usage_rollup

MINUTE: Final = 60
HOUR: Final = 3_600
DAY: Final = 86_400
NOBODY: Final = "00000000-0000-0000-0000-000000000000"
"""The key of rows without one."""

Key = tuple[int, str, str | None, str | None, str | None, str | None, str, int, str | None]
"""The minute, and the columns `_KEY` as the rows have them."""

Sums = dict[Key, list[int]]
"""What rows add to the sums of their minutes, before rows that count as one are one: all others follow from these."""

_All = dict[tuple[Any, ...], list[int]]
"""By the key of the table, or by what of it is behind `seconds` and `detail`."""

_KEY: Final = ("project_id", "key_id", "model", "backend_model", "tier", "endpoint", "status", "error_code")
_FIGURES: Final = (
    *("outcome", "latency_ms", "ttft_ms", "attempts", "tokens_input", "tokens_output", "tokens_estimated"),
    *("continuations", "failovers", "cost_nanos"),
)
_LATENCY: Final = ROLLED.index("latency_0")
_TTFT: Final = ROLLED.index("ttft_0")


async def summed(rows: Records) -> Sums:
    """What the rows add. Other tasks get their turn meanwhile."""
    found: Sums = {}
    async for some in slices(range(len(rows))):
        count(found, rows.only(some))
    return found


def count(sums: Sums, rows: Records) -> None:
    """Adds what a short part of the rows adds."""
    columns = rows.columns
    minutes = [micros // 60_000_000 for micros in columns["timestamp"]]
    keys = zip(minutes, *(columns[name] for name in _KEY), strict=True)
    for key, outcome, latency, ttft, attempts, tokens_in, tokens_out, estimated, continuations, failovers, cost in zip(
        keys, *(columns[name] for name in _FIGURES), strict=True
    ):
        found = sums.get(key)
        if found is None:
            found = sums[key] = [0] * len(ROLLED)
        found[0] += 1
        found[2] += tokens_in
        found[3] += tokens_out
        found[5] += attempts
        found[10] += int(latency * 1000 + 0.5)
        found[_LATENCY + bisect_left(LATENCY_BOUNDS, latency)] += 1
        if estimated:
            found[4] += tokens_in + tokens_out
        if failovers:
            found[6] += failovers
            if outcome == "ok":
                found[7] += 1
        if continuations:
            found[8] += continuations
        if cost:
            found[9] += cost
        if ttft is not None:
            found[11] += int(ttft * 1000 + 0.5)
            found[12] += 1
            found[_TTFT + bisect_left(LATENCY_BOUNDS, ttft)] += 1


async def add(s: AsyncSession, sums: Sums) -> None:
    """Adds to the sums. Every process adds in the same order of keys, so that two of them wait for each other but never
    in a circle; a transaction does this late, for others wait until it commits."""
    if not sums:
        return
    connection = await driver(s)
    if on_postgresql(s):
        arrays = await _arrays(_minutes(sums))
        with faults():
            await connection.execute(_ADD_ARRAYS, *arrays)
    else:
        rows = await _everything(_minutes(sums))
        with faults():
            await connection.executemany(_ADD, rows)


def _minutes(sums: Sums) -> _All:
    """By minute and the values of `GROUPED`."""

    def one(key: Key, figures: list[int]) -> tuple[tuple[Any, ...], list[int]]:
        minute, project_id, key_id, model, backend_model, tier, endpoint, status, error_code = key
        model = "" if error_code in UNRESOLVED else model or ""
        group = (project_id, key_id or NOBODY, model, backend_model or "", tier or "", endpoint, status // 100)
        errors = figures[0] if status >= 400 else 0
        return (minute * MINUTE, *group, error_code or ""), [figures[0], errors, *figures[2:]]

    return _added(starmap(one, sums.items()))


async def _arrays(minutes: _All) -> list[Any]:
    """Column by column as the statement takes them. Numbers are written as PostgreSQL writes arrays of them, which
    takes a fifth of what the driver's encoding does, and other tasks get their turn meanwhile."""
    found: list[Any] = []
    columns = (*zip(*minutes, strict=True), *zip(*minutes.values(), strict=True))
    for n, (column, values) in enumerate(zip(_SENT, columns, strict=True)):
        if n % 8 == 0:
            await asyncio.sleep(0)
        found.append(f"{{{str([*values])[1:-1]}}}" if _is_number(column) else values)
    return found


async def _everything(minutes: _All) -> list[tuple[Any, ...]]:
    """Rows as SQLite stores them, those of one length and detail in the order of their keys."""
    minutes = {(MINUTE, 1, k[0], _hex(k[1]), _hex(k[2]), *k[3:]): figures for k, figures in minutes.items()}
    found: list[tuple[Any, ...]] = []
    for finest in (minutes, _less_detailed(minutes)):
        some = finest
        for seconds in (MINUTE, HOUR, DAY):
            await asyncio.sleep(0)
            some = _longer(some, seconds) if seconds > MINUTE else some
            found += ((*key, *some[key]) for key in sorted(some))
    return found


def _less_detailed(sums: _All) -> _All:
    return _added(
        ((seconds, 0, bucket, project_id, _hex(NOBODY), model, "", "", "", status_class, ""), figures)
        for (seconds, _, bucket, project_id, _, model, _, _, _, status_class, _), figures in sums.items()
    )


def _longer(sums: _All, seconds: int) -> _All:
    return _added(
        ((seconds, detail, bucket // seconds * seconds, *group), figures)
        for (_, detail, bucket, *group), figures in sums.items()
    )


def _added(sums: Iterable[tuple[tuple[Any, ...], list[int]]]) -> _All:
    found: _All = {}
    for key, figures in sums:
        known = found.get(key)
        found[key] = figures if known is None else [*map(int.__add__, known, figures)]
    return found


def _hex(id: str) -> str:
    return id.replace("-", "")


def _is_number(column: Column[Any]) -> bool:
    return isinstance(column.type, Integer)


def _array(n: int, column: Column[Any]) -> str:
    match column.type:
        case BigInteger():
            return f"${n}::text::bigint[]"
        case Integer():
            return f"${n}::text::integer[]"
        case Uuid():
            return f"${n}::uuid[]"
    return f"${n}::text[]"


def _derived() -> str:
    """Each sum of a minute in the six that it is a part of: minute, hour and day, in detail and without."""
    other = dict.fromkeys(GROUPED, "''") | {"key_id": f"'{NOBODY}'::uuid"}
    group = [
        f"m.{name}" if name in COARSE else f"CASE detail WHEN 1 THEN m.{name} ELSE {other[name]} END"
        for name in GROUPED
    ]
    figures = [f"sum(m.{name})::bigint" for name in ROLLED]
    names = ", ".join(column.name for column in _SENT)
    arrays = ", ".join(_array(n, column) for n, column in enumerate(_SENT, start=1))
    key = ", ".join(map(str, range(1, 4 + len(GROUPED))))
    return (
        f"SELECT seconds, detail, m.bucket / seconds * seconds, {', '.join((*group, *figures))} "  # noqa: S608 - names
        f"FROM unnest({arrays}) AS m({names}), (VALUES ({MINUTE}), ({HOUR}), ({DAY})) AS l(seconds), "
        f"(VALUES (1), (0)) AS d(detail) GROUP BY {key} ORDER BY {key}"
    )


_COLUMNS: Final = list(usage_rollup.columns)
_SENT: Final = _COLUMNS[2:]
_INTO: Final = f"INSERT INTO usage_rollup ({', '.join(c.name for c in _COLUMNS)})"
_ON_CONFLICT: Final = f"ON CONFLICT (seconds, detail, bucket, {', '.join(GROUPED)}) DO UPDATE SET " + ", ".join(
    f"{name} = usage_rollup.{name} + excluded.{name}" for name in ROLLED
)
_ADD: Final = f"{_INTO} VALUES ({', '.join('?' for _ in _COLUMNS)}) {_ON_CONFLICT}"
_ADD_ARRAYS: Final = f"{_INTO} {_derived()} {_ON_CONFLICT}"
