"""Authorisation as dependencies on the route itself, never by looking at the URL.

Dependencies are coroutines although they wait for nothing: FastAPI would run plain functions in a thread, beside the
event loop that everything they touch belongs to.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from llm_gateway.access.identify import presented_key
from llm_gateway.access.policy import Caller
from llm_gateway.access.roles import Operator, Role
from llm_gateway.errors import Forbidden, InvalidKey
from llm_gateway.gateway import Gateway
from llm_gateway.running import Running
from llm_gateway.storage.logins import StoredSession
from llm_gateway.web import cookies
from llm_gateway.web.operators import is_admin, presented_token
from llm_gateway.web.peers import Peers
from llm_gateway.web.signed_in import SignedIn


async def running_of(request: Request) -> Running:
    running: Running = request.app.state.running
    return running


async def project_caller(request: Request) -> Caller:
    """The project whose key the request carries. 401, 403, 429 for too many wrong keys. Lists and checks that are
    answered from memory do not use up a project's rate limit: menus of clients ask for them all day."""
    gateway: Gateway = request.app.state.gateway
    peers: Peers = request.app.state.peers
    return gateway.identify(presented_key(request.scope["headers"]), peers.client(request.scope))


async def admin(request: Request, running: Annotated[Running, Depends(running_of)]) -> Operator:
    """Whoever works with the admin API, under one of our own names (403 for an unknown Host): the holder of the admin
    token, else the one who is signed in. Changes with a session's cookie need its CSRF token (403). 401."""
    check_host(request, running)
    if presented_token(request.scope["headers"]):
        return await token_holder(request, running)
    session = await session_of(request)
    if session is None:
        running.gateway.metrics.auth_failed()
        raise InvalidKey("Sign in, or send the admin token as `Authorization: Bearer …` or `X-Admin-Key`.")
    if request.method not in cookies.SAFE:
        cookies.check_csrf(request, running, cookies.presented(request) or "")
    return Operator(session.name, session.role, session.how, address_of(request))


async def token_holder(request: Request, running: Annotated[Running, Depends(running_of)]) -> Operator:
    """The admin token as `Authorization: Bearer` or `X-Admin-Key`, else 401. Under any name: Prometheus comes under a
    container's, and no browser ever holds the token for such a one."""
    address = address_of(request)
    presented = presented_token(request.scope["headers"])
    if is_admin(running, presented):
        return Operator("token", Role.OWNER, "token", address)
    running.gateway.metrics.auth_failed()
    if presented:
        running.gateway.failed_keys.failed(address, running.gateway.clock.now())
    raise InvalidKey("The admin token is missing or wrong: send it as `Authorization: Bearer …` or `X-Admin-Key`.")


async def session_of(request: Request) -> StoredSession | None:
    """The session that the request's cookie holds, if it has not ended."""
    cookie = cookies.presented(request)
    if cookie is None:
        return None
    signed_in: SignedIn = request.app.state.signed_in
    return await signed_in.look(cookie)


def address_of(request: Request) -> str:
    """The client's."""
    peers: Peers = request.app.state.peers
    return peers.client(request.scope)


By = Annotated[Operator, Depends(admin)]
"""A route's parameter: who asks."""


async def by_method(request: Request, by: By) -> None:
    """Viewers look, editors change. 403."""
    _demand(by, Role.VIEWER if request.method in cookies.SAFE else Role.EDITOR)


async def editor(by: By) -> None:
    """Editors and owners only, whatever the method. 403."""
    _demand(by, Role.EDITOR)


async def owner(by: By) -> None:
    """Owners only. 403."""
    _demand(by, Role.OWNER)


def _demand(by: Operator, needed: Role) -> None:
    if not by.role.covers(needed):
        raise Forbidden(f"This takes the role `{needed}`; {by.name} is `{by.role}`.")


async def own_name(request: Request, running: Annotated[Running, Depends(running_of)]) -> None:
    """For routes that need nobody: 403 for an unknown Host."""
    check_host(request, running)


def check_host(request: Request, running: Running) -> None:
    """A page of another site must not reach the admin API under a name of its own (DNS rebinding)."""
    try:
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:  # half an IPv6 address
        host = ""
    allowed = {"localhost", running.settings.host.lower()}
    if running.settings.public_url:
        allowed.add(urlsplit(running.settings.public_url).hostname or "")
    if host in allowed or _is_address(host):
        return
    raise Forbidden("The admin API does not answer under this host name: set LLM_GATEWAY_PUBLIC_URL to it.")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
