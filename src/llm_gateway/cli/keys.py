"""`llm-gateway keys`: shown once when made, afterwards only recognisable."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from llm_gateway.cli import times
from llm_gateway.cli.client import Api, connect
from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.frame import Group, Json, Where
from llm_gateway.cli.limits import IN_SHORT, SET, LimitOptions, show_used
from llm_gateway.cli.show import Column, as_json, moment, note, plain, record, table, terminal

group = Group("API keys of projects.")

Key = Annotated[str, typer.Argument(help="Id, or its name or first characters where that is unambiguous.")]
OfProject = Annotated[str | None, typer.Option("--project", "-p", help="Name or id of the project.")]
Expires = Annotated[
    str | None, typer.Option(metavar="TIME", help="When the new key ends: 90d, 2027-01-31; absent: never.")
]

_LIST: Final[list[Column]] = [
    ("Project", "project"),
    ("Name", "name"),
    ("Key", lambda k: f"{k['prefix']}…{k['last4']}" if k["prefix"] else None),
    ("State", "state"),
    IN_SHORT,
    ("Last used", moment("last_used_at")),
    ("Expires", moment("expires_at")),
    ("Made", moment("created_at")),
    ("Owner", "owner"),
    ("Id", "id"),
]
_SHOW: Final = [*_LIST[:4], *SET, *_LIST[5:]]
_SPARE: Final = ("Owner", "Made", "Last used", "Expires")


@group.command("list")
async def list_keys(
    where: Where,
    project: OfProject = None,
    all: Annotated[bool, typer.Option("--all", help="Also expired and revoked ones.")] = False,
    json: Json = False,
) -> None:
    """List the active keys of all projects, or of one."""
    async with connect(where) as api:
        found = await api.get("/admin/api/keys", project=project)
    if json:
        as_json(found)
        return
    shown = [key for key in found["data"] if all or key["state"] == "active"]
    table(_LIST, shown, empty="No active keys: `llm-gateway keys create --project NAME` makes one.", spare=_SPARE)


@group.command("create")
async def create_key(
    where: Where,
    project: Annotated[str, typer.Option("--project", "-p", help="Name or id of the project.")],
    limits: LimitOptions,
    name: Annotated[str, typer.Option(help="What people call it.")] = "key",
    expires: Expires = None,
    json: Json = False,
) -> None:
    """Make a key. It is printed once; where stdout is no terminal, nothing else is. Its limits lie within its
    project's."""
    ends = times.ahead(expires, "--expires", time.time())
    asked = {"project": project, "name": name, "expires_at": ends, **limits.fields()}
    async with connect(where) as api:
        made = await api.post("/admin/api/keys", asked)
    _reveal(made, json)


@group.command("update")
async def update_key(
    where: Where, key: Key, limits: LimitOptions, project: OfProject = None, json: Json = False
) -> None:
    """Change what a key may use, within its project's limits."""
    fields = limits.fields()
    if not fields:
        raise Stop("Nothing to change.", "`llm-gateway keys update --help` shows what can be.", code=Exit.USAGE)
    async with connect(where) as api:
        changed = await api.patch(f"/admin/api/keys/{await _find(api, key, project)}", fields)
    _shown(changed, json)


@group.command("show")
async def show_key(where: Where, key: Key, project: OfProject = None, json: Json = False) -> None:
    """Show one key, and how much of its limits is used."""
    async with connect(where) as api:
        id = await _find(api, key, project)
        listed = (await api.get("/admin/api/keys", project=project))["data"]
        found = next((k for k in listed if k["id"] == id), None)
        if found is None:
            raise Stop(f"There is no key {id!r}.", "`llm-gateway keys list` shows them.", code=Exit.NOT_FOUND)
        used = await api.get(f"/admin/api/keys/{id}/limits")
    if json:
        as_json({**found, "limits": used["data"]})
        return
    _shown(found, json)
    show_used(used)


@group.command("rotate")
async def rotate_key(
    where: Where,
    key: Key,
    project: OfProject = None,
    overlap: Annotated[str, typer.Option(metavar="SPAN", help="How long the old key stays valid.")] = "24h",
    expires: Expires = None,
    json: Json = False,
) -> None:
    """Make a new key beside an old one, which ends after the overlap."""
    seconds, ends = times.span(overlap, "--overlap"), times.ahead(expires, "--expires", time.time())
    async with connect(where) as api:
        old = await _find(api, key, project)
        made = await api.post(f"/admin/api/keys/{old}/rotate", {"overlap_seconds": seconds, "expires_at": ends})
    if not json:
        note(f"the old key ends at {made['old_key_ends_at']}.")
    _reveal(made, json)


@group.command("revoke")
async def revoke_key(where: Where, key: Key, project: OfProject = None) -> None:
    """End a key now. Servers refuse it within two seconds."""
    async with connect(where) as api:
        ended = await api.post(f"/admin/api/keys/{await _find(api, key, project)}/revoke")
    print(plain(f"Key {ended['project']}/{ended['name']} is revoked."))


def _shown(key: dict[str, Any], json: bool) -> None:
    if json:
        as_json(key)
        return
    record(_SHOW, key)


def _reveal(made: dict[str, Any], json: bool) -> None:
    if json:
        as_json(made)
        return
    if not terminal():
        print(made["key"])
        return
    print(plain(f"Key {made['name']!r} of project {made['project']!r}:"))
    print(f"\n    {made['key']}\n")
    print("It is shown this once. Send it as `X-API-Key` or `Authorization: Bearer …`.")
    if made["expires_at"]:
        print(f"It expires at {made['expires_at']}.")


async def _find(api: Api, text: str, project: str | None) -> str:
    """The id of the one key that is meant. Ended keys are meant only by their id."""
    try:
        return str(UUID(text))
    except ValueError:
        pass
    listed = (await api.get("/admin/api/keys", project=project))["data"]
    active = [k for k in listed if k["state"] == "active" and text]
    found = [k for k in active if k["name"] == text] or [k for k in active if k["prefix"] == text.partition("…")[0]]
    if not found:
        raise Stop(f"There is no active key {text!r}.", "`llm-gateway keys list` shows them.", code=Exit.NOT_FOUND)
    if len(found) > 1:
        ids = ", ".join(f"{k['project']}: {k['id']}" for k in found)
        raise Stop(f"Several keys are called {text!r}: {ids}.", "Name one by its id.", code=Exit.REFUSED)
    return str(found[0]["id"])
