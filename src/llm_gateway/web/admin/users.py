"""Users of the admin API: who may come in, and how much they may do. For owners."""

from __future__ import annotations

from typing import Annotated

from fastapi import Request, Response
from pydantic import Field, SecretStr
from typing_extensions import TypedDict

from llm_gateway.access.roles import RESERVED, Role
from llm_gateway.errors import InvalidRequest
from llm_gateway.passwords import LONGEST, NAME
from llm_gateway.storage import admins, logins
from llm_gateway.storage.admins import AdminUser
from llm_gateway.storage.trail import Thing
from llm_gateway.web.admin.common import OWNER, Input, Live, admin_router, noted, when
from llm_gateway.web.admin.session import checked_password
from llm_gateway.web.auth import By
from llm_gateway.web.described import Time
from llm_gateway.web.logins import Logins
from llm_gateway.web.signed_in import SignedIn

router = admin_router("users", OWNER)

Password = Annotated[SecretStr, Field(max_length=LONGEST)]


class NewUser(Input):
    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$", description="Lower-case letters, digits and `._@-`.")]
    role: Role
    password: Password


class UserChanges(Input):
    """Only the fields that are sent are changed. A new password, and `is_active` false, end the user's sessions."""

    role: Role | None = None
    is_active: bool | None = None
    password: Password | None = None


class User(TypedDict):
    id: str
    name: str
    role: Role
    is_active: bool
    created_at: Time
    last_login_at: Time | None


class UserList(TypedDict):
    data: list[User]


class EndedSessions(TypedDict):
    ended: int


@router.get("", summary="All users")
async def list_users(running: Live) -> UserList:
    async with running.sessions.read() as s:
        return UserList(data=[shown(user) for user in await admins.list_users(s)])


@router.post("", status_code=201, summary="Add a user")
async def create_user(request: Request, running: Live, by: By, body: NewUser) -> User:
    if body.name in RESERVED:
        raise InvalidRequest(f"`name`: {body.name!r} means something else in the audit log.", param="name")
    hashed = await _logins(request).hashed(checked_password(body.password, body.name, "password"))
    async with running.sessions.write() as s:
        user = await admins.create_user(s, name=body.name, role=body.role, password=hashed)
        await noted(s, running, by, "user.create", _thing(user), after=_audited(user))
    return shown(user)


@router.patch("/{name}", summary="Change a user's role or password, or whether they may come in")
async def update_user(request: Request, running: Live, by: By, name: str, body: UserChanges) -> User:
    changes: admins.UserChanges = {}
    if body.role is not None:
        changes["role"] = body.role
    if body.is_active is not None:
        changes["is_active"] = body.is_active
    if body.password is not None:
        changes["password"] = await _logins(request).hashed(checked_password(body.password, name, "password"))
    async with running.sessions.write() as s:
        before = await admins.get_user(s, name)
        user = await admins.update_user(s, name, **changes)
        if body.password is not None or not user.is_active:
            await logins.end_sessions_of(s, user.id)
        await noted(s, running, by, "user.update", _thing(user), before=_audited(before), after=_audited(user))
        if body.password is not None:
            await noted(s, running, by, "user.password", _thing(user))
    _signed_in(request).forget_user(user.id)
    return shown(user)


@router.delete("/{name}", status_code=204, summary="Delete a user; what they did stays in the audit log")
async def delete_user(request: Request, running: Live, by: By, name: str) -> Response:
    async with running.sessions.write() as s:
        user = await admins.delete_user(s, name)
        await noted(s, running, by, "user.delete", _thing(user), before=_audited(user))
    _signed_in(request).forget_user(user.id)
    return Response(status_code=204)


@router.delete("/{name}/sessions", summary="Sign a user out everywhere")
async def end_sessions(request: Request, running: Live, by: By, name: str) -> EndedSessions:
    async with running.sessions.write() as s:
        user = await admins.get_user(s, name)
        ended = await logins.end_sessions_of(s, user.id)
        await noted(s, running, by, "user.sign_out", _thing(user))
    _signed_in(request).forget_user(user.id)
    return EndedSessions(ended=ended)


def shown(user: AdminUser) -> User:
    return User(
        id=user.id,
        name=user.name,
        role=user.role,
        is_active=user.is_active,
        created_at=when(user.created_at),
        last_login_at=when(user.last_login_at),
    )


def _audited(user: AdminUser) -> dict[str, object]:
    return {"role": user.role, "is_active": user.is_active}


def _thing(user: AdminUser) -> Thing:
    return Thing("user", user.id, user.name)


def _logins(request: Request) -> Logins:
    found: Logins = request.app.state.logins
    return found


def _signed_in(request: Request) -> SignedIn:
    found: SignedIn = request.app.state.signed_in
    return found
