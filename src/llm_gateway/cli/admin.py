"""`llm-gateway admin`: access to the admin API."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from llm_gateway.cli.frame import Group, Where

group = Group("Access to the admin API.")


@group.command("token")
def show_token(
    where: Where, reveal: Annotated[bool, typer.Option("--reveal", help="Print the token itself.")] = False
) -> None:
    """Say where the admin token is. The first start makes one, and so does this command."""
    from llm_gateway.first_run import admin_token

    loaded = where.load()
    loaded.settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    token, path = admin_token(loaded.settings)
    if reveal:
        print(token)
    elif path is not None:
        print(path)
    else:
        print(f"It is set by {loaded.sources['admin_token']}.", file=sys.stderr)
