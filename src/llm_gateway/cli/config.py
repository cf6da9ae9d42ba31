"""`llm-gateway config`: the settings that are in force, and the file that owns objects."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from llm_gateway.cli.client import connect_to_server, find_server
from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.frame import Group, Json, Where
from llm_gateway.cli.show import Column, as_json, note, plain, table

if TYPE_CHECKING:
    from llm_gateway.config.apply import Changes
    from llm_gateway.config.document import Document
    from llm_gateway.config.load import Loaded
    from llm_gateway.storage.sessions import Sessions

group = Group("Settings, and the config file that owns servers, models and projects.")

File = Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Instead of `--config`.")]
_SETTINGS: Final[list[Column]] = [("Setting", "name"), ("Value", lambda s: _shown(s["value"])), ("From", "source")]


@group.command("check")
def check_config(where: Where, file: File = None) -> None:
    """Look for mistakes without starting. Ends with 78 and a line for each mistake."""
    loaded = _at(where, file).load()
    for warning in loaded.warnings:
        print(f"warning: {warning}")
    document = loaded.document
    if document is None:
        print("ok: settings only, no config file")
        return
    keys = sum(len(project.keys) for project in document.projects)
    models = len(document.models) + sum(len(project.models) for project in document.projects)
    counts = {"server": len(document.servers), "model": models, "project": len(document.projects), "key": keys}
    counts |= {"alert rule": len(document.alerts.rules), "webhook": len(document.alerts.webhooks)}
    held = ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items())
    print(f"ok: {loaded.config}: {held}")


@group.command("show")
async def show_config(where: Where, json: Json = False) -> None:
    """Show every setting, its value and where it came from: of the running server, else of a server started here."""
    loaded = where.load()
    if await find_server(loaded) is not None:
        async with connect_to_server(where) as api:
            found = await api.get("/admin/api/config")
    else:
        from llm_gateway.web.admin.config import shown

        found = shown(loaded)
    if json:
        as_json(found)
        return
    table(_SETTINGS, found["data"])
    if found["file"]:
        note(f"config file: {found['file']}")


@group.command("diff")
async def diff_config(where: Where, file: File = None, json: Json = False) -> None:
    """Say what `apply` would change, and change nothing."""
    loaded, document = _document(_at(where, file))
    async with _database(loaded) as sessions:
        changes = await _applied(sessions, document, loaded, keep=False)
    _print(changes, json)


@group.command("apply")
async def apply_config(where: Where, file: File = None, json: Json = False) -> None:
    """Make the database hold what the file owns. A server that runs with the file takes it over at once."""
    where = _at(where, file)
    loaded, document = _document(where)
    async with _database(loaded) as sessions:
        changes = await _applied(sessions, document, loaded, keep=True)
    _print(changes, json)
    server = await find_server(loaded)
    if server is not None and loaded.config is not None and server.config == loaded.config.resolve():
        async with connect_to_server(where) as api:
            await api.post("/admin/api/config/reload")
        note(f"the server at {server.url} has read the file again.")


@group.command("export")
async def export_config(where: Where) -> None:
    """Print the database's servers, models and projects as a config file. Keys appear as SHA-256 only."""
    from llm_gateway.config.export import as_yaml, exported

    async with _database(where.load()) as sessions, sessions.read() as s:
        objects, left_out = await exported(s, now=time.time())
    for what in left_out:
        note(what)
    print(as_yaml(objects), end="")


@group.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of the config file, for editors."""
    from llm_gateway.config.schema import json_schema

    as_json(json_schema())


def _at(where: Where, file: Path | None) -> Where:
    return replace(where, config=file) if file is not None else where


def _document(where: Where) -> tuple[Loaded, Document]:
    loaded = where.load()
    if loaded.document is None:
        raise Stop("No config file is named.", "Say which: --config FILE, or LLM_GATEWAY_CONFIG.", code=Exit.USAGE)
    return loaded, loaded.document


@asynccontextmanager
async def _database(loaded: Loaded) -> AsyncIterator[Sessions]:
    """The database itself, at this version's schema: what the file owns is nothing that the API could write."""
    from llm_gateway.observe import logs
    from llm_gateway.storage.engine import open_engine
    from llm_gateway.storage.sessions import Sessions
    from llm_gateway.storage.upgrade import upgrade

    settings = loaded.settings
    logs.setup("warning", settings.log_format)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    await upgrade(settings.database, settings.data_dir)
    engine = open_engine(settings.database, data_dir=settings.data_dir)
    try:
        yield Sessions(engine)
    finally:
        await engine.dispose()


async def _applied(sessions: Sessions, document: Document, loaded: Loaded, *, keep: bool) -> Changes:
    from llm_gateway.config.apply import apply, foreseen

    if not keep:
        return await foreseen(document, sessions, environ=loaded.environ, now=time.time())
    async with sessions.write() as s:
        return await apply(document, s, environ=loaded.environ, now=time.time())


def _print(changes: Changes, json: bool) -> None:
    if json:
        as_json({"created": changes.created, "updated": changes.updated, "removed": changes.removed})
        return
    if not changes:
        print("Nothing to change.")
    for mark, things in (("+", changes.created), ("~", changes.updated), ("-", changes.removed)):
        for thing in things:
            print(plain(f"{mark} {thing}"))


def _shown(value: Any) -> Any:
    """A setting's number as it is written, without separators."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
