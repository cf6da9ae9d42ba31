"""Sources of servers: what each lists, and what was wrong with it."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from llm_gateway.access.policy import Trust
from llm_gateway.storage import servers
from llm_gateway.upstream.sources import CATALOGUES
from llm_gateway.web.admin.common import Live, admin_router, recorded, when
from llm_gateway.web.auth import By

router = admin_router("sources")


class SourceView(TypedDict):
    """`trust` and what follows it are a catalogue's."""

    name: str
    enabled: bool
    servers: int
    problems: list[str]
    trust: NotRequired[Trust]
    version: NotRequired[str | None]
    entries: NotRequired[int]
    models: NotRequired[int]
    read_at: NotRequired[str | None]
    """When the catalogue was read last; null: not by this process."""


class SourceList(TypedDict):
    data: list[SourceView]


@router.get("", summary="Where servers come from")
async def list_sources(running: Live) -> SourceList:
    async with running.sessions.read() as s:
        stored = await servers.list_servers(s)
    rows: list[SourceView] = []
    for name in CATALOGUES:
        catalogue = running.roster.catalogues.get(name)
        wanted = getattr(running.settings.sources, name)
        rows.append(
            {
                "name": name,
                "enabled": wanted.enabled,
                "trust": wanted.trust,
                "version": catalogue.version if catalogue else None,
                "entries": catalogue.entries if catalogue else 0,
                "models": len({m.name for spec in catalogue.specs for m in spec.models}) if catalogue else 0,
                "servers": len(catalogue.specs) if catalogue else 0,
                "read_at": when(running.roster.read_at) if catalogue else None,
                "problems": list(catalogue.problems) if catalogue else [],
            }
        )
    for name in sorted({row.source for row in stored} - set(CATALOGUES)):
        mine = [row for row in stored if row.source == name]
        rows.append({"name": name, "enabled": True, "servers": len(mine), "problems": []})
    return {"data": rows}


@router.post("/sync", summary="Read the catalogues again")
async def sync_sources(running: Live, by: By) -> SourceList:
    await recorded(running, by, "sources.sync")
    await running.roster.sync()
    await running.refresh()
    return await list_sources(running)
