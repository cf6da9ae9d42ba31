"""Servers: what the sources list, what admins add and switch, and the models that the servers themselves named.

A server's id is random, given once per (source, url) and kept for good, so that it can be shown to clients and found
in old log rows. A server that its source no longer lists keeps its row.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, TypedDict, Unpack

from sqlalchemy import ColumnElement, RowMapping, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.access.policy import Owner, Trust
from llm_gateway.errors import Conflict, NotFound
from llm_gateway.fleet.facts import ListedModel, ServerSpec
from llm_gateway.storage.columns import fit, storable
from llm_gateway.storage.owners import guard
from llm_gateway.storage.tables import server, server_model
from llm_gateway.storage.version import bump_version, hold_version

ADMIN: Final = "admin"
"""The source of servers that admins added."""
CONFIGURED: Final = "configured"
"""The source of servers in the config file, which owns them."""

_ID: Final = re.compile(r"srv_[0-9a-f]{10}")
_DETAILS: Final = frozenset(field.name for field in fields(ListedModel)) - {"name", "digest"}


@dataclass(frozen=True, slots=True)
class StoredServer:
    """A server as it is kept. `api_key_env` names the variable that holds its key."""

    id: str
    name: str
    url: str
    kind: str
    trust: Trust
    source: str
    api_key_env: str | None
    max_concurrency: int | None
    enabled: bool
    listed: bool
    """Does its source still name it?"""
    country: str | None
    owner: Owner
    first_seen: float
    """Unix seconds, by its source; as `last_seen`."""
    last_seen: float
    models: tuple[ListedModel, ...] = ()
    """What the server itself listed last."""

    def spec(self, api_key: str | None = None) -> ServerSpec:
        """The fleet's view of it; `api_key` is the value of the variable `api_key_env`."""
        return ServerSpec(
            id=self.id,
            name=self.name,
            url=self.url,
            kind=self.kind,
            trust=self.trust,
            source=self.source,
            api_key=api_key,
            max_concurrency=self.max_concurrency,
            models=self.models,
            country=self.country,
            enabled=self.enabled,
            first_seen=self.first_seen,
        )


class ServerChanges(TypedDict, total=False):
    """What an admin may change of a server that admins added."""

    name: str
    trust: Trust
    max_concurrency: int | None


async def sync(
    s: AsyncSession,
    source: str,
    specs: Iterable[ServerSpec],
    now: float,
    *,
    api_key_envs: Mapping[str, str | None] | None = None,
) -> list[ServerSpec]:
    """Makes the rows of `source` what it lists `now` (Unix seconds), and gives the specs back with their ids.

    `api_key_envs` names, by URL, the variables that hold the servers' keys; the keys themselves are not kept.
    An admin's switch outlives the source's opinion: `enabled` of a known server stays, unless the config file owns it.
    The version rises only when something besides `last_seen` changed.
    """
    await hold_version(s)
    owner = Owner.FILE if source == CONFIGURED else Owner.DATABASE
    known = {row["url"]: row for row in (await s.execute(select(server).where(server.c.source == source))).mappings()}
    named: dict[str, ServerSpec] = {}
    changed = False
    for spec in specs:
        if spec.url in named:
            continue  # listed twice: the first one counts
        row = known.get(spec.url)
        enabled = spec.enabled if row is None or owner is Owner.FILE else row["enabled"]
        values: dict[str, Any] = {
            "name": fit(spec.name, server.c.name),
            "kind": spec.kind,
            "trust": spec.trust,
            "api_key_env": (api_key_envs or {}).get(spec.url),
            "max_concurrency": spec.max_concurrency,
            "country": spec.country and fit(spec.country, server.c.country),
            "enabled": enabled,
            "listed": True,
            "owner": owner,
        }
        if row is None:
            id = _new_id()
            await s.execute(
                insert(server).values(id=id, url=spec.url, source=source, first_seen=now, last_seen=now, **values)
            )
            changed = True
        else:
            id = row["id"]
            if any(row[name] != value for name, value in values.items()):
                await s.execute(update(server).where(server.c.id == id).values(values))
                changed = True
        named[spec.url] = replace(spec, id=id, source=source, enabled=enabled)
    await s.execute(update(server).where(server.c.id.in_([spec.id for spec in named.values()])).values(last_seen=now))
    gone = [row["id"] for url, row in known.items() if url not in named and row["listed"]]
    if gone:
        await s.execute(update(server).where(server.c.id.in_(gone)).values(listed=False))
    if changed or gone:
        await bump_version(s)
    return list(named.values())


async def add(
    s: AsyncSession,
    *,
    name: str,
    url: str,
    kind: str,
    trust: Trust,
    now: float,
    api_key_env: str | None = None,
    max_concurrency: int | None = None,
) -> StoredServer:
    """A server that an admin adds. Raises Conflict when a listed one has this name or address."""
    await bump_version(s)
    same = select(server.c.name, server.c.url).where(server.c.listed, or_(server.c.name == name, server.c.url == url))
    twin = (await s.execute(same)).mappings().first()
    if twin is not None:
        which = f"named {name!r}" if twin["name"] == name else f"at {url}"
        raise Conflict(f"A server {which} exists already.")
    values: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "trust": trust,
        "api_key_env": api_key_env,
        "max_concurrency": max_concurrency,
        "enabled": True,
        "listed": True,
        "last_seen": now,
    }
    back = await s.execute(
        update(server).where(server.c.source == ADMIN, server.c.url == url).values(values).returning(server.c.id)
    )
    id = back.scalar_one_or_none()  # it was here before: the same id again
    if id is None:
        id = _new_id()
        await s.execute(
            insert(server).values(id=id, url=url, source=ADMIN, owner=Owner.DATABASE, first_seen=now, **values)
        )
    return await get_server(s, id)


async def remove(s: AsyncSession, id_or_name: str) -> StoredServer:
    """Takes an admin's server off the list. Raises NotFound, OwnedByFile, and Conflict for those of other sources."""
    await bump_version(s)
    found = await get_server(s, id_or_name)
    guard(found.owner, Owner.DATABASE, f"Server {found.name!r}")
    if found.source != ADMIN:
        raise Conflict(f"Server {found.name!r} comes from the source {found.source!r}: disable it instead.")
    await s.execute(update(server).where(server.c.id == found.id).values(listed=False))
    return await get_server(s, found.id)


async def change(s: AsyncSession, id_or_name: str, **changes: Unpack[ServerChanges]) -> StoredServer:
    """Changes the named fields of an admin's server, nothing else. Raises NotFound, OwnedByFile, and Conflict for those
    of other sources and for a taken name."""
    await bump_version(s)
    found = await get_server(s, id_or_name)
    guard(found.owner, Owner.DATABASE, f"Server {found.name!r}")
    if found.source != ADMIN:
        raise Conflict(f"Server {found.name!r} comes from the source {found.source!r}, which describes it.")
    if (name := changes.get("name", found.name)) != found.name:
        same = select(server.c.id).where(server.c.listed, server.c.name == name)
        if (await s.execute(same)).first() is not None:
            raise Conflict(f"A server named {name!r} exists already.")
    if changes:
        await s.execute(update(server).where(server.c.id == found.id).values(changes))
    return await get_server(s, found.id)


async def set_enabled(s: AsyncSession, id_or_name: str, enabled: bool) -> StoredServer:
    """An admin's switch. Raises NotFound, OwnedByFile."""
    await bump_version(s)
    found = await get_server(s, id_or_name)
    guard(found.owner, Owner.DATABASE, f"Server {found.name!r}")
    await s.execute(update(server).where(server.c.id == found.id).values(enabled=enabled))
    return await get_server(s, found.id)


async def get_server(s: AsyncSession, id_or_name: str) -> StoredServer:
    """By id, else by the name of a listed one. Raises NotFound, and Conflict when several have the name."""
    matches: ColumnElement[bool] = (server.c.name == id_or_name) & server.c.listed
    if _ID.fullmatch(id_or_name):
        matches = or_(server.c.id == id_or_name, matches)
    rows = (await s.execute(select(server).where(matches))).mappings()
    found = sorted(rows, key=lambda row: row["id"] != id_or_name)  # the id wins over a name that looks like it
    if not found:
        raise NotFound(f"There is no server {id_or_name!r}.")
    if len(found) > 1 and found[0]["id"] != id_or_name:
        raise Conflict(f"Several servers are named {id_or_name!r}: {', '.join(row['id'] for row in found)}.")
    models = await _models(s, found[0]["id"])
    return _server(found[0], models.get(found[0]["id"], ()))


async def list_servers(s: AsyncSession, *, source: str | None = None, all: bool = False) -> list[StoredServer]:
    """Of one source or of every one, by name; with `all` also those that no source lists any more."""
    wanted = select(server).order_by(server.c.name, server.c.id)
    if source is not None:
        wanted = wanted.where(server.c.source == source)
    if not all:
        wanted = wanted.where(server.c.listed)
    rows = (await s.execute(wanted)).mappings().all()
    models = await _models(s)
    return [_server(row, models.get(row["id"], ())) for row in rows]


async def remember_models(s: AsyncSession, server_id: str, models: Sequence[ListedModel], now: float) -> None:
    """Keeps what the server listed at `now` in place of what it listed before. Raises NotFound."""
    if (await s.execute(select(server.c.id).where(server.c.id == server_id))).one_or_none() is None:
        raise NotFound(f"There is no server {server_id!r}.")
    await s.execute(delete(server_model).where(server_model.c.server_id == server_id))
    rows = {}
    for model in models:  # a stranger's words: cut and cleaned, the last of two equal names counts
        name = fit(model.name, server_model.c.name)
        rows[name] = {
            "server_id": server_id,
            "name": name,
            "digest": model.digest and fit(model.digest, server_model.c.digest),
            "details": _details(model),
            "listed_at": now,
        }
    if rows:
        await s.execute(insert(server_model), [rows[name] for name in sorted(rows)])


def _new_id() -> str:
    return f"srv_{secrets.token_hex(5)}"


def _details(model: ListedModel) -> dict[str, Any]:
    details = {name: value for name, value in asdict(model).items() if name in _DETAILS and value not in (None, ())}
    for name, value in details.items():
        if isinstance(value, str):
            details[name] = storable(value)[:200]
        elif isinstance(value, tuple):
            details[name] = [storable(text)[:200] for text in value]
    return details


async def _models(s: AsyncSession, server_id: str | None = None) -> dict[str, tuple[ListedModel, ...]]:
    wanted = select(server_model).order_by(server_model.c.server_id, server_model.c.name)
    if server_id is not None:
        wanted = wanted.where(server_model.c.server_id == server_id)
    models: dict[str, tuple[ListedModel, ...]] = {}
    for row in (await s.execute(wanted)).mappings():
        details = {name: value for name, value in row["details"].items() if name in _DETAILS}
        details["capabilities"] = tuple(details.get("capabilities", ()))
        model = ListedModel(name=row["name"], digest=row["digest"], **details)
        models[row["server_id"]] = (*models.get(row["server_id"], ()), model)
    return models


def _server(row: RowMapping, models: tuple[ListedModel, ...]) -> StoredServer:
    values = {field.name: row[field.name] for field in fields(StoredServer) if field.name != "models"}
    values["trust"], values["owner"] = Trust(row["trust"]), Owner(row["owner"])
    return StoredServer(**values, models=models)
