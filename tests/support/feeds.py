"""The live feed as an open page of the dashboard reads it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from support.gateway import Live

FEED = "/admin/api/live/feed"
Told = tuple[str, dict[str, Any], str | None]


class Page:
    """A page that has the feed open."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()
        self.told: list[Told] = []

    async def next(self) -> Told:
        """The next event: its name, its data, its id."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(10):
            async for line in self._lines:
                if not line and fields:
                    break
                name, _, value = line.partition(": ")
                fields[name] = value
        assert fields, "it has ended"
        self.told.append((fields["event"], json.loads(fields["data"]), fields.get("id")))
        return self.told[-1]

    async def until(self, name: str) -> dict[str, Any]:
        """The data of the next event of this name."""
        while True:
            told, data, _ = await self.next()
            if told == name:
                return data


@asynccontextmanager
async def page(live: Live, last: str | None = None) -> AsyncIterator[Page]:
    headers = live.admin() | ({"Last-Event-ID": last} if last else {})
    async with live.http.stream("GET", FEED, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Page(answer)
