"""The admin API: one file per topic, and one line here. Every router demands the administrator itself."""

from typing import Final

from fastapi import APIRouter

from llm_gateway.web.admin import (
    alerts,
    config,
    erasures,
    explain,
    feed,
    keys,
    live,
    models,
    onboarding,
    payloads,
    projects,
    requests,
    servers,
    sources,
    stats,
    timeline,
)

ADMIN_ROUTERS: Final[tuple[APIRouter, ...]] = (
    projects.router,
    keys.router,
    explain.router,
    models.router,
    timeline.router,  # before the servers, whose names could be anything
    servers.router,
    sources.router,
    erasures.router,
    payloads.router,
    requests.router,
    live.router,
    onboarding.router,
    feed.router,
    stats.router,
    alerts.router,
    config.router,
)
