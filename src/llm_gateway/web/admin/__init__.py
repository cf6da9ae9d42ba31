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
    keys,
    models,
    payloads,
    playground,
    projects,
    requests,
    server_changes,
    servers,
    sources,
    stats,
    trials,
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
    servers.router,
    sources.router,
    erasures.router,
    payloads.router,
    requests.router,
    stats.router,
    alert_rules.router,
    alerts.router,
    config.router,
    config_drafts.router,
    doctor.router,
)
