"""What every client is tried at: the columns of the matrix. A new one is a function here and a line in `COLUMNS`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import jsonschema
import pytest
from client import Ask, Client, classes_of
from upstreams import CALLED, Upstream

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "integer"}},
    "required": ["answer"],
    "additionalProperties": False,
}
NEVER = {"X-Gateway-Continue": "never"}


def counts(text: str) -> tuple[int, int]:
    """A word is a token; a real server also counts the one that ends the turn."""
    return len(text.split()), len(text.split()) + 1


async def listing(up: Upstream) -> None:
    await up.good()
    assert up.model in await up.client().models()


async def chat(up: Upstream) -> None:
    text = await up.good()
    said = await up.client().chat(Ask())
    assert (said.text, said.finish) == (text, "stop")
    assert said.tokens in counts(text)
    assert (await up.live.row())["outcome"] == "ok"


async def stream(up: Upstream) -> None:
    text = await up.good()
    said = await up.client().stream(Ask())
    assert (said.text, said.finish, said.error) == (text, "stop", None)
    assert said.tokens in counts(text)
    assert said.pieces > 1


async def tools(up: Upstream) -> None:
    """A call, whole and streamed; then its result goes back and the answer comes."""
    await up.calling()
    client = up.client()
    question = [{"role": "user", "content": "What will the weather be in Boston?"}]
    for ask in (client.chat, client.stream):
        said = await ask(Ask(messages=question, tools=[WEATHER]))
        ((name, arguments, call_id),) = said.calls
        assert (name, arguments) == ("get_weather", CALLED)
        assert said.finish == "tool_calls"
    if heard := up.heard():
        function = heard["tools"][0]["function"]
        assert function["name"] == "get_weather"
        assert function["parameters"]["properties"] == WEATHER["function"]["parameters"]["properties"]  # type: ignore[index]

    text = await up.good()
    client = up.client()
    call = {
        "id": call_id or "call_1",
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }
    result = {"role": "tool", "tool_call_id": call["id"], "name": name, "content": "sunny"}
    messages: list[dict[str, Any]] = [*question, {"role": "assistant", "content": "", "tool_calls": [call]}, result]
    said = await client.chat(Ask(messages=messages, tools=[WEATHER]))
    assert (said.text, said.calls, said.finish) == (text, [], "stop")
    if heard := up.heard():
        _, asked, answered = heard["messages"]
        assert asked["tool_calls"][0]["function"]["arguments"] == CALLED
        assert (answered["role"], answered["content"], answered["tool_name"]) == ("tool", "sunny", "get_weather")


async def schema(up: Upstream) -> None:
    await up.writing('{"answer": 42}')
    said = await up.client().chat(Ask(schema=SCHEMA))
    jsonschema.validate(json.loads(said.text), SCHEMA)
    if heard := up.heard():
        assert heard["format"]["properties"] == SCHEMA["properties"]


async def thinking(up: Upstream) -> None:
    thoughts, text = await up.thinking()
    for ask in (up.client().chat, up.client().stream):
        said = await ask(Ask(think=True))
        assert (said.text, said.thinking) == (text, thoughts)
    if heard := up.heard():
        assert heard["think"] in (True, "high")


async def embeddings(up: Upstream) -> None:
    await up.vectors()
    one, other = await up.client().embed(["first text", "second text"])
    assert one != other
    assert len(one) == len(other) > 1
    assert all(isinstance(number, int | float) for number in one)


async def cancel(up: Upstream) -> None:
    """A client that leaves in the middle frees its server, and the log says who left."""
    await up.endless()
    said = await up.client().stream(Ask(max_tokens=100_000), leave_after=2)
    assert said.pieces >= 2
    await up.freed()
    assert (await up.live.row())["outcome"] == "client_closed"


async def error(up: Upstream) -> None:
    """The library's own exceptions, with words that help."""
    await up.good()
    good, locked_out = up.client(), up.client(key="llmgw_wrong")
    for ask in (good.chat, good.stream):
        with pytest.raises(Exception) as refused:
            await ask(Ask(model="gpt-9"))
        assert good.unknown_model in classes_of(refused.value)
        assert "gpt-9" in str(refused.value)
        assert "recite" in str(refused.value), "it says what there is"
    for ask in (locked_out.chat, locked_out.stream):
        with pytest.raises(Exception) as refused:
            await ask(Ask())
        assert good.bad_key in classes_of(refused.value)
        assert "key" in str(refused.value).lower()


async def killed(up: Upstream) -> None:
    """Another server goes on, word for word."""
    async with up.breaking() as (ask, text):
        said = await up.client().stream(ask)
        assert (said.text, said.error) == (text, None)
        assert said.finish in ("stop", "length")
    row = await up.live.row()
    assert (row["outcome"], row["continuations"]) == ("ok", 1)


async def killed_for_good(up: Upstream) -> None:
    """Where nobody may go on it is an exception of the library, not silence."""
    async with up.breaking() as (ask, text):
        said = await up.client(**NEVER).stream(ask)
        assert said.error is not None, said
        assert up.client().lost in classes_of(said.error), repr(said.error)
        assert str(said.error), "it says something"
        assert text.startswith(said.text)
        assert 0 < len(said.text) < len(text)
    assert (await up.live.row())["error_code"] == "upstream_stream_lost"


Check = Callable[[Upstream], Awaitable[None]]

COLUMNS: dict[str, Check] = {
    "list": listing,
    "chat": chat,
    "stream": stream,
    "tools": tools,
    "JSON schema": schema,
    "thinking": thinking,
    "embeddings": embeddings,
    "cancel": cancel,
    "error": error,
    "killed mid-stream": killed,
    "killed, no continuation": killed_for_good,
}


def needed(column: str, client: type[Client]) -> str | None:
    """The path that a cell needs."""
    return {"list": client.lists, "embeddings": client.embeds}.get(column, client.chats)
