"""`llm-gateway serve`: its options; `serve` beside this file does the work."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import typer

from llm_gateway.cli.frame import Where


def serve(
    where: Where,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port to listen on; 0: any free one.", show_default="8000")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Worker processes; more than one need PostgreSQL and Redis.", show_default="1"),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Serve a bundled fleet of fake flaky servers.")] = False,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(help="Least important messages that are logged.", show_default="info"),
    ] = None,
) -> None:
    """Serve until Ctrl-C or SIGTERM. The first start makes what is missing and shows how to begin."""
    load = partial(where.load, host=host, port=port, workers=workers, log_level=log_level)
    loaded = load()
    from llm_gateway.cli.serve import serve as run  # uvicorn and FastAPI: only where a server starts

    raise typer.Exit(run(loaded, demo=demo, again=load))
