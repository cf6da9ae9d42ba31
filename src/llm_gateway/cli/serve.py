"""`llm-gateway serve`: binds, assembles, shows how to begin, and ends in order."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

import uvicorn

from llm_gateway.assemble import Running, assemble
from llm_gateway.cli.banner import show
from llm_gateway.config.load import Loaded
from llm_gateway.first_run import write_private
from llm_gateway.observe import logs
from llm_gateway.web.app import App, create_app
from llm_gateway.web.protocol import bounded_protocol

RUNTIME = "runtime.json"
"""File in the data directory with the real address, for other commands."""
DRAIN = 2.0
"""Seconds from SIGTERM, which turns /readyz to 503, to the closing of the listener: load balancers look meanwhile."""
GRACE = 60
"""Seconds that requests in flight have to finish."""


def serve(loaded: Loaded, *, demo: bool = False) -> int:
    """Serves until a signal ends it. Returns the exit code."""
    settings = loaded.settings
    logs.setup(settings.log_level, settings.log_format)
    try:
        listener = _bind(settings.host, settings.port)
    except OSError as error:
        hint = f"is another gateway running? Try --port {settings.port + 1}" if settings.port else "check --host"
        print(
            f"llm-gateway: cannot listen on {settings.host}:{settings.port}: {error.strerror}; {hint}", file=sys.stderr
        )
        return 1

    @asynccontextmanager
    async def opened() -> AsyncIterator[Running]:
        async with assemble(loaded, demo=demo) as running:
            yield running

    app = create_app(opened)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=bounded_protocol(),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=GRACE,
    )
    server = Server(config, app, listener)
    server.run(sockets=[listener])
    return 0 if server.ever_started else 1


class Server(uvicorn.Server):
    """uvicorn's server, with a banner, a file that says where it listens, SIGHUP, and a drain before it closes."""

    def __init__(self, config: uvicorn.Config, app: App, listener: socket.socket) -> None:
        super().__init__(config)
        self._app = app
        self._listener = listener
        self._reloads: set[asyncio.Task[None]] = set()
        self.ever_started = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        running = self._app.running
        if self.should_exit or running is None:
            return
        self.ever_started = True
        host, port = self._listener.getsockname()[:2]
        url = address(host, port)
        runtime = {"url": url, "host": host, "port": port, "pid": os.getpid()}
        write_private(running.settings.data_dir / RUNTIME, json.dumps(runtime) + "\n")
        running.url = url
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload, running)
        show(running, url)
        if running.demo is not None and running.first is not None:
            running.demo.start_traffic(url, running.first.key)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._app.running is not None:
            _forget(self._app.running.settings.data_dir / RUNTIME)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first SIGTERM drains, then closes; Ctrl-C closes at once; a second signal ends the waiting."""
        running = self._app.running
        if running is None or running.gateway.draining or sig == signal.SIGINT:
            self.force_exit = self.should_exit
            self.should_exit = True
        else:
            asyncio.get_running_loop().call_later(DRAIN, self._close)
        if running is not None:
            running.gateway.draining = True

    def _close(self) -> None:
        self.should_exit = True

    def _reload(self, running: Running) -> None:
        task = asyncio.get_running_loop().create_task(running.reload(), name="reload")
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)


def address(host: str, port: int) -> str:
    """The address to paste: a wildcard is reached as loopback."""
    if ip_address(host).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


def _bind(host: str, port: int) -> socket.socket:
    family, kind, proto, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.socket(family, kind, proto)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(where)
    except OSError:
        listener.close()
        raise
    return listener


def _forget(runtime: Path) -> None:
    """Removes the file, unless a newer process has put its own there."""
    with suppress(OSError, ValueError):
        if json.loads(runtime.read_text())["pid"] == os.getpid():
            runtime.unlink()
