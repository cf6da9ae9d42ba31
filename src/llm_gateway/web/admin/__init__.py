"""The admin API: one file per topic, and one line here. Every router demands the administrator itself."""

from typing import Final

from fastapi import APIRouter

from llm_gateway.web.admin import (
    alert_rules,
    alerts,
    catalogue,
    config,
    config_drafts,
    doctor,
    erasures,
    explain,
    feed,
    keys,
    live,
    models,
    onboarding,
    payloads,
    playground,
    projects,
    requests,
    server_changes,
    servers,
    session,
    sources,
    stats,
    timeline,
    trail,
    trials,
    users,
)

ADMIN_ROUTERS: Final[tuple[APIRouter, ...]] = (
    projects.router,
    keys.router,
    explain.router,
    playground.router,
    models.router,
    trials.router,
    catalogue.router,
    server_changes.router,
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
    alert_rules.router,
    alerts.router,
    config.router,
    session.router,
    users.router,
    trail.router,
    config_drafts.router,
    doctor.router,
)
