"""Makes the database hold exactly what the config file owns.

The file wins: an object of the database with the same name becomes the file's. What vanishes from the file is taken
away: models and servers go, keys are revoked, projects are disabled and handed to the database, because log rows
belong to them. What comes back comes back as it was, keys too. Applying the same file again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.access.keys import Key, read_key
from llm_gateway.access.policy import Owner
from llm_gateway.access.roles import CONFIG_FILE, Operator
from llm_gateway.config.document import Document, KeyEntry, ModelEntry, ProjectEntry
from llm_gateway.errors import Conflict
from llm_gateway.fleet.facts import ServerSpec
from llm_gateway.storage import exposures, keys, projects, servers, trail
from llm_gateway.storage.keys import StoredKey
from llm_gateway.storage.projects import ProjectFields
from llm_gateway.storage.servers import StoredServer
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.version import hold_version
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.upstream.sources import configured

FILE = Owner.FILE


@dataclass(slots=True)
class Changes:
    """What `apply` did, in words for people: `project legal`, `key legal/ci`, `model law-assistant`, `server lab`."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    servers: list[ServerSpec] = field(default_factory=list)
    """The file's servers with their ids, keys and believed models: what the fleet wants to know."""

    def __bool__(self) -> bool:
        return bool(self.created or self.updated or self.removed)


async def apply(
    document: Document,
    s: AsyncSession,
    *,
    environ: Mapping[str, str],
    now: float,
    by: Operator = CONFIG_FILE,
) -> Changes:
    """One transaction's work; who opened the session commits. What it changes is in the audit log, as `by`'s.

    `environ` holds the variables that the document names (`Loaded.environ`), `now` is Unix time. Raises Conflict when a
    key of the file is somebody else's already, or was revoked by an administrator.
    """
    await hold_version(s)  # two services that start with the same file do this one after the other
    changes = Changes()
    ids = await _projects(document.projects, s, changes)
    await _keys(document.projects, ids, s, changes, environ, now)
    await _models(document, ids, s, changes)
    await _servers(document, s, changes, environ, now)
    if changes:
        done = {"created": changes.created, "updated": changes.updated, "removed": changes.removed}
        await trail.note(s, by, now, "config.apply", after={name: what for name, what in done.items() if what})
    return changes


class _Undo(Exception):
    """Ends a transaction that was only made to see what it would do."""


async def foreseen(document: Document, sessions: Sessions, *, environ: Mapping[str, str], now: float) -> Changes:
    """What `apply` would change; nothing is. Raises what it does."""
    changes = Changes()
    try:
        async with sessions.write() as s:
            changes = await apply(document, s, environ=environ, now=now)
            raise _Undo
    except _Undo:
        return changes


async def _projects(entries: Iterable[ProjectEntry], s: AsyncSession, changes: Changes) -> dict[str, str]:
    """Returns the ids of the file's projects by name."""
    known = {project.name: project for project in await projects.list_projects(s)}
    ids: dict[str, str] = {}
    for entry in entries:
        wanted = _fields(entry)
        found = known.get(entry.name)
        if found is None:
            found = await projects.create_project(s, name=entry.name, **wanted)
            changes.created.append(f"project {entry.name}")
        elif _differs(found, wanted):
            await projects.update_project(s, found.id, by=FILE, **wanted)
            changes.updated.append(f"project {entry.name}")
        ids[entry.name] = found.id
    for name, project in known.items():
        if project.owner is FILE and name not in ids:
            await projects.update_project(s, project.id, by=FILE, owner=Owner.DATABASE, is_active=False)
            changes.removed.append(f"project {name} (disabled; the database keeps it)")
    return ids


def _fields(entry: ProjectEntry) -> ProjectFields:
    return {
        "description": entry.description,
        "is_active": True,
        "trust": frozenset(entry.trust),
        "public_tools": entry.public_tools,
        **entry.limits(),  # type: ignore[typeddict-item]  # by the names of LIMITS
        "store_payloads": entry.store_payloads,
        "payload_days": entry.payload_days,
        "redact": entry.redact,
        "allowed_models": frozenset(entry.allowed_models) or None,
        "owner": FILE,
    }


def _differs(found: object, wanted: Mapping[str, Any]) -> bool:
    return any(getattr(found, name) != value for name, value in wanted.items())


async def _keys(
    entries: Iterable[ProjectEntry],
    ids: Mapping[str, str],
    s: AsyncSession,
    changes: Changes,
    environ: Mapping[str, str],
    now: float,
) -> None:
    known = {key.hash: key for key in await keys.list_keys(s)}
    names = {project.id: project.name for project in await projects.list_projects(s)}
    kept: set[bytes] = set()
    for project in entries:
        for entry in project.keys:
            key = _key(entry, environ)
            kept.add(key.hash)
            found, called = known.get(key.hash), f"key {project.name}/{entry.name}"
            if found is None:
                await keys.add_key(
                    s,
                    ids[project.name],
                    name=entry.name,
                    hash=key.hash,
                    prefix=key.prefix,
                    last4=key.last4,
                    expires_at=entry.expires_at,
                    owner=FILE,
                    **entry.limits(),
                )
                changes.created.append(called)
                continue
            _may_take(found, called, ids[project.name], names)
            wanted: dict[str, Any] = {
                "project_id": ids[project.name],
                "name": entry.name,
                "expires_at": entry.expires_at,
                "owner": FILE,
                "revoked_at": None,
                **entry.limits(),
            }
            if _differs(found, wanted):
                await keys.take_key(
                    s,
                    found.id,
                    project_id=ids[project.name],
                    name=entry.name,
                    expires_at=entry.expires_at,
                    **entry.limits(),
                )
                changes.updated.append(called)
    for hash, old in known.items():
        if old.owner is FILE and hash not in kept and old.revoked_at is None:
            await keys.revoke_key(s, old.id, now, by=FILE)
            changes.removed.append(f"key {names[old.project_id]}/{old.name} (revoked)")


def _key(entry: KeyEntry, environ: Mapping[str, str]) -> Key:
    """Of a key that is given by its hash nothing else is known."""
    if entry.sha256 is not None:
        return Key("", bytes.fromhex(entry.sha256), "", "")
    return read_key(environ[str(entry.value_env)])


def _may_take(found: StoredKey, called: str, project_id: str, names: Mapping[str, str]) -> None:
    """The file may move its own keys and bring them back, but not those that an administrator gave or took away."""
    if found.owner is FILE:
        return
    if found.revoked_at is not None:
        raise Conflict(f"The {called} was revoked by an administrator: give it another value.")
    if found.project_id != project_id:
        other = f"{names[found.project_id]}/{found.name}"
        raise Conflict(f"The {called} is the same as {other}, which is not the file's: give it another value.")


async def _models(document: Document, ids: Mapping[str, str], s: AsyncSession, changes: Changes) -> None:
    known = {(found.project_id, found.logical_name): found for found in await exposures.list_exposures(s)}
    wanted: dict[tuple[str | None, str], tuple[str, ModelEntry]] = {
        (None, entry.name): (f"model {entry.name}", entry) for entry in document.models
    }
    for project in document.projects:
        for entry in project.models:
            wanted[ids[project.name], entry.name] = (f"model {project.name}/{entry.name}", entry)
    for (project_id, name), (called, entry) in wanted.items():
        fields: dict[str, Any] = {
            "backend": entry.backend,
            "description": entry.description,
            "params": entry.given_params(),
            "price": entry.given_price(),
            "owner": FILE,
        }
        found = known.get((project_id, name))
        if found is not None and not _differs(found, fields):
            continue
        await exposures.put_exposure(s, project_id=project_id, logical_name=name, **fields)
        (changes.updated if found else changes.created).append(called)
    for at, old in known.items():
        if old.owner is FILE and at not in wanted:
            await exposures.delete_exposure(s, old.id, by=FILE)
            changes.removed.append(f"model {old.logical_name}")


async def _servers(
    document: Document, s: AsyncSession, changes: Changes, environ: Mapping[str, str], now: float
) -> None:
    before = {server.id: server for server in await servers.list_servers(s, source=configured.NAME)}
    listed = await servers.list_servers(s, source=servers.ADMIN)
    catalogue = configured.read(document.servers, environ, KINDS)
    if catalogue.problems:  # `load` has looked at the same before
        raise Conflict(" ".join(catalogue.problems))
    variables = {spec.url: entry.api_key_env for spec, entry in zip(catalogue.specs, document.servers, strict=True)}
    changes.servers = await servers.sync(s, configured.NAME, catalogue.specs, now, api_key_envs=variables)
    mine = {spec.url for spec in catalogue.specs} | {spec.name for spec in catalogue.specs}
    for server in listed:
        if server.url in mine or server.name in mine:  # one that an administrator had added gives way
            await servers.remove(s, server.id)
            changes.removed.append(f"server {server.name} (of an administrator)")
    after = {server.id: server for server in await servers.list_servers(s, source=configured.NAME)}
    for id, server in after.items():
        if id not in before:
            changes.created.append(f"server {server.name}")
        elif _said(before[id]) != _said(server):
            changes.updated.append(f"server {server.name}")
    changes.removed += [f"server {server.name}" for id, server in before.items() if id not in after]


def _said(server: StoredServer) -> tuple[object, ...]:
    """What the file says of a server."""
    return server.name, server.url, server.kind, server.trust, server.api_key_env, server.max_concurrency
