"""`llm-gateway alerts`: what fires, what is watched, who is told."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from llm_gateway.alerts.rules import shown
from llm_gateway.cli.client import connect
from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.frame import Group, Json, Where
from llm_gateway.cli.show import Column, Row, as_json, moment, note, plain, span, table, words

group = Group("Alerts: what fires, what is watched, and who is told.")


def _only(rule: Row) -> str | None:
    parts = [f"{scope} {rule[scope]}" for scope in ("project", "model") if rule[scope]]
    parts += [f"each {rule['each']}"] if rule["each"] else []
    return ", ".join(parts) or None


_ALERTS: Final[list[Column]] = [
    ("State", "state"),
    ("Severity", "severity"),
    ("Rule", "rule"),
    ("Subject", "subject"),
    ("Condition", "condition"),
    ("Value", lambda a: shown(a["value"], a["unit"]) if a["unit"] else f"{a['value']:g}"),
    ("Since", moment("since")),
    ("Told", moment("told_at")),
]
_OVER: Final[list[Column]] = [
    ("Rule", "rule"),
    ("Subject", "subject"),
    ("Condition", "condition"),
    ("Fired", moment("started_at")),
    ("Over", moment("resolved_at")),
]
_RULES: Final[list[Column]] = [
    ("Rule", "name"),
    ("Condition", "condition"),
    ("Over", lambda r: span(r["over_s"])),
    ("For", lambda r: span(r["for_s"]) if r["for_s"] else None),
    ("Only", _only),
    ("Severity", "severity"),
    ("Built in", "built_in"),
]
_DELIVERIES: Final[list[Column]] = [
    ("Webhook", "webhook"),
    ("At", moment("at")),
    ("Rule", "rule"),
    ("Told", "told"),
    ("State", "state"),
    ("Tries", "tries"),
    ("Error", "error"),
]


@group.command("list")
async def list_alerts(
    where: Where,
    all: Annotated[bool, typer.Option("--all", help="Also what is over, the rules and the deliveries.")] = False,
    json: Json = False,
) -> None:
    """List what fires, or waits to."""
    async with connect(where) as api:
        found = await api.get("/admin/api/alerts")
    if json:
        as_json(found)
        return
    table(_ALERTS, found["data"], empty="Nothing fires.")
    if all:
        for title, columns, rows in (
            ("Over", _OVER, found["recent"]),
            ("Rules", _RULES, found["rules"]),
            ("Deliveries", _DELIVERIES, found["deliveries"]),
        ):
            if rows:
                print()
                table(columns, rows, title=title)
    if not found["webhooks"]:
        note("nobody is told: no webhook is in the config file (`alerts.webhooks`).")


@group.command("test")
async def try_webhook(
    where: Where,
    webhook: Annotated[
        str | None, typer.Argument(help="Its name; may be left out where there is one only.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Send a test to a webhook. Ends with 1 when it does not arrive."""
    async with connect(where) as api:
        tried = await api.post("/admin/api/alerts/test", {"webhook": webhook})
    if json:
        as_json(tried)
    if tried["state"] != "delivered":
        raise Stop(f"The test did not arrive at {tried['webhook']}: {tried['error']}.", code=Exit.ERROR)
    if not json:
        words(plain(f"The test arrived at {tried['webhook']}: status {tried['status']}."))
