"""Keys of projects. The key itself is never here: only its SHA-256 and what people recognise it by."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict, Unpack
from uuid import uuid4

from sqlalchemy import RowMapping, bindparam, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.access.policy import LIMITS, ApiKey, Owner
from llm_gateway.errors import NotFound
from llm_gateway.storage.columns import as_uuid
from llm_gateway.storage.owners import guard
from llm_gateway.storage.projects import get_project
from llm_gateway.storage.sessions import unique
from llm_gateway.storage.tables import api_key
from llm_gateway.storage.version import bump_version


@dataclass(frozen=True, slots=True)
class StoredKey(ApiKey):
    """A key, and when it was last used: written in batches, so a little late."""

    last_used_at: float | None = None
    """Unix seconds."""


class KeyLimits(TypedDict, total=False):
    """As `access.policy.LIMITS`; None = unlimited."""

    rate_limit_per_minute: int | None
    tokens_per_minute: int | None
    max_concurrency: int | None
    daily_tokens: int | None
    monthly_tokens: int | None
    daily_cost: float | None
    monthly_cost: float | None


async def add_key(
    s: AsyncSession,
    project_id: str,
    *,
    name: str,
    hash: bytes,
    prefix: str,
    last4: str,
    expires_at: float | None = None,
    owner: Owner = Owner.DATABASE,
    **limits: Unpack[KeyLimits],
) -> StoredKey:
    """One more key for a project. `hash` is the key's SHA-256. Raises NotFound, and Conflict when the key is used."""
    await bump_version(s)
    of = await get_project(s, project_id)
    id = str(uuid4())
    async with unique(s, "This key exists already: keys are never shared or used again."):
        await s.execute(
            insert(api_key).values(
                id=id,
                project_id=of.id,
                name=name,
                hash=hash,
                prefix=prefix,
                last4=last4,
                expires_at=expires_at,
                owner=owner,
                created_at=time.time(),
                **limits,
            )
        )
    return await get_key(s, id)


async def get_key(s: AsyncSession, id: str, *, project_id: str | None = None) -> StoredKey:
    """With `project_id`, other projects' keys do not exist. Raises NotFound."""
    wanted = select(api_key).where(api_key.c.id == as_uuid(id, "key id"))
    if project_id is not None:
        wanted = wanted.where(api_key.c.project_id == as_uuid(project_id, "project id"))
    row = (await s.execute(wanted)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no key {id!r}.")
    return _key(row)


async def list_keys(s: AsyncSession, project_id: str | None = None) -> list[StoredKey]:
    """Of one project or of all, oldest first; also expired and revoked ones."""
    wanted = select(api_key).order_by(api_key.c.created_at, api_key.c.id)
    if project_id is not None:
        wanted = wanted.where(api_key.c.project_id == as_uuid(project_id, "project id"))
    return [_key(row) for row in (await s.execute(wanted)).mappings()]


async def expire_key(s: AsyncSession, id: str, at: float | None, *, by: Owner = Owner.DATABASE) -> StoredKey:
    """Lets the key end at `at` (Unix seconds; None = never): how a rotation leaves the old key its overlap."""
    await bump_version(s)
    found = await get_key(s, id)
    guard(found.owner, by, f"Key {found.name!r}")
    await s.execute(update(api_key).where(api_key.c.id == found.id).values(expires_at=at))
    return await get_key(s, found.id)


async def limit_key(s: AsyncSession, id: str, *, by: Owner = Owner.DATABASE, **limits: Unpack[KeyLimits]) -> StoredKey:
    """Changes the named limits, nothing else. Raises NotFound, OwnedByFile."""
    await bump_version(s)
    found = await get_key(s, id)
    guard(found.owner, by, f"Key {found.name!r}")
    if limits:
        await s.execute(update(api_key).where(api_key.c.id == found.id).values(**limits))
    return await get_key(s, found.id)


async def revoke_key(s: AsyncSession, id: str, at: float, *, by: Owner = Owner.DATABASE) -> StoredKey:
    """Ends the key for good. Revoking it again changes nothing. Raises NotFound, OwnedByFile."""
    await bump_version(s)
    found = await get_key(s, id)
    guard(found.owner, by, f"Key {found.name!r}")
    await s.execute(
        update(api_key).where(api_key.c.id == found.id, api_key.c.revoked_at.is_(None)).values(revoked_at=at)
    )
    return await get_key(s, found.id)


async def take_key(
    s: AsyncSession,
    id: str,
    *,
    project_id: str,
    name: str,
    expires_at: float | None,
    **limits: Unpack[KeyLimits],
) -> StoredKey:
    """The config file makes the key its own and says all there is to say of it. One that it had dropped, and so
    revoked, is valid again. Raises NotFound."""
    await bump_version(s)
    found = await get_key(s, id)
    await s.execute(
        update(api_key)
        .where(api_key.c.id == found.id)
        .values(
            project_id=as_uuid(project_id, "project id"),
            name=name,
            expires_at=expires_at,
            revoked_at=None,
            owner=Owner.FILE,
            **limits,
        )
    )
    return await get_key(s, found.id)


async def touch(s: AsyncSession, used: Mapping[str, float]) -> None:
    """Notes when keys were last used (key id -> Unix seconds). Never goes back; unknown keys are passed over. The
    version stays: nothing that decides about a request has changed."""
    if not used:
        return
    await s.execute(
        update(api_key)
        .where(
            api_key.c.id == bindparam("key"),
            or_(api_key.c.last_used_at.is_(None), api_key.c.last_used_at < bindparam("at")),
        )
        .values(last_used_at=bindparam("at")),
        # In one order, so that two processes never wait for each other.
        [{"key": as_uuid(id, "key id"), "at": at} for id, at in sorted(used.items())],
    )


def _key(row: RowMapping) -> StoredKey:
    return StoredKey(
        id=row["id"],
        project_id=row["project_id"],
        name=row["name"],
        hash=row["hash"],
        prefix=row["prefix"],
        last4=row["last4"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        created_at=row["created_at"],
        owner=Owner(row["owner"]),
        last_used_at=row["last_used_at"],
        **{name: row[name] for name in LIMITS},
    )
