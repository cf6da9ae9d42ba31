"""`GET /v1/usage`: what a project has used, asked with one of its own keys. Nobody else's figures are in reach here:
the caller's project is a condition of every query."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query

from llm_gateway.access.policy import LIMITS, ApiKey, Caller, Project
from llm_gateway.errors import InvalidRequest
from llm_gateway.storage import usage
from llm_gateway.storage.usage import UsageFilters
from llm_gateway.web.admin.common import Live, moment, when
from llm_gateway.web.admin.stats import DAY, figures
from llm_gateway.web.auth import project_caller

router = APIRouter(tags=["usage"])

DAYS: Final = 7
MOST_DAYS: Final = 400
MOST_MODELS: Final = 100


@router.get("/v1/usage", summary="What your project has used, and what it may")
async def get_usage(
    running: Live,
    caller: Annotated[Caller, Depends(project_caller)],
    since: Annotated[str | None, Query(description="ISO 8601 or Unix seconds; absent: 7 days before `until`.")] = None,
    until: Annotated[str | None, Query(description="Absent: now.")] = None,
) -> dict[str, Any]:
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
        "by_model": [{"model": row.group[0] or None, **figures(row)} for row in models],
        "by_day": [{"day": (when(row.bucket) or "")[:10], **figures(row)} for row in days],
        "limits": {"project": _limits(caller.project), "key": _limits(caller.key)},
    }


def _limits(holder: Project | ApiKey) -> dict[str, Any]:
    """Those that are set."""
    return {name: value for name in LIMITS if (value := getattr(holder, name)) is not None}
