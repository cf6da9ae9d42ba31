"""Settings -> a running gateway, and everything undone in reverse when it ends.

The only place that knows all parts. Nothing happens at import; background tasks are started here, have a name and
end here.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from llm_gateway import __version__
from llm_gateway.access.policy import Snapshot
from llm_gateway.clock import Ids, SystemClock
from llm_gateway.config.apply import apply
from llm_gateway.config.load import Loaded, load
from llm_gateway.errors import Conflict, DatabaseUnavailable, GatewayError
from llm_gateway.exposures import named
from llm_gateway.first_run import FirstProject, admin_token
from llm_gateway.fleet.attempts import Clocks
from llm_gateway.fleet.facts import AttemptEnded, AttemptStarted, Fact, FirstToken, ListedModel, ServerSpec
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.fleet.identity import Noticed
from llm_gateway.gateway import Gateway
from llm_gateway.last_known import LastKnown
from llm_gateway.learnt import Learnt
from llm_gateway.ledger.ballast import Ballast
from llm_gateway.ledger.journal import Journal
from llm_gateway.ledger.ledger import Ledger
from llm_gateway.ledger.shipper import Shipper
from llm_gateway.ledger.store import DatabaseStore
from llm_gateway.observe import logs
from llm_gateway.observe.metrics import Metrics
from llm_gateway.preparation import Preparation
from llm_gateway.roster import DEMO, Roster
from llm_gateway.service.health import DeepHealth, figures
from llm_gateway.settings import Settings
from llm_gateway.storage import keys
from llm_gateway.storage.engine import open_engine
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.snapshot import current_version, load_snapshot
from llm_gateway.upstream.drive import Drive
from llm_gateway.upstream.guard import Guard
from llm_gateway.upstream.looks import Looks, user_agent
from llm_gateway.upstream.prober import Prober
from llm_gateway.upstream.transport import Limits, Transport

if TYPE_CHECKING:
    from llm_gateway.testing.demo import DemoFleet, DemoServer

WATCH = 1.0
"""Seconds between looks at the configuration's version: a revoked key is refused within two."""
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
    preparation: Preparation
    last_known: LastKnown
    learnt: Learnt
    admin_token: str = field(repr=False)
    admin_token_file: Path | None
    demo: DemoFleet | None = None
    """The bundled fake fleet, when it is what is served."""
    database_ok: bool = True
    configuration: str = "none"
    """Where it comes from: `database`, `snapshot` (the file), `none` (no request can be served)."""
    prepared: asyncio.Event = field(default_factory=asyncio.Event)
    """All that a start does with its database is done."""
    url: str | None = None
    """Where this process listens, once it does."""

    @property
    def settings(self) -> Settings:
        return self.loaded.settings

    @property
    def first(self) -> FirstProject | None:
        """The first-run (or demo) project; the only sight of its key."""
        return self.preparation.first

    async def prepare(self) -> None:
        """What a start does with its database. Raises what `Preparation.run` does; then it may be called again."""
        await self.preparation.run()
        if self.configuration == "none" and self.demo is None:
            self.learnt.recall()  # the fleet is described
        await self.refresh()
        self.prepared.set()

    async def begin(self) -> None:
        """Prepares; where the database is away, serves from what it held last, and `watch` prepares later."""
        try:
            await self.prepare()
        except DatabaseUnavailable as error:
            self.database_ok = self.gateway.knows_keys = False
            last = self.last_known.read(self.settings.snapshot_max_age)
            if last is None:
                log.error("database_unavailable", error=error.message, serving="503 until it is back: no snapshot")
                return
            await self.preparation.without(last.servers)
            if self.demo is None:
                self.learnt.recall()
            self._take(last.snapshot, "snapshot")
            age = round(self.last_known.age(last))
            log.error("database_unavailable", error=error.message, serving=f"a snapshot, {age} s old")

    async def refresh(self) -> None:
        """Takes over the configuration that the database holds now, and keeps it for starts without."""
        await self.take_over()
        await self.last_known.save(self.gateway.snapshot, self.roster.stored)

    async def take_over(self) -> None:
        """Takes over the configuration that the database holds now."""
        async with self.sessions.read() as s:
            snapshot = await load_snapshot(s)
        await self.roster.describe()
        self._take(snapshot, "database")

    def _take(self, snapshot: Snapshot, source: str) -> None:
        self.gateway.snapshot, self.gateway.knows_keys, self.configuration = snapshot, True, source
        self.gateway.limits.keep(snapshot.projects)
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
        await self.refresh()
        log.info("config_reloaded", file=str(self.loaded.config))

    async def watch(self) -> None:
        """Notices changes that other processes make (the command line, another host) within two seconds, and a
        database that comes back."""
        said = None
        while True:
            await asyncio.sleep(WATCH)
            try:
                await self._look()
                if not self.database_ok:
                    log.info("database_back")
                self.database_ok = True
                continue
            except DatabaseUnavailable as error:
                if self.database_ok:
                    log.error("database_unavailable", error=error.message)
            except GatewayError as error:  # it is there and cannot be used: a newer version's, keys of somebody else
                if error.message != said:
                    log.error("database_not_usable", error=error.message)
                said = error.message
            except Exception:  # the outermost edge: revoking keys depends on this loop going on
                log.exception("configuration_not_taken_over")
            self.database_ok = False

    async def _look(self) -> None:
        if not self.prepared.is_set():
            await self.prepare()
            return
        async with self.sessions.read() as s:
            version = await current_version(s)
        if version != self.gateway.snapshot.version:
            await self.refresh()
        elif self.last_known.due:
            await self.last_known.save(self.gateway.snapshot, self.roster.stored)

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
async def assemble(loaded: Loaded, *, demo: bool = False, serving: bool = True) -> AsyncIterator[Running]:
    """Builds everything and runs the background tasks until the block ends.

    `serving=False` is for commands that work on the database without a server: no probing, no first project.
    Raises DatabaseTooNew, InvalidRequest (an impossible database URL), Conflict. A server starts also while its
    database is away (`Running.begin`); a command raises DatabaseUnavailable.
    """
    settings = loaded.settings
    clock = SystemClock()
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        engine = open_engine(settings.database, data_dir=settings.data_dir)
        stack.push_async_callback(engine.dispose)
        sessions = Sessions(engine, ready=False)

        fleet_of_fakes = None
        if demo and serving:
            from llm_gateway.testing.demo import DemoFleet  # only here: a production start never loads it

            fleet_of_fakes = await stack.enter_async_context(DemoFleet())
        guard = _guard(settings, demo=demo)
        agent = user_agent(settings.public_url)
        transport = Transport(guard, limits=_limits(settings), now=clock.now, user_agent=agent)
        stack.push_async_callback(transport.aclose)

        token, token_file = admin_token(settings)
        metrics = Metrics(__version__)
        fleet = Fleet(random.random, told=_noticed(metrics) if serving else lambda _: None)
        roster = Roster(sessions, fleet, clock, loaded.environ, settings.sources)
        if fleet_of_fakes is not None:
            roster.demo = [
                ServerSpec("", d.name, d.url, d.kind, d.trust, DEMO, models=_demo_models(d))
                for d in fleet_of_fakes.servers
            ]
        drive = Drive(fleet, transport, guard, clock, _clocks(settings), told=_counted(metrics))
        ids = Ids()
        journals = settings.data_dir / "journal"
        ledger = Ledger(
            Journal(journals / ids().hex),
            strict=settings.log_mode == "strict",
            ballast=Ballast(journals / "ballast") if serving else None,
        )
        shipper = Shipper(ledger, DatabaseStore(sessions))
        gateway = Gateway(
            clock, ids, fleet, drive, ledger, metrics, max_text=settings.max_body, max_tokens=settings.max_tokens
        )
        metrics.watch(lambda: figures(gateway))
        prober = Prober(
            Looks(transport, guard, clock, settings.probes.timeout),
            fleet,
            drive.looked,
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
            Preparation(loaded, sessions, roster, clock, serving),
            LastKnown(settings.data_dir, settings.database, clock),
            Learnt(settings.data_dir, fleet, clock),
            token,
            token_file,
            fleet_of_fakes,
        )
        roster.changed = running.last_known.outdated
        if serving:
            await running.begin()
        else:
            await running.preparation.run()
            await running.take_over()
        if serving:
            shipping = asyncio.create_task(shipper.run(), name="ledger shipper")
            stack.push_async_callback(shipper.stop, shipping)
            for name, work in {
                "prober": prober.run(),
                "watch": running.watch(),
                "keys": running.touch_keys(),
                "journal sync": ledger.sync(),
                "recovery": shipper.recover(journals),
            }.items():
                _start(stack, name, work)
            if not demo:
                stack.callback(running.learnt.save)
                _start(stack, "what was learnt", running.learnt.keep())
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


def _counted(metrics: Metrics) -> Callable[[Fact], None]:
    def count(fact: Fact) -> None:
        if isinstance(fact, AttemptStarted):
            if fact.after is not None:
                metrics.failover(fact.after.value)
            if fact.race:
                metrics.race("started")
        elif isinstance(fact, FirstToken):
            if fact.race:
                metrics.race("won")
        elif isinstance(fact, AttemptEnded):
            metrics.attempt_ended("cancelled" if fact.cancelled else fact.fault.value if fact.fault else "ok")

    return count


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
