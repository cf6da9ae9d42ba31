"""Settings -> a running gateway, and everything undone in reverse when it ends.

The only place that knows all parts. Nothing happens at import; background tasks are started here, have a name and
end here.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from llm_gateway import __version__
from llm_gateway.alerts.courier import Courier
from llm_gateway.alerts.engine import Alerts, Here
from llm_gateway.clock import Ids, SystemClock
from llm_gateway.config.apply import apply
from llm_gateway.config.load import Loaded, load
from llm_gateway.errors import Conflict, DatabaseUnavailable
from llm_gateway.exposures import named
from llm_gateway.first_run import FirstProject, admin_token, demo_project, first_project
from llm_gateway.fleet.attempts import Clocks
from llm_gateway.fleet.facts import Fact, ListedModel, ServerSpec
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.fleet.identity import Noticed
from llm_gateway.gateway import Gateway
from llm_gateway.learnt import Learnt
from llm_gateway.ledger.journal import Journal
from llm_gateway.ledger.ledger import Ledger
from llm_gateway.ledger.payloads import Payloads
from llm_gateway.ledger.retention import Housekeeping
from llm_gateway.ledger.shipper import Shipper
from llm_gateway.ledger.store import DatabaseStore
from llm_gateway.observe import logs
from llm_gateway.observe.metrics import Metrics
from llm_gateway.observe.tracing import tracing
from llm_gateway.observe.workers import my_slot
from llm_gateway.roster import DEMO, Roster
from llm_gateway.service.budgets import Budgets, sharing_limits
from llm_gateway.service.health import DeepHealth, figures, queues, watch_states
from llm_gateway.settings import Settings
from llm_gateway.shared.others import Alone, Others
from llm_gateway.storage import keys
from llm_gateway.storage.engine import open_engine
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.snapshot import current_version, load_snapshot
from llm_gateway.storage.upgrade import upgrade
from llm_gateway.upstream.drive import Drive
from llm_gateway.upstream.guard import Guard
from llm_gateway.upstream.looks import Looks, user_agent
from llm_gateway.upstream.prober import Prober
from llm_gateway.upstream.transport import Limits, Transport

if TYPE_CHECKING:
    from llm_gateway.testing.demo import DemoFleet, DemoServer

WATCH = 1.0
"""Seconds between looks at the configuration's version: a revoked key is refused within two."""
NOTE = 1.0
"""Seconds between notes of a worker's queues for the others' metrics."""
TOUCH = 30.0
"""Seconds between writes of when keys were last used."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Running:
    """The gateway with everything around it that a request never needs: what admins, commands and health see."""

    gateway: Gateway
    loaded: Loaded
    sessions: Sessions
    guard: Guard
    roster: Roster
    prober: Prober
    deep_health: DeepHealth
    alerts: Alerts
    budgets: Budgets
    admin_token: str = field(repr=False)
    admin_token_file: Path | None
    first: FirstProject | None
    """The first-run (or demo) project; the only sight of its key."""
    demo: DemoFleet | None = None
    """The bundled fake fleet, when it is what is served."""
    database_ok: bool = True
    url: str | None = None
    """Where this process listens, once it does."""
    reloaded: Callable[[], None] = lambda: None
    """Told that the config file was read anew: other workers have to follow."""

    @property
    def settings(self) -> Settings:
        return self.loaded.settings

    async def prepare(self) -> None:
        """What has to happen once before several workers serve: the config file's objects, or else a first project,
        and the list of servers."""
        if self.loaded.document is not None:
            async with self.sessions.write() as s:
                changes = await apply(
                    self.loaded.document, s, environ=self.loaded.environ, now=self.gateway.clock.wall()
                )
            self.roster.configured = changes.servers
        else:
            self.first = await first_project(self.sessions)
        await self.roster.sync()

    async def refresh(self) -> None:
        """Takes over the configuration that the database holds now."""
        async with self.sessions.read() as s:
            snapshot = await load_snapshot(s)
        await self.roster.describe()
        await self.budgets.load(snapshot)
        self.gateway.snapshot = snapshot
        self.gateway.limits.keep({*snapshot.projects, *(key.id for key in snapshot.keys.values())})
        self.prober.kick()

    async def reload(self) -> None:
        """Reads the config file again and applies what it owns. Raises ConfigMistakes, Conflict (started without a
        file, or what `config.apply` finds), DatabaseUnavailable; then nothing has changed."""
        if self.loaded.config is None:
            raise Conflict("The gateway was started without a config file.")
        fresh = load({}, environ=os.environ, cwd=Path.cwd(), config=self.loaded.config)
        if fresh.document is not None:
            async with self.sessions.write() as s:
                changes = await apply(fresh.document, s, environ=fresh.environ, now=self.gateway.clock.wall())
            self.roster.configured = changes.servers
        self.guard.allow(_networks(fresh.settings.allow_private_upstreams))
        self.roster.environ = fresh.environ
        self.alerts.configure(fresh.alerts)
        await self.refresh()
        log.info("config_reloaded", file=str(self.loaded.config))
        self.reloaded()

    async def watch(self) -> None:
        """Notices changes that other processes make (the command line, another host) within two seconds."""
        while True:
            await asyncio.sleep(WATCH)
            try:
                async with self.sessions.read() as s:
                    version = await current_version(s)
                if version != self.gateway.snapshot.version:
                    await self.refresh()
                if not self.database_ok:
                    log.info("database_back")
                self.database_ok = True
            except DatabaseUnavailable as error:
                if self.database_ok:
                    log.error("database_unavailable", error=error.message)
                self.database_ok = False
            except Exception:  # the outermost edge: revoking keys depends on this loop going on
                log.exception("configuration_not_taken_over")
                self.database_ok = False

    async def note_figures(self) -> None:
        """Lets the other workers' metrics know what waits here."""
        while True:
            self.gateway.metrics.note(queues(self.gateway))
            await asyncio.sleep(NOTE)

    async def touch_keys(self) -> None:
        """Writes now and then when keys were last used."""
        while True:
            await asyncio.sleep(TOUCH)
            used, self.gateway.used_keys = self.gateway.used_keys, {}
            if used:
                try:
                    async with self.sessions.write() as s:
                        await keys.touch(s, used)
                except DatabaseUnavailable:
                    self.gateway.used_keys = {**used, **self.gateway.used_keys}
                except Exception:  # the outermost edge: one bad batch must not end the task
                    log.exception("key_uses_not_noted")


@asynccontextmanager
async def assemble(
    loaded: Loaded, *, demo: bool = False, serving: bool = True, worker: bool = False
) -> AsyncIterator[Running]:
    """Builds everything and runs the background tasks until the block ends.

    `worker`: one of several processes of a parent that has done what happens once (`Running.prepare`).
    `serving=False` is for commands that work on the database without a server: no probing, no first project.
    Raises DatabaseUnavailable, DatabaseTooNew, InvalidRequest (an impossible database URL).
    """
    settings = loaded.settings
    clock = SystemClock()
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        if not worker:
            await upgrade(settings.database, settings.data_dir)
        engine = open_engine(settings.database, data_dir=settings.data_dir)
        stack.push_async_callback(engine.dispose)
        sessions = Sessions(engine)

        fleet_of_fakes = None
        if demo and serving:
            from llm_gateway.testing.demo import DemoFleet  # only here: a production start never loads it

            fleet_of_fakes = await stack.enter_async_context(DemoFleet())
        guard = _guard(settings, demo=demo)
        agent = user_agent(settings.public_url)
        transport = Transport(guard, limits=_limits(settings), now=clock.now, user_agent=agent)
        stack.push_async_callback(transport.aclose)

        first = None
        token, token_file = admin_token(settings)
        configured: Sequence[ServerSpec] = ()
        if loaded.document is not None and serving:
            async with sessions.write() as s:
                configured = (await apply(loaded.document, s, environ=loaded.environ, now=clock.wall())).servers
        if fleet_of_fakes is not None:
            first = await demo_project(sessions, clock.wall())
        elif loaded.document is None and serving and not worker:
            first = await first_project(sessions)

        metrics = Metrics(__version__, my_slot() if worker else None)
        notice = _noticed(metrics)
        fleet = Fleet(random.random, told=lambda noticed: notice(noticed) if serving and not others.hearing else None)
        roster = Roster(sessions, fleet, clock, loaded.environ, settings.sources, configured=configured)
        if fleet_of_fakes is not None:
            roster.demo = [
                ServerSpec("", d.name, d.url, d.kind, d.trust, DEMO, models=_demo_models(d))
                for d in fleet_of_fakes.servers
            ]
        ids = Ids()
        me = ids().hex
        others: Others = Alone()
        if settings.redis_url is not None and serving and not demo:
            from llm_gateway.shared.together import Together  # only here: it brings Redis's client along

            url = settings.redis_url.get_secret_value()
            others = Together(url, me, fleet, lambda fact: drive.looked(fact), clock.now)
            stack.push_async_callback(others.leave)
        drive = Drive(fleet, transport, guard, clock, _clocks(settings), told=others.offer)
        journals = settings.data_dir / "journal"
        ledger = Ledger(Journal(journals / me))
        shipper = Shipper(ledger, DatabaseStore(sessions, ledger.doubled))
        gateway = Gateway(
            clock,
            ids,
            fleet,
            drive,
            ledger,
            metrics,
            max_text=settings.max_body,
            max_tokens=settings.max_tokens,
            attempt_rows=settings.attempt_rows,
        )
        host = socket.gethostname()
        process = host if settings.workers == 1 else f"{host}/{os.getpid()}"
        here = Here(process, host, settings.data_dir, database_ok=lambda: running.database_ok)
        alerts = Alerts(gateway, sessions, Courier(transport, guard, clock, settings.public_url or host), here)
        alerts.configure(loaded.alerts)
        stack.push_async_callback(alerts.end)
        metrics.watch(lambda: replace(figures(gateway), alerts=alerts.firing()))
        if settings.redis_url is not None and serving:
            url = settings.redis_url.get_secret_value()
            await stack.enter_async_context(sharing_limits(gateway, url, others.instances))
        budgets = Budgets(gateway, sessions)
        prober = Prober(
            Looks(transport, guard, clock, settings.probes.timeout),
            fleet,
            _told(drive.looked, others.offer),
            clock,
            random.random,
            settings.probes.every,
            remember=roster.remember,
            exposed=lambda: named(gateway.snapshot),
        )
        running = Running(
            gateway,
            loaded,
            sessions,
            guard,
            roster,
            prober,
            DeepHealth(gateway),
            alerts,
            budgets,
            token,
            token_file,
            first,
            fleet_of_fakes,
        )
        learnt = Learnt(settings.data_dir, fleet, clock)
        if serving:
            await roster.sync()
            if not await others.join() and not demo:
                learnt.recall()
        await running.refresh()
        if serving:
            gateway.observers += await stack.enter_async_context(tracing(os.environ, __version__))
            stack.callback(lambda: ledger.end(empty=ledger.waiting == 0))
            shipping = asyncio.create_task(shipper.run(), name="ledger shipper")
            stack.push_async_callback(shipper.stop, shipping)
            gateway.payloads = Payloads(ledger, clock, settings.retention.payload_days)
            keeping = asyncio.create_task(gateway.payloads.run(), name="payloads")
            stack.push_async_callback(gateway.payloads.stop, keeping)
            days = settings.retention
            housekeeping = Housekeeping(
                sessions, ledger, clock, request_days=days.request_days, minute_days=days.minute_days
            )
            for name, work in {
                **others.tasks(prober.run),
                "watch": running.watch(),
                "keys": running.touch_keys(),
                "budgets": budgets.run(),
                "journal sync": ledger.sync(),
                "server states": watch_states(gateway),
                "alerts": alerts.run(),
                "housekeeping": housekeeping.run(),
                "recovery": shipper.look_after(journals) if worker else shipper.recover(journals),
            }.items():
                _start(stack, name, work)
            if worker:
                _start(stack, "figures", running.note_figures())
            if not demo:
                stack.callback(learnt.save)
                _start(stack, "what was learnt", learnt.keep())
        yield running


@asynccontextmanager
async def from_environment() -> AsyncIterator[Running]:
    """For `uvicorn llm_gateway.main:app`: settings from environment, `.env` and LLM_GATEWAY_CONFIG."""
    loaded = load({}, environ=os.environ, cwd=Path.cwd())
    logs.setup(loaded.settings.log_level, loaded.settings.log_format)
    async with assemble(loaded) as running:
        yield running


def _start(stack: AsyncExitStack, name: str, work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work, name=name)

    def report(ended: asyncio.Task[None]) -> None:
        if not ended.cancelled() and (error := ended.exception()) is not None:
            log.error("background_task_died", task=name, exc_info=error)

    async def end() -> None:
        task.cancel()
        await asyncio.wait((task,))

    task.add_done_callback(report)
    stack.push_async_callback(end)


def _demo_models(server: DemoServer) -> tuple[ListedModel, ...]:
    return tuple(ListedModel(name, tokens_per_second=server.tokens_per_second) for name in server.models)


def _told(*heard: Callable[[Fact], None]) -> Callable[[Fact], None]:
    def tell(fact: Fact) -> None:
        for hear in heard:
            hear(fact)

    return tell


def _noticed(metrics: Metrics) -> Callable[[Noticed], None]:
    def tell(noticed: Noticed) -> None:
        told = {"server": noticed.name, "model": noticed.model, "reason": noticed.reason, "detail": noticed.detail}
        if noticed.out:
            metrics.quarantined(noticed.reason)
            log.warning("quarantined", **told)
        else:
            log.info("model_changed", **told)

    return tell


def _guard(settings: Settings, *, demo: bool) -> Guard:
    """The demo talks to loopback and to nothing else."""
    loopback = _networks(("127.0.0.0/8", "::1/128"))
    if demo:
        return Guard(loopback, loopback)
    only = _networks(settings.only_networks or ())
    return Guard(only, _networks(settings.allow_private_upstreams))


def _networks(texts: Sequence[str]) -> list[Any]:
    return [ip_network(text) for text in texts]


def _clocks(settings: Settings) -> Clocks:
    times = settings.timeouts
    return Clocks(
        first_token_max=times.first_token,
        first_token_cold=times.first_token_cold,
        stall=times.stall,
        thinking=times.thinking,
        slow_span=times.slow,
        budget=times.budget,
        total=times.total,
    )


def _limits(settings: Settings) -> Limits:
    times = settings.timeouts
    return Limits(connect=times.connect, tls=times.tls, write=times.write, head=times.head)
