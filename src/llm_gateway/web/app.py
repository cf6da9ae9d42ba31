"""The HTTP application: the hot routes in one exact dict, probes and metrics beside them, all else through FastAPI.

`create_app` gets a way to open the running gateway and calls it at startup: importing or building the app opens
no database, reads no file and starts no task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from llm_gateway.errors import Forbidden
from llm_gateway.running import Running
from llm_gateway.web import asgi, fences
from llm_gateway.web.bodies import bounded
from llm_gateway.web.hot import Edge, Surface
from llm_gateway.web.keyed import PREFIX, unkeyed
from llm_gateway.web.later import Later
from llm_gateway.web.machines import answered
from llm_gateway.web.peers import Peers
from llm_gateway.web.pulse import Pulse
from llm_gateway.web.scales import memory_limit, weigh
from llm_gateway.web.surfaces import ROUTES

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

Opener = Callable[[], AbstractAsyncContextManager[Running]]


NEVER_FROM_BROWSERS: Final = ("/admin", "/metrics")
"""Paths that no other origin is ever let at, whatever `cors_origins` says."""
SHOWN: Final = ("model", "attempts", "notes")
"""Of the `X-Gateway-*` headers, what scripts in browsers may read."""
_NO_KEYS_HERE: Final = (
    "Keys in addresses are not taken here: send the key as a header, or let an operator set "
    "LLM_GATEWAY_KEYS_IN_URLS=true."
)


class App:
    """ASGI: lifespan opens and closes the gateway; hot paths go straight to `web.asgi`. A server that reads HTTP
    itself (`web.straight`) takes `edge` instead."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._stack = AsyncExitStack()
        self.edge: Edge | None = None
        """What hot requests need, from the start of the gateway on."""
        self._cold: ASGIApp = _not_started
        self.grown: Callable[[], None] = lambda: None
        """Told when the cold application was made."""
        self._for_browsers: ASGIApp = self._answer
        self._root = ""
        self._keys_in_urls = False
        self.running: Running | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._lifespan(receive, send)
        if scope["type"] != "http":
            return await self._cold(scope, receive, send)
        if root := self._root:
            # a proxy in front may strip its prefix or leave it; ASGI wants it in `path`, and told in `root_path`
            path = scope["path"]
            scope = {**scope, "path": path if path.startswith(root + "/") else root + path, "root_path": root}
        if _bare(scope).startswith(PREFIX):
            scope = unkeyed(scope, self._root)
            if not self._keys_in_urls:
                shape = asgi.shape_of(_bare(scope))
                return await asgi.refuse(self._gateway, shape, send, Forbidden(_NO_KEYS_HERE))
        path = _bare(scope)
        closed = path.startswith(NEVER_FROM_BROWSERS)
        if closed and fences.covers(path):
            assert self.edge is not None
            send = fences.fenced(send, path, self.edge.peers.scheme(scope))
        return await (self._answer if closed else self._for_browsers)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.edge is not None
        surface = self.edge.surfaces.get(_bare(scope))
        assert self.running is not None
        if surface is not None:
            await asgi.answer(self.edge, surface, scope, receive, send)
        elif not await answered(_bare(scope), self.running, scope, send := self._identified(send)):
            await self._cold(scope, bounded(receive), send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            self.running = await self._stack.enter_async_context(self._opener())
            self._wire(self.running)
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        gateway = self._gateway
        assert self.edge is not None
        pulse = asyncio.create_task(self.edge.pulse.run(), name="pulse")
        scales = asyncio.create_task(weigh(gateway.pressure, gateway.clock), name="scales")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        pulse.cancel()
        scales.cancel()
        self.running.gateway.draining = True
        await self._stack.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    def _wire(self, running: Running) -> None:
        settings = running.settings
        self._gateway = running.gateway
        self._gateway.pressure.memory_limit = memory_limit(settings.max_memory)
        self._root = root = settings.root_path.rstrip("/")
        self._keys_in_urls = settings.keys_in_urls
        surfaces = {route.path: Surface(route, settings) for route in ROUTES}
        self.edge = Edge(
            running.gateway,
            Peers([ip_network(n) for n in settings.trusted_proxies]),
            Pulse(running.gateway.clock),
            surfaces,
            {(prefix + path).encode(): surface for path, surface in surfaces.items() for prefix in {"", root}},
            for_browsers=bool(settings.cors_origins),
        )
        self._cold = Later(running, self.edge.peers, self.edge.pulse)
        self._cold.loaded = self.grown
        if settings.cors_origins:
            from starlette.middleware.cors import CORSMiddleware  # only here: most let nobody in

            self._for_browsers = CORSMiddleware(
                self._answer,
                allow_origins=list(settings.cors_origins),
                allow_methods=["GET", "POST", "OPTIONS"],
                allow_headers=["*"],
                expose_headers=[
                    "x-request-id",
                    "retry-after",
                    "x-gateway-model",
                    "x-gateway-attempts",
                    "x-gateway-notes",
                ],
            )

    def _identified(self, send: Send) -> Send:
        """Every answer has an id; those of errors are in their bodies already."""

        async def identified(message: Message) -> None:
            if message["type"] == "http.response.start" and not any(
                n == b"x-request-id" for n, _ in message["headers"]
            ):
                identity = str(self._gateway.ids()).encode()
                numbered = [(b"x-request-id", identity), (b"request-id", identity)]
                message["headers"] = [*message["headers"], *numbered]
            await send(message)

        return identified


def create_app(opener: Opener) -> App:
    return App(opener)


def _bare(scope: Scope) -> str:
    """The path as the routes know it, without a proxy's prefix (also one that uvicorn was started with)."""
    path: str = scope["path"]
    root = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(root + "/") else path


async def _not_started(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("The application has not been started: its lifespan must run first.")
