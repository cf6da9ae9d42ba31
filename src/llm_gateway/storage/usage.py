"""Figures over the roll-ups: who used what, when, how fast, at what cost. One query each.

Groups and filters are the dimensions of `usage_rollup`; what cannot be answered from those is a question to the log
(`storage.requests`). A span is put together from whole days, hours and minutes, the coarsest that fit, so that a month
up to this minute reads some thirty days, a few hours and a few minutes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Column, ColumnElement, Select, and_, cast, func, literal, null, or_, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.errors import InvalidRequest
from llm_gateway.storage.columns import as_uuid
from llm_gateway.storage.tables import COARSE, LATENCY_BOUNDS, ROLLED, usage_rollup

Bucket = Literal["minute", "hour", "day"]
Dimension = Literal["project", "key", "model", "backend_model", "tier", "endpoint", "status_class", "error_code"]
Group = Dimension | Literal["hour_of_week"]
HOUR_OF_WEEK: Final = "hour_of_week"
"""Hours since a Monday 00:00 UTC, 0-167: all weeks of a time one upon the other."""
MOST_WEEKS: Final = 53
"""That `hour_of_week` looks at, for it reads figures by the hour."""
Order = Literal["requests", "errors", "tokens", "tokens_input", "tokens_output", "cost", "failovers", "saved"]

BUCKETS: Final[dict[Bucket, int]] = {"minute": 60, "hour": 3_600, "day": 86_400}
"""Seconds. Buckets begin at whole minutes, hours and days of UTC."""
MAX_ROWS: Final = 10_000
STEPS: Final = (60, 300, 3_600, 10_800, 86_400)
"""Seconds between the points of an overview's series."""
SERIES: Final = 72
"""Points of it that are not exceeded unless they are days."""
TOPS: Final[tuple[Dimension, ...]] = ("project", "model", "error_code", "tier")
_c: Final = usage_rollup.c
_PLAIN: Final = ROLLED.index("latency_0")
_TTFT: Final = ROLLED.index("ttft_0")


@dataclass(frozen=True, slots=True)
class UsageFilters:
    """What requests must be; None = anything, '' = that there was none (no model answered, …)."""

    project_id: str | None = None
    key_id: str | None = None
    model: str | None = None
    backend_model: str | None = None
    tier: str | None = None
    endpoint: str | None = None
    status_class: int | None = None
    error_code: str | None = None


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One group."""

    bucket: float | None
    """Its beginning, Unix seconds; None = not asked for."""
    group: tuple[str | int, ...]
    """The values of the groups, in the order in which they were asked for; a project and a key by id."""
    requests: int
    errors: int
    tokens_input: int
    tokens_output: int
    tokens_estimated: int
    attempts: int
    failovers: int
    saved: int
    continuations: int
    cost_nanos: int
    latency_us: int
    ttft_us: int
    ttft_count: int
    latency: tuple[int, ...]
    """Requests by `tables.LATENCY_BOUNDS`, and beyond the last one."""
    ttft: tuple[int, ...]

    def latency_ms(self, share: float) -> float | None:
        """An estimate of a percentile (0.95) from the buckets; None without requests. So is `ttft_ms`."""
        return percentile(self.latency, share)

    def ttft_ms(self, share: float) -> float | None:
        return percentile(self.ttft, share)

    def sums(self) -> tuple[int, ...]:
        """In the order of `tables.ROLLED`."""
        return (*(getattr(self, name) for name in ROLLED[:_PLAIN]), *self.latency, *self.ttft)


class Parted(NamedTuple):
    """Sums of a time, and of that the requests of one outcome each."""

    all: UsageRow
    ok: UsageRow
    client_errors: int
    server_errors: int


class Top(NamedTuple):
    """What one value of a dimension makes of a span."""

    value: str
    requests: int
    errors: int
    tokens_input: int
    tokens_output: int
    cost_nanos: int


class Overview(NamedTuple):
    """A span, as much time before it, and how both went: the steps that are not empty."""

    now: Parted
    before: Parted
    series: list[Parted]
    series_before: list[Parted] | None
    """None = not asked for."""
    step: int
    """Seconds; steps begin at whole multiples of it since the Unix epoch."""
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Span:
    """What is added up: [since, until), whole minutes, and the roll-ups that make it up."""

    since: int
    until: int
    bucket: Bucket | None
    parts: tuple[tuple[int, int, int], ...]
    """(seconds of a roll-up, from, to): each moment is in exactly one."""


def span(since: float, until: float, bucket: Bucket | None = None, *, minutes_from: float = 0.0) -> Span:
    """The whole minutes that touch [since, until), before `minutes_from` (from where figures by the minute are kept
    for sure) the whole hours; buckets of a minute become hours when they begin before it."""
    kept = _up(minutes_from, BUCKETS["hour"])
    if bucket == "minute" and since < kept:
        bucket = "hour"
    start = _down(since, BUCKETS["minute" if since >= kept else "hour"])
    end = _up(until, BUCKETS["minute" if until >= kept else "hour"])
    grains = [seconds for seconds in (86_400, 3_600, 60) if bucket is None or seconds <= BUCKETS[bucket]]
    return Span(start, end, bucket, tuple(_cover(start, end, grains)))


async def usage(
    s: AsyncSession,
    *,
    since: float,
    until: float,
    by: Sequence[Group] = (),
    bucket: Bucket | None = None,
    filters: UsageFilters | None = None,
    top: int | None = None,
    order: Order = "requests",
    minutes_from: float = 0.0,
) -> list[UsageRow]:
    """Sums of what began at `since` <= time < `until` (Unix seconds), both brought to whole minutes, hours or days as
    `span` says. In the order of buckets and groups, or with `top` only the groups with most of `order`, these first.
    Raises InvalidRequest when there would be more than 10,000 rows, and where `hour_of_week` can not be told."""
    wanted = span(since, until, bucket, minutes_from=minutes_from)
    if HOUR_OF_WEEK in by:
        wanted = _hours(since, until, bucket, minutes_from)
    groups: list[ColumnElement[Any]] = [_HOUR if group == HOUR_OF_WEEK else _GROUPS[group] for group in by]
    within = _within(wanted.parts, [_GROUPS[group] for group in by if group != HOUR_OF_WEEK], filters)
    keys = [_bucket(BUCKETS[wanted.bucket]), *groups] if wanted.bucket else groups
    query = _summed(keys, within)
    largest, most = func.sum(_ORDERS[order]).desc(), MAX_ROWS + 1
    if top is not None and groups and wanted.bucket is None:
        query, most = query.order_by(largest, *groups), min(top, most)
    else:
        if top is not None and groups:
            best = select(*groups).where(*within).group_by(*groups).order_by(largest, *groups).limit(top)
            query = query.where(tuple_(*groups).in_(best))
        query = query.order_by(*keys)
    found = [tuple(row) for row in (await s.execute(query.limit(most))).all()]
    if len(found) > MAX_ROWS:
        raise InvalidRequest(
            f"That would be more than {MAX_ROWS:,} rows: ask for a shorter time, a larger bucket or fewer groups."
        )
    rows = [_row(row, len(groups), bucketed=wanted.bucket is not None) for row in found]
    return _largest_first(rows, order) if top is not None and wanted.bucket else rows


async def overview(
    s: AsyncSession,
    *,
    since: float,
    until: float,
    filters: UsageFilters | None = None,
    compare: bool = False,
    minutes_from: float = 0.0,
) -> Overview:
    """The span, as much time before it, and a series of the finest steps that make at most 72 points (else days), by
    one query. `compare`: with a series of the time before, which is read from coarser roll-ups otherwise."""
    length = max(until - since, 1.0)
    step = next((step for step in STEPS if length / step <= SERIES), STEPS[-1])
    bucket = next(b for b in reversed(BUCKETS) if BUCKETS[b] <= step)
    now = span(since, until, bucket, minutes_from=minutes_from)
    earlier = now.since - (now.until - now.since)
    before = span(earlier, now.since, now.bucket if compare else None, minutes_from=minutes_from)
    step = max(step, BUCKETS[now.bucket or "day"])
    later = _c.bucket >= now.since
    keys = [later.label("later"), _bucket(step), _c.status_class]
    query = _summed(keys, _within((*now.parts, *before.parts), (_c.status_class,), filters)).order_by(*keys)
    rows: dict[bool, dict[float, list[UsageRow]]] = {True: {}, False: {}}
    for is_later, *row in (await s.execute(query)).all():
        found = _row(tuple(row), 1, bucketed=True)
        rows[bool(is_later)].setdefault(found.bucket or 0.0, []).append(found)
    series, series_before = ([_parted(some, beginning) for beginning, some in rows[at].items()] for at in (True, False))
    whole, whole_before = (_parted([row for some in rows[at].values() for row in some]) for at in (True, False))
    return Overview(whole, whole_before, series, series_before if compare else None, step, now.since, now.until)


async def tops(
    s: AsyncSession,
    *,
    since: float,
    until: float,
    filters: UsageFilters | None = None,
    most: int = 6,
    minutes_from: float = 0.0,
) -> dict[Dimension, list[Top]]:
    """For each of `TOPS` the values with most requests of a span, these first, by one query. Requests without an error
    have no value among the error codes."""
    wanted = span(since, until, minutes_from=minutes_from)
    found: dict[Dimension, list[Top]] = {dimension: [] for dimension in TOPS}
    parts: list[Select[Any]] = []
    for dimension in TOPS:
        column = _GROUPS[dimension]
        within = _within(wanted.parts, [column], filters)
        if dimension == "error_code":
            within.append(column != "")
        project = column if dimension == "project" else cast(null(), _c.project_id.type)
        value = literal("") if dimension == "project" else column
        keys = [literal(dimension).label("dimension"), project.label("project_id"), value.label("value")]
        sums = [func.sum(_c[name]).label(name) for name in Top._fields[1:]]
        largest = select(*keys, *sums).where(*within).group_by(column).order_by(func.sum(_c.requests).desc(), column)
        parts.append(select(largest.limit(most).subquery()))
    for dimension, project_id, value, *sums in (await s.execute(union_all(*parts))).all():
        found[dimension].append(Top(project_id or value, *map(int, sums)))
    return {dimension: sorted(rows, key=lambda row: (-row.requests, row.value)) for dimension, rows in found.items()}


def total(rows: Iterable[UsageRow]) -> UsageRow:
    """All of them as one."""
    sums = [sum(column) for column in zip(*(row.sums() for row in rows), strict=True)] or [0] * len(ROLLED)
    return _row((*sums,), 0, bucketed=False)


def _parted(rows: Sequence[UsageRow], beginning: float | None = None) -> Parted:
    """Of rows by status class."""
    requests = dict.fromkeys(range(1, 6), 0)
    for row in rows:
        requests[int(row.group[0])] += row.requests
    ok = total(row for row in rows if int(row.group[0]) < 4)
    return Parted(replace(total(rows), bucket=beginning), ok, requests[4], requests[5])


def percentile(histogram: Sequence[int], share: float) -> float | None:
    """Milliseconds, as if the requests of a bucket lay evenly in it; in the last, which has no end: its beginning."""
    wanted, below = share * sum(histogram), 0
    for n, count in enumerate(histogram):
        if count and below + count >= wanted:
            low = LATENCY_BOUNDS[n - 1] if n else 0
            high = LATENCY_BOUNDS[min(n, len(LATENCY_BOUNDS) - 1)]
            return low + (high - low) * (wanted - below) / count
        below += count
    return None


_GROUPS: Final[Mapping[Dimension, Column[Any]]] = {
    "project": _c.project_id,
    "key": _c.key_id,
    "model": _c.model,
    "backend_model": _c.backend_model,
    "tier": _c.tier,
    "endpoint": _c.endpoint,
    "status_class": _c.status_class,
    "error_code": _c.error_code,
}


_HOUR: Final = ((_c.bucket // 3_600 + 72) % 168).label(HOUR_OF_WEEK)
"""The Unix epoch began on a Thursday."""
_ORDERS: Final[Mapping[Order, ColumnElement[int]]] = {
    "tokens": _c.tokens_input + _c.tokens_output,
    "cost": _c.cost_nanos,
    **{name: _c[name] for name in ("requests", "errors", "tokens_input", "tokens_output", "failovers", "saved")},
}


def _hours(since: float, until: float, bucket: Bucket | None, minutes_from: float) -> Span:
    """The span of whole minutes and hours, without a bucket."""
    if bucket is not None:
        raise InvalidRequest(f"`{HOUR_OF_WEEK}` is of the whole time: leave `bucket` out.", param="bucket")
    if until - since > MOST_WEEKS * 7 * BUCKETS["day"]:
        raise InvalidRequest(
            f"`{HOUR_OF_WEEK}` looks at {MOST_WEEKS} weeks at most: ask for a shorter time.", param="since"
        )
    return replace(span(since, until, "hour", minutes_from=minutes_from), bucket=None)


def _down(time: float, seconds: int) -> int:
    return floor(time / seconds) * seconds


def _up(time: float, seconds: int) -> int:
    return ceil(time / seconds) * seconds


def _cover(start: int, end: int, grains: Sequence[int]) -> list[tuple[int, int, int]]:
    if start >= end:
        return []
    seconds, *finer = grains
    low, high = _up(start, seconds), _down(end, seconds)
    if low >= high:
        return _cover(start, end, finer)
    return [*_cover(start, low, finer), (seconds, low, high), *_cover(high, end, finer)]


def _within(
    parts: Sequence[tuple[int, int, int]], groups: Sequence[Column[Any]], filters: UsageFilters | None
) -> list[ColumnElement[bool]]:
    used = {group.name for group in groups} | {
        column.name for column in _GROUPS.values() if filters and getattr(filters, column.name) is not None
    }
    detail = 0 if used <= set(COARSE) else 1
    times = [
        and_(_c.seconds == seconds, _c.detail == detail, _c.bucket >= start, _c.bucket < end)
        for seconds, start, end in parts
    ]
    found: list[ColumnElement[bool]] = [or_(*times) if times else _c.seconds < 0]
    for dimension, column in _GROUPS.items():
        name = column.name
        value = getattr(filters, name) if filters else None
        if value is not None:
            found.append(column == (as_uuid(value, f"{dimension} id") if name in ("project_id", "key_id") else value))
    return found


def _summed(keys: Sequence[ColumnElement[Any]], within: Sequence[ColumnElement[bool]]) -> Select[Any]:
    sums = [func.sum(_c[name]).label(name) for name in ROLLED]
    return select(*keys, *sums).where(*within).group_by(*keys).having(func.count() > 0)


def _bucket(seconds: int) -> ColumnElement[Any]:
    return (_c.bucket - _c.bucket % seconds).label("beginning")


def _row(row: tuple[Any, ...], groups: int, *, bucketed: bool) -> UsageRow:
    bucket, row = (float(row[0]), row[1:]) if bucketed else (None, row)
    figures = [int(figure) for figure in row[groups:]]
    latency, ttft = figures[_PLAIN:_TTFT], figures[_TTFT:]
    plain = dict(zip(ROLLED, figures[:_PLAIN], strict=False))
    return UsageRow(bucket, row[:groups], **plain, latency=tuple(latency), ttft=tuple(ttft))


def _largest_first(rows: list[UsageRow], order: Order) -> list[UsageRow]:
    sums: dict[tuple[str | int, ...], int] = {}
    for row in rows:
        sums[row.group] = sums.get(row.group, 0) + _amount(row, order)
    return sorted(rows, key=lambda row: (-sums[row.group], row.group, row.bucket or 0.0))


def _amount(row: UsageRow, order: Order) -> int:
    """What groups are put in order by."""
    match order:
        case "tokens":
            return row.tokens_input + row.tokens_output
        case "cost":
            return row.cost_nanos
        case _:
            return int(getattr(row, order))
