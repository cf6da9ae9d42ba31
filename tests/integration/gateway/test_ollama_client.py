"""The official ollama client against the gateway, as people use it: nothing set but address and key."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from ollama import AsyncClient, Client, Message, ResponseError

from llm_gateway.service.ollama import VERSION
from llm_gateway.testing.catalogue import digest_of
from support.gateway import HELLO, KEY, Live, StartGateway, entry, words
from support.rogues import StartRogue

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
EXPOSED = [{"name": "law", "backend": ["recite"], "params": {"temperature": 0.2, "stop": ["</s>"], "max_tokens": 90}}]


def client(live: Live, key: str = KEY) -> AsyncClient:
    return AsyncClient(live.base_url, headers={"Authorization": f"Bearer {key}"}, trust_env=False)


def get_weather(city: str, days: int = 1) -> str:
    """Weather of a city.

    Args:
        city: Its name.
        days: How many.
    """
    return f"{city}: sunny for {days} days"


@pytest.fixture
async def live(start: StartGateway, rogue: StartRogue) -> Live:
    return await start(await rogue(), models=EXPOSED)


async def test_a_chat_with_its_figures(live: Live):
    async with client(live) as ai:
        answer = await ai.chat("recite", HELLO)
    assert (answer.model, answer.done, answer.done_reason) == ("recite", True, "stop")
    assert (answer.message.role, answer.message.content) == ("assistant", words())
    assert answer.prompt_eval_count
    assert answer.eval_count == 10
    assert answer.total_duration
    assert answer.prompt_eval_duration
    assert answer.eval_duration
    assert answer.total_duration >= answer.prompt_eval_duration + answer.eval_duration > 0
    row = await live.row()
    assert (row["endpoint"], row["stream"], row["tokens_output"]) == ("/api/chat", False, 10)
    assert abs(row["latency_ms"] * 1e6 - answer.total_duration) < 50e6


async def test_a_stream(live: Live):
    async with client(live) as ai:
        frames = [frame async for frame in await ai.chat("recite", HELLO, stream=True, options={"num_predict": 3})]
    assert "".join(frame.message.content or "" for frame in frames) == words(3)
    assert [frame.done for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert (frames[-1].done_reason, frames[-1].eval_count) == ("length", 3)
    assert (await live.row())["stream"] is True


async def test_a_logical_name_is_answered_under_that_name(live: Live):
    async with client(live) as ai:
        for name in ("law", "law:latest"):  # many clients complete the tag
            assert (await ai.chat(name, HELLO)).model == name
    assert {row["model"] for row in await live.rows(2)} == {"law"}


async def test_completions_whole_and_streamed(live: Live):
    async with client(live) as ai:
        whole = await ai.generate("recite", "Hello", system="Be brief.")
        parts = [part async for part in await ai.generate("recite", "Hello", stream=True)]
    assert (whole.response, whole.done_reason, whole.eval_count, whole.context) == (words(), "stop", 10, None)
    assert "".join(part.response for part in parts) == words()
    assert parts[-1].done


async def test_the_synchronous_client_works_as_well(live: Live):
    def ask() -> tuple[Any, ...]:
        with Client(live.base_url, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False) as ai:
            streamed = "".join(part.message.content or "" for part in ai.chat("recite", HELLO, stream=True))
            completed = "".join(part.response for part in ai.generate("recite", "Hi", stream=True))
            return ai.chat("recite", HELLO).message.content, streamed, completed, [m.model for m in ai.list().models]

    assert await asyncio.to_thread(ask) == (words(), words(), words(), ["law", "recite:latest"])


async def test_models_are_listed_and_shown(live: Live):
    async with client(live) as ai:
        logical, physical = (await ai.list()).models
        shown = await ai.show("law")
        plain = await ai.show("recite")
    for model in (logical, physical):
        assert model.digest == digest_of("recite")
        assert model.size == 2_019_393_189
        assert model.modified_at is not None
        assert model.details is not None
        assert (model.details.family, model.details.quantization_level) == ("recite", "Q4_K_M")
    assert shown.capabilities == ["completion", "tools", "insert", "vision", "embedding", "thinking"]
    assert shown.modelinfo == {
        "general.architecture": "recite", "general.basename": "law",
        "recite.context_length": 4096, "recite.embedding_length": 384,
    }  # fmt: skip
    assert [line.split(maxsplit=1) for line in (shown.parameters or "").splitlines()] == [
        ["temperature", "0.2"], ["num_predict", "90"], ["stop", '"</s>"'],
    ]  # fmt: skip
    assert plain.parameters == ""
    assert plain.details is not None
    assert plain.details.format == "gguf"


async def test_what_is_in_memory_is_what_was_used(live: Live):
    async with client(live) as ai:
        assert (await ai.ps()).models == []
        await ai.chat("recite", HELLO)
        law, recite = (await ai.ps()).models
    assert (law.name, recite.name, recite.digest) == ("law", "recite:latest", digest_of("recite"))
    assert recite.expires_at is not None
    assert 0 < recite.expires_at.timestamp() - live.gateway.clock.wall() <= 300
    assert recite.context_length == 4096


@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_a_python_function_as_a_tool_both_ways(start: StartGateway, rogue: StartRogue, kind: str):
    server = await rogue(mood="tools")
    live = await start(entry(server, kind=kind))
    async with client(live) as ai:
        asked = await ai.chat("recite", HELLO, tools=[get_weather])
        (call,) = asked.message.tool_calls or ()
        assert (call.function.name, call.function.arguments) == ("get_weather", {"city": "Boston", "days": 2})
        assert asked.done_reason == "stop"
        server.mood = "good"
        told = [
            *HELLO,
            asked.message,
            {"role": "tool", "content": get_weather(**call.function.arguments), "tool_name": "get_weather"},
        ]
        assert (await ai.chat("recite", told, tools=[get_weather])).message.content == words()
        server.mood = "tools"
        frames = [frame async for frame in await ai.chat("recite", HELLO, tools=[get_weather], stream=True)]
    calls = [call for frame in frames for call in frame.message.tool_calls or ()]
    assert [call.function.arguments for call in calls] == [{"city": "Boston", "days": 2}]
    _, back, _ = (heard.json for heard in server.chats_heard())
    *_, said, result = back["messages"]
    assert said["tool_calls"][0]["id"] == result["tool_call_id"], "the client itself sends no ids"


async def test_thoughts_formats_images_and_options_reach_the_server(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="think")
    live = await start(server)
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}}
    async with client(live) as ai:
        answer = await ai.chat(
            "recite",
            [Message(role="user", content="?", images=[{"value": PNG}])],
            think="low",
            options={"temperature": 0.5, "num_ctx": 4096, "num_keep": 4, "seed": 7},
            keep_alive="10m",
        )
        frames = [frame async for frame in await ai.chat("recite", HELLO, think=True, stream=True)]
        server.mood = "good"
        await ai.chat("recite", HELLO, format=schema)
        await ai.generate("recite", "?", format="json", images=[PNG])
    assert (answer.message.thinking, answer.message.content) == (" The user asks politely.", words())
    assert "".join(frame.message.thinking or "" for frame in frames) == " The user asks politely."
    one, two, three, four = (heard.json for heard in server.chats_heard())
    assert one["messages"][0]["images"] == [PNG]
    assert (one["think"], one["keep_alive"]) == ("low", "10m")
    assert one["options"]["temperature"] == 0.5
    assert one["options"]["seed"] == 7
    assert "num_keep" not in one["options"]
    assert two["think"] is True
    assert (three["format"], four["format"], four["messages"][0]["images"]) == (schema, "json", [PNG])


async def test_what_has_no_effect_is_told_in_a_header(live: Live):
    answer = await live.chat("/api/chat", options={"mirostat": 1}, stream=False)
    assert answer.headers["x-gateway-notes"] == "options.mirostat=dropped"
    assert (await live.row())["notes"] == "options.mirostat=dropped"


async def test_loading_and_unloading_ask_no_server(live: Live):
    async with client(live) as ai:
        assert (await ai.generate("recite")).done_reason == "load"
        assert (await ai.chat("recite", [], keep_alive=0)).done_reason == "unload"
        with pytest.raises(ResponseError) as refused:
            await ai.generate("nobody")
    assert refused.value.status_code == 404
    assert all(row["attempts"] == 0 for row in await live.rows(3))


async def test_refusals_are_response_errors_with_status_and_words(live: Live):
    async with client(live, key="llmgw_wrong") as ai:
        with pytest.raises(ResponseError) as refused:
            await ai.chat("recite", HELLO)
    assert (refused.value.status_code, "not valid" in refused.value.error) == (401, True)
    async with client(live) as ai:
        for unknown in (ai.chat("gpt-9", HELLO), ai.show("gpt-9"), ai.generate("gpt-9", "x")):
            with pytest.raises(ResponseError) as refused:
                await unknown
            assert refused.value.status_code == 404
            assert refused.value.error.startswith("model 'gpt-9' not found. ")
            assert "`law`" in refused.value.error
        with pytest.raises(ResponseError) as refused:
            await ai.chat("recite", HELLO, options={"temperature": 9})
        assert (refused.value.status_code, "options.temperature" in refused.value.error) == (400, True)


async def test_what_only_a_servers_owner_may_do_is_refused_and_says_why(live: Live):
    async with client(live) as ai:
        for wish in (ai.pull("x"), ai.push("x"), ai.create("x", from_="y"), ai.copy("x", "y"), ai.delete("x")):
            with pytest.raises(ResponseError) as refused:
                await wish
            assert refused.value.status_code == 403
            assert "owners of the servers" in refused.value.error
            assert "/api/tags" in refused.value.error
        with pytest.raises(ResponseError) as refused:
            [status async for status in await ai.pull("x", stream=True)]
        assert refused.value.status_code == 403


async def test_when_everything_was_tried_it_is_one_typed_error(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(mood="runner_500"), await rogue(mood="runner_500"))
    async with client(live) as ai:
        with pytest.raises(ResponseError) as failed:
            await ai.chat("recite", HELLO, stream=False)
        with pytest.raises(ResponseError) as streamed:
            [frame async for frame in await ai.chat("recite", HELLO, stream=True)]
    assert (failed.value.status_code, streamed.value.status_code) == (502, 502)


async def test_a_stream_that_breaks_raises_instead_of_ending_as_if_all_were_well(
    start: StartGateway, rogue: StartRogue
):
    live = await start(await rogue(mood="cut_clean_eof", cut_after=4))
    seen = ""
    async with client(live) as ai:
        with pytest.raises(ResponseError, match="broke the answer off"):
            async for frame in await ai.chat("recite", HELLO, stream=True):
                seen += frame.message.content or ""
                assert not frame.done
    assert seen == words(4)
    raw = (await live.chat("/api/chat")).text.splitlines()[-1]
    assert {"code": "upstream_stream_lost", "retryable": True, "delivered_tokens": 4}.items() <= json.loads(raw).items()


async def test_a_stream_that_is_left_frees_its_server(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="endless")
    live = await start(server)
    async with client(live) as ai:
        async for frame in await ai.chat("recite", HELLO, stream=True):
            if frame.message.content:
                break
    await server.until(lambda s: s.aborted == 1 and s.in_flight == 0, within=1.0)
    assert (await live.row())["outcome"] == "client_closed"


async def test_open_webui_finds_models_and_chats(live: Live):
    """As its Ollama connection does: verify, list, look what is loaded, chat; it passes our bytes through."""
    assert (await live.http.get("/api/version", headers={"X-API-Key": ""})).json()["version"] == VERSION
    models = (await live.http.get("/api/tags")).json()["models"]
    assert [model["model"] for model in models] == ["law", "recite:latest"]
    assert all(model["name"] == model["model"] for model in models)
    assert (await live.http.get("/api/ps")).json() == {"models": []}
    body = {"model": "law", "messages": HELLO, "stream": True, "options": {"num_ctx": 2048}, "keep_alive": "5m"}
    answer = await live.http.post("/api/chat", content=json.dumps(body), headers={"Content-Type": "text/plain"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    frames = [json.loads(line) for line in answer.text.splitlines()]
    assert "".join(frame["message"]["content"] for frame in frames) == words()
    refused = await live.http.post("/api/chat", json={**body, "model": "gone"})
    assert isinstance(refused.json()["error"], str)


async def test_vs_code_looks_at_a_model_and_chats_the_other_way(live: Live):
    """As its Ollama provider does: is it there, is it new enough, what can each model do; then OpenAI's chat."""
    assert (await live.http.head("/", headers={"X-API-Key": ""})).status_code == 200
    version = (await live.http.get("/api/version", headers={"X-API-Key": ""})).json()["version"]
    assert tuple(map(int, version.split("."))) >= (0, 6, 4)
    for model in (await live.http.get("/api/tags")).json()["models"]:
        shown = (await live.http.post("/api/show", json={"model": model["model"]})).json()
        info = shown["model_info"]
        assert "tools" in shown["capabilities"]
        assert info["general.basename"]
        assert info[f"{info['general.architecture']}.context_length"] == 4096
        told = await live.stream("/v1/chat/completions", model=model["model"])
        assert told.text == words()
