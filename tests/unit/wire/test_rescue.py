"""Tool calls that came as text are made calls again, or stay the text that they are."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.testing.voices import Call, Ollama, Said
from llm_gateway.wire import ollama_upstream
from llm_gateway.wire.checked import CheckedReader
from llm_gateway.wire.neutral import ChatRequest, Event, Finish, Json, Message, Piece
from llm_gateway.wire.rescue import MAX_BEGIN, MAX_HELD

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "get_time"}},
]
BOSTON = ("get_weather", {"city": "Boston"})
OBJECT = '{"name": "get_weather", "arguments": {"city": "Boston"}}'


def ask(tools: list[Json] | None = None, choice: Json = None) -> ChatRequest:
    return ChatRequest("m", [Message("user", "hi")], tools=TOOLS if tools is None else tools, tool_choice=choice)


def heard(pieces: list[str], asked: ChatRequest | None = None, **said: Any) -> list[Event]:
    voice = Ollama("m", 7)
    reader = CheckedReader(ollama_upstream.StreamReader(), asked or ask())
    answer = Said(pieces, **said)
    frames = [voice.text(piece) for piece in pieces] + [voice.call(n, call) for n, call in enumerate(answer.calls)]
    events = [event for frame in [*frames, voice.finish(answer)] for event in reader.feed(frame)]
    assert reader.held == 0
    return events


def told(pieces: list[str], asked: ChatRequest | None = None, **said: Any) -> tuple[str, list[tuple[str, Json]], str]:
    """Text, calls and reason."""
    *events, finish = heard(pieces, asked, **said)
    assert isinstance(finish, Finish)
    given_out = [event for event in events if isinstance(event, Piece)]
    calls = [(part.name, json.loads(part.arguments)) for piece in given_out for part in piece.tools]
    return "".join(piece.text for piece in given_out), calls, finish.reason


CALLS = {
    f"<tool_call>\n{OBJECT}\n</tool_call>": [BOSTON],
    f"<tool_call>{OBJECT}": [BOSTON],
    f'<tool_call>{OBJECT}</tool_call>\n<tool_call>{{"name": "get_time"}}</tool_call>\n': [BOSTON, ("get_time", {})],
    '<tool_call>{"name": "get_weather", "arguments": "{\\"city\\": \\"Boston\\"}"}</tool_call>': [BOSTON],
    '<function=get_weather>{"city": "Boston"}</function>': [BOSTON],
    '<function=get_weather>{"city": "Boston"}</function><function=get_time>{}</function>': [BOSTON, ("get_time", {})],
    f"[TOOL_CALLS][{OBJECT}]": [BOSTON],
    f'[TOOL_CALLS] [{OBJECT}, {{"name": "get_time", "arguments": {{}}}}]': [BOSTON, ("get_time", {})],
    f"```json\n{OBJECT}\n```": [BOSTON],
    f"```\n{OBJECT}\n```\n": [BOSTON],
    OBJECT: [BOSTON],
    OBJECT.replace("arguments", "parameters"): [BOSTON],
    f"\n {OBJECT}\n": [BOSTON],
    '{"arguments": {"city": "Boston"}, "name": "get_weather"}': [BOSTON],
    OBJECT.replace('"Boston"', '"Boston", "days": "2"'): [("get_weather", {"city": "Boston", "days": 2})],
}


@pytest.mark.parametrize("text", CALLS)
def test_an_answer_that_is_nothing_but_calls_is_calls(text: str):
    for pieces in ([text], list(text)):
        assert told(pieces) == ("", CALLS[text], "tool_calls")


TEXTS = [
    "Let me see: " + OBJECT,
    "<tool_call>no JSON</tool_call>",
    f"<tool_call>{OBJECT}</tool_call> and more",
    f"<tool_call>{OBJECT}</tool_call><tool_call>{OBJECT[:-1]}</tool_call>",
    '<tool_call>{"name": "delete_everything", "arguments": {}}</tool_call>',
    '<tool_call>{"name": "get_weather", "arguments": {"town": "Boston"}}</tool_call>',
    '<function=get_weather>{"city": 7}</function>',
    "<function=get_weather>",
    '[TOOL_CALLS]{"name": "get_time"}',
    "[TOOL_CALLS][7]",
    "[1, 2]",
    "```python\nprint()\n```",
    '```json\n{"name": "Bob"}\n```',
    '{"name": "Bob", "arguments": {}}',
    '{"name": "get_weather"}',
    '{"city": "Boston"}',
    OBJECT + " " + OBJECT,
    "{",
    "`",
    "<",
]


@pytest.mark.parametrize("text", TEXTS)
def test_anything_else_is_the_text_it_is(text: str):
    for pieces in ([text], list(text)):
        assert told(pieces) == (text, [], "stop")


@given(st.sampled_from([*CALLS, *TEXTS, "<think>a</think>" + OBJECT]), st.sets(st.integers(1, 150)))
def test_any_cut_of_any_text_gives_the_same_answer(text: str, places: set[int]):
    edges = [0, *sorted(place for place in places if place < len(text)), len(text)]
    assert told([text[a:b] for a, b in pairwise(edges)]) == told([text])


def test_a_call_after_a_thought_is_one():
    events = heard(["<think>hm", "</think>\n\n", OBJECT])
    assert [(e.thinking, [part.name for part in e.tools]) for e in events if isinstance(e, Piece)] == [
        ("hm", []),
        ("", ["get_weather"]),
    ]


def test_without_tools_and_with_a_tool_that_was_not_chosen_it_is_text():
    assert heard([OBJECT[:9], OBJECT[9:]], ask(tools=[]))[:2] == [Piece(OBJECT[:9]), Piece(OBJECT[9:])]
    time = {"type": "function", "function": {"name": "get_time"}}
    assert told([OBJECT], ask(choice=time)) == (OBJECT, [], "stop")
    tagged = f"<tool_call>{OBJECT}</tool_call>"
    assert told([tagged], ask(choice=time)) == (tagged, [], "stop")


@pytest.mark.parametrize("begin", ["He", "<b", '{"c', "```p", "[1", '{"name": "B', "\n\nx"])
def test_what_does_not_begin_like_a_call_is_not_kept_back(begin: str):
    reader, voice = CheckedReader(ollama_upstream.StreamReader(), ask()), Ollama("m", 7)
    passed = [event for letter in begin for event in reader.feed(voice.text(letter))]
    assert "".join(event.text for event in passed) == begin
    assert (reader.held, reader.feed(voice.text("<tool_call>"))) == (0, [Piece("<tool_call>")])


def test_a_call_that_grows_is_a_sign_of_work():
    reader, voice = CheckedReader(ollama_upstream.StreamReader(), ask()), Ollama("m", 7)
    seen = []
    for piece in ("<tool", "_call>", "{", '"name"'):
        assert reader.feed(voice.text(piece)) == []
        seen.append(reader.held)
    assert seen == [5, 11, 12, 18]


def test_calls_of_the_servers_own_leave_the_text_what_it_is():
    assert told([OBJECT], calls=[Call("get_time", {})]) == (OBJECT, [("get_time", {})], "tool_calls")


def test_a_call_that_the_limit_cut_is_text():
    assert told([OBJECT[:-5]], reason="length") == (OBJECT[:-5], [], "length")
    assert told([f"<tool_call>{OBJECT}</tool_call>"], reason="length") == ("", [BOSTON], "length")


def test_what_is_kept_back_is_bounded():
    reader, voice = CheckedReader(ollama_upstream.StreamReader(), ask(), limit=100_000), Ollama("m", 7)
    piece = "x" * 65_536
    assert reader.feed(voice.text("<tool_call>")) == []
    events = [event for _ in range(MAX_HELD // len(piece)) for event in reader.feed(voice.text(piece))]
    assert sum(len(event.text) for event in events if isinstance(event, Piece)) > MAX_HELD
    reader = CheckedReader(ollama_upstream.StreamReader(), ask())
    assert reader.feed(voice.text("{" + " " * MAX_BEGIN)) != []


def test_a_mebibyte_of_tags_takes_no_time():
    """Linear, so it takes milliseconds; the test would hang for minutes otherwise."""
    many = "<tool_call>" * 90_000
    assert told([many]) == (many, [], "stop")
    many = "<tool_call>" + "{" * 1_000_000
    assert told([many]) == (many, [], "stop")
