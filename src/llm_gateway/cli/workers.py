"""`serve --workers N`: a parent that prepares once, holds the listener and looks after N worker processes.

The parent is uvicorn's own supervisor. What it cannot do is added here: an orderly end with a second and a third
request to hurry, replacements that do not wait until the replaced worker has finished its last stream, workers that
notice when their parent was killed. Each worker serves as a single process does, on the listener it inherits: while
one of them ends, connections that wait are taken by the others, and none is refused.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from multiprocessing import parent_process
from types import FrameType

import structlog
import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from llm_gateway.assemble import assemble
from llm_gateway.cli.banner import show
from llm_gateway.cli.client import Runtime
from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.serve import Server, address, announce, no_app, uvicorn_config
from llm_gateway.config.load import Loaded
from llm_gateway.config.mistakes import ConfigMistakes
from llm_gateway.errors import GatewayError
from llm_gateway.observe import logs
from llm_gateway.observe.workers import shared_figures
from llm_gateway.running import Running
from llm_gateway.web.app import create_app
from llm_gateway.web.scales import steady

START = 60
"""Seconds that a worker has to become ready, and to answer its parent."""
CALM = 5.0
"""Seconds that it waits at most until all that begins with it is done, before it accepts anything."""
AGAIN = 1.0
"""Seconds that a worker which cannot start waits before it ends, so that it is not started all the time."""
FIXED = ("host", "port", "workers", "data_dir")
"""Settings that stay until the whole service is started anew."""
BACKLOG = 2048
LATE = 0.5
"""Seconds for the request of a client whose connection was accepted just before the listener was closed."""

log = structlog.get_logger(__name__)


def supervise(loaded: Loaded, again: Callable[[], Loaded], listener: socket.socket) -> int:
    """Serves with several workers until a signal ends it, and returns the exit code. `again` reads the configuration
    anew, for SIGHUP. Raises Stop and GatewayError for what cannot start."""
    running = asyncio.run(_prepare(loaded))
    listener.listen(BACKLOG)  # by the parent, too: while no worker is there, connections wait
    with shared_figures():
        Supervisor(running, again, listener).run()
    log.info("ended")
    return Exit.OK


async def _prepare(loaded: Loaded) -> Running:
    """What has to happen once: the database's schema, the first project, the list of servers. Nothing of it runs on.
    Where the database is away the workers do it, when it is back."""
    async with assemble(loaded, serving=False, parent=True) as running:
        return running


class Worker(Process):
    """One worker as its parent sees it; `target` is what runs in its process."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], loaded: Loaded) -> None:
        self._loaded = loaded
        super().__init__(config, sockets)

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        assert sockets
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells the whole group; the parent passes it on
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        threading.Thread(target=self.always_pong, daemon=True).start()
        settings = self._loaded.settings
        logs.setup(settings.log_level, settings.log_format)
        config = uvicorn_config(settings)
        try:
            with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
                runner.run(self._serve(config, sockets[0]))
        except (GatewayError, OSError) as error:
            log.error("worker_cannot_start", error=getattr(error, "message", str(error)))
            time.sleep(AGAIN)
            sys.exit(Exit.UNAVAILABLE)

    async def _serve(self, config: uvicorn.Config, listener: socket.socket) -> None:
        async with assemble(self._loaded, worker=True) as running:
            config.app = app = create_app(lambda: nullcontext(running))
            self._server = WorkerServer(config, app, running, listener)
            await self._server.serve(sockets=[listener])

    def start(self) -> None:
        super().start()
        self.child_conn.close()  # the worker's end: so that its death is heard at once by whoever waits for its word

    def pong(self) -> None:
        self.child_conn.recv()
        self.child_conn.send(self._server is not None and self._server.started)

    def tell(self, sig: signal.Signals) -> None:
        if self.process.exitcode is None and self.pid is not None:
            os.kill(self.pid, sig)


class WorkerServer(Server):
    """SIGTERM drains, however often it comes: a service manager tells the whole group, and the parent passes it on.
    SIGUSR1 is how the parent hurries, SIGUSR2 how it says that a worker was replaced."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await steady(self.running.gateway.clock, CALM)  # its predecessor answers meanwhile
        await super().startup(sockets)

    def started_up(self) -> None:
        self.running.url = address(*self.listener.getsockname()[:2])
        if not self.running.prepared.is_set():
            self.keep(self.prepared_later(), "prepared")
        self.running.reloaded = lambda: os.kill(os.getppid(), signal.SIGHUP)  # asked for by the admin API of one worker
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self.ask_to_end, signal.SIGUSR1)
        loop.add_signal_handler(signal.SIGUSR2, self._replaced)
        parent = parent_process()
        assert parent is not None
        loop.add_reader(parent.sentinel, self._orphaned, parent.sentinel)

    async def prepared_later(self) -> None:
        await self.running.prepared.wait()
        if self.running.shows_secrets and self.running.url is not None:
            show(self.running, self.running.url)  # its key is seen nowhere else

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Others go on accepting on the same listener, so connections still come here until the last moment: their
        requests, which are under way, are answered."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(LATE)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.asked:
            self.ask_to_end(sig)

    def _replaced(self) -> None:
        """Its successor accepts already: it closes at once, and `/readyz` stays 200, for the host is ready."""
        self.asked = max(self.asked, 1)
        self.close()

    def _orphaned(self, sentinel: int) -> None:
        """The parent was killed: the next one needs the port, so it closes at once; requests in flight go on."""
        asyncio.get_running_loop().remove_reader(sentinel)
        log.error("parent_died")
        self.ask_to_end(signal.SIGINT)


class Supervisor(Multiprocess):
    """uvicorn's, over `Worker`s. SIGHUP reads the configuration and replaces all workers one after the other, TTIN and
    TTOU add and take one. SIGTERM drains all; a second one gives requests in flight five seconds, a third none."""

    def __init__(self, running: Running, again: Callable[[], Loaded], listener: socket.socket) -> None:
        settings = running.settings
        config = uvicorn.Config(
            no_app, workers=settings.workers, log_config=None, timeout_worker_healthcheck=START, access_log=False
        )
        super().__init__(config, [listener])
        self._prepared = running
        self._loaded = running.loaded
        self._again = again
        self._runtime: Runtime | None = None
        self._retiring: list[Worker] = []
        """Replaced ones that still have requests in flight."""
        for sig in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sig, self._asked_to_end)

    def init_processes(self) -> None:
        """All workers, then the banner. Raises Stop when one cannot start."""
        self.processes = [self._started() for _ in range(self.processes_num)]
        for worker in self.processes:
            if not worker.wait_until_ready(START, self.should_exit) and not self.should_exit.is_set():
                self.terminate_all()
                self.join_all()
                raise Stop("A worker could not start.", "Its own words are above.", code=Exit.UNAVAILABLE)
        if not self.should_exit.is_set():
            self._runtime = announce(self._prepared, self.sockets[0])

    def restart_all(self) -> None:
        """Replaces each worker when its replacement is ready. A configuration with mistakes replaces none."""
        try:
            fresh = self._again()
        except ConfigMistakes as mistakes:
            for mistake in mistakes.mistakes:
                log.error("config_reload_refused", mistake=str(mistake))
            return
        kept = {name: getattr(self._loaded.settings, name) for name in FIXED}
        before, self._loaded = self._loaded, replace(fresh, settings=fresh.settings.model_copy(update=kept))
        for n in range(len(self.processes)):
            worker = self._started()
            if not worker.wait_until_ready(START, self.should_exit):
                worker.kill()
                worker.join()
                self._loaded = before
                if not self.should_exit.is_set():
                    log.error("worker_not_ready", pid=worker.pid, consequence="the others stay as they are")
                return
            self._retire(self.processes[n])
            self.processes[n] = worker
        log.info("workers_replaced", pids=[worker.pid for worker in self.processes])

    def keep_subprocess_alive(self) -> None:
        for gone in [worker for worker in self._retiring if worker.exitcode is not None]:
            self._retiring.remove(gone)
            gone.join()
        for n, worker in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if worker.is_alive(timeout=self.config.timeout_worker_healthcheck):
                continue
            worker.kill()
            worker.join()
            log.error("worker_died", pid=worker.pid, exit_code=worker.exitcode)
            self.processes[n] = self._started()
            log.info("worker_started", pid=self.processes[n].pid)

    def handle_ttin(self) -> None:
        self.processes_num += 1
        self.processes.append(self._started())

    def handle_ttou(self) -> None:
        if self.processes_num > 1:
            self.processes_num -= 1
            self._retire(self.processes.pop())

    def terminate_all(self) -> None:
        if self._runtime is not None:
            self._runtime.forget(self._loaded.settings.data_dir)
            log.info("draining", pids=[worker.pid for worker in self.processes])
        super().terminate_all()
        for listener in self.sockets:
            listener.close()  # else clients would wait on it that nobody accepts any more

    def join_all(self) -> None:
        for worker in (*self.processes, *self._retiring):
            worker.join()

    def _started(self) -> Worker:
        worker = Worker(self.config, self.sockets, self._loaded)
        worker.start()
        return worker

    def _retire(self, worker: Process) -> None:
        assert isinstance(worker, Worker)
        worker.tell(signal.SIGUSR2)
        self._retiring.append(worker)

    def _asked_to_end(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit.is_set():
            for worker in (*self.processes, *self._retiring):
                assert isinstance(worker, Worker)
                worker.tell(signal.SIGUSR1)
        self.should_exit.set()
