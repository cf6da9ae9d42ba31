"""Figures over the roll-ups: per project, model, status …, over time, and an overview."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Annotated, Final, cast, get_args

from fastapi import Depends, Query, Request
from pydantic import Field
from typing_extensions import TypedDict

from llm_gateway.access.policy import Trust
from llm_gateway.errors import InvalidRequest
from llm_gateway.running import Running
from llm_gateway.storage import projects, usage
from llm_gateway.storage.requests import RequestFilters
from llm_gateway.storage.rollups import NOBODY
from llm_gateway.storage.usage import Dimension, Group, UsageFilters, UsageRow
from llm_gateway.web.admin.common import Live, admin_router, moment, when
from llm_gateway.web.admin.request_view import names_of
from llm_gateway.web.described import Time

router = admin_router("stats")
DAY: Final = 86_400.0
GROUPS: Final[tuple[Group, ...]] = (*get_args(Dimension), usage.HOUR_OF_WEEK)
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


class UsageFigures(TypedDict):
    """Sums of requests that ended. Times in milliseconds, null without requests; percentiles are estimates."""

    requests: int
    errors: Annotated[int, Field(description="With a status of 400 or more.")]
    tokens_input: int
    tokens_output: int
    tokens_estimated: Annotated[int, Field(description="Tokens of requests whose tokens are estimates.")]
    cost: Annotated[float, Field(description="In the unit of the prices.")]
    attempts: int
    failovers: int
    saved: Annotated[int, Field(description="Answered although an attempt had failed.")]
    continuations: int
    latency_ms_avg: float | None
    latency_ms_p50: float | None
    latency_ms_p95: float | None
    latency_ms_p99: float | None
    ttft_ms_avg: float | None
    ttft_ms_p50: float | None
    ttft_ms_p95: float | None
    ttft_ms_p99: float | None


class StatGroup(TypedDict, total=False):
    """Only what was asked for: `bucket`, and the dimensions of `by`. null: there was none, or it has no name now."""

    bucket: Time | None
    project: str | None
    project_id: str
    key: str | None
    key_id: str | None
    model: str | None
    backend_model: str | None
    tier: Trust | None
    endpoint: str | None
    status_class: int
    error_code: str | None
    hour_of_week: Annotated[int, Field(description="0-167: hours since Monday 00:00 UTC.")]


class StatRow(StatGroup, UsageFigures):
    """One group."""


class StatList(TypedDict):
    data: list[StatRow]
    since: Time
    until: Time
    bucket: usage.Bucket | None


class OverviewFigures(UsageFigures):
    """`ok` and the two kinds of errors make up `requests`."""

    ok: int
    client_errors: Annotated[int, Field(description="With a status of 4xx, also of clients that hung up.")]
    server_errors: int
    tokens_per_s: Annotated[
        float | None, Field(description="Generated per second of an answer, from its first token on, on average.")
    ]


class OverviewPoint(OverviewFigures):
    at: Annotated[Time, Field(description="When the step begins.")]


class TopFigures(TypedDict):
    requests: int
    errors: int
    tokens_input: int
    tokens_output: int
    cost: float


class TopProject(TopFigures):
    project: Annotated[str | None, Field(description="null: it has no name now.")]
    project_id: str


class TopModel(TopFigures):
    model: Annotated[str | None, Field(description="As asked for; null: the name led to none.")]


class TopError(TopFigures):
    error_code: str


class TopTier(TopFigures):
    tier: Annotated[Trust | None, Field(description="Whose servers answered; null: none did.")]


class Tops(TypedDict):
    """Those with most requests in the span."""

    projects: list[TopProject]
    models: list[TopModel]
    errors: list[TopError]
    tiers: list[TopTier]


class Overview(TypedDict):
    """Steps without requests are left out."""

    since: Time
    until: Time
    step_s: Annotated[int, Field(description="Seconds; steps begin at whole multiples of it since the Unix epoch.")]
    current: OverviewFigures
    previous: OverviewFigures
    series: list[OverviewPoint]
    previous_series: Annotated[list[OverviewPoint] | None, Field(description="Only with `compare`.")]
    top: Tops


@router.get("", summary="Requests, errors, tokens, cost and latencies, grouped")
async def get_stats(
    running: Live,
    wanted: Filters,
    since: Since = None,
    until: str | None = None,
    bucket: Annotated[usage.Bucket | None, Query(description="Absent: one row per group over the whole time.")] = None,
    by: Annotated[str, Query(description=f"Comma separated: {', '.join(GROUPS)}.")] = ("project,model,status_class"),
    top: Annotated[int | None, Query(ge=1, le=1000, description="Only the groups with most of `order`.")] = None,
    order: Annotated[usage.Order, Query(description="What `top` goes by.")] = "requests",
) -> StatList:
    """The last 24 hours unless `since` says otherwise. Both ends are brought to whole minutes, and where figures by
    the minute are no longer kept to whole hours. `hour_of_week` lays the weeks of the whole time one upon the other."""
    groups = _groups(by)
    start, end, kept = _time(running, since, until)
    span = usage.span(start, end, bucket, minutes_from=kept)
    async with running.sessions.read() as s:
        rows = await usage.usage(
            s, since=start, until=end, by=groups, bucket=bucket, filters=wanted, top=top, order=order, minutes_from=kept
        )
    names = names_of(running)
    data: list[StatRow] = []
    for row in rows:
        view: StatGroup = {"bucket": when(row.bucket)} if span.bucket else {}
        for dimension, value in zip(groups, row.group, strict=True):
            match dimension:
                case "project":
                    view |= {"project": names.projects.get(str(value)), "project_id": str(value)}
                case "key":
                    view |= {"key": names.keys.get(str(value)), "key_id": None if value == NOBODY else str(value)}
                case "status_class" | "hour_of_week":
                    view[dimension] = int(value)
                case "tier":
                    view["tier"] = cast("Trust | None", value or None)
                case _:
                    view[dimension] = str(value) or None
        data.append({**view, **figures(row)})
    return {"data": data, "since": when(span.since), "until": when(span.until), "bucket": span.bucket}


@router.get("/overview", summary="A span, as much time before it, how both went, and who made most of it")
async def get_overview(
    running: Live,
    wanted: Filters,
    since: Since = None,
    until: str | None = None,
    compare: Annotated[bool, Query(description="With a series of the time before.")] = False,
) -> Overview:
    """Two queries over the roll-ups, whatever the span: one for the figures, one for `top`."""
    start, end, kept = _time(running, since, until)
    async with running.sessions.read() as s:
        found = await usage.overview(s, since=start, until=end, filters=wanted, compare=compare, minutes_from=kept)
        top = await usage.tops(s, since=start, until=end, filters=wanted, minutes_from=kept)
    names = names_of(running).projects
    return {
        "since": when(found.since),
        "until": when(found.until),
        "step_s": found.step,
        "current": _parted(found.now),
        "previous": _parted(found.before),
        "series": [_point(each) for each in found.series],
        "previous_series": None if found.series_before is None else [_point(each) for each in found.series_before],
        "top": {
            "projects": [
                {"project": names.get(row.value), "project_id": row.value, **_top(row)} for row in top["project"]
            ],
            "models": [{"model": row.value or None, **_top(row)} for row in top["model"]],
            "errors": [{"error_code": row.value, **_top(row)} for row in top["error_code"]],
            "tiers": [{"tier": cast("Trust | None", row.value or None), **_top(row)} for row in top["tier"]],
        },
    }


def _point(found: usage.Parted) -> OverviewPoint:
    return {"at": when(found.all.bucket or 0.0), **_parted(found)}


def _top(row: usage.Top) -> TopFigures:
    return {
        "requests": row.requests,
        "errors": row.errors,
        "tokens_input": row.tokens_input,
        "tokens_output": row.tokens_output,
        "cost": row.cost_nanos / 1e9,
    }


def _parted(found: usage.Parted) -> OverviewFigures:
    writing = (found.ok.latency_us - found.ok.ttft_us) / 1e6
    speed = round(found.ok.tokens_output / writing, 1) if found.ok.ttft_count and writing > 0 else None
    return {
        **figures(found.all),
        "ok": found.ok.requests,
        "client_errors": found.client_errors,
        "server_errors": found.server_errors,
        "tokens_per_s": speed,
    }


def figures(row: UsageRow) -> UsageFigures:
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
        "latency_ms_p50": _milliseconds(row.latency_ms(0.5)),
        "latency_ms_p95": _milliseconds(row.latency_ms(0.95)),
        "latency_ms_p99": _milliseconds(row.latency_ms(0.99)),
        "ttft_ms_avg": _milliseconds(row.ttft_us / row.ttft_count / 1000 if row.ttft_count else None),
        "ttft_ms_p50": _milliseconds(row.ttft_ms(0.5)),
        "ttft_ms_p95": _milliseconds(row.ttft_ms(0.95)),
        "ttft_ms_p99": _milliseconds(row.ttft_ms(0.99)),
    }


def _milliseconds(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _groups(by: str) -> list[Group]:
    named = [part.strip() for part in by.split(",") if part.strip()]
    for name in named:
        if name not in GROUPS:
            raise InvalidRequest(f"`by` may hold {', '.join(GROUPS)}; you sent {name[:40]!r}.", param="by")
    return [group for group in GROUPS if group in named]


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
