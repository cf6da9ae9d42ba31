"""`llm-gateway logs erase` and `erasures`: what is logged of a project or of one end user goes for good."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, Final

import typer

from llm_gateway.cli.client import connect
from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.frame import Json, Where
from llm_gateway.cli.show import Column, as_json, moment, note, table

ERASE: Final = "/admin/api/requests/erase"
_ERASURES: Final[list[Column]] = [
    ("When", moment("erased_at")),
    ("Project", "project_id"),
    ("Of", "of"),
    ("Requests", "rows"),
    ("Done", "done"),
]


async def erase_logs(
    where: Where,
    project: Annotated[str, typer.Option("--project", "-p", help="Name or id; of a deleted project its id.")],
    end_user: Annotated[
        str | None, typer.Option(metavar="TAG", help="Only requests with this user tag; absent: all of the project.")
    ] = None,
    rewrite: Annotated[
        bool,
        typer.Option("--rewrite", help="PostgreSQL: write the tables anew; the log cannot be read meanwhile."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON, the admin API's own.")] = False,
) -> None:
    """Delete rows, attempts, prompts and answers of a project or of one end user, for good."""
    of = f"end user {end_user!r} of project {project!r}" if end_user is not None else f"project {project!r}"
    if not yes:
        if not sys.stdin.isatty():
            raise Stop("Erasing asks first, and nobody is there to answer.", "Say --yes.", code=Exit.USAGE)
        typer.confirm(f"Erase everything that is logged of {of}? Nothing brings it back", abort=True, err=True)
    last: dict[str, Any] = {}
    body = {"project": project, "end_user": end_user, "rewrite": rewrite, "confirm": True}
    async with connect(where) as api, api.stream("POST", ERASE, body=body) as answer:
        async for line in answer.aiter_lines():
            last = json.loads(line)
    if json_:
        as_json(last)
    if not last.get("done"):
        why = last.get("error", "The answer broke off.")
        raise Stop(f"{why} A running gateway goes on with it within two hours.")
    if not json_:
        print(f"{last['rows']:,} requests of {of} are erased.")
        if not last["rows"] and end_user is not None:
            note("no request in the log has this tag: tags are compared letter by letter.")
        if not last["gone"]:
            note("the database's files may still hold bytes of them: see docs/privacy.md.")


async def list_erasures(where: Where, json: Json = False) -> None:
    """List what was erased: when, of which project, how many rows."""
    async with connect(where) as api:
        found = await api.get("/admin/api/requests/erasures")
    if json:
        as_json(found)
        return
    table(_ERASURES, found["data"], empty="Nothing was erased.")
