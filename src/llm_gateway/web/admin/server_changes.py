"""Servers: draining, changing and verifying them, and what is done to many at once."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession
from typing_extensions import TypedDict

from llm_gateway.access.policy import Trust
from llm_gateway.access.roles import Operator
from llm_gateway.errors import Fault, GatewayError, InvalidRequest, NotFound
from llm_gateway.fleet.facts import Listed, ServerSpec
from llm_gateway.fleet.versions import leaks
from llm_gateway.running import Running
from llm_gateway.storage import servers
from llm_gateway.storage.servers import ServerChanges, StoredServer
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.web.admin.common import Input, Limit, Live, admin_router, changing, noted
from llm_gateway.web.admin.server_view import ServerView, server_view
from llm_gateway.web.admin.servers import Switch, audited, check_key, switched, thing
from llm_gateway.web.auth import By

router = admin_router("servers")

MOST_AT_ONCE: Final = 500
"""Servers of one request."""
PROBES_AT_ONCE: Final = 16
PROBES_TAKE: Final = 60.0
"""Seconds for all of them; who has not answered by then has failed."""
SHOWN: Final = 200
"""Models that are named of a verified address."""

Action = Literal["probe", Switch]
Kind = Annotated[str, Field(pattern=f"^({'|'.join(KINDS)})$")]
Named = Annotated[str, Field(min_length=1, max_length=200)]


class Changes(Input):
    """Only the fields that are sent are changed."""

    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    trust: Trust | None = Field(default=None, description="Whose machine it is: own, partner or public.")
    max_concurrency: Limit = Field(default=None, description="null: unlimited.")


class Address(Input):
    url: Annotated[str, Field(max_length=500)]
    kind: Kind = Field(description=" | ".join(KINDS))
    trust: Trust = Field(default=Trust.OWN, description="As it would be added: of strangers fewer models are read.")
    api_key_env: Annotated[str, Field(max_length=100)] | None = Field(
        default=None, description="As of a server that is added."
    )


class Many(Input):
    ids: Annotated[list[Named], Field(min_length=1, max_length=MOST_AT_ONCE)] = Field(description="Ids or names.")
    action: Action


class Verified(TypedDict):
    ok: bool
    url: str
    """As it would be kept."""
    kind: str
    models: list[str]
    """The first 200."""
    model_count: int
    version: str | None
    leaks: bool
    """Its version shows strangers what others asked."""
    known_as: str | None
    """A server at this address is listed already, by this name."""
    fault: str | None
    detail: str | None


class Done(TypedDict):
    server: str
    """As it was named."""
    id: str | None
    name: str | None
    ok: bool
    state: str | None
    in_flight: int | None
    models: int | None
    """After a probe."""
    code: str | None
    """Why it was not done, or the probe's fault."""
    message: str | None


class AllDone(TypedDict):
    data: list[Done]
    ok: int
    failed: int


@router.post("/verify", summary="Ask an address for its models, before it is added")
async def verify_address(running: Live, body: Address) -> Verified:
    """The rules for servers' addresses hold. 200 also where nothing answers: `ok`, `fault` and `detail` say so."""
    origin, base = running.guard.check_url(body.url)
    url = f"{origin}{base}"
    key = None
    if body.api_key_env is not None:
        check_key(running, body.api_key_env)
        key = running.roster.environ[body.api_key_env].strip()
    told: Verified = {
        "ok": False,
        "url": url,
        "kind": body.kind,
        "models": [],
        "model_count": 0,
        "version": None,
        "leaks": False,
        "known_as": next((s.name for s in running.roster.stored if s.listed and s.url == url), None),
        "fault": None,
        "detail": None,
    }
    try:
        models, version = await running.prober.verify(ServerSpec("", "", url, body.kind, body.trust, api_key=key))
    except Fault as fault:
        return {**told, "fault": fault.kind, "detail": fault.detail}
    names = [model.name for model in models]
    told |= {"ok": True, "models": names[:SHOWN], "model_count": len(names), "version": version}
    return {**told, "leaks": leaks(body.kind, version)}


@router.post("/bulk", summary="Probe, enable, disable or drain many servers")
async def change_many(running: Live, by: By, body: Many) -> AllDone:
    """Each by itself: what cannot be done to one says why, and the others are done. Probes have 60 s together."""
    named = list(dict.fromkeys(body.ids))
    if body.action == "probe":
        done = await _probed(running, named)
    else:
        async with changing(running) as s:
            tried = [(name, await _tried(s, running, by, name, body.action)) for name in named]
        done = [_done(running, name, found) for name, found in tried]
    fine = sum(each["ok"] for each in done)
    return {"data": done, "ok": fine, "failed": len(done) - fine}


@router.post("/{server}/drain", summary="Take a server out of service, and let what runs on it end")
async def drain_server(running: Live, by: By, server: str) -> ServerView:
    """The same switch as `disable`, which cuts nothing either: `draining` is true while something still runs on it (of
    this process), and then it is `disabled`. `enable` puts it back."""
    async with changing(running) as s:
        stored = await switched(s, running, by, server, "drain")
    return server_view(running, stored)


@router.patch("/{server}", summary="Change a server that was added here")
async def change_server(running: Live, by: By, server: str, body: Changes) -> ServerView:
    """409 for those of the config file and of catalogues. Its address is what it is: add another server for another."""
    sent: dict[str, Any] = body.model_dump(exclude_unset=True)
    for field in ("name", "trust"):
        if field in sent and sent[field] is None:
            raise InvalidRequest(f"`{field}` must not be null: leave it out to keep it.", param=field)
    changes: ServerChanges = sent  # type: ignore[assignment]  # its fields are those
    async with changing(running) as s:
        before = await servers.get_server(s, server)
        stored = await servers.change(s, before.id, **changes)
        await noted(s, running, by, "server.update", thing(stored), before=audited(before), after=audited(stored))
    return server_view(running, stored)


async def _tried(
    s: AsyncSession, running: Running, by: Operator, name: str, how: Switch
) -> StoredServer | GatewayError:
    try:
        return await switched(s, running, by, name, how)
    except GatewayError as error:  # found before anything was written
        return error


async def _probed(running: Running, named: list[str]) -> list[Done]:
    some = asyncio.Semaphore(PROBES_AT_ONCE)
    known = {key: row for row in reversed(running.roster.stored) if row.listed for key in (row.name, row.id)}

    async def probe(name: str) -> Done:
        stored = known.get(name)
        if stored is None or stored.id not in running.gateway.fleet.servers:
            return _done(running, name, NotFound(f"There is no server {name!r} in the fleet."))
        try:
            async with asyncio.timeout_at(until), some:
                fact = await running.prober.probe(stored.id)
        except TimeoutError:
            return _done(running, name, stored) | {"ok": False, "code": "timeout", "message": "No answer in time."}
        except GatewayError as error:
            return _done(running, name, error)
        done = _done(running, name, stored)
        if isinstance(fact, Listed):
            return {**done, "models": len(fact.models)}
        return {**done, "ok": False, "code": fact.fault, "message": fact.detail}

    until = asyncio.get_running_loop().time() + PROBES_TAKE
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(probe(name), name=f"probe {name}") for name in named]
    return [task.result() for task in tasks]


def _done(running: Running, name: str, found: StoredServer | GatewayError) -> Done:
    done: Done = {
        "server": name,
        "id": None,
        "name": None,
        "ok": False,
        "state": None,
        "in_flight": None,
        "models": None,
        "code": None,
        "message": None,
    }
    if isinstance(found, GatewayError):
        return {**done, "code": found.code, "message": found.message}
    view = server_view(running, found)
    return {**done, "ok": True, "id": view.id, "name": view.name, "state": view.state, "in_flight": view.in_flight}
