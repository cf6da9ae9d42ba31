"""`llm-gateway servers update|verify|bulk`: changing a server, asking an address, and many servers at once."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import typer

from llm_gateway.cli.client import connect, connect_to_server
from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.frame import Json, Where
from llm_gateway.cli.servers import SHOW, Server
from llm_gateway.cli.show import Column, as_json, note, record, table

_VERIFIED: Final[list[Column]] = [
    ("URL", "url"),
    ("Kind", "kind"),
    ("Models", "models"),
    ("Version", "version"),
    ("Listed already as", "known_as"),
]
_DONE: Final[list[Column]] = [
    ("Server", lambda d: d["name"] or d["server"]),
    ("Done", "ok"),
    ("State", "state"),
    ("Models", "models"),
    ("Why not", lambda d: f"{d['code']}: {d['message']}" if d["code"] else None),
]


async def update_server(
    where: Where,
    server: Server,
    name: Annotated[str | None, typer.Option(help="What people shall call it.")] = None,
    trust: Annotated[Literal["own", "partner", "public"] | None, typer.Option(help="Whose machine it is.")] = None,
    max_concurrency: Annotated[
        int | None, typer.Option(min=0, max=2**31 - 1, help="Requests at the same time; 0: unlimited.")
    ] = None,
    json: Json = False,
) -> None:
    """Change a server that was added here."""
    changes: dict[str, Any] = {"name": name, "trust": trust, "max_concurrency": max_concurrency}
    changes = {field: value for field, value in changes.items() if value is not None}
    if not changes:
        raise Stop("There is nothing to change.", "--name, --trust and --max-concurrency say what.", code=Exit.USAGE)
    if max_concurrency == 0:
        changes["max_concurrency"] = None
    async with connect(where, fleet=True) as api:
        changed = await api.patch(await api.ref("servers", server), changes)
    if json:
        as_json(changed)
        return
    record(SHOW, changed)


async def verify_server(
    where: Where,
    url: Annotated[str, typer.Argument(help="Base address, as of `servers add`.")],
    kind: Annotated[Literal["ollama", "openai"], typer.Option(help="The API that it speaks.")],
    trust: Annotated[Literal["own", "partner", "public"], typer.Option(help="Whose machine it is.")] = "own",
    api_key_env: Annotated[
        str | None, typer.Option(metavar="VARIABLE", help="Variable of the gateway's environment, named UPSTREAM_….")
    ] = None,
    json: Json = False,
) -> None:
    """Ask an address for its models before it is added. Ends with 1 when it does not answer as such a server."""
    body = {"url": url, "kind": kind, "trust": trust, "api_key_env": api_key_env}
    async with connect(where) as api:
        told = await api.post("/admin/api/servers/verify", body)
    if json:
        as_json(told)
    if not told["ok"]:
        raise Stop(f"{told['url']} does not answer as a server of kind {kind}: {told['fault']}: {told['detail']}.")
    if json:
        return
    record(_VERIFIED, told)
    if told["leaks"]:
        note("this version shows strangers what others asked (CVE-2026-7482).")


async def change_servers(
    where: Where,
    action: Annotated[Literal["probe", "enable", "disable", "drain"], typer.Argument(help="What is done to them.")],
    server: Annotated[list[str], typer.Argument(help="Names or ids.")],
    json: Json = False,
) -> None:
    """Probe, enable, disable or drain several servers. Ends with 1 when one of them could not be."""
    async with connect_to_server(where) if action == "probe" else connect(where, fleet=True) as api:
        told = await api.post("/admin/api/servers/bulk", {"ids": server, "action": action})
    if json:
        as_json(told)
    else:
        table(_DONE, told["data"])
    if told["failed"]:
        raise typer.Exit(Exit.ERROR)
