"""What stands behind the gateway in the matrix: rogue Ollama servers that can do everything, and real llama.cpp ones
that recite. Each can serve well, serve for ever, and break off in the middle.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, ClassVar

from client import Ask, Client

from llm_gateway.testing.rogue import Rogue
from support.gateway import KEY, MODEL, Live, StartGateway, words
from support.llama import LlamaServer, llama_server
from support.net import wait_until
from support.rogues import StartRogue

TIMEOUTS = {"connect": 2, "head": 2, "first_token": 5, "stall": 2.5, "budget": 20, "total": 60}
CALLED = {"city": "Boston", "days": 2}
"""Arguments of every call."""
LONG = 2_000
"""Tokens of an answer that takes llama.cpp half a second, so that it can be broken in its middle."""


class Upstream(ABC):
    """One test's servers and the gateway before them."""

    name: ClassVar[str]
    live: Live

    def __init__(self, client: type[Client], start: StartGateway) -> None:
        self._client, self._start = client, start

    def client(self, key: str = KEY, **headers: str) -> Client:
        return self._client(self.live.base_url, key, headers)

    @property
    @abstractmethod
    def model(self) -> str:
        """As a list of models names it."""

    @abstractmethod
    async def good(self) -> str:
        """One that answers well. Gives what it says."""

    @abstractmethod
    async def calling(self) -> None:
        """One that calls `get_weather`."""

    @abstractmethod
    async def writing(self, text: str) -> None:
        """One that writes this."""

    @abstractmethod
    async def thinking(self) -> tuple[str, str]:
        """One that thinks before it answers. Gives its thoughts and its answer."""

    @abstractmethod
    async def vectors(self) -> None:
        """One that has a model `embed`."""

    def heard(self) -> Any:
        """What it was asked at last, where that can be known."""
        return None

    @abstractmethod
    async def endless(self) -> None:
        """One that never comes to an end."""

    @abstractmethod
    async def freed(self) -> None:
        """Returns when nobody works any more. Raises TimeoutError."""

    @abstractmethod
    def breaking(self) -> Any:
        """A context in which the server that answers first breaks off after some words, while another could go on.
        Gives what to ask and what the whole answer is."""


class Rogues(Upstream):
    name = "rogue"
    server: Rogue
    model = f"{MODEL}:latest"

    def __init__(self, client: type[Client], start: StartGateway, rogue: StartRogue) -> None:
        super().__init__(client, start)
        self._rogue = rogue

    async def serve(self, **manner: Any) -> Rogue:
        """One server of any manner."""
        self.server = await self._rogue(**manner)
        self.live = await self._start(self.server)
        return self.server

    async def good(self) -> str:
        await self.serve()
        return words()

    async def calling(self) -> None:
        await self.serve(mood="tools")

    async def writing(self, text: str) -> None:
        await self.serve(script=lambda _: [text[:5], text[5:]])

    async def thinking(self) -> tuple[str, str]:
        await self.serve(mood="think")
        return " The user asks politely.", words()

    async def vectors(self) -> None:
        await self.serve(models=["recite", "embed"])

    def heard(self) -> Any:
        return self.server.chats_heard()[-1].json

    async def endless(self) -> None:
        await self.serve(mood="endless")

    async def freed(self) -> None:
        await self.server.until(lambda s: s.aborted == 1 and s.in_flight == 0, within=2.0)

    @asynccontextmanager
    async def breaking(self) -> Any:
        bad, other = await self._rogue(mood="cut_rst"), await self._rogue()
        self.live = await self._start(bad, other, timeouts=TIMEOUTS)
        self.live.prefer(bad)
        yield Ask(), words()


class Llamas(Upstream):
    name = "llama.cpp"
    model = MODEL

    def __init__(self, client: type[Client], start: StartGateway, shared: LlamaServer, stack: AsyncExitStack) -> None:
        super().__init__(client, start)
        self._shared, self._stack = shared, stack

    async def _serve(self, *servers: LlamaServer) -> None:
        entries = [
            {"name": f"s{n}", "url": server.openai_url, "kind": "openai", "trust": "own"}
            for n, server in enumerate(servers)
        ]
        self.live = await self._start(*entries, timeouts=TIMEOUTS)

    async def good(self) -> str:
        await self._serve(self._shared)
        return self._shared.words()

    async def calling(self) -> None:
        """In the text, as models without a template for tools do it."""
        call = json.dumps({"name": "get_weather", "arguments": CALLED})
        await self.writing(f"<tool_call>\n{call}\n</tool_call>")

    async def writing(self, text: str) -> None:
        await self._serve(await self._stack.enter_async_context(llama_server(text=text)))

    async def thinking(self) -> tuple[str, str]:
        await self.writing("<think>\nHow polite.\n</think>\n\nHello there")
        return "How polite.\n", "Hello there"

    async def vectors(self) -> None:
        await self._serve(await self._stack.enter_async_context(llama_server("embed", vectors=True)))

    async def endless(self) -> None:
        await self._serve(await self._stack.enter_async_context(llama_server(loop=True)))

    async def freed(self) -> None:
        await wait_until(lambda: self.live.in_flight == 0, 2.0)

    @asynccontextmanager
    async def breaking(self) -> Any:
        servers = [await self._stack.enter_async_context(llama_server(loop=True)) for _ in range(2)]
        await self._serve(*servers)
        killing = asyncio.create_task(self._kill_the_first(servers))
        cycle = servers[0].recital.pieces()
        try:
            yield Ask(max_tokens=LONG), "".join(cycle[n % len(cycle)] for n in range(LONG))
        finally:
            if not killing.cancel():
                killing.result()

    async def _kill_the_first(self, servers: list[LlamaServer]) -> None:
        """kill -9 as soon as it has begun to speak."""
        states = list(self.live.fleet.servers.values())
        await wait_until(
            lambda: any(s.in_flight and any(m.waits for m in s.models.values()) for s in states), 20, every=0.01
        )
        (url,) = (state.spec.url for state in states if state.in_flight)
        next(server for server in servers if server.openai_url == url).kill()
