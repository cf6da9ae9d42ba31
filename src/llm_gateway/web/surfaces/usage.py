"""`GET /v1/usage`: what a project has used, asked with one of its own keys. Nobody else's figures are in reach here:
the caller's project is a condition of every query."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import Depends, Query
from typing_extensions import TypedDict

from llm_gateway.access.policy import LIMITS, ApiKey, Caller, LimitName, Project
from llm_gateway.errors import InvalidRequest
from llm_gateway.storage import usage
from llm_gateway.storage.usage import UsageFilters
from llm_gateway.web.admin.common import Live, moment, when
from llm_gateway.web.admin.stats import DAY, UsageFigures, figures
from llm_gateway.web.auth import project_caller
from llm_gateway.web.described import REFUSED, DescribedRouter, Time

router = DescribedRouter(tags=["usage"], responses=REFUSED)

DAYS: Final = 7
MOST_DAYS: Final = 400
MOST_MODELS: Final = 100


class UsageOfModel(UsageFigures):
    model: str | None


class UsageOfDay(UsageFigures):
    day: str


class SetLimits(TypedDict):
    """Of each, the limits that are set."""

    project: dict[LimitName, float]
    key: dict[LimitName, float]


class OwnUsage(TypedDict):
    object: Literal["usage"]
    project: str
    since: Time
    until: Time
    total: UsageFigures
    by_model: list[UsageOfModel]
    by_day: list[UsageOfDay]
    limits: SetLimits


@router.get("/v1/usage", summary="What your project has used, and what it may")
async def get_usage(
    running: Live,
    caller: Annotated[Caller, Depends(project_caller)],
    since: Annotated[str | None, Query(description="ISO 8601 or Unix seconds; absent: 7 days before `until`.")] = None,
    until: Annotated[str | None, Query(description="Absent: now.")] = None,
) -> OwnUsage:
    """The requests of all keys of the project: together, by model (the 100 with most requests), and by day of UTC.
    Both ends are brought to whole minutes, and to whole hours where figures by the minute are no longer kept."""
    now = running.gateway.clock.wall()
    end = moment(until, "until")
    end = now + 1 if end is None else end
    start = moment(since, "since")
    start = max(0.0, end - DAYS * DAY) if start is None else start
    if not start <= end <= start + MOST_DAYS * DAY:
        raise InvalidRequest(f"`until` must be within {MOST_DAYS} days after `since`.", param="until")
    kept = now - running.settings.retention.minute_days * DAY
    mine = UsageFilters(project_id=caller.project.id)
    async with running.sessions.read() as s:
        days = await usage.usage(s, since=start, until=end, bucket="day", filters=mine, minutes_from=kept)
        models = await usage.usage(
            s, since=start, until=end, by=("model",), filters=mine, top=MOST_MODELS, minutes_from=kept
        )
    span = usage.span(start, end, minutes_from=kept)
    return {
        "object": "usage",
        "project": caller.project.name,
        "since": when(span.since),
        "until": when(span.until),
        "total": figures(usage.total(days)),
        "by_model": [{"model": str(row.group[0]) or None, **figures(row)} for row in models],
        "by_day": [{"day": (when(row.bucket) or "")[:10], **figures(row)} for row in days],
        "limits": {"project": _limits(caller.project), "key": _limits(caller.key)},
    }


def _limits(holder: Project | ApiKey) -> dict[LimitName, float]:
    """Those that are set."""
    return {name: value for name in LIMITS if (value := getattr(holder, name)) is not None}
