"""The configuration as the database had it last, in a file: what a start serves from while the database is away.

Written whenever the configuration changes, and now and then, so that its time says when the database last agreed. It
holds no secret: keys only as their hashes, servers' keys only as the names of variables.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog
from sqlalchemy import make_url

from llm_gateway.access.policy import ApiKey, Exposure, Project, Snapshot
from llm_gateway.clock import Clock
from llm_gateway.first_run import write_private
from llm_gateway.storage.servers import StoredServer

FILE: Final = "snapshot.json"
SCHEMA: Final = 1
"""Rises when a field of an older file would be misunderstood; such a file is not used."""
RENEW: Final = 60.0
"""Seconds after which a file that is still right is written anew."""
LARGEST: Final = 256 * 2**20
"""Bytes of a file that is read: far more than a million keys."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that serving needs of the database."""

    schema: int
    database: str
    """Which one: see `named`."""
    at: float
    """Unix time at which the database had it so."""
    version: int
    projects: tuple[Project, ...]
    keys: tuple[ApiKey, ...]
    exposures: tuple[Exposure, ...]
    servers: tuple[StoredServer, ...]
    """Those that their sources list."""

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot(
            version=self.version,
            keys={key.hash: key for key in self.keys},
            projects={project.id: project for project in self.projects},
            exposures={(each.project_id, each.logical_name): each for each in self.exposures},
        )


class LastKnown:
    """The file of one data directory. Nothing here raises: a file that cannot be read is none, and one that cannot be
    written is reported and tried again."""

    def __init__(self, data_dir: Path, database: str, clock: Clock) -> None:
        """`database`: its URL."""
        self.path = data_dir / FILE
        self._database = named(database)
        self._clock = clock
        self._writing = asyncio.Lock()
        self._written = float("-inf")

    def read(self, max_age: float) -> Configuration | None:
        """What the file holds; None when there is none, it is of another database, or older than `max_age` seconds."""
        try:
            if self.path.stat().st_size > LARGEST:
                raise ValueError(f"larger than {LARGEST:,} bytes")
            found = msgspec.json.decode(self.path.read_bytes(), type=Configuration)
            if found.schema != SCHEMA:
                raise ValueError(f"its schema is {found.schema}, this version knows {SCHEMA}")
            if found.database != self._database:
                raise ValueError("it is of another database")
            if (age := self.age(found)) > max_age:
                raise ValueError(f"it is {age:.0f} s old, at most {max_age:.0f} are allowed")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as wrong:  # msgspec's errors are ValueErrors
            log.warning("snapshot_not_used", file=str(self.path), reason=str(wrong))
            return None
        return found

    def age(self, configuration: Configuration) -> float:
        """Seconds; 0 when the clock was set back meanwhile."""
        return max(0.0, self._clock.wall() - configuration.at)

    @property
    def due(self) -> bool:
        """Is it time to write it anew?"""
        return self._clock.now() - self._written >= RENEW

    def outdated(self) -> None:
        """It is due: what servers hold has changed."""
        self._written = float("-inf")

    async def save(self, snapshot: Snapshot, servers: Sequence[StoredServer]) -> None:
        """Writes what the database has now."""
        async with self._writing:  # one after the other: the later one is the newer one
            self._written = self._clock.now()
            configuration = Configuration(
                SCHEMA,
                self._database,
                self._clock.wall(),
                snapshot.version,
                tuple(snapshot.projects.values()),
                tuple(snapshot.keys.values()),
                tuple(snapshot.exposures.values()),
                tuple(servers),
            )
            await asyncio.to_thread(self._write, configuration)

    def _write(self, configuration: Configuration) -> None:
        try:
            write_private(self.path, msgspec.json.encode(configuration).decode(), durable=True)
        except OSError as error:
            log.warning("snapshot_not_written", file=str(self.path), reason=str(error))


def named(url: str) -> str:
    """Which database a URL means, without saying who may use it."""
    parts = make_url(url)
    where = (parts.get_backend_name(), parts.host, parts.port, parts.database, sorted(parts.query.items()))
    return hashlib.sha256(repr(where).encode()).hexdigest()
