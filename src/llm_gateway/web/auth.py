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
from llm_gateway.errors import Forbidden, InvalidKey
from llm_gateway.gateway import Gateway
from llm_gateway.running import Running
from llm_gateway.web.operators import is_admin, presented_token
from llm_gateway.web.peers import Peers


async def running_of(request: Request) -> Running:
    running: Running = request.app.state.running
    return running


async def project_caller(request: Request) -> Caller:
    """The project whose key the request carries. 401, 403, 429 for too many wrong keys. Lists and checks that are
    answered from memory do not use up a project's rate limit: menus of clients ask for them all day."""
    gateway: Gateway = request.app.state.gateway
    peers: Peers = request.app.state.peers
    return gateway.identify(presented_key(request.scope["headers"]), peers.client(request.scope))


async def admin(request: Request, running: Annotated[Running, Depends(running_of)]) -> str:
    """The administrator, who comes under one of our own names: 403 for an unknown Host, else as `operator`."""
    _check_host(request, running)
    return await operator(request, running)


async def operator(request: Request, running: Annotated[Running, Depends(running_of)]) -> str:
    """The admin token as `Authorization: Bearer` or `X-Admin-Key`, else 401. Under any name: Prometheus comes under a
    container's, and no browser ever holds the token for such a one."""
    peers: Peers = request.app.state.peers
    peer = peers.client(request.scope)
    if not is_admin(running, presented_token(request.scope["headers"])):
        running.gateway.metrics.auth_failed()
        running.gateway.failed_keys.failed(peer, running.gateway.clock.now())
        raise InvalidKey("The admin token is missing or wrong: send it as `Authorization: Bearer …` or `X-Admin-Key`.")
    return "admin-token"


def _check_host(request: Request, running: Running) -> None:
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


Admin = Annotated[str, Depends(admin)]
"""Annotate a route's parameter with it, or put `Depends(admin)` on its router."""
