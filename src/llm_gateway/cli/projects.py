"""`llm-gateway projects`: who shares the gateway, with what limits and data policy."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Final

import typer

from llm_gateway.cli.client import connect
from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.frame import Group, Json, Where
from llm_gateway.cli.limits import IN_SHORT, SET, LimitOptions, show_used
from llm_gateway.cli.show import Column, as_json, moment, note, record, table

group = Group("Projects: who shares the gateway, with what limits and data policy.")

Project = Annotated[str, typer.Argument(help="Name or id.")]


@dataclass(frozen=True, slots=True)
class Changes:
    """What can be said of a project besides its name and its limits."""

    description: Annotated[str | None, typer.Option(help="What it is for.")] = None
    trust: Annotated[
        list[str] | None,
        typer.Option("--trust", metavar="CLASS", help="Who may see its prompts: own, partner, public. Repeatable."),
    ] = None
    public_tools: Annotated[
        bool | None,
        typer.Option("--public-tools/--no-public-tools", help="May requests with tools use public servers?"),
    ] = None
    allowed_models: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="MODEL", help="May use this model and no other. Repeatable; `all` lifts it."),
    ] = None
    store_payloads: Annotated[
        bool | None,
        typer.Option("--store-payloads/--no-store-payloads", help="Keep its prompts and answers, redacted?"),
    ] = None
    payload_days: Annotated[
        str | None,
        typer.Option(metavar="DAYS", help="Days that they are kept; `none`: as the settings say."),
    ] = None
    redact: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Redact also what matches this regular expression. Repeatable; `none` takes all of them away.",
        ),
    ] = None

    def fields(self) -> dict[str, Any]:
        """The API's fields, of the options that were used. Raises Stop."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        found = {name: value for name, value in given.items() if value is not None}
        if "trust" in found:
            found["trust"] = [part.strip() for each in found["trust"] for part in each.split(",") if part.strip()]
        if found.get("allowed_models") == ["all"]:
            found["allowed_models"] = None
        if found.get("redact") == ["none"]:
            found["redact"] = []
        if "payload_days" in found:
            found["payload_days"] = _days(found["payload_days"])
        return found


STRANGERS: Final = "prompts of this project may now go to strangers' machines, over plain HTTP."
_LIST: Final[list[Column]] = [
    ("Name", "name"),
    ("Active", "is_active"),
    ("Trust", "trust"),
    IN_SHORT,
    ("Models", lambda p: "all it reaches" if p["allowed_models"] is None else p["allowed_models"]),
    ("Keys", "active_keys"),
    ("Owner", "owner"),
]


def _stored(project: Mapping[str, Any]) -> object:
    if not project["store_payloads"]:
        return "no"
    return f"for {project['payload_days']} days" if project["payload_days"] else "yes"


_SHOW: Final[list[Column]] = [
    ("Id", "id"),
    ("Name", "name"),
    ("Description", "description"),
    ("Active", "is_active"),
    ("Trust", "trust"),
    ("Tools on public servers", "public_tools"),
    *SET,
    ("Keeps prompts and answers", _stored),
    ("Redacts also", lambda p: p["redact"] or None),
    ("Models", lambda p: "all it reaches" if p["allowed_models"] is None else p["allowed_models"]),
    ("Owner", "owner"),
    ("Made", moment("created_at")),
]


@group.command("list")
async def list_projects(where: Where, json: Json = False) -> None:
    """List all projects."""
    async with connect(where) as api:
        found = await api.get("/admin/api/projects")
    if json:
        as_json(found)
        return
    table(
        _LIST, found["data"], empty="No projects yet: `llm-gateway projects create NAME` makes one.", spare=("Owner",)
    )


@group.command("show")
async def show_project(where: Where, project: Project, json: Json = False) -> None:
    """Show one project, and how much of its limits is used."""
    async with connect(where) as api:
        path = await api.ref("projects", project)
        found = await api.get(path)
        used = await api.get(f"{path}/limits")
    if json:
        as_json({**found, "limits": used["data"]})
        return
    record(_SHOW, found)
    show_used(used)


@group.command("create")
async def create_project(
    where: Where,
    name: Annotated[str, typer.Argument(help="Unique name.")],
    changes: Changes,
    limits: LimitOptions,
    json: Json = False,
) -> None:
    """Create a project. Without `--trust` it may use servers of the classes own and partner."""
    fields = {**changes.fields(), **limits.fields()}
    async with connect(where) as api:
        made = await api.post("/admin/api/projects", {"name": name, **fields})
    if "public" in made["trust"]:
        note(STRANGERS)
    _shown(made, json)


@group.command("update")
async def update_project(
    where: Where,
    project: Project,
    changes: Changes,
    limits: LimitOptions,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    json: Json = False,
) -> None:
    """Change what is named, leave the rest."""
    fields = {**changes.fields(), **limits.fields()}
    if name is not None:
        fields["name"] = name
    if not fields:
        raise Stop("Nothing to change.", "`llm-gateway projects update --help` shows what can be.", code=Exit.USAGE)
    async with connect(where) as api:
        changed = await api.patch(await api.ref("projects", project), fields)
    if "public" in fields.get("trust", ()):
        note(STRANGERS)
    _shown(changed, json)


@group.command("enable")
async def enable_project(where: Where, project: Project) -> None:
    """Let a project's keys in again."""
    await _switch(where, project, True)


@group.command("disable")
async def disable_project(where: Where, project: Project) -> None:
    """Refuse a project's keys from now on; nothing is deleted."""
    await _switch(where, project, False)


@group.command("delete")
async def delete_project(
    where: Where,
    project: Project,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a project with its keys and models. Its log rows stay."""
    async with connect(where) as api:
        path = await api.ref("projects", project)
        name = (await api.get(path))["name"]
        if not (yes or _agreed(f"Delete project {name!r} with its keys and models?")):
            raise Stop(f"Project {name!r} was not deleted.", "--yes deletes without asking.")
        await api.delete(path)
    print(f"Project {name} is deleted.")


def _agreed(question: str) -> bool:
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:  # nobody there to answer
        print(file=sys.stderr)
        return False


async def _switch(where: Where, project: str, active: bool) -> None:
    async with connect(where) as api:
        changed = await api.patch(await api.ref("projects", project), {"is_active": active})
    print(f"Project {changed['name']} is {'active' if active else 'disabled'}.")


def _shown(project: dict[str, Any], json: bool) -> None:
    if json:
        as_json(project)
        return
    record(_SHOW, project)


def _days(text: str) -> int | None:
    if text.strip().lower() == "none":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise Stop(f"--payload-days must be a whole number from 1, or `none`; not {text[:40]!r}.", code=Exit.USAGE)
    return int(text)
