"""Servers: what is known and believed of each; adding, switching and probing them."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from fastapi import Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.access.policy import Trust
from llm_gateway.access.roles import Operator
from llm_gateway.errors import InvalidRequest, NotFound
from llm_gateway.fleet.facts import Listed
from llm_gateway.running import Running
from llm_gateway.storage import servers
from llm_gateway.storage.servers import StoredServer
from llm_gateway.storage.trail import Thing
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.web.admin.common import Input, Limit, Live, admin_router, changing, noted
from llm_gateway.web.admin.server_view import (
    Probe,
    ProbedServer,
    ServerDetail,
    ServerList,
    ServerView,
    probed_server,
    server_detail,
    server_view,
)
from llm_gateway.web.auth import By

KEY_VARIABLE: Final = re.compile(r"UPSTREAM_[A-Z0-9_]{1,90}")
"""The variables that this API may name. Whoever names one has its value sent to a server of their choice, so these
are the ones that exist for that purpose, and none of the process's other secrets."""

Switch = Literal["enable", "disable", "drain"]

router = admin_router("servers")


class NewServer(Input):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    url: Annotated[str, Field(max_length=500)]
    kind: Annotated[str, Field(pattern=f"^({'|'.join(KINDS)})$")] = Field(description=" | ".join(KINDS))
    trust: Trust = Field(description="Whose machine it is: own, partner or public.")
    api_key_env: Annotated[str, Field(max_length=100)] | None = Field(
        default=None,
        description="Variable of the gateway's environment (or `.env`) that holds the server's key. It must be set and "
        "its name must begin with `UPSTREAM_`; other variables can only be named in the config file.",
    )
    max_concurrency: Limit = None


@router.get("", summary="The fleet, as it stands now")
async def list_servers(running: Live) -> ServerList:
    async with running.sessions.read() as s:
        stored = await servers.list_servers(s)
    known = running.gateway.fleet.servers
    demo = running.demo is not None
    rows = [row for row in stored if row.id in known or not (demo or row.source == "demo")]
    return ServerList(data=[server_view(running, row) for row in rows])


@router.post("", status_code=201, summary="Add a server")
async def add_server(running: Live, by: By, body: NewServer) -> ServerView:
    origin, base = running.guard.check_url(body.url)
    if body.api_key_env is not None:
        check_key(running, body.api_key_env)
    async with changing(running) as s:
        fields = body.model_dump() | {"url": f"{origin}{base}"}
        added = await servers.add(s, **fields, now=running.gateway.clock.wall())
        await noted(s, running, by, "server.create", thing(added), after=audited(added))
    return server_view(running, added)


@router.get("/{server}", summary="One server, by id or name, with its models")
async def get_server(running: Live, server: str) -> ServerDetail:
    async with running.sessions.read() as s:
        stored = await servers.get_server(s, server)
    return server_detail(running, stored)


@router.delete("/{server}", status_code=204, summary="Take an added server off the list")
async def remove_server(running: Live, by: By, server: str) -> Response:
    async with changing(running) as s:
        before = await servers.get_server(s, server)
        await noted(s, running, by, "server.delete", thing(before), before=audited(before))
        await servers.remove(s, server)
    return Response(status_code=204)


@router.post("/{server}/enable", summary="Put a server back into service")
async def enable_server(running: Live, by: By, server: str) -> ServerView:
    return await _switch(running, by, server, True)


@router.post("/{server}/disable", summary="Take a server out of service: nothing new is sent to it")
async def disable_server(running: Live, by: By, server: str) -> ServerView:
    return await _switch(running, by, server, False)


@router.post("/{server}/probe", summary="Ask a server for its models now")
async def probe_server(running: Live, server: str) -> ProbedServer:
    async with running.sessions.read() as s:
        stored = await servers.get_server(s, server)
    if stored.id not in running.gateway.fleet.servers:
        raise NotFound(f"Server {stored.name!r} is not part of the fleet now.")
    fact = await running.prober.probe(stored.id)
    if isinstance(fact, Listed):
        outcome = Probe(ok=True, models=len(fact.models), version=fact.version)
    else:
        outcome = Probe(ok=False, fault=fact.fault, detail=fact.detail)
    return probed_server(running, stored, outcome)


def thing(server: StoredServer) -> Thing:
    """As the audit log names it."""
    return Thing("server", server.id, server.name)


def audited(server: StoredServer) -> dict[str, object]:
    """What an administrator says of it, for the audit log."""
    names = ("name", "url", "kind", "trust", "api_key_env", "max_concurrency", "enabled")
    return {name: getattr(server, name) for name in names}


def check_key(running: Live, variable: str) -> None:
    """Raises InvalidRequest for a variable that this API may not name, or that is not set."""
    if not KEY_VARIABLE.fullmatch(variable):
        raise InvalidRequest(
            "`api_key_env` must be the name of a variable that begins with UPSTREAM_, in capitals, such as "
            "UPSTREAM_LAB_KEY. Other variables can only be named in the config file.",
            param="api_key_env",
        )
    if not running.roster.environ.get(variable, "").strip():
        raise InvalidRequest(
            f"`api_key_env`: {variable} is not set in the gateway's environment. Export it, or put it into `.env`, and "
            "start the gateway again.",
            param="api_key_env",
        )


async def switched(s: AsyncSession, running: Running, by: Operator, server: str, how: Switch) -> StoredServer:
    """Within `changing`: the switch and its row in the audit log. Raises NotFound, Conflict, OwnedByFile."""
    before = await servers.get_server(s, server)
    stored = await servers.set_enabled(s, before.id, how == "enable")
    await noted(s, running, by, f"server.{how}", thing(stored), before=audited(before), after=audited(stored))
    return stored


async def _switch(running: Live, by: Operator, server: str, enabled: bool) -> ServerView:
    async with changing(running) as s:
        stored = await switched(s, running, by, server, "enable" if enabled else "disable")
    return server_view(running, stored)
