"""The command line: one group of commands per file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from llm_gateway.config.load import load
from llm_gateway.config.mistakes import ConfigMistakes

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)


@app.callback()
def top() -> None:
    """A gateway for teams that live on unreliable model servers."""


@app.command()
def serve(
    config: Annotated[Path | None, typer.Option(help="Config file (YAML).")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Directory for state.")] = None,
    demo: Annotated[bool, typer.Option(help="Serve a bundled fleet of fake flaky servers.")] = False,
) -> None:
    """Serve."""
    flags = {"host": host, "port": port, "workers": workers, "data_dir": data_dir}
    try:
        loaded = load(flags, environ=os.environ, cwd=Path.cwd(), config=config)
    except ConfigMistakes as mistakes:
        print(mistakes.render(), file=sys.stderr)
        raise typer.Exit(78) from None
    from llm_gateway.cli.serve import serve as run  # uvicorn and FastAPI: only where a server starts

    raise typer.Exit(run(loaded, demo=demo))


def main() -> None:
    app()
