"""The official openai client's `responses` against the gateway, strictly validated, as people and Codex use it."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseFailedEvent, ResponseStreamEvent
from pydantic import BaseModel

from support.gateway import KEY, Live, StartGateway, entry, words
from support.rogues import StartRogue

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Weather of a city",
    "strict": False,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
}
WEATHER_CALL = {"city": "Boston", "days": 2}


def client(live: Live, **options: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{live.base_url}/v1", api_key=KEY, _strict_response_validation=True, **options)


@pytest.fixture
async def live(start: StartGateway, rogue: StartRogue) -> Live:
    return await start(await rogue())


async def streamed(ai: openai.AsyncOpenAI, **fields: Any) -> list[ResponseStreamEvent]:
    stream = await ai.responses.create(model="recite", stream=True, **{"input": "Hello", **fields})
    return [event async for event in stream]


async def test_a_response_with_its_usage(live: Live):
    async with client(live) as ai:
        answer = await ai.responses.create(model="recite", input="Hello", instructions="Be brief.", user="ana")
    assert (answer.output_text, answer.status, answer.error) == (words(), "completed", None)
    assert answer.usage is not None
    assert (answer.usage.output_tokens, answer.usage.total_tokens) == (10, answer.usage.input_tokens + 10)
    row = await live.row(end_user="ana")
    assert (row["id"], row["endpoint"]) == (answer._request_id, "/v1/responses")
    assert answer.id == f"resp_{row['id'].replace('-', '')}"


async def test_a_stream_by_hand_and_by_the_helper(live: Live):
    async with client(live) as ai:
        events = await streamed(ai)
        async with ai.responses.stream(model="recite", input="Hello") as stream:
            final = await stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == words()
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == final.output_text == words()


async def test_an_answer_at_its_limit_is_incomplete(live: Live):
    async with client(live) as ai:
        whole = await ai.responses.create(model="recite", input="Hello", max_output_tokens=3)
        last = (await streamed(ai, max_output_tokens=3))[-1]
    assert last.type == "response.incomplete"
    for answer in (whole, last.response):
        assert (answer.status, answer.output_text) == ("incomplete", words(3))
        assert answer.incomplete_details is not None
        assert answer.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_a_loop_of_tools(start: StartGateway, rogue: StartRogue, kind: str):
    server = await rogue(mood="tools")
    live = await start(entry(server, kind=kind))
    said: Any = [{"role": "user", "content": "Weather in Boston?"}]
    async with client(live) as ai:
        first = await ai.responses.create(model="recite", input=said, tools=[WEATHER])
        (call,) = first.output
        assert call.type == "function_call"
        assert (call.name, json.loads(call.arguments)) == ("get_weather", WEATHER_CALL)
        said += [*first.output, {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}]
        server.mood = "good"
        second = await ai.responses.create(model="recite", input=said, tools=[WEATHER])
    assert second.output_text == words()
    heard = server.chats_heard()[-1].json
    assert heard["tools"][0]["function"]["name"] == "get_weather"
    _, turn, output = heard["messages"]
    arguments = turn["tool_calls"][0]["function"]["arguments"]
    assert (arguments if kind == "ollama" else json.loads(arguments)) == WEATHER_CALL
    assert (output["role"], output["content"], output["tool_call_id"]) == ("tool", "sunny", call.call_id)


async def test_a_streamed_call_is_told_whole(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(mood="tools"))
    async with client(live) as ai:
        events = await streamed(ai, tools=[WEATHER])
        async with ai.responses.stream(model="recite", input="Hello", tools=[WEATHER]) as stream:
            final = await stream.get_final_response()
    (done,) = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert json.loads(done.arguments) == WEATHER_CALL
    assert [item.type for item in final.output] == ["function_call"]


async def test_a_custom_tool_is_offered_as_a_function_of_one_text(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="tools")
    live = await start(server)
    patch: Any = {"type": "custom", "name": "apply_patch", "description": "Edits files."}
    async with client(live) as ai:
        with pytest.raises(openai.InternalServerError):  # the server's arguments do not fit: there is no `input`
            await ai.responses.create(model="recite", input="Hello", tools=[patch])
    offered = server.chats_heard()[0].json["tools"][0]["function"]
    assert (offered["name"], offered["parameters"]["required"]) == ("apply_patch", ["input"])


async def test_thoughts_are_an_item_of_their_own_and_come_back(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="think")
    live = await start(server)
    asked: Any = {"model": "recite", "include": ["reasoning.encrypted_content"], "reasoning": {"effort": "high"}}
    async with client(live) as ai:
        first = await ai.responses.create(input="Hello", **asked)
        reasoning, message = first.output
        assert reasoning.type == "reasoning"
        assert (reasoning.summary[0].text, first.output_text) == (" The user asks politely.", words())
        assert reasoning.encrypted_content
        assert first.usage is not None
        assert first.usage.output_tokens_details.reasoning_tokens > 0
        again: Any = [*first.output, {"role": "user", "content": "More."}]
        await ai.responses.create(input=again, **asked)
        events = await streamed(ai)
    heard = server.chats_heard()
    assert (heard[0].json["think"], heard[1].json["messages"][0]["thinking"]) == ("high", " The user asks politely.")
    thoughts = "".join(e.delta for e in events if e.type == "response.reasoning_summary_text.delta")
    assert thoughts == " The user asks politely."
    assert message.type == "message"


async def test_an_image_goes_to_the_server(start: StartGateway, rogue: StartRogue):
    server = await rogue()
    live = await start(server)
    image: Any = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"}
    async with client(live) as ai:
        content: Any = [{"type": "input_text", "text": "What?"}, image]
        await ai.responses.create(model="recite", input=[{"role": "user", "content": content}])
    assert server.chats_heard()[0].json["messages"][0] == {"role": "user", "content": "What?", "images": [PIXEL]}


class City(BaseModel):
    name: str
    people: int


async def test_an_answer_is_parsed_into_a_model(start: StartGateway, rogue: StartRogue):
    server = await rogue(script=lambda _: ['{"name": "Lima",', ' "people": 10}'])
    live = await start(server)
    async with client(live) as ai:
        parsed = await ai.responses.parse(model="recite", input="Hello", text_format=City)
        async with ai.responses.stream(model="recite", input="Hello", text_format=City) as stream:
            final = await stream.get_final_response()
    assert parsed.output_parsed == final.output_parsed == City(name="Lima", people=10)
    assert server.chats_heard()[0].json["format"]["required"] == ["name", "people"]


async def test_what_codex_sends_is_answered_and_what_it_will_not_get_is_said(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="tools")
    live = await start(server)
    shell = {**WEATHER, "name": "shell"}
    patch = {
        "type": "custom",
        "name": "apply_patch",
        "format": {"type": "grammar", "syntax": "lark", "definition": "x"},
    }
    body = {
        "model": "recite",
        "instructions": "You are a coding agent.",
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "<permissions>"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Fix it."}]},
        ],
        "tools": [shell, patch, {"type": "web_search", "external_web_access": False}, {"type": "local_shell"}],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "019a2f6e-7c1b-7d3e-9f00-0123456789ab",
    }
    answer = await live.http.post("/v1/responses", json=body, headers={"Accept": "text/event-stream"})
    assert answer.status_code == 200, answer.text
    data = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    last = data[-1]["response"]
    Response.model_validate_json(json.dumps(last), strict=True)
    assert [(item["type"], item["name"]) for item in last["output"]] == [("function_call", "shell")]
    assert answer.headers["x-gateway-notes"].split(", ") == [
        *("tools.format=best_effort", "tools.web_search=dropped", "tools.local_shell=dropped"),
        "parallel_tool_calls=dropped",
    ]
    heard = server.chats_heard()[0].json
    assert [message["role"] for message in heard["messages"]] == ["system", "system", "user"]
    assert [tool["function"]["name"] for tool in heard["tools"]] == ["shell", "apply_patch"]


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"previous_response_id": "resp_1"}, "unsupported_parameter", "previous_response_id"),
        ({"temperature": 9}, "invalid_request", "temperature"),
        (
            {"input": [{"role": "user", "content": [{"type": "video"}]}]},
            "unsupported_parameter",
            "input[0].content[0].type",
        ),
    ],
)
async def test_what_cannot_be_answered_is_a_bad_request(live: Live, fields: dict[str, Any], code: str, param: str):
    async with client(live) as ai:
        with pytest.raises(openai.BadRequestError) as refused:
            await ai.responses.create(**{"model": "recite", "input": "Hello", **fields})
    assert (refused.value.code, refused.value.param) == (code, param)


async def test_an_unknown_model_is_a_not_found_error(live: Live):
    async with client(live) as ai:
        with pytest.raises(openai.NotFoundError) as refused:
            await ai.responses.create(model="gpt-9", input="Hello", stream=True)
    assert refused.value.code == "model_not_found"


async def test_a_broken_stream_goes_on_elsewhere_and_says_so_at_its_end(start: StartGateway, rogue: StartRogue):
    bad, good = await rogue(mood="cut_rst"), await rogue()
    live = await start(bad, good)
    live.prefer(bad)
    async with client(live) as ai:
        last = (await streamed(ai))[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == words()
    assert last.response.model_extra is not None
    assert last.response.model_extra["continuations"] == 1
    assert last.response.model_extra["servers"] == [live.state(bad).spec.id, live.state(good).spec.id]


async def test_a_stream_that_nobody_can_go_on_with_is_seen_to_fail_and_raises(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(mood="cut_clean_eof", cut_after=4))
    failed: Any = None
    async with client(live) as ai:
        stream = await ai.responses.create(model="recite", input="Hello", stream=True)
        with pytest.raises(openai.APIError) as broken:
            async for event in stream:
                failed = event
        async with ai.responses.stream(model="recite", input="Hello") as helped:
            with pytest.raises(openai.APIError, match="broke the answer off"):
                await helped.get_final_response()
    assert broken.value.code == "upstream_stream_lost"
    assert isinstance(failed, ResponseFailedEvent)
    assert (failed.response.status, failed.response.output_text) == ("failed", words(4))
    assert failed.response.error is not None
    assert failed.response.error.code == "server_error"


async def test_when_everything_was_tried_the_client_does_not_try_again(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(mood="runner_500"), await rogue(mood="runner_500"))
    async with client(live) as ai:  # which would try three times
        with pytest.raises(openai.InternalServerError) as failed:
            await ai.responses.create(model="recite", input="Hello")
    assert failed.value.code == "upstream_error"
    assert (await live.row())["attempts"] == 2
