"""The official anthropic client against the gateway, as people use it: nothing set but address and key."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import httpx
import pytest
from anthropic.types import Message, ToolUseBlock

from support.gateway import HELLO, KEY, Live, StartGateway, entry, words
from support.rogues import StartRogue

PIXEL = "iVBORw0KGgo="
SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
WEATHER: Any = {"name": "get_weather", "description": "Weather of a city", "input_schema": SCHEMA}
TIME: Any = {"name": "get_time", "description": "Time of a city", "input_schema": SCHEMA}
MESSAGES: Any = HELLO
ASK: Any = {"model": "recite", "max_tokens": 100, "messages": MESSAGES}


def client(live: Live, key: str = KEY, **options: Any) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=live.base_url, api_key=key, _strict_response_validation=True, **options)


def said(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def calls(message: Message) -> list[ToolUseBlock]:
    return [block for block in message.content if block.type == "tool_use"]


@pytest.fixture
async def live(start: StartGateway, rogue: StartRogue) -> Live:
    return await start(await rogue())


async def test_a_message_with_its_usage(live: Live):
    async with client(live) as ai:
        answer = await ai.messages.create(**ASK, metadata={"user_id": "ana"}, system="Be brief.")
    assert (said(answer), answer.stop_reason, answer.stop_sequence) == (words(), "end_turn", None)
    assert answer.usage.output_tokens == 10
    assert answer.usage.input_tokens > 0
    row = await live.row(end_user="ana")
    assert row["id"] == answer._request_id
    assert answer.id == "msg_" + row["id"].replace("-", "")
    assert row["endpoint"] == "/v1/messages"


async def test_a_limit_ends_the_answer(live: Live):
    async with client(live) as ai:
        answer = await ai.messages.create(**{**ASK, "max_tokens": 2})
    assert (said(answer), answer.stop_reason, answer.usage.output_tokens) == (words(2), "max_tokens", 2)


async def test_a_stream_of_events(live: Live):
    async with client(live) as ai:
        stream = await ai.messages.create(**ASK, stream=True)
        events = [event async for event in stream]
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert "".join(
        e.delta.text for e in events if e.type == "content_block_delta" and e.delta.type == "text_delta"
    ) == (words())


async def test_the_stream_helper_gives_the_same_message(live: Live):
    async with client(live) as ai, ai.messages.stream(**ASK) as stream:
        heard = "".join([piece async for piece in stream.text_stream])
        message = await stream.get_final_message()
    assert heard == said(message) == words()
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 10)


async def test_the_beta_client_and_its_query_are_understood(live: Live):
    async with client(live) as ai:
        answer = await ai.beta.messages.create(**ASK, betas=["interleaved-thinking-2025-05-14"])
        counted = await ai.beta.messages.count_tokens(model="recite", messages=MESSAGES)
    assert "".join(block.text for block in answer.content if block.type == "text") == words()
    assert counted.input_tokens > 0


async def test_the_synchronous_client_works_as_well(live: Live):
    def ask() -> tuple[str, str, list[str]]:
        with anthropic.Anthropic(base_url=live.base_url, auth_token=KEY, api_key=None) as ai:
            whole = ai.messages.create(**ASK)
            with ai.messages.stream(**ASK) as stream:
                streamed = "".join(stream.text_stream)
            return said(whole), streamed, [model.id for model in ai.models.list()]

    assert await asyncio.to_thread(ask) == (words(), words(), ["recite:latest"])


async def test_models_are_listed_and_found(live: Live):
    async with client(live) as ai:
        listed = [model.id async for model in ai.models.list(limit=10)]
        one = await ai.models.retrieve("recite:latest")
        with pytest.raises(anthropic.NotFoundError) as refused:
            await ai.models.retrieve("claude-9")
    assert listed == ["recite:latest"]
    assert (one.id, one.type, one.display_name) == ("recite:latest", "model", "recite:latest")
    assert (one.lifecycle, one.max_input_tokens) == ("active", 4096)
    assert refused.value.type == "not_found_error"


@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_parallel_tools_go_round(start: StartGateway, rogue: StartRogue, kind: str):
    server = await rogue(mood="parallel_tools")
    live = await start(entry(server, kind=kind))
    ask = {**ASK, "tools": [WEATHER, TIME]}
    async with client(live) as ai:
        whole = await ai.messages.create(**ask)
        async with ai.messages.stream(**ask) as stream:
            streamed = await stream.get_final_message()
        for message in (whole, streamed):
            assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
            assert message.stop_reason == "tool_use"
            assert [(call.name, call.input) for call in calls(message)] == [
                ("get_weather", {"city": "Boston", "days": 2}),
                ("get_time", {"city": "Boston", "days": 2}),
            ]
        server.mood = "good"
        results: Any = [
            {"type": "tool_result", "tool_use_id": call.id, "content": content, "is_error": content == "unknown"}
            for call, content in zip(calls(streamed), ("sunny", "unknown"), strict=True)
        ]
        turns: Any = [
            *MESSAGES,
            {"role": "assistant", "content": streamed.content},
            {"role": "user", "content": [*results, {"type": "text", "text": "Well?"}]},
        ]
        answer = await ai.messages.create(**{**ask, "messages": turns})
    assert said(answer) == words()
    heard = server.chats_heard()[-1].json
    assert [tool["function"]["parameters"] for tool in heard["tools"]] == [SCHEMA, SCHEMA]
    told = heard["messages"]
    assert [message["role"] for message in told] == ["user", "assistant", "tool", "tool", "user"]
    assert [call["id"] for call in told[1]["tool_calls"]] == [message["tool_call_id"] for message in told[2:4]]
    assert [message["content"] for message in told[1:]] == [" Let me look", "sunny", "Error: unknown", "Well?"]
    assert told[1]["thinking" if kind == "ollama" else "reasoning_content"] == " Both."


async def test_thinking_comes_as_a_block_of_its_own_and_may_be_sent_back(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="think")
    live = await start(server)
    ask = {**ASK, "max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    async with client(live) as ai:
        raw = await ai.messages.with_raw_response.create(**ask)
        async with ai.messages.stream(**ask) as stream:
            streamed = await stream.get_final_message()
        answer = await raw.parse()
        turns: Any = [*MESSAGES, {"role": "assistant", "content": answer.content}, *MESSAGES]
        await ai.messages.create(**{**ask, "messages": turns})
    assert raw.headers["x-gateway-notes"] == "thinking.budget_tokens=dropped"
    for message in (answer, streamed):
        thinking, text = message.content
        assert (thinking.type, text.type) == ("thinking", "text")
        assert thinking.type == "thinking"
        assert (thinking.thinking, thinking.signature, said(message)) == (" The user asks politely.", "", words())
    heard = server.chats_heard()
    assert heard[0].json["think"] is True
    assert heard[-1].json["messages"][1] == {
        "role": "assistant",
        "content": words(),
        "thinking": " The user asks politely.",
    }


async def test_an_image_reaches_the_server(start: StartGateway, rogue: StartRogue):
    server = await rogue()
    live = await start(server)
    source: Any = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    content: Any = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    async with client(live) as ai:
        await ai.messages.create(**{**ASK, "messages": [{"role": "user", "content": content}]})
        source = {"type": "url", "url": "https://example.com/x.png"}
        with pytest.raises(anthropic.BadRequestError, match="does not fetch images"):
            await ai.messages.create(
                **{**ASK, "messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}
            )
    (message,) = server.chats_heard()[0].json["messages"]
    assert message == {"role": "user", "content": "What is this?", "images": [PIXEL]}


async def test_a_body_may_be_larger_when_it_holds_an_image(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), max_body=20_000, max_body_with_images=200_000)
    source: Any = {"type": "base64", "media_type": "image/png", "data": "iVBOR" + "w" * 50_003}
    content: Any = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    async with client(live) as ai:
        answer = await ai.messages.create(**{**ASK, "messages": [{"role": "user", "content": content}]})
        with pytest.raises(anthropic.RequestTooLargeError) as refused:
            await ai.messages.create(**{**ASK, "system": "x" * 50_000})
    assert said(answer) == words()
    assert refused.value.type == "request_too_large"


async def test_an_answer_that_the_caller_began_is_continued(live: Live):
    turns: Any = [*MESSAGES, {"role": "assistant", "content": words(4)}]
    async with client(live) as ai:
        answer = await ai.messages.create(**{**ASK, "messages": turns})
    assert words(4) + said(answer) == words()


async def test_a_count_asks_no_server_and_leaves_a_row(start: StartGateway, rogue: StartRogue):
    server = await rogue()
    live = await start(server)
    async with client(live) as ai:
        raw = await ai.messages.with_raw_response.count_tokens(model="recite", messages=MESSAGES, tools=[WEATHER])
        short = await ai.messages.count_tokens(model="recite", messages=MESSAGES)
        with pytest.raises(anthropic.NotFoundError):
            await ai.messages.count_tokens(model="gpt-9", messages=MESSAGES)
    async with client(live, key="llmgw_wrong") as ai:
        with pytest.raises(anthropic.AuthenticationError):
            await ai.messages.count_tokens(model="recite", messages=MESSAGES)
    assert (await raw.parse()).input_tokens > short.input_tokens > 0
    assert raw.headers["x-gateway-notes"] == "input_tokens=estimated"
    assert server.chats == 0
    rows = await live.rows(3)
    assert {row["endpoint"] for row in rows} == {"/v1/messages/count_tokens"}
    assert [(row["outcome"], row["attempts"], row["tokens_input"]) for row in rows] == [
        ("ok", 0, 0),
        ("ok", 0, 0),
        ("error", 0, 0),
    ]
    assert rows[0]["notes"] == "input_tokens=estimated"


async def test_a_wrong_key_is_an_authentication_error(live: Live):
    async with client(live, key="llmgw_wrong") as ai:
        with pytest.raises(anthropic.AuthenticationError) as refused:
            await ai.messages.create(**ASK)
    assert refused.value.type == "authentication_error"


async def test_servers_that_the_project_may_not_use_are_a_permission_error(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), project={"trust": ["partner"]})
    async with client(live) as ai:
        with pytest.raises(anthropic.PermissionDeniedError) as refused:
            await ai.messages.create(**ASK)
    assert refused.value.type == "permission_error"


async def test_an_unknown_model_is_a_not_found_error(live: Live):
    async with client(live) as ai:
        with pytest.raises(anthropic.NotFoundError) as refused:
            await ai.messages.create(**{**ASK, "model": "claude-9"})
    assert refused.value.type == "not_found_error"
    assert code(refused.value) == "model_not_found"
    assert "recite" in refused.value.message


async def test_a_wrong_parameter_is_a_bad_request_that_names_it(live: Live):
    async with client(live) as ai:
        with pytest.raises(anthropic.BadRequestError) as refused:
            await ai.messages.create(**ASK, extra_body={"temperature": 1.5})
    assert refused.value.type == "invalid_request_error"
    assert body(refused.value)["error"]["param"] == "temperature"
    assert body(refused.value)["request_id"] == refused.value.response.headers["request-id"]


async def test_a_rate_limit_is_a_rate_limit_error_with_its_wait(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), project={"rate_limit_per_minute": 1})
    async with client(live, max_retries=0) as ai:
        await ai.messages.create(**ASK)
        with pytest.raises(anthropic.RateLimitError) as refused:
            await ai.messages.create(**ASK)
    assert refused.value.type == "rate_limit_error"
    assert 50 < int(refused.value.response.headers["retry-after"]) <= 60


async def test_when_everything_was_tried_the_client_does_not_try_again(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(mood="runner_500"), await rogue(mood="runner_500"))
    async with client(live) as ai:  # which would try three times
        with pytest.raises(anthropic.InternalServerError) as failed:
            await ai.messages.create(**ASK)
    assert (failed.value.type, code(failed.value)) == ("api_error", "upstream_error")
    assert (await live.row())["attempts"] == 2


async def test_a_server_that_cannot_be_reached_is_an_overloaded_error(start: StartGateway, rogue: StartRogue):
    server = await rogue()
    live = await start(server)
    server.mood = "refuse"
    async with client(live) as ai:
        with pytest.raises(anthropic.APIStatusError) as failed:
            await ai.messages.create(**ASK)
    assert (failed.value.status_code, failed.value.type) == (503, "overloaded_error")
    assert code(failed.value) == "no_healthy_upstream"
    await live.row()


async def test_a_stream_that_breaks_goes_on_at_another_server(start: StartGateway, rogue: StartRogue):
    broken = await rogue(mood="cut_clean_eof", cut_after=4)
    live = await start(broken, await rogue())
    live.prefer(broken)
    async with client(live) as ai, ai.messages.stream(**ASK) as stream:
        message = await stream.get_final_message()
    assert (said(message), message.stop_reason) == (words(), "end_turn")
    assert (await live.row())["continuations"] == 1


async def test_a_stream_that_cannot_go_on_raises_instead_of_ending_as_if_all_were_well(
    start: StartGateway, rogue: StartRogue
):
    live = await start(await rogue(mood="cut_clean_eof", cut_after=4))
    seen = ""
    async with client(live) as ai:
        stream = await ai.messages.create(**ASK, stream=True)
        with pytest.raises(anthropic.APIStatusError) as broken:
            async for event in stream:
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    seen += event.delta.text
    assert seen == words(4)
    assert (broken.value.type, code(broken.value)) == ("api_error", "upstream_stream_lost")


async def test_a_stream_that_is_left_frees_its_server(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="endless")
    live = await start(server)
    async with client(live) as ai:
        stream = await ai.messages.create(**ASK, stream=True)
        async for event in stream:
            if event.type == "content_block_delta":
                break
        await stream.close()
    await server.until(lambda s: s.aborted == 1 and s.in_flight == 0, within=1.0)
    assert (await live.row())["outcome"] == "client_closed"


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_only_a_post_is_taken_and_it_is_said_in_the_dialect(live: Live, path: str):
    answer = await live.http.get(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert in_dialect(answer) == ("invalid_request_error", "method_not_allowed")


async def test_what_is_not_there_is_said_in_the_dialect(live: Live):
    answer = await live.http.get("/v1/messages/batches")
    assert (answer.status_code, in_dialect(answer)) == (404, ("not_found_error", "not_found"))


async def test_errors_of_the_model_list_are_in_the_dialect_of_who_asks(live: Live):
    plain = await live.http.get("/v1/models", headers={"X-API-Key": "llmgw_wrong"})
    assert plain.json()["error"]["type"] == "invalid_request_error"
    headers = {"X-API-Key": "llmgw_wrong", "anthropic-version": "2023-06-01"}
    theirs = await live.http.get("/v1/models", headers=headers)
    assert (theirs.status_code, in_dialect(theirs)) == (401, ("authentication_error", "invalid_api_key"))


def in_dialect(answer: httpx.Response) -> tuple[str, str]:
    """Type and code of an error in Anthropic's shape."""
    told = answer.json()
    assert told["type"] == "error"
    assert told["request_id"] == answer.headers["request-id"]
    return told["error"]["type"], told["error"]["code"]


def body(error: anthropic.APIStatusError) -> dict[str, Any]:
    assert isinstance(error.body, dict)
    return error.body


def code(error: anthropic.APIStatusError) -> str:
    return str(body(error)["error"]["code"])
