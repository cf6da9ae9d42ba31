"""`llm-gateway alerts rules`: what is watched, and what operators keep of it in the database."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import typer

from llm_gateway.alerts.rules import METRICS, shown
from llm_gateway.cli.client import connect, connect_to_server
from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.frame import Group, Json, Where
from llm_gateway.cli.show import Column, as_json, plain, record, span, table

group = Group("Rules of alerts: what is watched. Those of the config file are changed there.")

RULES: Final = "/admin/api/alerts/rules"

RuleName = Annotated[str, typer.Argument(help="The rule's name.")]
When = Annotated[str | None, typer.Option(help="A metric, a comparison and a number: 'error_share > 5%'.")]
Over = Annotated[str | None, typer.Option(help="Time that is summed up, such as 10m.")]
For = Annotated[str | None, typer.Option("--for", help="Time that it must be so before anybody is told, such as 5m.")]
OfProject = Annotated[str | None, typer.Option("--project", "-p", help="Only of this project.")]
OfModel = Annotated[str | None, typer.Option(help="Only of this model.")]
Each = Annotated[Literal["project", "model"] | None, typer.Option(help="An alert for each by itself.")]
Severity = Annotated[Literal["info", "warning", "critical"] | None, typer.Option(help="How bad it is.")]
MinRequests = Annotated[int | None, typer.Option(min=1, help="Without so many, shares and percentiles mean nothing.")]

_RULES: Final[list[Column]] = [
    ("Rule", "name"),
    ("On", "enabled"),
    ("Condition", "condition"),
    ("Over", lambda r: span(r["over_s"])),
    ("For", lambda r: span(r["for_s"]) if r["for_s"] else None),
    ("Project", "project"),
    ("Model", "model"),
    ("Each", "each"),
    ("Severity", "severity"),
    ("Fires for", "firing"),
    ("Owner", "owner"),
]


@group.command("list")
async def list_rules(where: Where, json: Json = False) -> None:
    """List all rules: built-in ones, the config file's, and those that are kept here."""
    async with connect(where) as api:
        found = await api.get(RULES)
    if json:
        as_json(found)
        return
    table(_RULES, found["data"], spare=("Each", "Model", "Project"))


@group.command("create")
async def create_rule(
    where: Where,
    name: RuleName,
    when: Annotated[str, typer.Option(help="A metric, a comparison and a number: 'error_share > 5%'.")],
    over: Over = None,
    for_: For = None,
    project: OfProject = None,
    model: OfModel = None,
    each: Each = None,
    severity: Severity = None,
    min_requests: MinRequests = None,
    json: Json = False,
) -> None:
    """Watch something."""
    said = _said(when, over, for_, project, model, each, severity, min_requests)
    async with connect(where) as api:
        made = await api.post(RULES, {"name": name, **said})
    _tell(made, json)


@group.command("update")
async def update_rule(
    where: Where,
    name: RuleName,
    when: When = None,
    over: Over = None,
    for_: For = None,
    project: OfProject = None,
    model: OfModel = None,
    each: Each = None,
    severity: Severity = None,
    min_requests: MinRequests = None,
    json: Json = False,
) -> None:
    """Change a rule; also a built-in one."""
    said = _said(when, over, for_, project, model, each, severity, min_requests)
    if not said:
        raise Stop("There is nothing to change.", "--when, --over, --for … say what.", code=Exit.USAGE)
    await _change(where, name, said, json)


@group.command("pause")
async def pause_rule(where: Where, name: RuleName, json: Json = False) -> None:
    """Look at a rule no more, and keep it; also a built-in one."""
    await _change(where, name, {"enabled": False}, json)


@group.command("resume")
async def resume_rule(where: Where, name: RuleName, json: Json = False) -> None:
    """Look at a paused rule again."""
    await _change(where, name, {"enabled": True}, json)


@group.command("delete")
async def delete_rule(where: Where, name: RuleName) -> None:
    """Take a rule away; a changed built-in one is as it was."""
    async with connect(where) as api:
        await api.delete(_path(name))
    print(plain(f"Rule {name} is deleted."))


@group.command("test")
async def try_rule(where: Where, name: RuleName, json: Json = False) -> None:
    """Say what a rule would find now, in the running server; nobody is told."""
    async with connect_to_server(where) as api:
        told = await api.post(f"{_path(name)}/test")
        rows = (await api.get(RULES))["data"]
    if json:
        as_json(told)
        return
    metric = METRICS[next(row["metric"] for row in rows if row["name"] == name)]
    values: list[Column] = [
        ("Subject", "subject"),
        ("Value", lambda v: shown(v["value"], metric.unit)),
        ("Fires", "holds"),
    ]
    table(values, told["data"], empty="Nothing has a value now." if told["known"] else "Nobody knows now.")


async def _change(where: Where, name: str, changes: dict[str, Any], json: bool) -> None:
    async with connect(where) as api:
        changed = await api.patch(_path(name), changes)
    _tell(changed, json)


def _tell(rule: dict[str, Any], json: bool) -> None:
    if json:
        as_json(rule)
    else:
        record(_RULES, rule)


def _path(name: str) -> str:
    return f"{RULES}/{quote(name, safe='')}"


def _said(
    when: str | None,
    over: str | None,
    hold: str | None,
    project: str | None,
    model: str | None,
    each: str | None,
    severity: str | None,
    min_requests: int | None,
) -> dict[str, Any]:
    said = {"when": when, "over": over, "for": hold, "project": project, "model": model, "each": each}
    said |= {"severity": severity, "min_requests": min_requests}  # type: ignore[dict-item]
    return {name: value for name, value in said.items() if value is not None}
