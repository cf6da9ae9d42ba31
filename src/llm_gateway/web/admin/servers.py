"""Servers: what is known and believed of each; adding, switching and probing them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from fastapi import Response
from pydantic import Field

from llm_gateway.access.policy import Trust
from llm_gateway.errors import InvalidRequest, NotFound
from llm_gateway.fleet.facts import Listed
from llm_gateway.fleet.server import ModelState, ServerState
from llm_gateway.storage import servers
from llm_gateway.storage.servers import StoredServer
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.web.admin.common import Input, Limit, Live, admin_router, changing, listed, when

KEY_VARIABLE: Final = re.compile(r"UPSTREAM_[A-Z0-9_]{1,90}")
"""The variables that this API may name. Whoever names one has its value sent to a server of their choice, so these
are the ones that exist for that purpose, and none of the process's other secrets."""

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
async def list_servers(running: Live) -> dict[str, Any]:
    async with running.sessions.read() as s:
        stored = await servers.list_servers(s)
    known = running.gateway.fleet.servers
    demo = running.demo is not None
    return listed([shown(running, row) for row in stored if row.id in known or not (demo or row.source == "demo")])


@router.post("", status_code=201, summary="Add a server")
async def add_server(running: Live, body: NewServer) -> dict[str, Any]:
    origin, base = running.guard.check_url(body.url)
    if body.api_key_env is not None:
        _check_key(running, body.api_key_env)
    async with changing(running) as s:
        fields = body.model_dump() | {"url": f"{origin}{base}"}
        added = await servers.add(s, **fields, now=running.gateway.clock.wall())
    return shown(running, added)


@router.get("/{server}", summary="One server, by id or name, with its models")
async def get_server(running: Live, server: str) -> dict[str, Any]:
    async with running.sessions.read() as s:
        stored = await servers.get_server(s, server)
    return shown(running, stored, with_models=True)


@router.delete("/{server}", status_code=204, summary="Take an added server off the list")
async def remove_server(running: Live, server: str) -> Response:
    async with changing(running) as s:
        await servers.remove(s, server)
    return Response(status_code=204)


@router.post("/{server}/enable", summary="Put a server back into service")
async def enable_server(running: Live, server: str) -> dict[str, Any]:
    return await _switch(running, server, True)


@router.post("/{server}/disable", summary="Take a server out of service: nothing new is sent to it")
async def disable_server(running: Live, server: str) -> dict[str, Any]:
    return await _switch(running, server, False)


@router.post("/{server}/probe", summary="Ask a server for its models now")
async def probe_server(running: Live, server: str) -> dict[str, Any]:
    async with running.sessions.read() as s:
        stored = await servers.get_server(s, server)
    if stored.id not in running.gateway.fleet.servers:
        raise NotFound(f"Server {stored.name!r} is not part of the fleet now.")
    fact = await running.prober.probe(stored.id)
    if isinstance(fact, Listed):
        outcome: dict[str, Any] = {"ok": True, "models": len(fact.models), "version": fact.version}
    else:
        outcome = {"ok": False, "fault": fact.fault, "detail": fact.detail}
    return {**shown(running, stored, with_models=True), "probe": outcome}


def _check_key(running: Live, variable: str) -> None:
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


async def _switch(running: Live, server: str, enabled: bool) -> dict[str, Any]:
    async with changing(running) as s:
        stored = await servers.set_enabled(s, server, enabled)
    return shown(running, stored)


def shown(running: Live, stored: StoredServer, *, with_models: bool = False) -> dict[str, Any]:
    """What its source says, and what the fleet believes; times that are ahead are given in seconds from now."""
    state = running.gateway.fleet.servers.get(stored.id)
    now = running.gateway.clock.now()
    view: dict[str, Any] = {
        "id": stored.id,
        "name": stored.name,
        "url": stored.url,
        "kind": stored.kind,
        "trust": stored.trust,
        "source": stored.source,
        "owner": stored.owner,
        "enabled": stored.enabled,
        "country": stored.country,
        "max_concurrency": stored.max_concurrency,
        "api_key_env": stored.api_key_env,
        "first_seen": when(stored.first_seen),
        "last_seen": when(stored.last_seen),
        "state": state.state(now) if state else ("unknown" if stored.enabled else "disabled"),
        **_believed(state, now),
    }
    if with_models:
        view["model_list"] = [_model(m, now) for m in state.models.values()] if state else []
    return view


def _believed(state: ServerState | None, now: float) -> dict[str, Any]:
    if state is None:
        return {"models": [], "in_flight": 0, "version": None, "reason": None, "rests_for_s": None}
    rest = state.rests(now)
    reason = f"{rest.last_fault}: {rest.detail}" if rest else state.quarantined(now)
    return {
        "models": [m.listed.name for m in state.models.values()],
        "in_flight": state.in_flight,
        "version": state.version,
        "reason": reason,
        "rests_for_s": round(rest.until - now, 1) if rest else None,
    }


def _model(model: ModelState, now: float) -> dict[str, Any]:
    rest = max(model.rests(), key=lambda r: r.until)
    resting = f"{rest.last_fault}: {rest.detail}" if rest.resting(now) else None
    quarantined = model.quarantined(now)
    return {
        "name": model.listed.name,
        "digest": model.listed.digest,
        "family": model.listed.family,
        "parameter_size": model.listed.parameter_size,
        "quantization": model.listed.quantization,
        "context_length": model.listed.context_length,
        "successes": model.successes,
        "failures": model.failures,
        "in_flight": model.in_flight,
        "first_token_s": round(model.expected_wait(now), 3) if model.waits else None,
        "tokens_per_second": round(model.tokens_per_second, 1) if model.tokens_per_second else None,
        "state": "quarantined" if quarantined else "resting" if resting else "usable",
        "reason": quarantined or resting,
        "rests_for_s": round(rest.until - now, 1) if resting else None,
    }
