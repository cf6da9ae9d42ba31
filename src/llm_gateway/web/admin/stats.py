"""Figures over the roll-ups: per project, model, status …, over time, and an overview."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Annotated, Any, Final, get_args

from fastapi import Depends, Query, Request

from llm_gateway.errors import InvalidRequest
from llm_gateway.running import Running
from llm_gateway.storage import projects, usage
from llm_gateway.storage.requests import RequestFilters
from llm_gateway.storage.rollups import NOBODY
from llm_gateway.storage.usage import Dimension, UsageFilters, UsageRow
from llm_gateway.web.admin.common import Live, admin_router, listed, moment, when
from llm_gateway.web.admin.requests import names_of

router = admin_router("stats")
DAY: Final = 86_400.0
PERCENTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_OF_ROWS: Final = {f.name for f in fields(RequestFilters)} - {f.name for f in fields(UsageFilters)} - {"since", "until"}
"""Filters that only the log has."""


async def filters(
    running: Live,
    request: Request,
    project: Annotated[str | None, Query(description="Id or name.")] = None,
    key_id: str | None = None,
    model: Annotated[str | None, Query(description="As asked for; empty: the name led to none.")] = None,
    backend_model: Annotated[str | None, Query(description="The one that answered; empty: none did.")] = None,
    tier: str | None = None,
    endpoint: str | None = None,
    status_class: Annotated[int | None, Query(ge=1, le=5, description="2, 4 or 5.")] = None,
    error_code: str | None = None,
) -> UsageFilters:
    for name in request.query_params:
        if name in _OF_ROWS:  # to leave it out of account in silence would give wrong figures
            raise InvalidRequest(
                f"Figures are not kept by `{name}`; filters are {', '.join(get_args(Dimension))}. The log has it: "
                "GET /admin/api/requests.",
                param=name,
            )
    found = UsageFilters(None, key_id, model, backend_model, tier, endpoint, status_class, error_code)
    if project is None:
        return found
    async with running.sessions.read() as s:
        return replace(found, project_id=(await projects.get_project(s, project)).id)


Filters = Annotated[UsageFilters, Depends(filters)]
Since = Annotated[str | None, Query(description="ISO 8601 or Unix seconds; absent: 24 hours before `until`.")]


@router.get("", summary="Requests, errors, tokens, cost and latencies, grouped")
async def get_stats(
    running: Live,
    wanted: Filters,
    since: Since = None,
    until: str | None = None,
    bucket: Annotated[usage.Bucket | None, Query(description="Absent: one row per group over the whole time.")] = None,
    by: Annotated[str, Query(description=f"Comma separated: {', '.join(get_args(Dimension))}.")] = (
        "project,model,status_class"
    ),
    top: Annotated[int | None, Query(ge=1, le=1000, description="Only the groups with most requests.")] = None,
) -> dict[str, Any]:
    """The last 24 hours unless `since` says otherwise. Both ends are brought to whole minutes, and where figures by
    the minute are no longer kept to whole hours."""
    groups = _groups(by)
    start, end, kept = _time(running, since, until)
    span = usage.span(start, end, bucket, minutes_from=kept)
    async with running.sessions.read() as s:
        rows = await usage.usage(
            s, since=start, until=end, by=groups, bucket=bucket, filters=wanted, top=top, minutes_from=kept
        )
    names = names_of(running)
    data = []
    for row in rows:
        view: dict[str, Any] = {"bucket": when(row.bucket)} if span.bucket else {}
        for dimension, value in zip(groups, row.group, strict=True):
            match dimension:
                case "project":
                    view |= {"project": names.projects.get(str(value)), "project_id": value}
                case "key":
                    view |= {"key": names.keys.get(str(value)), "key_id": None if value == NOBODY else value}
                case _:
                    view[dimension] = value if value != "" else None
        data.append(view | figures(row))
    return listed(data, since=when(span.since), until=when(span.until), bucket=span.bucket)


@router.get("/overview", summary="A span, as much time before it, and how it went")
async def get_overview(running: Live, wanted: Filters, since: Since = None, until: str | None = None) -> dict[str, Any]:
    """`current` and `previous` are totals; `series` holds the buckets of the span that had requests."""
    start, end, kept = _time(running, since, until)
    async with running.sessions.read() as s:
        found = await usage.overview(s, since=start, until=end, filters=wanted, minutes_from=kept)
    return {
        "since": when(found.since),
        "until": when(found.until),
        "current": figures(found.now),
        "previous": figures(found.before),
        "bucket": found.bucket,
        "series": [{"bucket": when(row.bucket), **figures(row)} for row in found.series],
    }


def figures(row: UsageRow) -> dict[str, Any]:
    """Of one group, as the API shows them. Costs are in the unit of prices; percentiles are estimates."""
    count = row.requests
    return {
        "requests": count,
        "errors": row.errors,
        "tokens_input": row.tokens_input,
        "tokens_output": row.tokens_output,
        "tokens_estimated": row.tokens_estimated,
        "cost": row.cost_nanos / 1e9,
        "attempts": row.attempts,
        "failovers": row.failovers,
        "saved": row.saved,
        "continuations": row.continuations,
        "latency_ms_avg": _milliseconds(row.latency_us / count / 1000 if count else None),
        **{f"latency_ms_{name}": _milliseconds(row.latency_ms(share)) for name, share in PERCENTILES.items()},
        "ttft_ms_avg": _milliseconds(row.ttft_us / row.ttft_count / 1000 if row.ttft_count else None),
        **{f"ttft_ms_{name}": _milliseconds(row.ttft_ms(share)) for name, share in PERCENTILES.items()},
    }


def _milliseconds(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _groups(by: str) -> list[Dimension]:
    allowed: tuple[Dimension, ...] = get_args(Dimension)
    named = [part.strip() for part in by.split(",") if part.strip()]
    for name in named:
        if name not in allowed:
            raise InvalidRequest(f"`by` may hold {', '.join(allowed)}; you sent {name[:40]!r}.", param="by")
    return [dimension for dimension in allowed if dimension in named]


def _time(running: Running, since: str | None, until: str | None) -> tuple[float, float, float]:
    """Beginning and end, and from where on figures by the minute are kept."""
    now = running.gateway.clock.wall()
    end = moment(until, "until")
    end = now + 1 if end is None else end
    start = moment(since, "since")
    if start is not None and start > end:
        later = "now" if until is None else "`until`"
        raise InvalidRequest(f"`since` must not be later than {later}.", param="since")
    return end - DAY if start is None else start, end, now - running.settings.retention.minute_days * DAY
