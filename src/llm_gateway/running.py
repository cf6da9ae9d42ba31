"""The gateway with everything around it, while it runs: how it takes over its configuration and keeps up with it.

`assemble` builds one. Nothing here is asked for by a client's request.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from llm_gateway.access.policy import Snapshot
from llm_gateway.access.roles import CONFIG_FILE, Operator
from llm_gateway.alerts.engine import Alerts
from llm_gateway.config.alerts import AlertsEntry
from llm_gateway.config.apply import apply
from llm_gateway.config.load import Loaded, load
from llm_gateway.config.watched import plan_of
from llm_gateway.errors import Conflict, DatabaseUnavailable, GatewayError
from llm_gateway.first_run import FirstProject
from llm_gateway.gateway import Gateway
from llm_gateway.last_known import LastKnown
from llm_gateway.learnt import Learnt
from llm_gateway.preparation import Preparation
from llm_gateway.roster import Roster
from llm_gateway.service.budgets import Budgets
from llm_gateway.service.health import DeepHealth, queues
from llm_gateway.service.timeline import Timeline
from llm_gateway.settings import Settings, networks
from llm_gateway.shared.others import Others
from llm_gateway.storage import keys
from llm_gateway.storage.alert_rules import StoredRule, list_rules
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.snapshot import current_version, load_snapshot
from llm_gateway.upstream.guard import Guard
from llm_gateway.upstream.prober import Prober

if TYPE_CHECKING:
    from llm_gateway.testing.demo import DemoFleet

WATCH = 1.0
"""Seconds between looks at the configuration's version: a revoked key is refused within two."""
NOTE = 1.0
"""Seconds between notes of a worker's queues for the others' metrics."""
TOUCH = 30.0
"""Seconds between writes of when keys were last used."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Running:
    """What admins, commands and health see."""

    gateway: Gateway
    loaded: Loaded
    sessions: Sessions
    guard: Guard
    roster: Roster
    prober: Prober
    others: Others
    deep_health: DeepHealth
    alerts: Alerts
    budgets: Budgets
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
    timeline: Timeline = field(default_factory=Timeline)
    """How its servers' states have changed."""
    url: str | None = None
    """Where this process listens, once it does."""
    latest: Loaded | None = None
    """The config file as it was read again last: of it counts what `reload` takes over."""
    alert_rules: Sequence[StoredRule] = ()
    """Rules of alerts that the database keeps."""
    reloaded: Callable[[], None] = lambda: None
    """Told that the config file was read anew: other workers have to follow."""

    @property
    def settings(self) -> Settings:
        return self.loaded.settings

    @property
    def file_alerts(self) -> AlertsEntry:
        """What the config file says of alerts."""
        document = (self.latest or self.loaded).document
        return document.alerts if document is not None else AlertsEntry()

    @property
    def first(self) -> FirstProject | None:
        """The first-run (or demo) project; the only sight of its key."""
        return self.preparation.first

    @property
    def shows_secrets(self) -> bool:
        """Has this start made what is seen nowhere else: a project's key, a link to sign in?"""
        return self.first is not None or self.preparation.link is not None

    async def prepare(self) -> None:
        """What a start does with its database. Raises what `Preparation.run` does; then it may be called again."""
        await self.preparation.run()
        if self.configuration == "none":
            await self._recall()  # the fleet is described
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
            await self._recall()
            self._take(last.snapshot, "snapshot")
            age = round(self.last_known.age(last))
            log.error("database_unavailable", error=error.message, serving=f"a snapshot, {age} s old")

    async def _recall(self) -> None:
        """What others know of the fleet now, or else what this process knew when it ended."""
        if not await self.others.join() and self.demo is None:
            self.learnt.recall()

    async def refresh(self) -> None:
        """Takes over the configuration that the database holds now, and keeps it for starts without."""
        await self.take_over()
        await self.last_known.save(self.gateway.snapshot, self.roster.stored)

    async def take_over(self) -> None:
        """Takes over the configuration that the database holds now."""
        async with self.sessions.read() as s:
            snapshot = await load_snapshot(s)
            self.alert_rules = await list_rules(s)
        plan = plan_of(self.file_alerts, self.alert_rules, (self.latest or self.loaded).environ)
        if plan != self.alerts.plan:
            self.alerts.configure(plan)
        await self.roster.describe()
        await self.budgets.load(snapshot)
        self._take(snapshot, "database")

    def _take(self, snapshot: Snapshot, source: str) -> None:
        self.gateway.snapshot, self.gateway.knows_keys, self.configuration = snapshot, True, source
        self.gateway.limits.keep({*snapshot.projects, *(key.id for key in snapshot.keys.values())})
        self.prober.kick()

    async def reload(self, by: Operator = CONFIG_FILE) -> None:
        """Reads the config file again and applies what it owns, as `by`'s change. Raises ConfigMistakes, Conflict
        (started without a file, or what `config.apply` finds), DatabaseUnavailable; then nothing has changed."""
        if self.loaded.config is None:
            raise Conflict("The gateway was started without a config file.")
        fresh = load({}, environ=os.environ, cwd=Path.cwd(), config=self.loaded.config)
        if fresh.document is not None:
            async with self.sessions.write() as s:
                wall = self.gateway.clock.wall()
                changes = await apply(fresh.document, s, environ=fresh.environ, now=wall, by=by)
            self.roster.configured = changes.servers
        self.guard.allow(networks(fresh.settings.allow_private_upstreams))
        self.roster.environ = fresh.environ
        self.latest = fresh
        await self.refresh()
        log.info("config_reloaded", file=str(self.loaded.config))
        self.reloaded()

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
