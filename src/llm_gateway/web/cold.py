"""FastAPI for everything that is not hot: models, health, admin, documentation.

Loaded by `web.later`, and by commands that work without a server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from llm_gateway import __version__
from llm_gateway.running import Running
from llm_gateway.web import errors, openapi
from llm_gateway.web.admin import ADMIN_ROUTERS
from llm_gateway.web.admin.feed import Feed
from llm_gateway.web.docs import mount_docs
from llm_gateway.web.health import router as health_router
from llm_gateway.web.hot import Edge
from llm_gateway.web.logins import Logins
from llm_gateway.web.peers import Peers
from llm_gateway.web.pulse import Pulse
from llm_gateway.web.signed_in import SignedIn
from llm_gateway.web.surfaces.cold import ROUTERS
from llm_gateway.web.ui import router as ui_router


def create_cold_app(running: Running, peers: Peers, pulse: Pulse | None = None) -> FastAPI:
    """All routes that are not hot. Takes half a second, and as much again the first time for what is imported.
    `pulse`: of the process that serves; without one no stream is kept alive."""

    @asynccontextmanager
    async def nothing(_: FastAPI) -> AsyncIterator[None]:
        yield

    app = FastAPI(
        title="LLM Gateway",
        version=__version__,
        description=openapi.DESCRIPTION,
        lifespan=nothing,
        docs_url=None,
        redoc_url=None,
        openapi_tags=openapi.TAGS,
        generate_unique_id_function=_operation_id,
    )
    app.state.running = running
    app.state.gateway = running.gateway
    app.state.peers = peers
    app.state.signed_in = signed_in = SignedIn(running)
    app.state.logins = Logins(running, signed_in)
    app.state.edge = Edge(running.gateway, peers, pulse or Pulse(running.gateway.clock), {}, {}, for_browsers=False)
    app.state.feed = Feed(running, signed_in)
    app.include_router(health_router)
    for router in ROUTERS:
        app.include_router(router)
    for router in ADMIN_ROUTERS:
        app.include_router(router)
    app.include_router(ui_router)
    errors.install(app)
    mount_docs(app)
    plain_openapi = app.openapi

    def whole_openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = openapi.with_hot_routes(plain_openapi(), running.settings.public_url)
        return app.openapi_schema

    app.openapi = whole_openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the schema
    return app


def _operation_id(route: APIRoute) -> str:
    """Programs that are generated from the description call a route so: its function's name, which stays."""
    return route.name
