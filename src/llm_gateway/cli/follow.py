"""Following the request log across lost connections and restarts of the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from llm_gateway.cli.client import Api, connect, connect_to_server
from llm_gateway.cli.exits import Exit, Stop, explained
from llm_gateway.cli.filters import with_key
from llm_gateway.cli.frame import Where
from llm_gateway.cli.logs import REQUESTS, latest
from llm_gateway.cli.show import Row, note
from llm_gateway.errors import GatewayError

EVERY: Final = 1.0
"""Seconds between two looks at the log."""
KNOWN: Final = 100_000
"""Latest rows that are told from new ones: a look may bring some of the look before once more."""


async def followed(where: Where, query: dict[str, Any], lines: int, follow: bool) -> AsyncGenerator[Row]:
    """The latest rows, then each new one once, in the order of their arrival. A server that goes away is waited for."""
    known: dict[str, None] = {}
    mark, away = None, False
    reach: Callable[[Where], AbstractAsyncContextManager[Api]] = connect
    while True:
        try:
            async with reach(where) as api:
                if api.server is not None:  # what answered once is waited for, and not stood in for by this process
                    reach = connect_to_server
                if mark is None:
                    query = await with_key(api, query)
                    # before the page, so that a row comes twice rather than not at all
                    mark = (await api.get(f"{REQUESTS}/tail", **query))["next_cursor"]
                    page = (await latest(api, query, lines))["data"] if lines else []
                    known.update((row["request_id"], None) for row in page)
                    for row in reversed(page):
                        yield row
                while follow:
                    look = await api.get(f"{REQUESTS}/tail", **query, cursor=mark)
                    if away:
                        note("it is back.")
                    away = False
                    for row in look["data"]:
                        if row["request_id"] not in known:
                            known[row["request_id"]] = None
                            yield row
                    mark = look["next_cursor"]
                    while len(known) > KNOWN:
                        del known[next(iter(known))]
                    if not look["more"]:
                        await asyncio.sleep(EVERY)
                return
        except (Stop, GatewayError) as error:
            stop = explained(error)
            if mark is None or stop.code != Exit.UNAVAILABLE:
                raise
            if not away:
                note(f"{stop.message} Waiting for it; Ctrl-C ends.")
            away = True
        await asyncio.sleep(EVERY)
