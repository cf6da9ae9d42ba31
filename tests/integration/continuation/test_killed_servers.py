"""Real llama.cpp servers that die, or freeze, in the middle of a word-for-word known text."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from support.gateway import HELLO, Live, StartGateway
from support.llama import LlamaServer, llama_server

TOKENS = 2_000
TIMEOUTS = {"connect": 2, "head": 2, "first_token": 5, "stall": 2.5, "budget": 20, "total": 60}


@pytest.fixture
async def llamas() -> AsyncIterator[list[LlamaServer]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(llama_server(loop=True)) for _ in range(3)]


async def gateway(start: StartGateway, llamas: list[LlamaServer]) -> Live:
    servers = [{"name": f"s{n}", "url": s.openai_url, "kind": "openai", "trust": "own"} for n, s in enumerate(llamas)]
    return await start(*servers, timeouts=TIMEOUTS)


def speaking(live: Live, llamas: list[LlamaServer]) -> LlamaServer:
    """The server that works on the only request."""
    busy = [server.spec.url for server in live.fleet.servers.values() if server.in_flight]
    assert len(busy) == 1
    return next(server for server in llamas if server.openai_url == busy[0])


@pytest.mark.parametrize("accident", ["kill", "freeze"])
async def test_two_accidents_in_one_answer_cost_no_word(start: StartGateway, llamas: list[LlamaServer], accident: str):
    live = await gateway(start, llamas)
    body = {"model": "recite", "messages": HELLO, "max_tokens": TOKENS, "stream": True}
    text, finish, chunk = "", None, {}
    accidents = [300, 900]
    frozen: list[LlamaServer] = []
    async with live.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        async for line in answer.aiter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line[6:])
            assert "error" not in chunk, chunk
            text += chunk["choices"][0]["delta"].get("content") or ""
            finish = chunk["choices"][0]["finish_reason"]
            if accidents and len(text.split()) >= accidents[0]:
                accidents.pop(0)
                for server in frozen:
                    server.thaw()
                victim = speaking(live, llamas)
                if accident == "freeze":
                    victim.freeze()
                    frozen.append(victim)
                else:
                    victim.kill()
    cycle = llamas[0].words().split()
    assert text.split() == [cycle[n % len(cycle)] for n in range(TOKENS)]
    assert (finish, chunk["continuations"]) == ("length", 2)
    row = await live.row()
    assert (row["outcome"], row["tokens_output"]) == ("ok", TOKENS)
    assert live.in_flight == 0
