"""Users of the admin API. A password is never here: only what argon2id makes of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final, TypedDict, Unpack
from uuid import uuid4

from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.access.roles import Role
from llm_gateway.errors import InvalidRequest, NotFound
from llm_gateway.storage.columns import storable
from llm_gateway.storage.sessions import unique
from llm_gateway.storage.tables import admin_user

MOST: Final = 500
"""Users that there may be: their list is one page."""


@dataclass(frozen=True, slots=True)
class AdminUser:
    id: str
    name: str
    role: Role
    password: str = field(repr=False)
    """As `passwords.hashed` makes it."""
    is_active: bool
    created_at: float
    last_login_at: float | None


class UserChanges(TypedDict, total=False):
    role: Role
    password: str
    """Hashed."""
    is_active: bool
    last_login_at: float


async def list_users(s: AsyncSession) -> list[AdminUser]:
    """All of them, by name."""
    return [_user(row) for row in (await s.execute(select(admin_user).order_by(admin_user.c.name))).mappings()]


async def find_user(s: AsyncSession, name: str) -> AdminUser | None:
    if storable(name) != name:  # nobody's, and not to be asked of a database
        return None
    row = (await s.execute(select(admin_user).where(admin_user.c.name == name[:64]))).mappings().one_or_none()
    return _user(row) if row is not None else None


async def get_user(s: AsyncSession, name: str) -> AdminUser:
    """Raises NotFound."""
    found = await find_user(s, name)
    if found is None:
        raise NotFound(f"There is no user {name[:100]!r}.")
    return found


async def create_user(s: AsyncSession, *, name: str, role: Role, password: str) -> AdminUser:
    """`password`: hashed. Raises Conflict when the name is taken, InvalidRequest when there are too many."""
    if len(await list_users(s)) >= MOST:
        raise InvalidRequest(f"There are {MOST} users already, as many as there may be: delete some first.")
    async with unique(s, f"A user named {name!r} exists already."):
        await s.execute(
            insert(admin_user).values(
                id=str(uuid4()), name=name, role=role, password=password, is_active=True, created_at=time.time()
            )
        )
    return await get_user(s, name)


async def update_user(s: AsyncSession, name: str, **changes: Unpack[UserChanges]) -> AdminUser:
    """Changes the named fields, nothing else. Raises NotFound."""
    found = await get_user(s, name)
    if changes:
        await s.execute(update(admin_user).where(admin_user.c.id == found.id).values(**changes))
    return await get_user(s, name)


async def delete_user(s: AsyncSession, name: str) -> AdminUser:
    """With all sessions. Returns whom. Raises NotFound."""
    found = await get_user(s, name)
    await s.execute(delete(admin_user).where(admin_user.c.id == found.id))
    return found


def _user(row: RowMapping) -> AdminUser:
    return AdminUser(
        id=row["id"],
        name=row["name"],
        role=Role(row["role"]),
        password=row["password"],
        is_active=row["is_active"],
        created_at=row["created_at"],
        last_login_at=row["last_login_at"],
    )
