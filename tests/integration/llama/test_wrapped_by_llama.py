"""A real llama.cpp that leaves thoughts, tool calls and fences in the text, behind the gateway."""

from __future__ import annotations

import json
from typing import Any

from support.apis import APIS
from support.gateway import HELLO, Live, StartGateway, start
from support.llama import LlamaServer, llama_server

__all__ = ["start"]

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OFFER = [{"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}]


async def before(start: StartGateway, server: LlamaServer) -> Live:
    return await start({"name": "real", "url": server.openai_url, "kind": "openai", "trust": "own"})


async def heard(live: Live, **question: Any) -> list[Any]:
    """What every API that takes it gets."""
    found = []
    for api in APIS:
        if "tools" not in question or api.takes_tools:
            body = api.write("recite", {"messages": HELLO, **question})
            found.append(api.read(await live.http.post(api.path, json=body)))
            assert found[-1].complete, found[-1]
    return found


async def test_thoughts_in_the_text_are_told_apart_from_it(start: StartGateway):
    async with llama_server(text="<think>\nOkay, so.\n</think>\n\nHello there") as server:
        for answer in await heard(await before(start, server)):
            assert (answer.thinking, answer.text, answer.finish) == ("Okay, so.\n", "Hello there", "stop")


async def test_a_call_in_the_text_is_a_call(start: StartGateway):
    told = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Boston"}}\n</tool_call>'
    async with llama_server(text=told) as server:
        live = await before(start, server)
        for answer in await heard(live, tools=OFFER):
            assert [(name, json.loads(arguments)) for name, arguments in answer.calls] == [
                ("get_weather", {"city": "Boston"})
            ]
            assert (answer.text, answer.finish) == ("", "tool_calls")
        for answer in await heard(live):
            assert (answer.text, answer.calls) == (told, [])
