"""What a database holds of requests, for judges that are no gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llm_gateway.storage import requests
from llm_gateway.storage.audit import Difference, audit
from llm_gateway.storage.engine import open_engine
from llm_gateway.storage.sessions import Sessions


async def rows_of(url: str | None, place: Path) -> list[dict[str, Any]]:
    """The whole request log. `url` None = SQLite in the data directory `place`."""
    engine = open_engine(url or "sqlite:///gateway.db", data_dir=place)
    try:
        return [row async for row in requests.export(Sessions(engine))]
    finally:
        await engine.dispose()


async def contradictions(url: str | None, place: Path) -> list[Difference]:
    """Where rows, roll-ups and series say different things."""
    engine = open_engine(url or "sqlite:///gateway.db", data_dir=place)
    try:
        async with Sessions(engine).read() as s:
            return await audit(s)
    finally:
        await engine.dispose()
