"""What a start does with its database: at once, or when the database is there.

Every step may be done again: what broke off in the middle is done anew from its first step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llm_gateway.clock import Clock
from llm_gateway.config.apply import apply
from llm_gateway.config.load import Loaded
from llm_gateway.first_run import FirstProject, demo_project, first_link, first_project, first_user
from llm_gateway.roster import Roster
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.upgrade import upgrade
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.upstream.sources import configured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_gateway.storage.servers import StoredServer


@dataclass(slots=True)
class Preparation:
    """Of a database that nobody has looked at yet: until `run` has, `sessions` opens none."""

    loaded: Loaded
    sessions: Sessions
    roster: Roster
    clock: Clock
    serving: bool
    """False for commands: they want the tables and nothing else."""
    first: FirstProject | None = field(default=None, repr=False)
    """The first-run (or demo) project; the only sight of its key."""
    link: str | None = field(default=None, repr=False)
    """What signs the first administrator in, once; made by the very first start alone."""

    async def run(self) -> None:
        """Tables of this version, the config file's objects, a first project, what the sources list.

        Raises DatabaseUnavailable, DatabaseTooNew, Conflict (what `config.apply` finds, another program's tables),
        InvalidRequest (an impossible URL).
        """
        settings = self.loaded.settings
        await upgrade(settings.database, settings.data_dir)
        self.sessions.ready = True
        if not self.serving:
            return
        if self.loaded.document is not None:
            async with self.sessions.write() as s:
                changes = await apply(self.loaded.document, s, environ=self.loaded.environ, now=self.clock.wall())
            self.roster.configured = changes.servers
        if self.roster.demo is not None:
            self.first = await demo_project(self.sessions, self.clock.wall())
        elif self.loaded.document is None:
            self.first = await first_project(self.sessions) or self.first
        if settings.admin_password is not None:
            await first_user(self.sessions, settings.admin_password.get_secret_value(), self.clock.wall())
        self.link = await first_link(self.sessions, self.clock.wall()) or self.link
        await self.roster.sync()

    async def without(self, servers: Sequence[StoredServer]) -> None:
        """The fleet without the database: the servers that it had last, with what the file and the catalogues say of
        them."""
        if self.loaded.document is not None:
            self.roster.configured = configured.read(self.loaded.document.servers, self.loaded.environ, KINDS).specs
        await self.roster.read()
        self.roster.take(servers)
