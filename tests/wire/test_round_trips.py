"""Any conversation, any answer, any cut of the bytes: nothing is lost between two dialects that both can say it.

`LLM_GATEWAY_HYPOTHESIS=nightly` tries each property with 50,000 examples, over all its dialects, instead of 2,000.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from speakers import PNG, SENT, WRITERS, kept

from llm_gateway.testing.voices import Call, Ollama, OpenAI, Said
from llm_gateway.web.surfaces import ROUTES
from llm_gateway.wire.collect import Collector
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.neutral import Envelope, Event, Finish, Message, Piece, ToolCall, ToolPart, Usage
from llm_gateway.wire.registry import CLIENTS, SERVERS
from support.apis import APIS, Api

settings.register_profile("normal", max_examples=2_000)
settings.register_profile("nightly", max_examples=50_000)
EXAMPLES = settings.get_profile(os.environ.get("LLM_GATEWAY_HYPOTHESIS", "normal")).max_examples
ENVELOPE = Envelope("0192f0c4-7d3a-7e21-8a44-1f0d5c9b7e11", 1_790_000_000, "m:latest")
ROUTES_BY_PATH = {route.path: route for route in ROUTES}
QUESTION = {"messages": [{"role": "user", "content": "Hello"}]}
NO_THOUGHTS_IN = {"responses"}
"""Client dialects whose conversations carry no thoughts in the clear."""


def share(parts: int) -> Any:
    """Settings of a property that is tried over so many dialects."""
    quiet = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    return settings(max_examples=max(EXAMPLES // parts, 1), deadline=None, suppress_health_check=quiet, database=None)


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
"""Without NUL, which no request may hold."""
names = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True)
numbers = st.integers(-(2**53), 2**53) | st.booleans() | st.none()
objects = st.dictionaries(words, words | numbers | st.lists(numbers, max_size=2), max_size=3)


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """As agents hold them: perhaps instructions, then turns, some of them with calls that are all answered."""
    messages = [Message("system", draw(words))] if draw(st.booleans()) else []
    for turn in range(draw(st.integers(1, 3))):
        messages.append(Message("user", draw(words), images=[PNG] * draw(st.integers(0, 2))))
        calls = [
            ToolCall(draw(names), json.dumps(draw(objects)), f"call_{turn}_{n}") for n in range(draw(st.integers(0, 2)))
        ]
        text, thinking = draw(words), draw(words | st.just(""))
        messages.append(Message("assistant", text, thinking=thinking, tool_calls=calls))
        messages += [Message("tool", draw(words), tool_call_id=call.id, name=call.name) for call in calls]
    return [*messages, Message("user", draw(words))]


PAIRS = [(client, server) for client in CLIENTS if client in WRITERS for server in SERVERS]


@pytest.mark.parametrize(("client", "server"), PAIRS, ids=[f"{c}-{s}" for c, s in PAIRS])
@share(len(PAIRS))
@given(messages=conversations())
def test_a_conversation_reaches_a_server_whole(client: str, server: str, messages: list[Message]) -> None:
    ask = CLIENTS[client].read_request(json.dumps(WRITERS[client](messages)).encode())
    body = SERVERS[server].write_upstream(ask, "m", {})
    thinking = server == "ollama" and client not in NO_THOUGHTS_IN
    sent = SENT[server](body)
    assert [(*s[:3], s[3] if thinking else None, *s[4:]) for s in sent] == kept(messages, thinking=thinking)


BOTH = [name for name in SERVERS if name in CLIENTS]


@pytest.mark.parametrize("name", BOTH)
@share(len(BOTH))
@given(messages=conversations())
def test_what_a_server_is_sent_says_the_same_to_our_own_reader(name: str, messages: list[Message]) -> None:
    client = CLIENTS[name]
    ask = client.read_request(json.dumps(WRITERS[name](messages)).encode())
    again = client.read_request(SERVERS[name].write_upstream(ask, "m", {}))
    thinking = name == "ollama"
    assert kept(again.messages, thinking=thinking) == kept(messages, thinking=thinking)


@st.composite
def answers(draw: st.DrawFn, *, tools: bool) -> list[Event]:
    """Thoughts, text, calls, end: in the order in which readers give them out."""
    events: list[Event] = [Piece(thinking=thought) for thought in draw(st.lists(words, max_size=3))]
    texts = draw(st.lists(words, min_size=0 if tools else 1, max_size=4))
    events += [Piece(text=text) for text in texts]
    count = draw(st.integers(0 if texts else 1, 2)) if tools else 0
    for index in range(count):
        part = ToolPart(index, draw(names), f"call_{index}", json.dumps(draw(objects)))
        events.append(Piece(tools=[part]))
    reason: Any = "tool_calls" if count else draw(st.sampled_from(["stop", "length"]))
    usage = Usage(draw(st.integers(1, 10**6)), draw(st.integers(1, 10**6)))
    return [*events, Finish(reason, usage)]


def collected(events: Sequence[Event]) -> Any:
    collector = Collector(prompt=1)
    for event in events:
        collector.add(event)
    return collector.answer()


SPOKEN = [api for api in APIS if api.path in ROUTES_BY_PATH]


@pytest.mark.parametrize("api", SPOKEN, ids=[api.name for api in SPOKEN])
@share(len(SPOKEN))
@given(data=st.data())
def test_an_answer_is_read_as_it_was_given(api: Api, data: st.DataObject) -> None:
    events = data.draw(answers(tools=api.takes_tools))
    dialect = ROUTES_BY_PATH[api.path].dialect
    ask = dialect.read_request(encode(api.write("m", QUESTION)))
    answer = collected(events)
    if api.streams:
        writer = dialect.stream_writer(ENVELOPE, ask)
        parts = [writer.finish(e, answer.usage) if isinstance(e, Finish) else writer.piece(e) for e in events]
        body, media = b"".join(parts), writer.content_type
    else:
        body = dialect.write_answer(ENVELOPE, ask, answer)
        media = "application/json; charset=utf-8" if api.path.startswith("/api/") else "application/json"
    heard = api.read(httpx.Response(200, headers={"content-type": media}, content=body))
    assert (heard.text, heard.thinking, heard.complete, heard.error) == (answer.text, answer.thinking, True, None)
    assert [(name, json.loads(arguments)) for name, arguments in heard.calls] == [
        (call.name, json.loads(call.arguments)) for call in answer.tool_calls
    ]
    assert heard.finish == answer.finish
    assert heard.usage == (answer.usage.input, answer.usage.output)


VOICES = {
    "ollama": lambda: Ollama("m", 5),
    "openai": lambda: OpenAI("m", 5, include_usage=True),
}


def frames(server: str, events: Sequence[Event]) -> bytes:
    """The bytes in which a server of that kind says so."""
    voice: Any = VOICES[server]()
    body, calls, reason = b"", [], "stop"
    for event in events:
        if isinstance(event, Finish):
            reason = "length" if event.reason == "length" else "stop"
        elif event.tools:
            call = Call(event.tools[0].name, json.loads(event.tools[0].arguments))
            body += voice.call(len(calls), call)
            calls.append(call)
        else:
            body += voice.thinking(event.thinking) if event.thinking else voice.text(event.text)
    return bytes(body + voice.finish(Said(calls=calls, reason=reason)))


@pytest.mark.parametrize("server", SERVERS)
@share(len(SERVERS))
@given(events=answers(tools=True), data=st.data())
def test_wherever_the_bytes_are_cut_the_events_are_the_same(server: str, events: list[Event], data: Any) -> None:
    body = frames(server, events)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(body)), max_size=8)))
    whole, pieces = SERVERS[server].stream_reader(), SERVERS[server].stream_reader()
    expected = whole.feed(body) + whole.eof()
    got: list[Event] = []
    for begin, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        got += pieces.feed(body[begin:end])
    assert got + pieces.eof() == expected
    answer = collected(expected)
    said = collected(events)
    assert (answer.text, answer.thinking) == (said.text, said.thinking)
    assert [(c.name, json.loads(c.arguments)) for c in answer.tool_calls] == [
        (c.name, json.loads(c.arguments)) for c in said.tool_calls
    ]
