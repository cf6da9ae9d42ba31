"""The configuration as a file: what the database holds written as one, and what another one would change.

Nothing is applied here: what a file owns is its own matter, and `POST /admin/api/config/reload` reads it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from llm_gateway.alerts.plan import Plan
from llm_gateway.config.apply import foreseen
from llm_gateway.config.export import as_yaml, exported
from llm_gateway.config.load import read_draft
from llm_gateway.config.mistakes import ConfigMistakes
from llm_gateway.errors import InvalidRequest
from llm_gateway.settings import Settings
from llm_gateway.web.admin.common import Input, Live, admin_router
from llm_gateway.web.admin.config import plain

router = admin_router("config")

LONGEST: Final = 900_000
"""Characters of a draft: an admin's request may have a mebibyte."""
MOST_MISTAKES: Final = 50
"""That are told at once."""


class Draft(Input):
    yaml: Annotated[str, Field(max_length=LONGEST)] = Field(description="A whole config file.")


class Exported(TypedDict):
    yaml: str
    left_out: list[str]
    """What a file cannot say, in words."""


class Difference(TypedDict):
    change: Literal["created", "updated", "removed", "setting"]
    what: str
    """`project legal`, `key legal/ci`, `alert rule failing`, or a setting's dotted name."""
    now: Any
    """Of a setting: its value in force; otherwise null."""
    then: Any


class Differences(TypedDict):
    data: list[Difference]
    file: str | None
    """The config file in force."""


@router.get("/export", summary="The database's servers, models and projects as a config file")
async def export_config(running: Live) -> Exported:
    """Keys appear as SHA-256 only; as `llm-gateway config export`."""
    async with running.sessions.read() as s:
        objects, left_out = await exported(s, now=running.gateway.clock.wall())
    return {"yaml": await asyncio.to_thread(as_yaml, objects), "left_out": left_out}


@router.post("/diff", summary="What a config file would change; nothing is")
async def diff_config(running: Live, body: Draft) -> Differences:
    """400 with all its mistakes. What the file in force owns and this one lacks is `removed`; settings are compared
    with those in force, and want a restart."""
    try:
        document, settings = await asyncio.to_thread(read_draft, body.yaml, running.loaded)
    except ConfigMistakes as mistakes:
        told = " ".join(str(mistake) for mistake in mistakes.mistakes[:MOST_MISTAKES])
        raise InvalidRequest(told, param="yaml") from mistakes
    environ = running.loaded.environ
    changes = await foreseen(document, running.sessions, environ=environ, now=running.gateway.clock.wall())
    rows: list[Difference] = []
    for change, things in (("created", changes.created), ("updated", changes.updated), ("removed", changes.removed)):
        rows += [_row(change, what) for what in things]
    rows += _of_plans(running.file_alerts.plan(environ), document.alerts.plan(environ))
    rows += _of_settings(running.settings, settings)
    return {"data": rows, "file": str(running.loaded.config) if running.loaded.config else None}


def _of_plans(now: Plan, then: Plan) -> Iterator[Difference]:
    yield from _of_named("alert rule", now.rules, then.rules)
    yield from _of_named("webhook", now.webhooks, then.webhooks)


def _of_named(what: str, now: Iterable[Any], then: Iterable[Any]) -> Iterator[Difference]:
    before, after = {each.name: each for each in now}, {each.name: each for each in then}
    for name in before | after:
        if before.get(name) != after.get(name):
            change = "created" if name not in before else "removed" if name not in after else "updated"
            yield _row(change, f"{what} {name}")


def _of_settings(now: Settings, then: dict[str, Any]) -> Iterator[Difference]:
    for name, value in then.items():
        current: Any = now
        for part in name.split("."):
            current = getattr(current, part)
        if current != value:
            yield {"change": "setting", "what": name, "now": plain(current), "then": plain(value)}


def _row(change: Any, what: str) -> Difference:
    return {"change": change, "what": what, "now": None, "then": None}
