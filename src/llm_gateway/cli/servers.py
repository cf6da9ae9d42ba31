"""`llm-gateway servers`: the fleet, as sources list it and as it has shown itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from llm_gateway.cli.client import Api, connect
from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.frame import Group, Json, Where
from llm_gateway.cli.show import Column, as_json, moment, note, plain, record, table

if TYPE_CHECKING:
    import asyncio

group = Group("Model servers: the fleet, as sources list it and as it has shown itself.")

Server = Annotated[str, typer.Argument(help="Name or id.")]
PROBES_AT_ONCE: Final = 8

_LIST: Final[list[Column]] = [
    ("Name", "name"),
    ("State", "state"),
    ("Kind", "kind"),
    ("Trust", "trust"),
    ("Models", lambda s: len(s["models"])),
    ("In flight", "in_flight"),
    ("Version", "version"),
    ("Source", "source"),
    ("Country", "country"),
    ("URL", "url"),
    ("Why", "reason"),
    ("Id", "id"),
]
_SHOW: Final[list[Column]] = [
    ("Id", "id"),
    ("Name", "name"),
    ("URL", "url"),
    ("Kind", "kind"),
    ("Trust", "trust"),
    ("State", "state"),
    ("Why", "reason"),
    ("Rests for seconds", "rests_for_s"),
    ("Version", "version"),
    ("In flight", "in_flight"),
    ("Requests at the same time", lambda s: s["max_concurrency"] or "unlimited"),
    ("Key from variable", "api_key_env"),
    ("Source", "source"),
    ("Owner", "owner"),
    ("Country", "country"),
    ("First seen", moment("first_seen")),
    ("Last seen", moment("last_seen")),
]
_MODELS: Final[list[Column]] = [
    ("Model", "name"),
    ("Size", "parameter_size"),
    ("Quantization", "quantization"),
    ("Context", "context_length"),
    ("Served", "successes"),
    ("Failed", "failures"),
    ("First token s", "first_token_s"),
    ("Tokens/s", "tokens_per_second"),
    ("Why it rests", "reason"),
    ("Digest", lambda m: m["digest"] and m["digest"][:12]),
]
_PROBED: Final[list[Column]] = [
    ("Name", "name"),
    ("Answered", lambda s: s["probe"]["ok"]),
    ("Models", lambda s: s["probe"].get("models")),
    ("Version", lambda s: s["probe"].get("version")),
    ("Fault", lambda s: s["probe"].get("fault")),
    ("Detail", lambda s: s["probe"].get("detail")),
]


@group.command("list")
async def list_servers(where: Where, json: Json = False) -> None:
    """List the servers of all sources."""
    async with connect(where, fleet=True) as api:
        found = await api.get("/admin/api/servers")
    if json:
        as_json(found)
        return
    table(_LIST, found["data"], empty="No servers: `llm-gateway servers add` adds one.")


@group.command("show")
async def show_server(where: Where, server: Server, json: Json = False) -> None:
    """Show one server with its models."""
    async with connect(where, fleet=True) as api:
        found = await api.get(await api.ref("servers", server))
    if json:
        as_json(found)
        return
    record(_SHOW, found)
    if found["model_list"]:
        print()
        table(_MODELS, found["model_list"])


@group.command("probe")
async def probe_servers(
    where: Where,
    server: Annotated[list[str] | None, typer.Argument(help="Names or ids.")] = None,
    all: Annotated[bool, typer.Option("--all", help="All that are in service.")] = False,
    json: Json = False,
) -> None:
    """Ask servers for their models now. Ends with 1 when none of them answered."""
    if bool(server) == all:
        raise Stop("Name the servers to ask, or say --all.", "`llm-gateway servers list` shows them.", code=Exit.USAGE)
    import asyncio

    async with connect(where, fleet=True) as api:
        if server:
            paths = [await api.ref("servers", each) for each in server]
        else:
            listed = (await api.get("/admin/api/servers"))["data"]
            paths = [f"/admin/api/servers/{row['id']}" for row in listed if row["enabled"]]
        some = asyncio.Semaphore(PROBES_AT_ONCE)
        probed = await asyncio.gather(*(_probe(api, path, some) for path in paths))
    probed.sort(key=lambda s: (not s["probe"]["ok"], s["name"]))
    if json:
        as_json({"data": probed})
    else:
        table(_PROBED, probed, empty="No server is in service.")
    if probed and not any(s["probe"]["ok"] for s in probed):
        raise typer.Exit(Exit.ERROR)


@group.command("add")
async def add_server(
    where: Where,
    name: Annotated[str, typer.Argument(help="What people call it.")],
    url: Annotated[str, typer.Argument(help="Base address, such as http://10.0.0.5:11434; for kind openai with /v1.")],
    kind: Annotated[Literal["ollama", "openai"], typer.Option(help="The API that it speaks.")],
    trust: Annotated[Literal["own", "partner", "public"], typer.Option(help="Whose machine it is.")],
    api_key_env: Annotated[
        str | None,
        typer.Option(metavar="VARIABLE", help="Variable of the gateway's environment with its key, named UPSTREAM_…."),
    ] = None,
    max_concurrency: Annotated[
        int | None, typer.Option(min=1, max=2**31 - 1, help="Requests at the same time; absent: unlimited.")
    ] = None,
    json: Json = False,
) -> None:
    """Add a server."""
    body: dict[str, Any] = {"name": name, "url": url, "kind": kind, "trust": trust}
    body |= {"api_key_env": api_key_env, "max_concurrency": max_concurrency}
    async with connect(where) as api:
        added = await api.post("/admin/api/servers", body)
    if trust == "public":
        note("only projects with trust `public` use it, and its owner reads their prompts.")
    if json:
        as_json(added)
        return
    record(_SHOW, added)


@group.command("remove")
async def remove_server(where: Where, server: Server) -> None:
    """Take a server off the list that was added here. Those of a catalogue can be disabled."""
    async with connect(where, fleet=True) as api:
        await api.delete(await api.ref("servers", server))
    print(plain(f"Server {server} is removed."))


@group.command("enable")
async def enable_server(where: Where, server: Server) -> None:
    """Put a server back into service."""
    await _switch(where, server, "enable")


@group.command("disable")
async def disable_server(where: Where, server: Server) -> None:
    """Send nothing new to a server; what runs on it ends in peace. `drain` is the same."""
    await _switch(where, server, "disable")


@group.command("drain", hidden=True)
async def drain_server(where: Where, server: Server) -> None:
    """Another name of `disable`."""
    await _switch(where, server, "disable")


async def _switch(where: Where, server: str, to: str) -> None:
    async with connect(where, fleet=True) as api:
        changed = await api.post(f"{await api.ref('servers', server)}/{to}")
    print(plain(f"Server {changed['name']} is {'in service' if changed['enabled'] else 'out of service'}."))


async def _probe(api: Api, path: str, some: asyncio.Semaphore) -> dict[str, Any]:
    async with some:
        return dict(await api.post(f"{path}/probe"))
