"""The official openai client against the gateway, as people use it: nothing set but address and key."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from support.gateway import HELLO, KEY, Live, StartGateway, entry, words
from support.rogues import StartRogue

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
    },
}
MESSAGES: Any = HELLO


def client(live: Live, key: str = KEY, **options: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{live.base_url}/v1", api_key=key, _strict_response_validation=True, **options)


@pytest.fixture
async def live(start: StartGateway, rogue: StartRogue) -> Live:
    return await start(await rogue())


async def test_a_chat_with_its_usage(live: Live):
    async with client(live) as ai:
        answer = await ai.chat.completions.create(model="recite", messages=MESSAGES, user="ana")
    assert answer.choices[0].message.content == words()
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 10
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 10
    row = await live.row(end_user="ana")
    assert row["id"] == answer._request_id


async def test_a_stream_without_and_with_usage(live: Live):
    async def all_of(**options: Any) -> list[ChatCompletionChunk]:
        async with client(live) as ai:
            stream = await ai.chat.completions.create(model="recite", messages=MESSAGES, stream=True, **options)
            return [chunk async for chunk in stream]

    plain = await all_of()
    assert "".join(chunk.choices[0].delta.content or "" for chunk in plain) == words()
    assert plain[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in plain if chunk.choices[0].finish_reason] == ["stop"]
    assert all(chunk.usage is None for chunk in plain)
    told = await all_of(stream_options={"include_usage": True})
    assert told[-1].choices == []
    assert told[-1].usage is not None
    assert told[-1].usage.completion_tokens == 10


async def test_the_synchronous_client_works_as_well(live: Live):
    def ask() -> tuple[str | None, str, list[str]]:
        with openai.OpenAI(base_url=f"{live.base_url}/v1", api_key=KEY) as ai:
            whole = ai.chat.completions.create(model="recite", messages=MESSAGES)
            with ai.chat.completions.create(model="recite", messages=MESSAGES, stream=True) as stream:
                streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            return whole.choices[0].message.content, streamed, [model.id for model in ai.models.list()]

    assert await asyncio.to_thread(ask) == (words(), words(), ["recite:latest"])


async def test_models_are_listed_and_found(live: Live):
    async with client(live) as ai:
        listed = await ai.models.list()
        assert [model.id for model in listed.data] == ["recite:latest"]
        one = await ai.models.retrieve("recite:latest")
    assert (one.id, one.object, one.owned_by) == ("recite:latest", "model", "llm-gateway")


@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_tools_pass_through_in_both_directions(start: StartGateway, rogue: StartRogue, kind: str):
    server = await rogue(mood="tools")
    live = await start(entry(server, kind=kind))
    messages: Any = [
        {"role": "user", "content": "Weather in Boston?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    async with client(live) as ai:
        whole = await ai.chat.completions.create(model="recite", messages=messages, tools=[WEATHER])
        stream = await ai.chat.completions.create(model="recite", messages=messages, tools=[WEATHER], stream=True)
        parts = [chunk async for chunk in stream]
    assert whole.choices[0].finish_reason == "tool_calls"
    (call,) = whole.choices[0].message.tool_calls or ()
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Boston", "days": 2}

    deltas = [call for part in parts for call in part.choices[0].delta.tool_calls or ()]
    assert deltas[0].id
    assert deltas[0].function is not None
    assert deltas[0].function.name == "get_weather"
    arguments = "".join(d.function.arguments or "" for d in deltas if d.function)
    assert json.loads(arguments) == {"city": "Boston", "days": 2}
    assert [p.choices[0].finish_reason for p in parts if p.choices[0].finish_reason] == ["tool_calls"]

    heard = server.chats_heard()[0].json
    assert heard["tools"] == [WEATHER]
    sent = heard["messages"][1]["tool_calls"][0]["function"]
    arguments_sent = sent["arguments"] if kind == "ollama" else json.loads(sent["arguments"])
    assert (sent["name"], arguments_sent) == ("get_weather", {"city": "Rome"})
    assert (heard["messages"][2]["role"], heard["messages"][2]["content"]) == ("tool", "sunny")


async def test_thinking_is_passed_on_beside_the_answer(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(mood="think"))
    async with client(live) as ai:
        answer = await ai.chat.completions.create(model="recite", messages=MESSAGES)
    assert answer.choices[0].message.content == words()
    assert answer.choices[0].message.model_extra is not None
    assert answer.choices[0].message.model_extra["reasoning"] == " The user asks politely."


async def test_a_wrong_key_is_an_authentication_error(live: Live):
    async with client(live, key="llmgw_wrong") as ai:
        with pytest.raises(openai.AuthenticationError) as refused:
            await ai.chat.completions.create(model="recite", messages=MESSAGES)
    assert refused.value.code == "invalid_api_key"


async def test_servers_that_the_project_may_not_use_are_a_permission_error(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), project={"trust": ["partner"]})
    async with client(live) as ai:
        with pytest.raises(openai.PermissionDeniedError) as refused:
            await ai.chat.completions.create(model="recite", messages=MESSAGES)
    assert refused.value.code == "no_permitted_upstream"


async def test_an_unknown_model_is_a_not_found_error(live: Live):
    async with client(live) as ai:
        with pytest.raises(openai.NotFoundError) as refused:
            await ai.chat.completions.create(model="gpt-9", messages=MESSAGES)
    assert refused.value.code == "model_not_found"
    assert "recite" in refused.value.message


async def test_a_wrong_parameter_is_a_bad_request_that_names_it(live: Live):
    async with client(live) as ai:
        with pytest.raises(openai.BadRequestError) as refused:
            await ai.chat.completions.create(model="recite", messages=MESSAGES, temperature=99)
    assert refused.value.param == "temperature"


async def test_a_rate_limit_is_a_rate_limit_error_with_its_wait(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), project={"rate_limit_per_minute": 1})
    async with client(live, max_retries=0) as ai:
        await ai.chat.completions.create(model="recite", messages=MESSAGES)
        with pytest.raises(openai.RateLimitError) as refused:
            await ai.chat.completions.create(model="recite", messages=MESSAGES)
    assert refused.value.code == "rate_limit_exceeded"
    assert 50 < int(refused.value.response.headers["retry-after"]) <= 60


async def test_when_everything_was_tried_the_client_does_not_try_again(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(mood="runner_500"), await rogue(mood="runner_500"))
    async with client(live) as ai:  # which would try three times
        with pytest.raises(openai.InternalServerError) as failed:
            await ai.chat.completions.create(model="recite", messages=MESSAGES)
    assert failed.value.code == "upstream_error"
    assert (await live.row())["attempts"] == 2


async def test_a_server_that_cannot_be_reached_is_an_internal_server_error(start: StartGateway, rogue: StartRogue):
    server = await rogue()
    live = await start(server)
    server.mood = "refuse"
    async with client(live) as ai:
        with pytest.raises(openai.InternalServerError) as failed:
            await ai.chat.completions.create(model="recite", messages=MESSAGES)
    assert (failed.value.status_code, failed.value.code) == (503, "no_healthy_upstream")
    await live.row()


async def test_a_stream_that_breaks_raises_instead_of_ending_as_if_all_were_well(
    start: StartGateway, rogue: StartRogue
):
    live = await start(await rogue(mood="cut_clean_eof", cut_after=4))
    seen = ""
    async with client(live) as ai:
        stream = await ai.chat.completions.create(model="recite", messages=MESSAGES, stream=True)
        with pytest.raises(openai.APIError) as broken:
            async for chunk in stream:
                seen += chunk.choices[0].delta.content or ""
    assert seen == words(4)
    assert broken.value.code == "upstream_stream_lost"


async def test_a_stream_that_is_left_frees_its_server(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="endless")
    live = await start(server)
    async with client(live) as ai:
        stream = await ai.chat.completions.create(model="recite", messages=MESSAGES, stream=True)
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        await stream.close()
    await server.until(lambda s: s.aborted == 1 and s.in_flight == 0, within=1.0)
    assert (await live.row())["outcome"] == "client_closed"
