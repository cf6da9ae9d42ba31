"""`llm-gateway projects`: who shares the gateway, with what limits and data policy."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Final

import typer

from llm_gateway.cli.client import connect
from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.frame import Group, Json, Where
from llm_gateway.cli.show import Column, as_json, moment, note, record, table

group = Group("Projects: who shares the gateway, with what limits and data policy.")

Project = Annotated[str, typer.Argument(help="Name or id.")]
Description = Annotated[str | None, typer.Option(help="What it is for.")]
Trusts = Annotated[
    list[str] | None,
    typer.Option("--trust", metavar="CLASS", help="Who may see its prompts: own, partner, public. Repeatable."),
]
Tools = Annotated[
    bool | None, typer.Option("--public-tools/--no-public-tools", help="May requests with tools use public servers?")
]
Models = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="MODEL", help="May use this model and no other. Repeatable; `all` lifts it."),
]


def _limit(help: str) -> Any:
    return typer.Option(metavar="N", help=f"{help}; `none`: unlimited.")


PerMinute = Annotated[str | None, _limit("Requests per minute")]
Concurrency = Annotated[str | None, _limit("Requests at the same time")]
TokensPerMinute = Annotated[str | None, _limit("Tokens per minute (kept, not enforced by this version)")]
Monthly = Annotated[str | None, _limit("Tokens per calendar month (kept, not enforced by this version)")]

STRANGERS: Final = "prompts of this project may now go to strangers' machines, over plain HTTP."
_LIST: Final[list[Column]] = [
    ("Name", "name"),
    ("Active", "is_active"),
    ("Trust", "trust"),
    ("Requests/min", "rate_limit_per_minute"),
    ("At once", "max_concurrency"),
    ("Models", lambda p: "all it reaches" if p["allowed_models"] is None else p["allowed_models"]),
    ("Keys", "active_keys"),
    ("Owner", "owner"),
]
_SHOW: Final[list[Column]] = [
    ("Id", "id"),
    ("Name", "name"),
    ("Description", "description"),
    ("Active", "is_active"),
    ("Trust", "trust"),
    ("Tools on public servers", "public_tools"),
    ("Requests per minute", lambda p: _or_unlimited(p["rate_limit_per_minute"])),
    ("Requests at the same time", lambda p: _or_unlimited(p["max_concurrency"])),
    ("Tokens per minute", lambda p: _or_unlimited(p["tokens_per_minute"])),
    ("Tokens per month", lambda p: _or_unlimited(p["monthly_tokens"])),
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
    """Show one project."""
    async with connect(where) as api:
        found = await api.get(await api.ref("projects", project))
    _shown(found, json)


@group.command("create")
async def create_project(
    where: Where,
    name: Annotated[str, typer.Argument(help="Unique name.")],
    description: Description = None,
    trust: Trusts = None,
    public_tools: Tools = None,
    rate_limit_per_minute: PerMinute = None,
    max_concurrency: Concurrency = None,
    tokens_per_minute: TokensPerMinute = None,
    monthly_tokens: Monthly = None,
    allow: Models = None,
    json: Json = False,
) -> None:
    """Create a project. Without `--trust` it may use servers of the classes own and partner."""
    fields = _fields(
        description=description,
        trust=trust,
        public_tools=public_tools,
        rate_limit_per_minute=rate_limit_per_minute,
        max_concurrency=max_concurrency,
        tokens_per_minute=tokens_per_minute,
        monthly_tokens=monthly_tokens,
        allowed_models=allow,
    )
    async with connect(where) as api:
        made = await api.post("/admin/api/projects", {"name": name, **fields})
    if "public" in made["trust"]:
        note(STRANGERS)
    _shown(made, json)


@group.command("update")
async def update_project(
    where: Where,
    project: Project,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    description: Description = None,
    trust: Trusts = None,
    public_tools: Tools = None,
    rate_limit_per_minute: PerMinute = None,
    max_concurrency: Concurrency = None,
    tokens_per_minute: TokensPerMinute = None,
    monthly_tokens: Monthly = None,
    allow: Models = None,
    json: Json = False,
) -> None:
    """Change what is named, leave the rest."""
    fields = _fields(
        name=name,
        description=description,
        trust=trust,
        public_tools=public_tools,
        rate_limit_per_minute=rate_limit_per_minute,
        max_concurrency=max_concurrency,
        tokens_per_minute=tokens_per_minute,
        monthly_tokens=monthly_tokens,
        allowed_models=allow,
    )
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


def _fields(**given: Any) -> dict[str, Any]:
    """The API's fields, of the options that were used."""
    fields = {name: value for name, value in given.items() if value is not None}
    for name in ("rate_limit_per_minute", "max_concurrency", "tokens_per_minute", "monthly_tokens"):
        if name in fields:
            fields[name] = _number(fields[name], name)
    if "trust" in fields:
        fields["trust"] = [part.strip() for each in fields["trust"] for part in each.split(",") if part.strip()]
    if fields.get("allowed_models") == ["all"]:
        fields["allowed_models"] = None
    return fields


def _number(text: str, name: str) -> int | None:
    if text.strip().lower() in ("none", "unlimited"):
        return None
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        option = "--" + name.replace("_", "-")
        raise Stop(f"{option} must be a whole number from 1, or `none`; not {text[:40]!r}.", code=Exit.USAGE)
    return number


def _or_unlimited(limit: int | None) -> object:
    return "unlimited" if limit is None else limit
