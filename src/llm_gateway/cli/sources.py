"""`llm-gateway sources`: where servers come from."""

from __future__ import annotations

from typing import Any, Final

from llm_gateway.cli.client import connect
from llm_gateway.cli.frame import Group, Json, Where
from llm_gateway.cli.show import Column, as_json, note, table

group = Group("Sources of servers: the catalogue, the config file, what was added.")

_LIST: Final[list[Column]] = [
    ("Name", "name"),
    ("Enabled", "enabled"),
    ("Trust", lambda s: s.get("trust")),
    ("Version", lambda s: s.get("version")),
    ("Entries", lambda s: s.get("entries")),
    ("Models", lambda s: s.get("models")),
    ("Servers", "servers"),
    ("Problems", lambda s: len(s["problems"])),
]


@group.command("list")
async def list_sources(where: Where, json: Json = False) -> None:
    """List the sources and what was wrong with them."""
    async with connect(where, fleet=True) as api:
        found = await api.get("/admin/api/sources")
    _shown(found, json)


@group.command("sync")
async def sync_sources(where: Where, json: Json = False) -> None:
    """Read the catalogues again."""
    async with connect(where) as api:
        found = await api.post("/admin/api/sources/sync")
    _shown(found, json)


def _shown(found: dict[str, Any], json: bool) -> None:
    if json:
        as_json(found)
        return
    table(_LIST, found["data"], empty="There are no sources.")
    for source in found["data"]:
        for problem in source["problems"]:
            note(f"{source['name']}: {problem}")
