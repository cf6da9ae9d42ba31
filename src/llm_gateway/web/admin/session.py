"""Signing in and out, and what a page has to know about it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

from fastapi import Depends, Request, Response
from pydantic import Field, SecretStr, model_validator
from typing_extensions import TypedDict

from llm_gateway.access.roles import How, Operator, Role
from llm_gateway.errors import InvalidKey, InvalidRequest
from llm_gateway.passwords import LONGEST, weakness
from llm_gateway.storage import logins, trail
from llm_gateway.storage.logins import IDLE, StoredSession
from llm_gateway.web import cookies
from llm_gateway.web.admin.common import OWNER, Input, Live, when
from llm_gateway.web.auth import By, address_of, admin, own_name, session_of
from llm_gateway.web.described import REFUSED, DescribedRouter, Time
from llm_gateway.web.logins import Logins, login_url
from llm_gateway.web.operators import presented_token
from llm_gateway.web.signed_in import SignedIn

router = DescribedRouter(
    prefix="/admin/api/session", tags=["admin"], dependencies=[Depends(own_name)], responses=REFUSED
)
"""It asks for nobody: whoever is about to sign in uses it."""

Password = Annotated[SecretStr, Field(min_length=1, max_length=LONGEST)]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=200)]


class SignIn(Input):
    """One of three: `link`, `token`, or `name` and `password`."""

    link: Secret | None = Field(default=None, description="What stands behind `t=` in a one-time link.")
    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    password: Password | None = None
    token: Secret | None = Field(default=None, description="The admin token.")

    @model_validator(mode="after")
    def _one_way(self) -> SignIn:
        given = {name for name in ("link", "name", "password", "token") if getattr(self, name) is not None}
        if given not in ({"link"}, {"token"}, {"name", "password"}):
            raise ValueError("send either `link`, or `token`, or `name` and `password`")
        return self


class NewPassword(Input):
    current: Password
    new: Password


class SessionUser(TypedDict):
    name: str
    role: Role
    how: Annotated[How, Field(description="Only who came by `password` is a user with one that can be changed.")]


class Session(TypedDict):
    user: SessionUser
    csrf: Annotated[
        str | None,
        Field(description="For the header `X-CSRF-Token` of what changes something; null: the admin token needs none."),
    ]
    expires_at: Time | None
    idle_s: Annotated[float | None, Field(description="Seconds without any request after which it ends earlier.")]


class SessionOptions(TypedDict):
    encrypted: Annotated[bool, Field(description="Over TLS, as far as the gateway or a trusted proxy can tell?")]
    local: Annotated[
        bool, Field(description="From the gateway's own machine? Neither: others on the way can read what is typed.")
    ]


class LoginLink(TypedDict):
    url: str
    expires_at: Time


@router.get("", summary="Who is signed in")
async def get_session(request: Request, running: Live) -> Session:
    """401 for nobody; `error.options` is then what `/admin/api/session/options` says."""
    try:
        by = await admin(request, running)
    except InvalidKey as error:
        error.details["options"] = _options(request)
        raise
    if presented_token(request.scope["headers"]):
        return Session(user=_user(by), csrf=None, expires_at=None, idle_s=None)
    return _shown(cookies.presented(request) or "", await session_of(request))


@router.get("/options", summary="What a sign-in page has to know")
async def get_options(request: Request) -> SessionOptions:
    return _options(request)


@router.post("", status_code=201, summary="Sign in: by a one-time link, by name and password, with the admin token")
async def sign_in(request: Request, response: Response, running: Live, body: SignIn) -> Session:
    """Sets the session's cookie. A session that the browser had before ends. 429 after five failures within a quarter
    of an hour, for the account and for the address."""
    cookies.check_origin(request, running)
    doors, address, old = _logins(request), address_of(request), cookies.presented(request)
    if body.link is not None:
        cookie = await doors.by_link(body.link.get_secret_value(), address, old)
    elif body.token is not None:
        cookie = await doors.by_token(body.token.get_secret_value(), address, old)
    else:
        assert body.name is not None
        assert body.password is not None
        cookie = await doors.by_password(body.name, body.password.get_secret_value(), address, old)
    return await _given(request, response, cookie)


@router.delete("", status_code=204, summary="Sign out")
async def sign_out(request: Request, running: Live) -> Response:
    """Also for whoever is not signed in any more; with the admin token it changes nothing."""
    response = Response(status_code=204)
    if presented_token(request.scope["headers"]):
        await admin(request, running)
        return response
    try:
        by = await admin(request, running)
    except InvalidKey:
        cookies.take_away(request, response)
        return response
    signed_in: SignedIn = request.app.state.signed_in
    session = await session_of(request)
    if session is not None:
        async with running.sessions.write() as s:
            await logins.end_sessions(s, [session.hash])
            await trail.note(s, by, running.gateway.clock.wall(), "logout")
        signed_in.forget(session.hash)
    cookies.take_away(request, response)
    return response


@router.post("/password", summary="Change one's own password; all sessions of the user end, and a new one begins")
async def change_password(request: Request, response: Response, by: By, body: NewPassword) -> Session:
    if by.how != "password":
        raise InvalidRequest("Whoever came by a link or with the admin token has no password to change.")
    new = checked_password(body.new, by.name, "new")
    cookie = await _logins(request).change_password(by, body.current.get_secret_value(), new)
    return await _given(request, response, cookie)


@router.post("/links", status_code=201, summary="A link that signs one person in as owner, once", dependencies=[OWNER])
async def create_link(running: Live, by: By) -> LoginLink:
    """Good for a quarter of an hour. The answer is the only sight of it."""
    link, wall = logins.make_link(), running.gateway.clock.wall()
    async with running.sessions.write() as s:
        expires = await logins.offer_link(s, link, wall)
        await trail.note(s, by, wall, trail.LINKED)
    return LoginLink(url=login_url(running.settings, running.url, link), expires_at=when(expires))


def checked_password(password: SecretStr, name: str, field: str) -> str:
    """Raises InvalidRequest for a weak one, without it."""
    text = password.get_secret_value()
    if wrong := weakness(text, name):
        raise InvalidRequest(f"`{field}` must {wrong}.", param=field)
    return text


def _logins(request: Request) -> Logins:
    doors: Logins = request.app.state.logins
    return doors


async def _given(request: Request, response: Response, cookie: str) -> Session:
    signed_in: SignedIn = request.app.state.signed_in
    cookies.give(request, response, cookie)
    return _shown(cookie, await signed_in.look(cookie))


def _shown(cookie: str, session: StoredSession | None) -> Session:
    if session is None:  # ended between two looks
        raise InvalidKey("The session has ended: sign in again.")
    user = SessionUser(name=session.name, role=session.role, how=session.how)
    return Session(user=user, csrf=cookies.csrf_of(cookie), expires_at=when(session.expires_at), idle_s=IDLE)


def _user(by: Operator) -> SessionUser:
    return SessionUser(name=by.name, role=by.role, how=by.how)


def _options(request: Request) -> SessionOptions:
    try:
        local = ip_address(address_of(request)).is_loopback
    except ValueError:
        local = False
    return SessionOptions(encrypted=cookies.encrypted(request), local=local)
