"""`llm-gateway version` and `llm-gateway openapi`."""

from __future__ import annotations

import platform

from llm_gateway import __version__
from llm_gateway.cli.client import connect
from llm_gateway.cli.frame import Json, Where
from llm_gateway.cli.show import as_json


def version(json: Json = False) -> None:
    """Print the version."""
    if json:
        as_json({"version": __version__, "python": platform.python_version()})
        return
    print(f"llm-gateway {__version__}")


async def openapi(where: Where) -> None:
    """Print the OpenAPI schema of the whole HTTP API, in JSON."""
    async with connect(where) as api:
        as_json(await api.get("/openapi.json"))
