"""FastAPI for everything that is not hot: models, health, admin, documentation.

Loaded by `web.later`, and by commands that work without a server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from llm_gateway import __version__
from llm_gateway.running import Running
from llm_gateway.web import errors, openapi
from llm_gateway.web.admin import ADMIN_ROUTERS
from llm_gateway.web.admin.feed import Feed
from llm_gateway.web.docs import mount_docs
from llm_gateway.web.health import router as health_router
from llm_gateway.web.peers import Peers
from llm_gateway.web.surfaces.cold import ROUTERS


def create_cold_app(running: Running, peers: Peers) -> FastAPI:
    """All routes that are not hot. Takes half a second, and as much again the first time for what is imported."""

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
    )
    app.state.running = running
    app.state.gateway = running.gateway
    app.state.peers = peers
    app.state.feed = Feed(running)
    app.include_router(health_router)
    for router in ROUTERS:
        app.include_router(router)
    for router in ADMIN_ROUTERS:
        app.include_router(router)
    errors.install(app)
    mount_docs(app)
    plain_openapi = app.openapi

    def whole_openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = openapi.with_hot_routes(plain_openapi(), running.settings.public_url)
        return app.openapi_schema

    app.openapi = whole_openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the schema
    return app
