"""`GET /v1/usage`: what a project has used, asked with one of its own keys. Nobody else's figures are in reach here:
the caller's project is a condition of every query."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query

from llm_gateway.access.policy import LIMITS, ApiKey, Caller, Project
from llm_gateway.errors import InvalidRequest
from llm_gateway.storage import usage
from llm_gateway.storage.usage import UsageFilters, UsageRow
from llm_gateway.web.admin.common import Live, moment, when
from llm_gateway.web.auth import project_caller

router = APIRouter(tags=["models"])

DAY: Final = 86_400.0
DAYS: Final = 7
MOST_DAYS: Final = 400
MOST_MODELS: Final = 100
_ADDED: Final = ("requests", "errors", "saved", "tokens_input", "tokens_output", "tokens_estimated", "cost_nanos")


@router.get("/v1/usage", summary="What your project has used, and what it may")
async def get_usage(
    running: Live,
    caller: Annotated[Caller, Depends(project_caller)],
    since: Annotated[str | None, Query(description="ISO 8601 or Unix seconds; absent: 7 days ago.")] = None,
    until: Annotated[str | None, Query(description="Absent: now.")] = None,
) -> dict[str, Any]:
    """All requests of the project, over all of its keys: together, by model (the 100 with most requests) and by day."""
    now = running.gateway.clock.wall()
    end = moment(until, "until")
    end = now if end is None else end
    begin = moment(since, "since")
    begin = max(0.0, end - DAYS * DAY) if begin is None else begin
    if not begin <= end <= begin + MOST_DAYS * DAY:
        raise InvalidRequest(f"`until` must be within {MOST_DAYS} days after `since`.", param="until")
    mine = UsageFilters(project_id=caller.project.id)
    async with running.sessions.read() as s:
        days = await usage.usage(s, since=begin, until=end, bucket="day", filters=mine)
        models = await usage.usage(s, since=begin, until=end, by=("model",), filters=mine, top=MOST_MODELS)
    return {
        "object": "usage",
        "project": caller.project.name,
        "since": when(begin),
        "until": when(end),
        "total": _figures(days),
        "by_model": [{"model": row.group[0] or None, **_figures([row]), **_speed(row)} for row in models],
        "by_day": [{"day": (when(row.bucket) or "")[:10], **_figures([row])} for row in days],
        "limits": {"project": _limits(caller.project), "key": _limits(caller.key)},
    }


def _figures(rows: Iterable[UsageRow]) -> dict[str, Any]:
    sums = dict.fromkeys(_ADDED, 0)
    for row in rows:
        for name in _ADDED:
            sums[name] += getattr(row, name)
    return {**sums, "cost": sums.pop("cost_nanos") / 1e9}


def _speed(row: UsageRow) -> dict[str, Any]:
    return {"latency_ms_p95": row.latency_ms(0.95), "ttft_ms_p95": row.ttft_ms(0.95)}


def _limits(holder: Project | ApiKey) -> dict[str, Any]:
    """Those that are set."""
    return {name: value for name in LIMITS if (value := getattr(holder, name)) is not None}
