"""Do rows, roll-ups and the series of `usage` say the same? Exactly, in one state of the database.

What is compared is derived from the rows by the database itself, not by the code that adds the sums up. Days whose rows
are no longer kept are left out, and so are minutes whose figures are not: roll-ups outlive rows. So is a day of a
project of which rows were erased; its series too, which are of all projects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    String,
    case,
    cast,
    extract,
    func,
    literal,
    select,
    text,
    type_coerce,
)
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.errors import UNRESOLVED
from llm_gateway.storage.bulk import on_postgresql
from llm_gateway.storage.erasures import erased_days
from llm_gateway.storage.records import MOST as MOST_OF
from llm_gateway.storage.rollups import DAY, HOUR, MINUTE, NOBODY
from llm_gateway.storage.tables import COARSE, GROUPED, LATENCY_BOUNDS, ROLLED, request_log, usage_rollup
from llm_gateway.storage.usage import usage

MOST: Final = 100
"""Differences that are told of one day and grain."""
TOKENS: Final = MOST_OF["tokens_input"]
GRAINS: Final = (MINUTE, HOUR, DAY)
_r: Final = request_log.c
_u: Final = usage_rollup.c
_KEY: Final = 3 + len(GROUPED)


@dataclass(frozen=True, slots=True)
class Difference:
    """What does not add up."""

    what: str
    """`minute`, `hour` or `day` roll-ups, or `series`."""
    bucket: int
    group: tuple[Any, ...]
    """The values of `tables.GROUPED`; of a series: none."""
    figure: str
    rows: int
    """What the rows say."""
    sums: int
    """What the roll-up says."""

    def __str__(self) -> str:
        at = datetime.fromtimestamp(self.bucket, UTC).isoformat()
        which = " ".join(f"{name}={value}" for name, value in zip(GROUPED, self.group, strict=False) if value != "")
        return f"{self.what} {at} {which} {self.figure}: rows {self.rows}, figures {self.sums}"


async def audit(s: AsyncSession, *, rows_from: float = 0.0, minutes_from: float = 0.0) -> list[Difference]:
    """`s` must see one state of the database (`Sessions.read`). Times are Unix seconds: from when on rows, and figures
    by the minute, are kept; whole days after them are compared, also the one that is not over."""
    found: list[Difference] = []
    start = -(-rows_from // DAY) * DAY
    erased: dict[int, list[str]] = {}
    for day, project_id in await erased_days(s):
        erased.setdefault(day, []).append(project_id)
    for day in await _days(s, int(start)):
        for seconds in GRAINS:
            if seconds > MINUTE or day >= minutes_from:
                for detail in (1, 0):
                    found += await _compare(s, day, seconds, detail, erased.get(day, []))
        if day not in erased:
            found += await _series(s, day)
    return found


def derived(s: AsyncSession, seconds: int, detail: int) -> Select[Any]:
    """Roll-ups of so many seconds as rows say they are."""
    group = _group(s, seconds, detail)
    return select(*group, *_sums(s)).group_by(*group)


async def _days(s: AsyncSession, start: int) -> list[int]:
    """Days of which there is anything."""
    of_rows = select(_epoch(s, DAY)).where(_r.timestamp >= float(start)).distinct()
    of_sums = select(_u.bucket - _u.bucket % DAY).where(_u.bucket >= start).distinct()
    return sorted(int(day) for (day,) in (await s.execute(of_rows.union(of_sums))).all())


async def _compare(s: AsyncSession, day: int, seconds: int, detail: int, without: Sequence[str]) -> list[Difference]:
    """`without`: the ids of projects that are left out."""
    rows = derived(s, seconds, detail).where(*_of_day(day), _r.project_id.not_in(without))
    sums = select(*usage_rollup.columns).where(
        _u.seconds == seconds,
        _u.detail == detail,
        _u.bucket >= day,
        _u.bucket < day + DAY,
        _u.project_id.not_in(without),
    )
    order = [text(str(n + 1)) for n in range(_KEY)]
    only_rows = _by_key((await s.execute(rows.except_(sums).order_by(*order).limit(MOST))).all())
    only_sums = _by_key((await s.execute(sums.except_(rows).order_by(*order).limit(MOST))).all())
    what = {MINUTE: "minute", HOUR: "hour", DAY: "day"}[seconds]
    zero = (0,) * len(ROLLED)
    return [
        difference
        for key in sorted(only_rows.keys() | only_sums.keys())
        for difference in _differences(what, key[2], key[3:], only_rows.get(key, zero), only_sums.get(key, zero))
    ]


async def _series(s: AsyncSession, day: int) -> list[Difference]:
    hour = _epoch(s, HOUR).label("hour")
    rows = select(hour, *_sums(s)).where(*_of_day(day)).group_by(hour)
    of_rows = {int(h): tuple(map(int, sums)) for h, *sums in (await s.execute(rows)).all()}
    of_usage = {int(row.bucket or 0): row.sums() for row in await usage(s, since=day, until=day + DAY, bucket="hour")}
    zero = (0,) * len(ROLLED)
    found = [
        difference
        for at in sorted(of_rows.keys() | of_usage.keys())
        for difference in _differences("series", at, (), of_rows.get(at, zero), of_usage.get(at, zero))
    ]
    whole = await usage(s, since=day, until=day + DAY)
    sums = whole[0].sums() if whole else zero
    return [*found, *_differences("total", day, (), tuple(map(sum, zip(zero, *of_rows.values(), strict=True))), sums)]


def _differences(
    what: str, bucket: int, group: tuple[Any, ...], rows: Sequence[int], sums: Sequence[int]
) -> Iterator[Difference]:
    for name, ours, theirs in zip(ROLLED, rows, sums, strict=True):
        if ours != theirs:
            yield Difference(what, bucket, group, name, ours, theirs)


def _by_key(rows: Sequence[Any]) -> dict[tuple[Any, ...], tuple[int, ...]]:
    return {tuple(row[:_KEY]): tuple(map(int, row[_KEY:])) for row in rows}


def _of_day(day: int) -> tuple[ColumnElement[bool], ...]:
    return _r.timestamp >= float(day), _r.timestamp < float(day + DAY)


def _epoch(s: AsyncSession, seconds: int) -> ColumnElement[Any]:
    """The beginning of a row's minute, hour or day."""
    if on_postgresql(s):
        second: ColumnElement[Any] = cast(func.floor(extract("epoch", _r.timestamp)), BigInteger)
    else:
        second = type_coerce(_r.timestamp, BigInteger) // 1_000_000
    return second - second % seconds


def _group(s: AsyncSession, seconds: int, detail: int) -> list[ColumnElement[Any]]:
    nobody = literal(NOBODY, _r.key_id.type)
    found: dict[str, ColumnElement[Any]] = {
        "project_id": _r.project_id,
        "key_id": func.coalesce(_r.key_id, nobody),
        "model": case((_r.error_code.in_(sorted(UNRESOLVED)), ""), else_=func.coalesce(_r.model, "")),
        "backend_model": func.coalesce(_r.backend_model, ""),
        "tier": func.coalesce(_r.tier, ""),
        "endpoint": _r.endpoint,
        "status_class": _r.status // 100,
        "error_code": func.coalesce(_r.error_code, ""),
    }
    if not detail:
        nothing = {name: literal("", String) for name in GROUPED if name not in COARSE}
        found |= nothing | {"key_id": nobody}
    return [
        literal(seconds, Integer).label("seconds"),
        literal(detail, Integer).label("detail"),
        _epoch(s, seconds).label("bucket"),
        *(found[name].label(name) for name in GROUPED),
    ]


def _sums(s: AsyncSession) -> list[ColumnElement[Any]]:
    """The figures of `tables.ROLLED`, as the rows say."""
    count = func.count()
    tokens_in, tokens_out = _bounded(_r.tokens_input), _bounded(_r.tokens_output)
    sums: dict[str, ColumnElement[Any]] = {
        "requests": count,
        "errors": count.filter(_r.status >= 400),
        "tokens_input": func.sum(tokens_in),
        "tokens_output": func.sum(tokens_out),
        "tokens_estimated": func.sum(case((_r.tokens_estimated, tokens_in + tokens_out), else_=0)),
        "attempts": func.sum(_r.attempts),
        "failovers": func.sum(_r.failovers),
        "saved": count.filter(_r.outcome == "ok", _r.failovers > 0),
        "continuations": func.sum(_r.continuations),
        "cost_nanos": func.sum(_r.cost_nanos),
        "latency_us": func.sum(_whole(s, _r.latency_ms)),
        "ttft_us": func.coalesce(func.sum(_whole(s, _r.ttft_ms)), 0),
        "ttft_count": func.count(_r.ttft_ms),
    }
    for name, column in (("latency", _r.latency_ms), ("ttft", _r.ttft_ms)):
        for n in range(len(LATENCY_BOUNDS) + 1):
            above = [column > LATENCY_BOUNDS[n - 1]] if n else []
            within = [column <= LATENCY_BOUNDS[n]] if n < len(LATENCY_BOUNDS) else []
            sums[f"{name}_{n}"] = count.filter(*above, *within)
    return [sums[name].label(name) for name in ROLLED]


def _bounded(tokens: ColumnElement[int]) -> ColumnElement[int]:
    """Rows of versions before this one may hold more."""
    return case((tokens > TOKENS, TOKENS), else_=tokens)


def _whole(s: AsyncSession, milliseconds: ColumnElement[float]) -> ColumnElement[int]:
    """Microseconds, rounded as `rollups` does."""
    raised = milliseconds * 1000 + 0.5
    return cast(func.floor(raised) if on_postgresql(s) else raised, BigInteger)
