"""What Ollama's clients send, read into the neutral form; and what is wrong with it, in a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.errors import InvalidJson, InvalidRequest
from llm_gateway.wire import ollama, ollama_generate, ollama_upstream
from llm_gateway.wire.neutral import Answer, ChatRequest, Envelope, Message, Prompt, ToolCall, Usage

HI = [{"role": "user", "content": "hi"}]
PNG = "iVBORw0KGgo="
CALL = {"function": {"name": "f", "arguments": {}}}
NOTHING = Answer("", "", [], "stop", Usage())
ENVELOPE = Envelope("0190f7a2-0000-7000-8000-0123456789ab", 1795418262, "m")


def chat(**fields: Any) -> ChatRequest:
    return ollama.read_request(json.dumps({"model": "m", "messages": HI, **fields}).encode())


def generate(**fields: Any) -> ChatRequest:
    return ollama_generate.read_request(json.dumps({"model": "m", "prompt": "hi", **fields}).encode())


BOTH = pytest.mark.parametrize("read", [chat, generate])


@BOTH
def test_it_streams_unless_told_otherwise(read):
    assert (read().stream, read(stream=None).stream, read(stream=False).stream) == (True, True, False)


@BOTH
def test_null_means_not_set_everywhere(read):
    names = ("stream", "format", "options", "think", "keep_alive", "tools", "truncate", "shift", "logprobs", "images")
    nothing = dict.fromkeys((*names, "top_logprobs", "system", "suffix", "template", "context", "raw", "unknown"))
    assert read(**nothing) == read()


@BOTH
def test_options_become_parameters(read):
    ask = read(
        options={
            "num_predict": 3, "temperature": 1, "top_k": 5, "top_p": 0.5, "min_p": 0.1, "seed": 7, "num_ctx": 8192,
            "stop": ["x"], "repeat_penalty": 1.1, "presence_penalty": 1, "frequency_penalty": None,
        }
    )  # fmt: skip
    assert ask.params == {
        "max_tokens": 3, "temperature": 1.0, "top_k": 5, "top_p": 0.5, "min_p": 0.1, "seed": 7, "num_ctx": 8192,
        "stop": ["x"], "repeat_penalty": 1.1, "presence_penalty": 1.0,
    }  # fmt: skip
    assert ask.notes == []


@BOTH
def test_what_means_as_you_like_is_not_set(read):
    for limit in (-1, -2, 0, -1.0):
        assert read(options={"num_predict": limit, "seed": -1, "stop": []}).params == {}


@BOTH
def test_options_without_a_place_here_are_told_and_never_repeat_the_callers_words(read):
    ask = read(options={"num_keep": 4, "mirostat": 1, "evil\r\nheader": 1, "other": [], "num_gpu": None})
    assert ask.notes == ["options.num_keep=dropped", "options.mirostat=dropped", "options=dropped"]
    assert read(shift=False).notes == ["shift=dropped"]
    assert read(shift=True, truncate=False).notes == []


@BOTH
def test_formats_and_thoughts(read):
    assert [read(format=f).format for f in ("json", {"type": "object"}, "", None)] == [
        "json", {"type": "object"}, None, None,
    ]  # fmt: skip
    assert [read(think=t).think for t in (True, False, "low", "max", None)] == [True, False, "low", "max", None]
    ask = read(logprobs=True, top_logprobs=2, keep_alive="10m")
    assert (ask.logprobs, ask.top_logprobs, ask.keep_alive) == (True, 2, "10m")
    assert read(top_logprobs=2).top_logprobs is None


@pytest.mark.parametrize(
    ("sent", "role"),
    [
        *(("system", "system"), ("User", "user"), ("ASSISTANT", "assistant"), ("tool", "tool")),
        *(("developer", "system"), ("function", "tool")),
    ],
)
def test_roles_are_known_in_any_case(sent: str, role: str):
    assert chat(messages=[{"role": sent, "content": "x"}]).messages[0].role == role


def test_images_come_with_and_without_the_head_of_a_data_url():
    for image in (PNG, f"data:image/png;base64,{PNG}", f"data:;base64,{PNG}", "iVBOR\nw0KGgo=\n"):
        assert chat(messages=[{"role": "user", "content": "?", "images": [image]}]).messages == [
            Message("user", "?", images=[PNG])
        ]
        assert generate(images=[image]).messages == [Message("user", "hi", images=[PNG])]


def test_a_tool_loop_is_read_and_calls_without_ids_get_some_that_match():
    weather, time = {"name": "get_weather", "arguments": {"city": "Bonn"}}, {"name": "get_time", "arguments": "{}"}
    messages = [
        {
            "role": "assistant",
            "content": "",
            "thinking": "hm",
            "tool_calls": [{"function": weather}, {"function": time}],
        },
        {"role": "tool", "content": "noon", "tool_name": "get_time"},
        {"role": "tool", "content": "rain"},
        {"role": "assistant", "tool_calls": [{"id": "mine", "function": weather}]},
        {"role": "tool", "content": "snow", "tool_call_id": "mine"},
    ]
    assert chat(messages=messages, tools=[]).messages == [
        Message(
            "assistant",
            thinking="hm",
            tool_calls=[
                ToolCall("get_weather", '{"city":"Bonn"}', "call_1"),
                ToolCall("get_time", "{}", "call_2"),
            ],
        ),
        Message("tool", "noon", tool_call_id="call_2", name="get_time"),
        Message("tool", "rain", tool_call_id="call_1", name="get_weather"),
        Message("assistant", tool_calls=[ToolCall("get_weather", '{"city":"Bonn"}', "mine")]),
        Message("tool", "snow", tool_call_id="mine", name="get_weather"),
    ]


def test_tools_are_taken_as_they_are():
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "$defs": {}}}}
    assert chat(tools=[tool]).tools == [tool]


def test_a_plain_prompt_is_a_conversation():
    ask = generate(system="Be brief.", raw=False, suffix="", context=[])
    assert ask.messages == [Message("system", "Be brief."), Message("user", "hi")]
    assert ask.prompt is None


@pytest.mark.parametrize(
    ("fields", "prompt"),
    [
        ({"raw": True}, Prompt("hi", raw=True)),
        ({"suffix": "}"}, Prompt("hi", suffix="}")),
        ({"suffix": "}", "raw": False}, Prompt("hi", suffix="}", raw=False)),
        ({"template": "{{ .Prompt }}", "system": "s"}, Prompt("hi", template="{{ .Prompt }}")),
        ({"context": [3, 122]}, Prompt("hi", context=[3, 122])),
    ],
)
def test_what_says_how_the_prompt_is_put_together_makes_it_a_completion(fields: dict[str, Any], prompt: Prompt):
    ask = generate(**fields)
    assert ask.prompt == prompt
    assert ask.messages[-1] == Message("user", "hi")


def test_without_a_question_there_is_nothing_to_answer():
    for ask in (
        chat(messages=[]),
        chat(messages=None),
        generate(prompt=""),
        generate(prompt=None, raw=True, suffix="x"),
    ):
        assert (ask.messages, ask.prompt) == ([], None)


@pytest.mark.parametrize("keep", [0, 0.0, "0", "0s", "0m", " 0h "])
def test_no_time_at_all_unloads(keep: object):
    assert b'"unload"' in ollama.CLIENT.write_answer(ENVELOPE, chat(messages=[], keep_alive=keep), NOTHING)


@pytest.mark.parametrize("keep", [None, 5, "5m", -1, "-1", "0x", "10s"])
def test_any_other_time_loads(keep: object):
    assert b'"load"' in ollama.CLIENT.write_answer(ENVELOPE, chat(messages=[], keep_alive=keep), NOTHING)


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"model": ""}, "model", "empty"),
    ({"model": None}, "model", "required"),
    ({"stream": "yes"}, "stream", "true or false"),
    ({"options": []}, "options", "must be an object"),
    ({"options": {"num_predict": "3"}}, "options.num_predict", "a whole number"),
    ({"options": {"temperature": "hot"}}, "options.temperature", "a number"),
    ({"options": {"temperature": 9}}, "options.temperature", "from 0 to 2"),
    ({"options": {"stop": [1]}}, "options.stop", "strings"),
    ({"format": "xml"}, "format", "JSON schema"),
    ({"format": 7}, "format", "JSON schema"),
    ({"think": "hard"}, "think", "low, medium, high, max"),
    ({"think": 1}, "think", "true, false"),
    ({"keep_alive": True}, "keep_alive", "seconds"),
    ({"keep_alive": []}, "keep_alive", "seconds"),
    ({"top_logprobs": 21}, "top_logprobs", "0 to 20"),
    ({"truncate": "no"}, "truncate", "true or false"),
    ({"shift": 0}, "shift", "true or false"),
    ({"logprobs": 1}, "logprobs", "true or false"),
]
CHATS: list[tuple[dict[str, Any], str, str]] = [
    ({"messages": "x"}, "messages", "a list"),
    ({"messages": ["x"]}, "messages[0]", "an object"),
    ({"messages": [{"content": "x"}]}, "messages[0].role", "required"),
    ({"messages": [{"role": "bard"}]}, "messages[0].role", "system, developer, user"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content", "a string"),
    ({"messages": [{"role": "user", "images": "x"}]}, "messages[0].images", "a list"),
    ({"messages": [{"role": "user", "images": [7]}]}, "messages[0].images[0]", "base64"),
    ({"messages": [{"role": "user", "images": ["?"]}]}, "messages[0].images[0]", "base64"),
    ({"messages": [{"role": "user", "images": ["https://x/y.png"]}]}, "messages[0].images[0]", "base64"),
    ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls[0].function", "required"),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 3}}]}]},
        "messages[0].tool_calls[0].function.arguments",
        "an object",
    ),
    ({"messages": HI * 10_001}, "messages", "10,000"),
    ({"messages": [{"role": "assistant", "tool_calls": [CALL] * 1_001}]}, "messages[0].tool_calls", "1,000"),
    ({"messages": [{"role": "user", "images": [PNG] * 1_000}] * 11}, "messages", "10,000"),
    ({"tools": [{"type": "web"}]}, "tools[0]", "use function"),
    ({"tools": [{"function": {}}]}, "tools[0].function.name", "required"),
    ({"tools": [{}] * 1_001}, "tools", "1,000"),
]
COMPLETIONS: list[tuple[dict[str, Any], str, str]] = [
    ({"prompt": ["hi"]}, "prompt", "a string"),
    ({"system": 1}, "system", "a string"),
    ({"raw": "yes"}, "raw", "true or false"),
    ({"raw": True, "system": "s"}, "raw", "raw mode does not support template, system, or context"),
    ({"raw": True, "context": [1]}, "raw", "raw mode does not support template, system, or context"),
    ({"context": [1.5]}, "context", "whole numbers"),
    ({"context": [-1]}, "context", "whole numbers"),
    ({"images": [f"{PNG}="]}, "images[0]", "base64"),
]


@pytest.mark.parametrize(
    ("read", "fields", "param", "words"),
    [(read, *case) for case in WRONG for read in (chat, generate)]
    + [(chat, *case) for case in CHATS]
    + [(generate, *case) for case in COMPLETIONS],
)
def test_a_wrong_field_is_named_by_its_path(read, fields, param, words):
    with pytest.raises(InvalidRequest) as caught:
        read(**fields)
    assert caught.value.status == 400
    assert caught.value.param == param
    assert words in caught.value.message


@pytest.mark.parametrize("read", [ollama.read_request, ollama_generate.read_request, ollama.read_name])
@pytest.mark.parametrize("body", [b"", b'{"model":', b"[]", b"x"])
def test_what_is_no_object_is_refused(read, body):
    with pytest.raises(InvalidRequest) as caught:
        read(body)
    assert isinstance(caught.value, InvalidJson) or body == b"[]"


def test_a_model_may_be_asked_about_by_either_name():
    assert ollama.read_name(b'{"model":"a","name":"b"}') == "a"
    assert ollama.read_name(b'{"model":"","name":"b","verbose":true}') == "b"
    with pytest.raises(InvalidRequest, match="`model` is required"):
        ollama.read_name(b"{}")


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NAME = st.text("abcxyz_", min_size=1, max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT, lambda v: st.dictionaries(TEXT, v, max_size=3)
)
CALLS = st.lists(
    st.fixed_dictionaries(
        {"function": st.fixed_dictionaries({"name": NAME, "arguments": st.dictionaries(TEXT, VALUES, max_size=3)})},
        optional={"id": NAME},
    ),
    min_size=1,
    max_size=3,
)
SAID = st.one_of(
    st.fixed_dictionaries({"role": st.just("system"), "content": TEXT}),
    st.fixed_dictionaries(
        {"role": st.just("user"), "content": TEXT}, optional={"images": st.lists(st.just(PNG), min_size=1, max_size=2)}
    ),
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": TEXT}, optional={"thinking": TEXT, "tool_calls": CALLS}
    ),
    st.fixed_dictionaries(
        {"role": st.just("tool"), "content": TEXT}, optional={"tool_name": NAME, "tool_call_id": NAME}
    ),
)


@given(
    st.fixed_dictionaries(
        {"messages": st.lists(SAID, max_size=6)},
        optional={
            "format": st.just("json") | st.dictionaries(NAME, VALUES, max_size=2),
            "think": st.booleans() | st.sampled_from(["low", "max"]),
            "keep_alive": st.sampled_from(["5m", 300]),
            "options": st.fixed_dictionaries(
                {},
                optional={
                    "num_predict": st.integers(1, 99),
                    "top_p": st.floats(0, 1),
                    "stop": st.lists(NAME, min_size=1, max_size=16),
                },
            ),
        },
    )
)
def test_what_a_client_says_reaches_a_server_of_the_same_kind_whole(sent: dict[str, Any]):
    ask = chat(**sent)
    written = ollama_upstream.write_upstream(ask, ask.model, ask.params)
    assert ollama.read_request(written) == ask
