"""`llm-gateway servers`: the fleet, as sources list it and as it has shown itself."""

from __future__ import annotations

from shlex import quote
from typing import Annotated, Any, Final, Literal

import typer

from llm_gateway.cli.client import Api, connect, only_sources
from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.frame import Group, Json, Where
from llm_gateway.cli.progress import Step, progress
from llm_gateway.cli.show import Column, Row, as_json, moment, note, plain, record, share, span, table

group = Group("Model servers: the fleet, as sources list it and as it has shown itself.")

Server = Annotated[str, typer.Argument(help="Name or id.")]
PROBES_AT_ONCE: Final = 8
LONGEST_DRAIN: Final = 600.0
"""Seconds: no request runs longer, unless `timeouts.total` was raised."""
LOOK_EVERY: Final = 0.5
"""Seconds between two looks at what still runs."""

_LEAKS: Final = "it shows strangers what others asked (CVE-2026-7482)"
_LIST: Final[list[Column]] = [
    ("Name", "name"),
    ("State", lambda s: "draining" if s.get("draining") else s["state"]),
    ("Trust", "trust"),
    ("Models", lambda s: len(s["models"])),
    ("Runs", "in_flight"),
    ("Whole", lambda s: share(s["success_rate"])),
    ("1st token", lambda s: _seconds(s["first_token_s"])),
    ("Tok/s", "tokens_per_second"),
]
_OUT: Final[list[Column]] = [
    ("Name", "name"),
    ("Again in", lambda s: span(s["rests_for_s"])),
    ("Why", lambda s: s["reason"] or _some_rest(s)),
]
SHOW: Final[list[Column]] = [
    ("Id", "id"),
    ("Name", "name"),
    ("URL", "url"),
    ("Kind", "kind"),
    ("Trust", "trust"),
    ("State", lambda s: "draining" if s.get("draining") else s["state"]),
    ("Why", "reason"),
    ("Tried again in", lambda s: span(s["rests_for_s"])),
    ("Version", lambda s: f"{s['version']}: {_LEAKS}" if s.get("leaks") else s["version"]),
    ("In flight", "in_flight"),
    ("Whole answers of late", lambda s: share(s["success_rate"])),
    ("Requests at the same time", lambda s: s["max_concurrency"] or "unlimited"),
    ("Key from variable", "api_key_env"),
    ("Source", "source"),
    ("Owner", "owner"),
    ("Country", "country"),
    ("Listed first", moment("first_seen")),
    ("Listed last", moment("last_seen")),
    ("Last look answered", moment("looked_at")),
    ("Next look in", lambda s: span(s["next_look_s"])),
]
_MODELS: Final[list[Column]] = [
    ("Model", "name"),
    ("State", "state"),
    ("Load", lambda m: f"{m['in_flight']}/{m['limit']}"),
    ("Good", "successes"),
    ("Bad", "failures"),
    ("Whole", lambda m: share(m["success_rate"])),
    ("1st token", lambda m: _seconds(m["first_token_s"])),
    ("Tok/s", "tokens_per_second"),
    ("Warm", "warm"),
]
_KINDS: Final[list[Column]] = [
    ("Model", "name"),
    ("Family", "family"),
    ("Size", "parameter_size"),
    ("Quantization", "quantization"),
    ("Context", "context_length"),
    ("Digest", lambda m: m["digest"] and m["digest"][:12]),
]
_RESTING: Final[list[Column]] = [
    ("Model", "name"),
    ("Again in", lambda m: span(m["rests_for_s"])),
    ("Why it is out", "reason"),
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
        only_sources(api)
    if json:
        as_json(found)
        return
    table(_LIST, found["data"], empty="No servers: `llm-gateway servers add` adds one.")
    if out := [s for s in found["data"] if s["reason"] or s["models_resting"]]:
        print()
        table(_OUT, out)
    if old := [s["name"] for s in found["data"] if s.get("leaks")]:
        note(f"Ollama before 0.17.1 shows strangers what others asked (CVE-2026-7482): {', '.join(old)}.")


@group.command("show")
async def show_server(where: Where, server: Server, json: Json = False) -> None:
    """Show one server with its models."""
    async with connect(where, fleet=True) as api:
        found = await api.get(await api.ref("servers", server))
        only_sources(api)
    if json:
        as_json(found)
        return
    record(SHOW, found)
    for columns, models in (
        (_MODELS, found["model_list"]),
        (_RESTING, [m for m in found["model_list"] if m["reason"]]),
        (_KINDS, found["model_list"]),
    ):
        if models:
            print()
            table(columns, models)


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
    async with connect(where, fleet=True) as api:
        if server:
            paths = [await api.ref("servers", each) for each in server]
        else:
            listed = (await api.get("/admin/api/servers"))["data"]
            paths = [f"/admin/api/servers/{row['id']}" for row in listed if row["enabled"]]
        with progress("Probing", len(paths) if len(paths) > 1 else 0) as step:
            probed = await _probe_all(api, paths, step)
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
    record(SHOW, added)


@group.command("remove")
async def remove_server(where: Where, server: Server) -> None:
    """Take a server off the list that was added here. Those of a catalogue can be disabled."""
    async with connect(where, fleet=True) as api:
        await api.delete(await api.ref("servers", server))
    print(plain(f"Server {server} is removed."))


@group.command("enable")
async def enable_server(where: Where, server: Server, json: Json = False) -> None:
    """Put a server back into service and, where a gateway runs, ask it for its models."""
    async with connect(where, fleet=True) as api:
        path = await api.ref("servers", server)
        changed = await api.post(f"{path}/enable")
        if api.server is not None:
            changed = await api.post(f"{path}/probe")
    if json:
        as_json(changed)
        return
    print(plain(f"Server {changed['name']} is in service."))
    if "probe" in changed:
        table(_PROBED, [changed])


@group.command("disable")
async def disable_server(where: Where, server: Server, json: Json = False) -> None:
    """Send nothing new to a server; what runs on it ends in peace. `drain` waits for that."""
    async with connect(where, fleet=True) as api:
        changed = await api.post(f"{await api.ref('servers', server)}/disable")
    if json:
        as_json(changed)
        return
    print(plain(f"Server {changed['name']} is out of service."))


@group.command("drain")
async def drain_server(
    where: Where,
    server: Server,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to wait at most; then it ends with 1.")
    ] = LONGEST_DRAIN,
    json: Json = False,
) -> None:
    """Take a server out of service and wait until nothing runs on it any more."""
    async with connect(where, fleet=True) as api:
        path = await api.ref("servers", server)
        drained = await _drained(api, path, await api.post(f"{path}/drain"), wait)
    name, left = drained["name"], drained["in_flight"]
    if json:
        as_json(drained)
    elif not left:
        print(plain(f"Server {name} is out of service, and nothing runs on it."))
    if left:
        hint = f"It gets nothing new; `llm-gateway servers drain {quote(name)}` waits again."
        raise Stop(f"Server {name} is out of service, but {_requests(left)} still on it.", hint)


async def _drained(api: Api, path: str, server: dict[str, Any], wait: float) -> dict[str, Any]:
    """The server as soon as nothing runs on it, or when the time is over."""
    import asyncio
    from time import monotonic

    until, total, shown = monotonic() + wait, server["in_flight"], None
    with progress(f"Draining {server['name']}", total) as step:
        while left := server["in_flight"]:
            if left != shown:
                step(total - left, _requests(left))
                shown = left
            if monotonic() >= until:
                break
            await asyncio.sleep(min(LOOK_EVERY, max(0.0, until - monotonic())))
            server = await api.get(path)
    return server


async def _probe_all(api: Api, paths: list[str], step: Step) -> list[dict[str, Any]]:
    """Some at a time, each told of when it is done."""
    import asyncio

    some, probed = asyncio.Semaphore(PROBES_AT_ONCE), []

    async def probe(path: str) -> None:
        async with some:
            server = dict(await api.post(f"{path}/probe"))
        probed.append(server)
        said = server["probe"]
        step(len(probed), f"{server['name']} {'answered' if said['ok'] else said['fault']}")

    await asyncio.gather(*map(probe, paths))
    return probed


def _some_rest(server: Row) -> str | None:
    out = server["models_resting"]
    return f"{out} of its models {'is' if out == 1 else 'are'} out (`servers show`)" if out else None


def _requests(count: int) -> str:
    return "1 request runs" if count == 1 else f"{count} requests run"


def _seconds(wait: float | None) -> str | None:
    return None if wait is None else f"{wait:.2f} s"
