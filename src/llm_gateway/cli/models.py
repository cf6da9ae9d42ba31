"""`llm-gateway models`: logical names and what they mean, and the physical models that the fleet holds."""

from __future__ import annotations

from shlex import quote
from typing import Annotated, Any, Final

import typer

from llm_gateway.cli.client import Api, connect, connect_to_server
from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.frame import Group, Json, Where
from llm_gateway.cli.show import Column, as_json, note, plain, record, table
from llm_gateway.cli.talk import AsProject
from llm_gateway.names import Pinned, canonical, pinned

group = Group("Models: logical names, and the physical models that the fleet holds.")

Name = Annotated[str, typer.Argument(help="The name that clients ask for.")]
OfProject = Annotated[
    str | None,
    typer.Option("--project", "-p", help="Name or id of the project; absent: shared by all."),
]

_LOGICAL: Final[list[Column]] = [
    ("Logical name", "name"),
    ("Project", lambda m: m["project"] or "(all)"),
    ("Physical models", lambda m: " → ".join(m["backend"])),
    ("Parameters", "params"),
    ("Price", lambda m: _price(m["price"])),
    ("Healthy servers", "healthy_servers"),
    ("Owner", "owner"),
    ("Description", "description"),
]
_PHYSICAL: Final[list[Column]] = [
    ("Physical model", "name"),
    ("Trust", "trust"),
    ("Servers", "servers"),
    ("Healthy", "healthy_servers"),
    ("Family", "family"),
    ("Size", "parameter_size"),
    ("Quantization", "quantization"),
    ("Context", "context_length"),
    ("Digest", lambda m: m["digest"] and m["digest"][:12]),
]
_SPARE: Final = ("Family", "Quantization", "Context")
_MAPPED: Final[list[Column]] = [*_LOGICAL[:5], ("Description", "description"), ("Owner", "owner"), ("Id", "id")]
_TRIED: Final[list[Column]] = [
    ("Said", "answer"),
    ("Model", "model"),
    ("Server", lambda t: f"{t['server_name']} ({t['server']})"),
    ("Attempts", "attempts"),
    ("Whole answer", lambda t: f"{t['latency_ms']:.0f} ms"),
    ("First token", lambda t: f"{t['ttft_ms']:.0f} ms"),
    ("Tok/s", "tokens_per_second"),
    ("Request id", "request_id"),
]


@group.command("list")
async def list_models(
    where: Where,
    project: Annotated[str | None, typer.Option("--project", "-p", help="Only what this project may reach.")] = None,
    json: Json = False,
) -> None:
    """List logical names, then the physical models of the fleet."""
    async with connect(where, fleet=True) as api:
        found = await api.get("/admin/api/models", project=project)
    if json:
        as_json(found)
        return
    if found["data"]:
        table(_LOGICAL, found["data"])
        print()
    table(_PHYSICAL, found["physical"], empty="No server lists a model yet: `llm-gateway servers list`.", spare=_SPARE)


@group.command("map")
async def map_model(
    where: Where,
    name: Name,
    backend: Annotated[
        list[str],
        typer.Argument(
            help="Physical models in order of preference; NAME@sha256:DIGEST only from servers that list this digest."
        ),
    ],
    project: OfProject = None,
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Default where a request is silent, such as temperature=0.2."),
    ] = None,
    description: Annotated[str, typer.Option(help="Shown in the list of models.")] = "",
    price_input: Annotated[
        float | None,
        typer.Option(min=0, max=1e9, help="Price of a million tokens of prompts, in any unit you count in."),
    ] = None,
    price_output: Annotated[float | None, typer.Option(min=0, max=1e9, help="The same of answers.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Give a new meaning to a name that exists.")] = False,
    json: Json = False,
) -> None:
    """Map a logical name to physical models."""
    price = None
    if price_input is not None or price_output is not None:
        price = {"input": price_input or 0.0, "output": price_output or 0.0}
    body = {"backend": backend, "description": description, "params": _params(param or []), "price": price}
    async with connect(where, fleet=True) as api:
        known = await _find(api, name, project) if replace else None
        if known is not None:
            made = await api.patch(f"/admin/api/models/{known['id']}", body)
        else:
            made = await api.post("/admin/api/models", {"name": name, "project": project, **body})
        held = {canonical(row["name"]): row["digests"] for row in (await api.get("/admin/api/models"))["physical"]}
    missing = [model for model in made["backend"] if not _is_held(pinned(model), held)]
    if missing:
        note(f"no server lists {', '.join(missing)} now.")
    if json:
        as_json(made)
        return
    record(_MAPPED, made)


@group.command("unmap")
async def unmap_model(where: Where, name: Name, project: OfProject = None) -> None:
    """Take a logical name away."""
    async with connect(where) as api:
        known = await _find(api, name, project)
        if known is None:
            of = f"of project {project!r}" if project else "shared by all"
            raise Stop(
                f"There is no logical name {name!r} {of}.", "`llm-gateway models list` shows them.", code=Exit.NOT_FOUND
            )
        await api.delete(f"/admin/api/models/{known['id']}")
    print(plain(f"{name} is unmapped."))


@group.command("test")
async def ask_model(where: Where, name: Name, project: AsProject = None, json: Json = False) -> None:
    """Ask a model for a few words through the running server, as a project would. Ends with 1 when nothing comes."""
    async with connect_to_server(where) as api:
        tried = await api.post("/admin/api/models/test", {"model": name, "project": project})
    if json:
        as_json(tried)
    if not tried["ok"]:
        code = Exit.NOT_FOUND if tried["error"]["code"] == "model_not_found" else Exit.ERROR
        hint = f"`llm-gateway models explain {quote(name)}` says who could serve it."
        raise Stop(tried["error"]["message"], hint, code=code)
    if not json:
        record(_TRIED, tried)


async def _find(api: Api, name: str, project: str | None) -> dict[str, Any] | None:
    """The logical name of this project, or the one that all share."""
    listed = (await api.get("/admin/api/models", project=project))["data"]
    for row in listed:
        if row["name"] == name and (row["project_id"] is None) == (project is None):
            return dict(row)
    return None


def _price(price: dict[str, float] | None) -> str | None:
    """Of a million tokens: `0.5 in, 1.5 out`."""
    return None if price is None else f"{price['input']:g} in, {price['output']:g} out"


def _is_held(pin: Pinned, held: dict[str, dict[str, int]]) -> bool:
    """Does a server list the model, with its digest? `held`: canonical name -> digests."""
    digests = held.get(canonical(pin.name))
    return digests is not None and (pin.digest is None or any(map(pin.fits, digests)))


def _params(given: list[str]) -> dict[str, Any]:
    from json import loads

    params: dict[str, Any] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            hint = "For example temperature=0.2."
            raise Stop(f"--param must be NAME=VALUE, not {each[:80]!r}.", hint, code=Exit.USAGE)
        try:
            params[name.strip()] = loads(value)
        except ValueError:  # text without quotes, as `stop=END`
            params[name.strip()] = value
    return params
