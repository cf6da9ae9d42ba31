"""`llm-gateway models search`: the physical models of the fleet, by family, size, abilities and state."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from llm_gateway.cli.client import connect, only_sources
from llm_gateway.cli.frame import Json, Where
from llm_gateway.cli.show import Column, Row, as_json, note, table

_FOUND: Final[list[Column]] = [
    ("Physical model", "name"),
    ("Family", "family"),
    ("Size", "parameter_size"),
    ("Quantization", "quantization"),
    ("Context", "context_length"),
    ("Able to", "capabilities"),
    ("Servers", "servers"),
    ("Healthy", "healthy_servers"),
    ("Twins", "twins"),
    ("Logical names", lambda m: ", ".join(map(_logical, m["logical"]))),
]
_SPARE: Final = ("Twins", "Able to", "Quantization", "Logical names", "Context")


async def search_models(
    where: Where,
    words: Annotated[list[str] | None, typer.Argument(help="Words of the name or the family, all of them.")] = None,
    family: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    quantization: Annotated[list[str] | None, typer.Option(help="Such as Q4_K_M; may be repeated.")] = None,
    capability: Annotated[
        list[str] | None, typer.Option(help="tools, vision, thinking, embedding …; all that are given.")
    ] = None,
    min_parameters: Annotated[str | None, typer.Option(help="Such as 7b.")] = None,
    max_parameters: Annotated[str | None, typer.Option(help="Such as 13b.")] = None,
    min_context: Annotated[int | None, typer.Option(min=1, help="Tokens.")] = None,
    healthy: Annotated[bool, typer.Option("--healthy", help="Only what a healthy server holds now.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many are shown at most.")] = 100,
    json: Json = False,
) -> None:
    """Search the physical models of the fleet."""
    query: dict[str, Any] = {"q": " ".join(words or ()) or None, "family": family, "quantization": quantization}
    query |= {"capability": capability, "min_parameters": min_parameters, "max_parameters": max_parameters}
    query |= {"min_context": min_context, "healthy": healthy or None, "limit": limit}
    async with connect(where, fleet=True) as api:
        found = await api.get("/admin/api/catalogue", **query)
        only_sources(api)
    if json:
        as_json(found)
        return
    table(_FOUND, found["data"], empty="No model matches.", spare=_SPARE)
    if (more := found["matched"] - len(found["data"])) > 0:
        note(f"{more} more match: --limit shows them.")


def _logical(name: Row) -> str:
    return f"{name['project']}/{name['name']}" if name["project"] else str(name["name"])
