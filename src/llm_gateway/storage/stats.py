"""Sums over the request log: per project, model, status, over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import BigInteger, ColumnElement, RowMapping, extract, func, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.errors import InvalidRequest
from llm_gateway.storage.requests import RequestFilters, conditions
from llm_gateway.storage.tables import request_log

Bucket = Literal["minute", "hour", "day"]
Group = Literal["project", "model", "backend_model", "status_class", "endpoint"]

BUCKETS: Final[dict[Bucket, int]] = {"minute": 60, "hour": 3_600, "day": 86_400}
"""Seconds. Buckets begin at whole minutes, hours and days of UTC."""
MAX_ROWS: Final = 10_000
_c: Final = request_log.c


@dataclass(frozen=True, slots=True)
class StatsRow:
    """One group. Fields that were not grouped by are None, and so is a model where the requests named none."""

    bucket: float | None
    """Its beginning, Unix seconds."""
    project_id: str | None
    model: str | None
    backend_model: str | None
    status_class: int | None
    """The first digit of the status."""
    endpoint: str | None
    requests: int
    errors: int
    """With a status of 400 or more."""
    tokens_input: int
    tokens_output: int
    latency_ms_avg: float
    latency_ms_max: float
    ttft_ms_avg: float | None
    """Over the requests that had a first token."""


async def stats(
    s: AsyncSession,
    *,
    since: float,
    until: float,
    bucket: Bucket | None = None,
    group_by: Iterable[Group] = (),
    filters: RequestFilters | None = None,
) -> list[StatsRow]:
    """Sums of the rows with `since` <= timestamp < `until` (Unix seconds), in the order of their groups. Groups without
    requests have no row. Raises InvalidRequest when there would be more than 10,000 rows."""
    keys: dict[str, ColumnElement[Any]] = {}
    if bucket is not None:
        keys["bucket"] = _bucket(s, BUCKETS[bucket])
    for group in group_by:
        keys["project_id" if group == "project" else group] = _GROUPS[group]
    labelled = [column.label(name) for name, column in keys.items()]
    wanted = (
        select(
            *labelled,
            func.count().label("requests"),
            func.count().filter(_c.status >= 400).label("errors"),
            func.sum(_c.tokens_input).label("tokens_input"),
            func.sum(_c.tokens_output).label("tokens_output"),
            func.avg(_c.latency_ms).label("latency_ms_avg"),
            func.max(_c.latency_ms).label("latency_ms_max"),
            func.avg(_c.ttft_ms).label("ttft_ms_avg"),
        )
        .where(*conditions(filters or RequestFilters()), _c.timestamp >= since, _c.timestamp < until)
        .group_by(*labelled)
        .order_by(*labelled)
        .having(func.count() > 0)
        .limit(MAX_ROWS + 1)
    )
    rows = (await s.execute(wanted)).mappings().all()
    if len(rows) > MAX_ROWS:
        raise InvalidRequest(
            f"That would be more than {MAX_ROWS:,} rows: ask for a shorter time, a larger bucket or fewer groups."
        )
    return [_row(row) for row in rows]


_GROUPS: Final[dict[Group, ColumnElement[Any]]] = {
    "project": _c.project_id,
    "model": _c.model,
    "backend_model": _c.backend_model,
    "status_class": _c.status // 100,
    "endpoint": _c.endpoint,
}


def _bucket(s: AsyncSession, seconds: int) -> ColumnElement[Any]:
    """The beginning of the bucket in Unix seconds; the epoch began a day, so days are UTC's on both databases."""
    if s.get_bind().dialect.name == "postgresql":
        return func.floor(extract("epoch", _c.timestamp) / seconds) * seconds
    return type_coerce(_c.timestamp, BigInteger) // (seconds * 1_000_000) * seconds


def _row(row: RowMapping) -> StatsRow:
    bucket = row.get("bucket")
    return StatsRow(
        bucket=None if bucket is None else float(bucket),
        project_id=row.get("project_id"),
        model=row.get("model"),
        backend_model=row.get("backend_model"),
        status_class=row.get("status_class"),
        endpoint=row.get("endpoint"),
        requests=row["requests"],
        errors=row["errors"],
        tokens_input=int(row["tokens_input"]),
        tokens_output=int(row["tokens_output"]),
        latency_ms_avg=row["latency_ms_avg"],
        latency_ms_max=row["latency_ms_max"],
        ttft_ms_avg=row["ttft_ms_avg"],
    )
