"""Who is signed in, and the links that sign somebody in once. Of cookies and links only SHA-256 is kept.

A session ends when nobody used it for `IDLE` seconds, at its `expires_at`, with its user, or when its row goes.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, delete, exists, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.access.roles import How, Role
from llm_gateway.storage.columns import fit
from llm_gateway.storage.tables import admin_link, admin_session, admin_user

IDLE: Final = 30 * 60.0
LONGEST: Final = 12 * 3600.0
"""Seconds after which whoever signed in signs in again, whatever they did meanwhile."""
LINK_LIFE: Final = 15 * 60.0

_c: Final = admin_session.c


@dataclass(frozen=True, slots=True)
class StoredSession:
    """One that has not ended."""

    hash: bytes
    user_id: str | None
    """None: whoever came by a link or with the admin token."""
    name: str
    role: Role
    how: How
    created_at: float
    last_seen_at: float
    expires_at: float


async def begin_session(
    s: AsyncSession, hash: bytes, *, user_id: str | None, how: How, address: str | None, now: float
) -> None:
    """Those that have ended go meanwhile. `now`: Unix seconds, as everywhere here."""
    await s.execute(delete(admin_session).where(_over(now)))
    await s.execute(
        insert(admin_session).values(
            hash=hash,
            user_id=user_id,
            how=how,
            address=fit(address, _c.address) if address is not None else None,
            created_at=now,
            last_seen_at=now,
            expires_at=now + LONGEST,
        )
    )


async def find_session(s: AsyncSession, of_user: bytes, of_owner: bytes, now: float) -> StoredSession | None:
    """By the hash that the session of a user would have, or that of somebody without one. None: it has ended, or its
    user may not come in any more."""
    wanted = (
        select(admin_session, admin_user.c.name, admin_user.c.role, admin_user.c.is_active)
        .outerjoin(admin_user, admin_user.c.id == _c.user_id)
        .where(
            or_(
                and_(_c.hash == of_user, admin_user.c.is_active.is_(True)),
                and_(_c.hash == of_owner, _c.user_id.is_(None)),
            ),
            ~_over(now),
        )
    )
    row = (await s.execute(wanted)).mappings().one_or_none()
    if row is None:
        return None
    theirs = row["user_id"] is not None
    return StoredSession(
        hash=row["hash"],
        user_id=row["user_id"],
        name=row["name"] if theirs else row["how"],
        role=Role(row["role"]) if theirs else Role.OWNER,
        how=row["how"],
        created_at=row["created_at"],
        last_seen_at=row["last_seen_at"],
        expires_at=row["expires_at"],
    )


async def saw_session(s: AsyncSession, hash: bytes, now: float) -> None:
    """It was used. Never goes back."""
    await s.execute(update(admin_session).where(_c.hash == hash, _c.last_seen_at < now).values(last_seen_at=now))


async def end_sessions(s: AsyncSession, hashes: Sequence[bytes]) -> None:
    await s.execute(delete(admin_session).where(_c.hash.in_(hashes)))


async def end_sessions_of(s: AsyncSession, user_id: str) -> int:
    """All sessions of a user. Returns how many there were."""
    return _count(await s.execute(delete(admin_session).where(_c.user_id == user_id)))


def make_link() -> str:
    """The secret that stands in a link."""
    return secrets.token_urlsafe(32)


async def offer_link(s: AsyncSession, link: str, now: float) -> float:
    """Whoever comes with it first, within `LINK_LIFE`, is the owner. Returns when it ends. Old ones go meanwhile."""
    await s.execute(delete(admin_link).where(admin_link.c.expires_at <= now))
    await s.execute(insert(admin_link).values(hash=_hash(link), expires_at=now + LINK_LIFE))
    return now + LINK_LIFE


async def is_link(s: AsyncSession, link: str, now: float) -> bool:
    """Would it let somebody in now?"""
    there = exists(select(admin_link.c.hash).where(admin_link.c.hash == _hash(link), admin_link.c.expires_at > now))
    return bool((await s.execute(select(there))).scalar())


async def take_link(s: AsyncSession, link: str, now: float) -> bool:
    """The same, and it lets nobody in afterwards: of two who come at the same time one gets it."""
    gone = await s.execute(
        delete(admin_link)
        .where(admin_link.c.hash == _hash(link), admin_link.c.expires_at > now)
        .returning(admin_link.c.hash)
    )
    return gone.scalar_one_or_none() is not None


def _hash(link: str) -> bytes:
    return hashlib.sha256(link.encode(errors="replace")).digest()


def _over(now: float) -> ColumnElement[bool]:
    return or_(_c.expires_at <= now, _c.last_seen_at <= now - IDLE)


def _count(result: Any) -> int:
    return int(result.rowcount)
