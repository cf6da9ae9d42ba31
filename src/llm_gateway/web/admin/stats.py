"""Figures over the request log: per project, model, status, over time."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, get_args

from fastapi import Query

from llm_gateway.errors import InvalidRequest
from llm_gateway.storage import stats
from llm_gateway.web.admin.common import Live, admin_router, listed, when
from llm_gateway.web.admin.requests import Filters, project_names

router = admin_router("stats")
DAY = 86_400.0


@router.get("", summary="Requests, errors, tokens and latencies, grouped")
async def get_stats(
    running: Live,
    wanted: Filters,
    bucket: Annotated[stats.Bucket | None, Query(description="Absent: one row per group over the whole time.")] = None,
    by: Annotated[str, Query(description="Comma separated: project, model, backend_model, status_class, endpoint.")] = (
        "project,model,status_class"
    ),
) -> dict[str, Any]:
    """The last 24 hours unless `since` says otherwise."""
    groups = [part.strip() for part in by.split(",") if part.strip()]
    allowed = get_args(stats.Group)
    for group in groups:
        if group not in allowed:
            raise InvalidRequest(f"`by` may hold {', '.join(allowed)}; you sent {group[:40]!r}.", param="by")
    until = wanted.until if wanted.until is not None else running.gateway.clock.wall() + 1
    since = wanted.since if wanted.since is not None else until - DAY
    async with running.sessions.read() as s:
        rows = await stats.stats(
            s, since=since, until=until, bucket=bucket, group_by=[g for g in allowed if g in groups], filters=wanted
        )
    names = project_names(running)
    kept = {"project": "project_id"}
    shown = {kept.get(g, g) for g in groups} | ({"bucket"} if bucket else set())
    keys = {"bucket", "project_id", "model", "backend_model", "status_class", "endpoint"}
    data = []
    for row in rows:
        view = {name: value for name, value in asdict(row).items() if name not in keys or name in shown}
        if "bucket" in view:
            view["bucket"] = when(view["bucket"])
        if "project_id" in view:
            view = {"project": names.get(view["project_id"]), **view}
        data.append(view)
    return listed(data, since=when(since), until=when(until))
