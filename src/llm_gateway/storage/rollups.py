"""What rows add to the sums that figures are read from: by minute, hour and day, apart by what `tables.GROUPED` names.

Each is kept twice: in detail, and apart by `tables.COARSE` only.

The sums of a batch are made here and added in the transaction of its rows, so that the two never differ. All of them
are whole numbers: any order of any batches gives the same.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Integer, Uuid
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.errors import UNRESOLVED
from llm_gateway.storage.bulk import driver, faults, on_postgresql, slices
from llm_gateway.storage.requests import Records
from llm_gateway.storage.tables import GROUPED, LATENCY_BOUNDS, ROLLED, usage_rollup

MINUTE: Final = 60
HOUR: Final = 3_600
DAY: Final = 86_400
NOBODY: Final = "00000000-0000-0000-0000-000000000000"
"""The key of rows without one."""

Key = tuple[int, int, int, str, str, str, str, str, str, int, str]
"""Seconds, detail and beginning of the bucket, and the values of `GROUPED`."""

Sums = list[tuple[Key, list[int]]]
"""In the order of their keys, each once."""
TOGETHER: Final = 500
"""Sums of one statement."""

_READ: Final = (
    *("project_id", "key_id", "timestamp", "endpoint", "model", "backend_model", "tier", "status", "outcome"),
    *("error_code", "latency_ms", "ttft_ms", "attempts", "tokens_input", "tokens_output", "tokens_estimated"),
    *("continuations", "failovers", "cost_nanos"),
)
"""What the sums are made of."""
_LATENCY: Final = ROLLED.index("latency_0")
_TTFT: Final = ROLLED.index("ttft_0")
_NONE: Final = (0,) * len(ROLLED)


async def summed(rows: Records) -> Sums:
    """What the rows add to which sums. Other tasks get their turn meanwhile."""
    minutes: dict[Key, list[int]] = {}
    async for part in slices([*zip(*(rows.columns[name] for name in _READ), strict=True)]):
        for row in part:
            _count(minutes, row)
    found: Sums = []
    for finest in (minutes, _less_detailed(minutes)):
        await asyncio.sleep(0)
        hours = _longer(finest, HOUR)
        found += [*finest.items(), *hours.items(), *_longer(hours, DAY).items()]
    await asyncio.sleep(0)
    return sorted(found)


async def add(s: AsyncSession, sums: Sums) -> None:
    """Adds to the sums. Every process adds in the same order of keys, so that two of them wait for each other but never
    in a circle; a transaction does this late, for others wait until it commits."""
    for at in range(0, len(sums), TOGETHER):
        await _upsert(s, sums[at : at + TOGETHER])


def _count(sums: dict[Key, list[int]], row: tuple[Any, ...]) -> None:
    project_id, key_id, micros, endpoint, model, backend_model, tier, status, outcome, error_code, *rest = row
    latency, ttft, attempts, tokens_in, tokens_out, estimated, continuations, failovers, cost = rest
    key: Key = (
        MINUTE,
        1,
        micros // 60_000_000 * MINUTE,
        project_id,
        key_id or NOBODY,
        "" if error_code in UNRESOLVED else model or "",
        backend_model or "",
        tier or "",
        endpoint,
        status // 100,
        error_code or "",
    )
    found = sums.get(key)
    if found is None:
        found = sums[key] = list(_NONE)
    found[0] += 1
    found[2] += tokens_in
    found[3] += tokens_out
    found[5] += attempts
    found[8] += continuations
    found[9] += cost
    found[10] += int(latency * 1000 + 0.5)
    found[_LATENCY + bisect_left(LATENCY_BOUNDS, latency)] += 1
    if status >= 400:
        found[1] += 1
    if estimated:
        found[4] += tokens_in + tokens_out
    if failovers:
        found[6] += failovers
        if outcome == "ok":
            found[7] += 1
    if ttft is not None:
        found[11] += int(ttft * 1000 + 0.5)
        found[12] += 1
        found[_TTFT + bisect_left(LATENCY_BOUNDS, ttft)] += 1


def _less_detailed(sums: Mapping[Key, Sequence[int]]) -> dict[Key, list[int]]:
    return _added(
        ((seconds, 0, bucket, project_id, NOBODY, model, "", "", "", status_class, ""), figures)
        for (seconds, _, bucket, project_id, _, model, _, _, _, status_class, _), figures in sums.items()
    )


def _longer(sums: Mapping[Key, Sequence[int]], seconds: int) -> dict[Key, list[int]]:
    return _added(
        ((seconds, detail, bucket // seconds * seconds, *group), figures)
        for (_, detail, bucket, *group), figures in sums.items()
    )


def _added(sums: Iterable[tuple[Any, Sequence[int]]]) -> dict[Key, list[int]]:
    found: dict[Key, list[int]] = {}
    for key, figures in sums:
        known = found.get(key)
        found[key] = list(figures) if known is None else list(map(int.__add__, known, figures))
    return found


async def _upsert(s: AsyncSession, sums: Sums) -> None:
    connection = await driver(s)
    with faults():
        if on_postgresql(s):
            await connection.execute(_ADD_ARRAYS, *zip(*((*key, *figures) for key, figures in sums), strict=True))
        else:
            await connection.executemany(
                _ADD, ((*key[:3], *(id.replace("-", "") for id in key[3:5]), *key[5:], *sum) for key, sum in sums)
            )


def _array(column: Column[Any]) -> str:
    match column.type:
        case BigInteger():
            return "bigint[]"
        case Integer():
            return "integer[]"
        case Uuid():
            return "uuid[]"
    return "text[]"


_COLUMNS: Final = list(usage_rollup.columns)
_INTO: Final = f"INSERT INTO usage_rollup ({', '.join(c.name for c in _COLUMNS)})"
_ON_CONFLICT: Final = f"ON CONFLICT (seconds, detail, bucket, {', '.join(GROUPED)}) DO UPDATE SET " + ", ".join(
    f"{name} = usage_rollup.{name} + excluded.{name}" for name in ROLLED
)
_ADD: Final = f"{_INTO} VALUES ({', '.join('?' for _ in _COLUMNS)}) {_ON_CONFLICT}"
_ARRAYS: Final = ", ".join(f"${n}::{_array(c)}" for n, c in enumerate(_COLUMNS, start=1))
_ADD_ARRAYS: Final = f"{_INTO} SELECT * FROM unnest({_ARRAYS}) {_ON_CONFLICT}"  # noqa: S608 - names of the schema
