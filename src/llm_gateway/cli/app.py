"""All commands together, and the edge: whatever goes wrong ends in one line on stderr and an exit code."""

from __future__ import annotations

import io
import os
import sys
from typing import NoReturn

import typer
from typer.main import get_command

from llm_gateway.cli import (
    about,
    admin,
    alerts,
    catalogue,
    config,
    connect,
    db,
    doctor,
    erase,
    explain,
    fleet,
    keys,
    live,
    logs,
    models,
    overview,
    projects,
    rules,
    servers,
    sources,
    start,
    talk,
    usage,
)
from llm_gateway.cli.exits import Exit, explained, wants_traceback
from llm_gateway.cli.frame import Group

app = Group("A gateway for teams that live on unreliable model servers.")
app.command("serve")(start.serve)
app.command("doctor")(doctor.doctor)
app.command("chat")(talk.chat)
app.command("connect")(connect.connect_client)
app.add_typer(projects.group, name="projects")
app.add_typer(keys.group, name="keys")
models.group.command("explain")(explain.explain_model)
models.group.command("search")(catalogue.search_models)
app.add_typer(models.group, name="models")
servers.group.command("update")(fleet.update_server)
servers.group.command("verify")(fleet.verify_server)
servers.group.command("bulk")(fleet.change_servers)
app.add_typer(servers.group, name="servers")
app.add_typer(sources.group, name="sources")
logs.group.command("erase")(erase.erase_logs)
logs.group.command("erasures")(erase.list_erasures)
app.add_typer(logs.group, name="logs")
app.add_typer(live.group, name="live")
app.command("overview")(overview.overview)
app.command("usage")(usage.usage)
alerts.group.add_typer(rules.group, name="rules")
app.add_typer(alerts.group, name="alerts")
app.add_typer(config.group, name="config")
app.add_typer(db.group, name="db")
app.add_typer(admin.group, name="admin")
app.command("openapi")(about.openapi)
app.command("version")(about.version)

NAME = "llm-gateway"


def run() -> NoReturn:
    """Runs the command of `sys.argv` and ends the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a mark that the encoding lacks must not end a command
            stream.reconfigure(errors="replace")
    sys.exit(call(sys.argv[1:]))


def call(arguments: list[str]) -> int:
    """Runs one command and returns its exit code; everything said about errors is on stderr already."""
    try:
        code = get_command(app).main(arguments, prog_name=NAME, standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has seen enough; nothing more may be written at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.ERROR
    except typer.Abort:
        print(f"{NAME}: aborted; nothing was changed.", file=sys.stderr)
        return Exit.ERROR
    except Exception as error:
        if wants_traceback():
            import traceback

            traceback.print_exc()
        return _say(error)
    return code if isinstance(code, int) else Exit.OK


def _say(error: Exception) -> int:
    from llm_gateway.observe.logs import escape

    stop = explained(error)
    if stop.message:
        lines = [escape(line) for line in stop.message.splitlines()]
        if stop.named:
            lines[0] = f"{NAME}: {lines[0]}"
        print("\n".join(lines), file=sys.stderr)
    if stop.hint:
        print(f"  {escape(stop.hint)}", file=sys.stderr)
    return stop.code
