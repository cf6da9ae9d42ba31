"""What a project may call, as `GET /v1/models` shows it. Always from memory."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from llm_gateway.access.policy import Project
from llm_gateway.exposures import Visible
from llm_gateway.exposures import visible as visible_names
from llm_gateway.gateway import Gateway


def visible(gw: Gateway, project: Project) -> list[dict[str, Any]]:
    """Logical names first, then physical ones; also those that no healthy server holds now (`status`)."""
    now = gw.clock.now()
    return [_entry(gw, project, v, now) for v in visible_names(gw.snapshot, project, gw.fleet.names)]


def one(gw: Gateway, project: Project, asked: str) -> dict[str, Any]:
    """Raises ModelNotFound that lists what is exposed, NoPermittedUpstream."""
    name = gw.resolve(project, asked).logical
    for v in visible_names(gw.snapshot, project, gw.fleet.names):
        if v.name == name:
            return _entry(gw, project, v, gw.clock.now())
    return _entry(gw, project, Visible(name, (name,), logical=False), gw.clock.now())


def _entry(gw: Gateway, project: Project, v: Visible, now: float) -> dict[str, Any]:
    healthy = [(b, gw.fleet.healthy(b, project.trust, now)) for b in v.backends]
    serving = next((b for b, count in healthy if count), v.backends[0] if v.backends else v.name)
    details = gw.fleet.details(serving)
    created = int(v.created_at or gw.fleet.since(v.name))
    return {
        "id": v.name,
        "object": "model",
        "created": created,
        "owned_by": "llm-gateway",
        "type": "model",
        "display_name": v.name,
        "created_at": datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "name": v.name,
        "backend_model": serving,
        "description": v.description,
        "default_params": dict(v.params),
        "context_length": details.context_length if details else None,
        "capabilities": list(details.capabilities) if details else [],
        "status": "ready" if any(count for _, count in healthy) else "unavailable",
        "healthy_servers": sum(count for _, count in healthy),
    }
