"""Our answers satisfy OpenAI's own public description of its API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from llm_gateway.web.surfaces import ROUTES
from support.gateway import HELLO, StartGateway
from support.openapi import conforms
from support.rogues import StartRogue

PATHS = {route.path for route in ROUTES}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
RESPONSES_TOOL = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": False}


def needs(path: str) -> Any:
    return pytest.mark.skipif(path not in PATHS, reason=f"the gateway has no {path} here")


def events(answer: httpx.Response) -> Iterator[Any]:
    assert answer.status_code == 200, answer.text
    for line in answer.text.splitlines():
        if line.startswith("data: {"):
            yield json.loads(line[6:])


@pytest.mark.parametrize("mood", ["good", "think", "tools"])
async def test_chats(start: StartGateway, rogue: StartRogue, mood: str):
    live = await start(await rogue(mood=mood))
    more = {"tools": [TOOL]} if mood == "tools" else {}
    whole = await live.chat("/v1/chat/completions", **more)
    conforms("CreateChatCompletionResponse", whole.json())
    usage = {"include_usage": True}
    stream = await live.chat("/v1/chat/completions", stream=True, stream_options=usage, **more)
    chunks = list(events(stream))
    assert len(chunks) > 2
    for chunk in chunks:
        conforms("CreateChatCompletionStreamResponse", chunk)


async def test_models(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    conforms("ListModelsResponse", (await live.http.get("/v1/models")).json())
    conforms("Model", (await live.http.get("/v1/models/recite:latest")).json())


@pytest.mark.parametrize(
    "body", [{"model": "gpt-9", "messages": HELLO}, {"model": "recite"}, {"model": "recite", "messages": HELLO, "n": 2}]
)
async def test_errors(start: StartGateway, rogue: StartRogue, body: dict[str, Any]):
    live = await start(await rogue())
    answer = await live.http.post("/v1/chat/completions", json=body)
    assert answer.status_code in (400, 404)
    conforms("ErrorResponse", answer.json())


@needs("/v1/completions")
async def test_completions(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    body = {"model": "recite", "prompt": "Once"}
    conforms("CreateCompletionResponse", (await live.http.post("/v1/completions", json=body)).json())
    stream = await live.http.post("/v1/completions", json=body | {"stream": True})
    for chunk in events(stream):
        for choice in chunk["choices"]:
            choice["finish_reason"] = choice["finish_reason"] or "stop"  # described for whole answers only
        conforms("CreateCompletionResponse", chunk)


@needs("/v1/embeddings")
async def test_embeddings(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(["embed"]))
    body = {"model": "embed", "input": ["one", "two"]}
    conforms("CreateEmbeddingResponse", (await live.http.post("/v1/embeddings", json=body)).json())


@needs("/v1/responses")
@pytest.mark.parametrize("mood", ["good", "think", "tools"])
async def test_responses(start: StartGateway, rogue: StartRogue, mood: str):
    live = await start(await rogue(mood=mood))
    body = {"model": "recite", "input": "Hello"} | ({"tools": [RESPONSES_TOOL]} if mood == "tools" else {})
    conforms("Response", (await live.http.post("/v1/responses", json=body)).json())
    stream = await live.http.post("/v1/responses", json=body | {"stream": True})
    for event in events(stream):
        conforms("ResponseStreamEvent", event)
