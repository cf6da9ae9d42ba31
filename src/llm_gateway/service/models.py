"""What a project may call, as `GET /v1/models` shows it. Always from memory."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from llm_gateway.access.policy import Project, Trust
from llm_gateway.exposures import Visible
from llm_gateway.gateway import Gateway
from llm_gateway.names import canonical, pinned


def healthy_servers(gw: Gateway, trust: frozenset[Trust], now: float) -> Counter[str]:
    """`Fleet.healthy` of all models at once, by canonical name: each server is looked at once, not once a model."""
    return Counter(
        name
        for server in gw.fleet.servers.values()
        if server.spec.trust in trust and server.state(now) == "healthy"
        for name, model in server.models.items()
        if not model.rest.resting(now) and model.quarantined(now) is None
    )


class CallableModel(TypedDict):
    """A model that a project may call. `display_name` and `created_at` are what Anthropic's clients read."""

    id: str
    object: Literal["model"]
    created: Annotated[int, Field(description="Unix seconds.")]
    owned_by: str
    type: Literal["model"]
    display_name: str
    created_at: str
    name: str
    backend_model: Annotated[str, Field(description="Who would serve it now.")]
    description: str
    default_params: dict[str, Any]
    context_length: int | None
    capabilities: list[str]
    status: Literal["ready", "unavailable"]
    healthy_servers: int


def visible(gw: Gateway, project: Project) -> list[CallableModel]:
    """Logical names first, then physical ones; also those that no healthy server holds now (`status`)."""
    healthy = healthy_servers(gw, project.trust, gw.clock.now())
    return [_entry(gw, project, healthy, v) for v in gw.visible(project)]


def one(gw: Gateway, project: Project, asked: str) -> CallableModel:
    """Raises ModelNotFound that lists what is exposed, NoPermittedUpstream."""
    name = gw.resolve(project, asked).logical
    known = next((v for v in gw.visible(project) if v.name == name), None)
    healthy = healthy_servers(gw, project.trust, gw.clock.now())
    return _entry(gw, project, healthy, known or Visible(name, (name,), logical=False))


def _entry(gw: Gateway, project: Project, healthy: Counter[str], v: Visible) -> CallableModel:
    def count(backend: str) -> int:
        if pinned(backend).digest is not None:
            return gw.fleet.healthy(backend, project.trust, gw.clock.now())
        return healthy[canonical(backend)]

    counts = [(backend, count(backend)) for backend in v.backends]
    serving = next((b for b, count in counts if count), v.backends[0] if v.backends else v.name)
    details = gw.fleet.details(serving, project.trust)
    created = int(v.created_at or gw.fleet.since(v.name))
    return {
        "id": v.name,
        "object": "model",
        "created": created,
        "owned_by": "llm-gateway",
        "type": "model",
        "display_name": v.name,
        "created_at": _spelt(created),
        "name": v.name,
        "backend_model": serving,
        "description": v.description,
        "default_params": dict(v.params),
        "context_length": details.context_length if details else None,
        "capabilities": list(details.capabilities) if details else [],
        "status": "ready" if any(count for _, count in counts) else "unavailable",
        "healthy_servers": sum(count for _, count in counts),
    }


@lru_cache(maxsize=1024)  # most models of a server are as old as the server is here
def _spelt(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
