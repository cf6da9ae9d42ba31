"""The cold application, made when somebody first asks for it.

FastAPI, pydantic's models of the admin API and what they are compiled to are a sixth of what an idle gateway would
hold, and a third of the time of its start. Model clients, probes and Prometheus need none of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from llm_gateway.running import Running
from llm_gateway.web.peers import Peers
from llm_gateway.web.pulse import Pulse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Later:
    """ASGI. The first request waits until the application is there; hot requests go on meanwhile, as it is made in a
    thread."""

    def __init__(self, running: Running, peers: Peers, pulse: Pulse) -> None:
        self._running, self._peers, self._pulse = running, peers, pulse
        self._app: ASGIApp | None = None
        self._loading: asyncio.Task[None] | None = None
        self.loaded: Callable[[], None] = lambda: None
        """Told once, when it is there."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            if self._loading is None or self._loading.done():  # done without an application: it is tried again
                self._loading = asyncio.create_task(self._load(), name="cold application")
            await asyncio.shield(self._loading)  # others wait for it too
            assert self._app is not None
        await self._app(scope, receive, send)

    async def _load(self) -> None:
        self._app = await asyncio.to_thread(_made, self._running, self._peers, self._pulse)
        self.loaded()


def _made(running: Running, peers: Peers, pulse: Pulse) -> ASGIApp:
    from llm_gateway.web.cold import create_cold_app  # only here: it brings FastAPI along

    return create_cold_app(running, peers, pulse)
