"""Which servers there are: sources and database in, `fleet.describe` out.

Every server of every source has a row in the database, which gives it a stable, opaque id and remembers what an
administrator decided about it. Catalogue problems are reported, never fatal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from llm_gateway.access.policy import Trust
from llm_gateway.clock import Clock
from llm_gateway.fleet.facts import ListedModel, ServerSpec
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.names import canonical
from llm_gateway.settings import Sources
from llm_gateway.storage import servers
from llm_gateway.storage.servers import StoredServer
from llm_gateway.storage.sessions import Sessions
from llm_gateway.upstream.sources import CATALOGUES, Catalogue

DEMO = "demo"
"""The source that the bundled demo fleet is listed under."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Roster:
    """Keeps the fleet's list of servers in step with sources, config file and administrators."""

    sessions: Sessions
    fleet: Fleet
    clock: Clock
    environ: Mapping[str, str]
    sources: Sources
    demo: Sequence[ServerSpec] | None = None
    """Not None: the demo fleet and nothing else."""
    configured: Sequence[ServerSpec] = ()
    """The config file's servers, with the models that it believes them to hold."""
    catalogues: dict[str, Catalogue] = field(default_factory=dict)
    """By source, as last read."""
    read_at: float | None = None
    """When that was, in Unix seconds; None = not yet."""
    stored: Sequence[StoredServer] = ()
    """Every server that a source lists, as the database had it last."""
    changed: Callable[[], None] = lambda: None
    """Called when a server has listed other models than before."""

    async def sync(self) -> None:
        """Reads the catalogues anew, writes what they list, and describes the fleet."""
        await self.read()
        listed: dict[str, Sequence[ServerSpec]] = {DEMO: self.demo or ()}
        listed |= {name: self.catalogues[name].specs if name in self.catalogues else () for name in CATALOGUES}
        async with self.sessions.write() as s:
            for name, specs in listed.items():
                await servers.sync(s, name, specs, self.clock.wall())
        await self.describe()

    async def read(self) -> None:
        """The catalogues."""
        self.catalogues = {}
        for name, read in CATALOGUES.items():
            wanted = getattr(self.sources, name)
            if self.demo is None and wanted.enabled:
                catalogue = await asyncio.to_thread(read, wanted.path, wanted.trust, self.clock.wall())
                self.catalogues[name] = catalogue
                for problem in catalogue.problems:
                    log.warning("catalogue_problem", source=name, problem=problem)
        self.read_at = self.clock.wall()

    async def describe(self) -> None:
        """The fleet as the database has it: after an administrator's or the config file's change."""
        async with self.sessions.read() as s:
            stored = await servers.list_servers(s)
        self.take(stored)

    def take(self, stored: Sequence[StoredServer]) -> None:
        """Describes the fleet as these."""
        self.stored = stored
        sources: dict[str, Sequence[ServerSpec]] = {name: c.specs for name, c in self.catalogues.items()}
        sources |= {DEMO: self.demo or (), servers.CONFIGURED: self.configured}
        prior = {(name, spec.url): spec for name, specs in sources.items() for spec in specs}
        only_demo = self.demo is not None
        specs = [
            replace(
                server.spec(self._key(server.api_key_env)),
                models=_with_prior(server.models, known.models if known else ()),
                seen_ago=known.seen_ago if known else None,
                hedge=known.hedge if known else True,
            )
            for server, known in ((server, prior.get((server.source, server.url))) for server in stored)
            if server.listed and (server.source == DEMO) == only_demo
        ]
        self.fleet.describe(specs)

    def _key(self, variable: str | None) -> str | None:
        """The server's key from the environment; one that no header may carry is reported and not used."""
        key = self.environ.get(variable, "").strip() if variable else ""
        if not (key.isascii() and key.isprintable()):
            log.error("server_key_unusable", variable=variable, reason="it holds characters that no header may carry")
            return None
        return key or None

    async def remember(self, server_id: str, models: tuple[ListedModel, ...]) -> None:
        """Keeps what a server listed, so that a restart knows it before the first probe."""
        async with self.sessions.write() as s:
            await servers.remember_models(s, server_id, models, self.clock.wall())
        self.stored = [replace(each, models=models) if each.id == server_id else each for each in self.stored]
        self.changed()

    def known_to(self, trust: frozenset[Trust]) -> list[str]:
        """Physical models that these trust classes reach, those on most servers first."""
        counts = {name: 0 for name, trusts in self.fleet.names() if trusts & trust}
        for name in counts:
            counts[name] = self.fleet.healthy(name, trust, self.clock.now())
        return sorted(counts, key=lambda name: (-counts[name], name))


def _with_prior(own: tuple[ListedModel, ...], source: tuple[ListedModel, ...]) -> tuple[ListedModel, ...]:
    """What the server itself listed last, with the speeds that its source measured; before that, what its source
    lists."""
    if not own:
        return source
    measured = {canonical(model.name): model.tokens_per_second for model in source}
    return tuple(replace(model, tokens_per_second=measured.get(canonical(model.name))) for model in own)
