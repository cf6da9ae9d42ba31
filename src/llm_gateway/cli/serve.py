"""The server process: binds, assembles, shows how to begin, and ends in order.

What cannot work (a port in use, a database of a newer version) is found before uvicorn is started, so that it ends in
one line on stderr instead of uvicorn's own. A database that is away is no reason not to start.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from ipaddress import ip_address
from types import FrameType
from typing import Any

import structlog
import uvicorn

from llm_gateway import __version__
from llm_gateway.assemble import assemble
from llm_gateway.cli import garbage
from llm_gateway.cli.banner import show
from llm_gateway.cli.client import Runtime
from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.config.load import Loaded
from llm_gateway.config.mistakes import ConfigMistakes
from llm_gateway.errors import GatewayError
from llm_gateway.observe import logs
from llm_gateway.running import Running
from llm_gateway.settings import Settings
from llm_gateway.web.app import App, create_app
from llm_gateway.web.straight import straight_protocol

DRAIN = 2.0
"""Seconds from SIGTERM, which turns /readyz to 503, to the closing of the listener: load balancers look meanwhile."""
GRACE = 60
"""Seconds that requests in flight have to finish."""
INSISTED = 5.0
"""Seconds that they have once the operator has asked a second time."""

log = structlog.get_logger(__name__)


def serve(loaded: Loaded, *, demo: bool = False, again: Callable[[], Loaded] | None = None) -> int:
    """Serves until a signal ends it, and returns the exit code. `again` reads the configuration anew, for SIGHUP.
    Raises Stop and GatewayError for what cannot start."""
    settings = loaded.settings
    logs.setup(settings.log_level, settings.log_format)
    if settings.workers > 1:
        if demo:
            raise Stop("The demo is one process.", "Leave out --demo or --workers.", code=Exit.USAGE)
        from llm_gateway.cli.workers import supervise  # only here: one process needs no supervisor

        with bound(settings) as listener:
            return supervise(loaded, again or (lambda: loaded), listener)
    with bound(settings) as listener:
        config = uvicorn_config(settings)
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_serve(loaded, config, listener, demo=demo))
    log.info("ended")
    return Exit.OK


def uvicorn_config(settings: Settings) -> uvicorn.Config:
    """uvicorn as it serves the gateway; its `app` comes when there is one."""
    return uvicorn.Config(
        no_app,
        host=settings.host,
        port=settings.port,
        http=straight_protocol(settings.trusted_proxies),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=GRACE,
    )


async def _serve(loaded: Loaded, config: uvicorn.Config, listener: socket.socket, *, demo: bool) -> None:
    async with assemble(loaded, demo=demo) as running:
        config.app = app = create_app(lambda: nullcontext(running))
        await Server(config, app, running, listener).serve(sockets=[listener])


async def no_app(*_: object) -> None:
    """Stands in until the gateway is assembled: uvicorn's configuration chooses the event loop, which comes first."""


class Server(uvicorn.Server):
    """uvicorn's server, with a banner, a file that says where it listens, SIGHUP, and a drain before it closes."""

    def __init__(self, config: uvicorn.Config, app: App, running: Running, listener: socket.socket) -> None:
        super().__init__(config)
        self._app = app
        self.running = running
        self.listener = listener
        self._runtime: Runtime | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.asked = 0
        """How often the process was asked to end."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        garbage.settled()
        self._app.grown = garbage.settled
        await super().startup(sockets)
        if self.should_exit:
            return
        self.keep(garbage.collect(lambda: len(self.server_state.tasks)), "garbage")
        self.started_up()

    def started_up(self) -> None:
        """The listener is open."""
        running = self.running
        self._runtime = announce(running, self.listener)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        if running.prepared.is_set():
            self._begin_demo()
        else:
            self.keep(self.prepared_later(), "prepared")

    async def prepared_later(self) -> None:
        """Once the database is there: shows what there is now, and a first key."""
        await self.running.prepared.wait()
        show(self.running, str(self.running.url))
        self._begin_demo()

    def _begin_demo(self) -> None:
        running = self.running
        if running.demo is not None and running.first is not None and running.url is not None:
            running.demo.start_traffic(running.url, running.first.key)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._runtime is not None:
            self._runtime.forget(self.running.settings.data_dir)
        for task in self._tasks:
            task.cancel()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first SIGTERM drains, then closes; Ctrl-C closes at once. A second signal gives requests in flight five
        seconds, a third none: they end in a typed error, and their rows are written."""
        self.ask_to_end(sig)
        if self.asked == 1:  # not here: what the signal came between may be the writing of another line
            asyncio.get_running_loop().call_soon(self._say_draining)

    def _say_draining(self) -> None:
        log.info("draining", requests=len(self.server_state.tasks))

    def ask_to_end(self, sig: int) -> None:
        """What `handle_exit` says, where no signal says it."""
        self.running.gateway.draining = True
        self._tell_clients()
        self.asked += 1
        loop = asyncio.get_running_loop()
        if self.asked == 1 and sig == signal.SIGTERM:
            loop.call_later(DRAIN, self.close)
        else:
            self.close()
        if self.asked == 2:
            loop.call_later(INSISTED, self._end_requests)
        elif self.asked > 2:
            self._end_requests()

    def close(self) -> None:
        """Accepts no more connections; requests in flight go on, without a share of what others may ask the servers."""
        self._tell_clients()
        if not self.should_exit:
            self.keep(self.running.others.retire(), "retire")
        self.should_exit = True

    def _tell_clients(self) -> None:
        self.config.http_protocol_class.leaving = True  # type: ignore[attr-defined]  # it is `straight_protocol`'s

    def _end_requests(self) -> None:
        for task in tuple(self.server_state.tasks):
            task.cancel()

    def _reload(self) -> None:
        self.keep(reload(self.running), "reload")

    def keep(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Runs it until it ends, or the server does."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def announce(running: Running, listener: socket.socket) -> Runtime:
    """Says where the gateway listens: in `runtime.json`, which is returned, in the log and in the banner."""
    running.url = url = address(*listener.getsockname()[:2])
    config, data_dir = running.loaded.config, running.settings.data_dir
    runtime = Runtime(
        url, os.getpid(), config.resolve() if config else None, __version__, demo=running.demo is not None
    )
    try:
        runtime.write(data_dir)
    except OSError as error:  # a full or read-only disk; other commands do not find this process then
        log.warning("address_not_written", reason=str(error))
    log.info("listening", url=url, data_dir=str(data_dir))
    show(running, url)
    return runtime


async def reload(running: Running) -> None:
    """What SIGHUP does. Whatever is wrong with the file is logged and changes nothing."""
    try:
        await running.reload()
    except ConfigMistakes as mistakes:
        for mistake in mistakes.mistakes:
            log.error("config_reload_refused", mistake=str(mistake))
    except GatewayError as error:
        log.error("config_reload_refused", error=error.message)


def address(host: str, port: int) -> str:
    """The address to paste: a wildcard is reached as loopback."""
    if ip_address(host).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


def bound(settings: Settings) -> socket.socket:
    """The listener, bound and not yet listening: a port in use shows before anything else is touched."""
    host, port = settings.host, settings.port
    try:
        family, kind, proto, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        hint = f"Is another gateway running? Try --port {port + 1}." if port else "Check --host."
        raise Stop(f"Cannot listen on {host}:{port}: {error.strerror}.", hint) from error
    return listener
