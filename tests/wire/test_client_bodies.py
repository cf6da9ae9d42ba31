"""What clients send, read into the neutral form; and what is wrong with it, in a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from llm_gateway.errors import InvalidJson, InvalidRequest, UnsupportedParameter
from llm_gateway.wire import native, ollama_upstream, openai
from llm_gateway.wire.neutral import ChatRequest, Message, ToolCall
from llm_gateway.wire.params import PARAMS
from llm_gateway.wire.requests import text_size

HI = [{"role": "user", "content": "hi"}]
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
READERS = [native.read_request, openai.read_request]


def body(**fields) -> bytes:
    return json.dumps({"model": "m", "messages": HI, **fields}).encode()


def test_the_seeds_request():
    ask = native.read_request(
        b"""{"model": "law-assistant", "messages": [{"role": "system", "content": "Be brief."},
             {"role": "user", "content": "What is a tort?"}], "temperature": 0.2, "max_tokens": 256,
             "metadata": {"project_context": "contracts", "correlation_id": "abc-123", "other": 1}, "unknown": []}"""
    )
    assert ask.model == "law-assistant"
    assert ask.messages == [Message("system", "Be brief."), Message("user", "What is a tort?")]
    assert ask.params == {"temperature": 0.2, "max_tokens": 256}
    assert (ask.project_context, ask.correlation_id, ask.stream) == ("contracts", "abc-123", False)


def test_the_native_api_takes_every_neutral_parameter_by_its_name():
    sent = {"top_p": 0.5, "top_k": 3, "seed": 7, "stop": "x", "num_ctx": 8192, "min_p": None}
    assert native.read_request(body(**sent)).params == {
        "top_p": 0.5,
        "top_k": 3,
        "seed": 7,
        "stop": ["x"],
        "num_ctx": 8192,
    }


@pytest.mark.parametrize("read", READERS)
def test_null_means_not_set_everywhere(read):
    nothing = dict.fromkeys((*PARAMS, "n", "tools", "tool_choice", "response_format", "stream", "stream_options"))
    nothing |= dict.fromkeys(("max_completion_tokens", "user", "metadata", "logprobs", "top_logprobs", "functions"))
    nothing |= dict.fromkeys(("reasoning_effort", "reasoning", "logit_bias"))
    assert read(body(**nothing)) == read(body())


def test_parts_of_one_message_stay_one_message():
    parts = [
        {"type": "text", "text": "What is"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        {"type": "text", "text": "this?"},
    ]
    ask = openai.read_request(body(messages=[{"role": "user", "content": parts}]))
    assert ask.messages == [Message("user", "What is\nthis?", images=["iVBORw0KGgo="])]


def test_one_call_at_a_time_is_a_wish_where_there_are_tools():
    tool = {"type": "function", "function": {"name": "f"}}
    asked = openai.read_request(body(parallel_tool_calls=False, tools=[tool]))
    assert asked.wishes == {"parallel_tool_calls": False}
    assert ollama_upstream.dropped(asked) == ["parallel_tool_calls=dropped"]
    asked = openai.read_request(body(parallel_tool_calls=True, tools=[tool]))
    assert asked.wishes == {"parallel_tool_calls": True}
    assert ollama_upstream.dropped(asked) == []
    assert openai.read_request(body(parallel_tool_calls=False)).wishes == {}


def test_parts_of_an_answer_follow_each_other_as_the_model_wrote_them():
    parts = [{"type": "text", "text": "Let me"}, {"type": "text", "text": " look."}]
    (message,) = openai.read_request(body(messages=[{"role": "assistant", "content": parts}])).messages
    assert message.text == "Let me look."


def test_images_of_results_are_in_what_the_user_says_next():
    def image(data: str) -> dict[str, object]:
        return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}

    calls = [{"id": id, "type": "function", "function": {"name": "look", "arguments": "{}"}} for id in ("c1", "c2")]
    loop = [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "one"}, image("AAAA")]},
        {"role": "tool", "tool_call_id": "c2", "content": [image("BBBB")]},
    ]
    more = {"role": "user", "content": [{"type": "text", "text": "And?"}, image("CCCC")]}
    answer = {"role": "assistant", "content": "Ah."}
    told = [Message("tool", "one", tool_call_id="c1", name="look"), Message("tool", tool_call_id="c2", name="look")]
    for last, expected in (
        ([], [Message("user", images=["AAAA", "BBBB"])]),
        ([more], [Message("user", "And?", ["AAAA", "BBBB", "CCCC"])]),
        ([answer], [Message("user", images=["AAAA", "BBBB"]), Message("assistant", "Ah.")]),
    ):
        assert openai.read_request(body(messages=[*loop, *last])).messages[1:] == [*told, *expected]


def test_a_tool_loop_is_read():
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Bonn"}'}}
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "rain"}]},
    ]
    assert openai.read_request(body(messages=messages)).messages == [
        Message("system", "Be brief."),
        Message("assistant", thinking="hm", tool_calls=[ToolCall("get_weather", '{"city":"Bonn"}', "c1")]),
        Message("tool", "rain", tool_call_id="c1", name="get_weather"),
    ]


def test_the_newer_token_limit_wins_and_zero_is_no_limit():
    assert openai.read_request(body(max_tokens=5, max_completion_tokens=9)).params == {"max_tokens": 9}
    assert openai.read_request(body(max_tokens=5, max_completion_tokens=0)).params == {"max_tokens": 5}
    assert openai.read_request(body(max_tokens=0)).params == {}


def test_an_empty_list_of_stops_is_none():
    assert openai.read_request(body(stop=[])).params == {}


def test_what_else_openai_clients_ask_for():
    ask = openai.read_request(
        body(
            stream=True,
            stream_options={"include_usage": True},
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
            reasoning_effort="xhigh",
            tools=[WEATHER],
            tool_choice="required",
            logprobs=True,
            top_logprobs=2,
            user="eve",
            metadata={"user_id": "other", "correlation_id": "c"},
            stop=["a", "b"],
            n=1,
        )
    )
    assert (ask.stream, ask.include_usage, ask.format, ask.think) == (True, True, {"type": "object"}, "max")
    assert (ask.tools, ask.tool_choice, ask.logprobs, ask.top_logprobs) == ([WEATHER], "required", True, 2)
    assert (ask.end_user, ask.correlation_id, ask.params) == ("eve", "c", {"stop": ["a", "b"]})
    assert openai.read_request(body(metadata={"user_id": "eve"})).end_user == "eve"


def test_formats_and_efforts():
    assert openai.read_request(body(response_format={"type": "json_object"})).format == "json"
    assert openai.read_request(body(response_format={"type": "text"})).format is None
    assert openai.read_request(body(reasoning_effort="none")).think is False
    assert openai.read_request(body(reasoning={"effort": "minimal"})).think == "low"


def test_tool_choice_none_takes_the_tools_away():
    ask = openai.read_request(body(tools=[WEATHER], tool_choice="none"))
    assert (ask.tools, ask.tool_choice) == ([], None)


def test_only_the_allowed_tools_are_left():
    other = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object"}}}
    one = {"type": "function", "function": {"name": "get_time"}}
    for mode, choice in (("auto", None), ("required", "required")):
        wanted = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [one]}}
        ask = openai.read_request(body(tools=[WEATHER, other], tool_choice=wanted))
        assert (ask.tools, ask.tool_choice) == ([other], choice)
    with pytest.raises(InvalidRequest) as refused:
        openai.read_request(body(tools=[WEATHER], tool_choice=wanted))
    assert refused.value.param == "tool_choice.allowed_tools.tools[0]"


@pytest.mark.parametrize("read", [openai.read_request, native.read_request])
def test_sound_and_files_are_left_out_with_a_note(read: Callable[[bytes], ChatRequest]):
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
    ]
    ask = read(body(messages=[{"role": "user", "content": parts}]))
    assert ask.messages == [Message("user", "What is this?")]
    assert ask.notes == ["messages.input_audio=dropped", "messages.file=dropped"]


def test_a_byte_order_mark_is_forgiven():
    assert native.read_request(b"\xef\xbb\xbf" + body()).model == "m"


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("raw", "error", "words"),
    [
        (b"", InvalidJson, "empty"),
        (b" \n", InvalidJson, "empty"),
        (b'{"model": "m",', InvalidJson, "ends too early"),
        (b'{"model": "m",\n "messages": nope}', InvalidJson, "invalid character near line 2, column 18 (byte 32)"),
        (b'{"temperature": NaN}', InvalidJson, "NaN (at byte 16) is not a JSON number"),
        (b'{"temperature": -Infinity}', InvalidJson, "Infinity"),
        (b'{"model": "\\ud800"}', InvalidJson, "lone surrogate \\ud800"),
        (b'{"model": "\\ud800abc"}', InvalidJson, "lone surrogate \\ud800"),
        (b'{"model": "x\\udc00"}', InvalidJson, "lone surrogate \\udc00"),
        (b'{"model": "\xff"}', InvalidJson, "UTF-8 (at byte 11)"),
        (b'{"model": "\0"}', InvalidJson, "NUL byte (at byte 11)"),
        (b'{"a": 1} {"a": 2}', InvalidJson, "trailing characters near line 1, column 11"),
        (b'{"seed": 1e999}', InvalidJson, "a number that is too large"),
        (b'{"seed": ' + b"9" * 5000 + b"}", InvalidJson, "a number that is too large"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", InvalidRequest, "deeper than 64 levels"),
        (b"[" * 200_000, InvalidRequest, "deeper than 64 levels"),
        (b"[]", InvalidRequest, "must be a JSON object"),
        (b'"model"', InvalidRequest, "must be a JSON object"),
        (b'{"a": {"b": ["x", "\\u0000"]}}', InvalidRequest, "`a.b[1]` holds a NUL"),
        (b'{"a": {"b\\u0000": 1}}', InvalidRequest, "`a` holds a NUL"),
        (b'{"seed": 123456789012345678901234567890}', InvalidRequest, "`seed` holds a whole number that does not fit"),
        (b"model=m&messages=hi", InvalidJson, "invalid character near line 1, column 1 (byte 0)"),
    ],
)
def test_bytes_that_are_no_request_are_explained(read, raw, error, words):
    with pytest.raises(InvalidRequest) as caught:
        read(raw)
    assert type(caught.value) is error
    assert words in caught.value.message
    assert caught.value.message.startswith(("The request body", "`"))


def part(**fields) -> dict:
    return {"messages": [{"role": "user", "content": [fields]}]}


SHARED = [
    ({"model": None}, "model", "is required"),
    ({"model": 7}, "model", "must be a string, not a number"),
    ({"model": " "}, "model", "is empty"),
    ({"model": "m" * 300}, "model", "longer than 256"),
    ({"messages": None}, "messages", "is required"),
    ({"messages": {}}, "messages", "must be a list, not an object"),
    ({"messages": []}, "messages", "at least one message"),
    ({"messages": ["hi"]}, "messages[0]", "must be an object, not a string"),
    ({"messages": [{"content": "hi"}]}, "messages[0].role", "is required"),
    ({"messages": [*HI, {"role": "king", "content": "hi"}]}, "messages[1].role", "'king'; it must be one of system,"),
    ({"messages": [{"role": 1, "content": "hi"}]}, "messages[0].role", "must be a string"),
    ({"messages": [*HI, *HI, {"role": "user", "content": 5}]}, "messages[2].content", "not a number"),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "not null"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "must be a string or a list"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "is required"),
    (part(text="x"), "messages[0].content[0].type", "is required"),
    (part(type="text"), "messages[0].content[0].text", "is required"),
    (part(type="input_video"), "messages[0].content[0].type", "not supported"),
    (part(type="image_url", image_url="https://x/y.png"), "messages[0].content[0].image_url", "does not fetch"),
    (
        part(type="image_url", image_url={"url": "data:image/png;base64,*"}),
        "messages[0].content[0].image_url.url",
        "valid base64",
    ),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": 1}}]}]},
        "messages[0].tool_calls[0].function.arguments",
        "a string of JSON",
    ),
    ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls[0].function", "is required"),
    ({"temperature": "hot"}, "temperature", "must be a number, not a string"),
    ({"temperature": True}, "temperature", "not true/false"),
    ({"temperature": 5}, "temperature", "from 0 to 2; you sent 5"),
    ({"max_tokens": -1}, "max_tokens", "from 1"),
    ({"max_tokens": 1.5}, "max_tokens", "must be a whole number, not a fraction"),
    ({"max_tokens": False}, "max_tokens", "not true/false"),
    ({"stop": [1]}, "stop", "a string or a list"),
    ({"stop": ["x"] * 17}, "stop", "at most 16"),
    ({"metadata": "x"}, "metadata", "must be an object"),
    ({"metadata": {"correlation_id": 7}}, "metadata.correlation_id", "must be a string"),
    ({"metadata": {"correlation_id": "x" * 600}}, "metadata.correlation_id", "at most 512"),
]
OPENAI_ONLY = [
    ({"n": 2}, "n", "one answer per request"),
    ({"n": 0}, "n", "whole number"),
    ({"n": "1"}, "n", "whole number"),
    ({"stream": "yes"}, "stream", "must be true or false, not a string"),
    ({"stream_options": []}, "stream_options", "must be an object"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "true or false"),
    ({"max_completion_tokens": -3}, "max_completion_tokens", "from 1"),
    ({"tools": {}}, "tools", "must be a list"),
    ({"tools": [{"type": "custom"}]}, "tools[0]", "not supported"),
    ({"tools": [{"type": "function"}]}, "tools[0].function", "is required"),
    ({"tools": [{"function": {"name": 1}}]}, "tools[0].function.name", "must be a string"),
    ({"tool_choice": "required"}, "tool_choice", "needs `tools`"),
    ({"tools": [WEATHER], "tool_choice": "always"}, "tool_choice", "must be"),
    ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice", "not among"),
    ({"tools": [WEATHER], "tool_choice": {"type": "function"}}, "tool_choice.function", "is required"),
    ({"response_format": "json"}, "response_format", "must be an object"),
    ({"response_format": {"type": "xml"}}, "response_format.type", "json_schema"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "is required"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {}}},
        "response_format.json_schema.schema",
        "is required",
    ),
    ({"reasoning_effort": "huge"}, "reasoning_effort", "one of none, minimal"),
    ({"reasoning": {"effort": 3}}, "reasoning.effort", "a string"),
    ({"logprobs": 3}, "logprobs", "true or false"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "0 to 20"),
    ({"top_logprobs": 2}, "top_logprobs", "needs `logprobs: true`"),
    ({"user": 3}, "user", "must be a string"),
    ({"functions": [{}]}, "tools[0].function.name", "required"),
]


@pytest.mark.parametrize(
    ("read", "fields", "param", "words"),
    [(read, *case) for case in SHARED for read in READERS] + [(openai.read_request, *case) for case in OPENAI_ONLY],
)
def test_a_wrong_field_is_named_by_its_path(read, fields, param, words):
    with pytest.raises(InvalidRequest) as caught:
        read(body(**fields))
    assert caught.value.param == param
    assert words in caught.value.message
    assert f"`{param}" in caught.value.message


def test_what_the_gateway_cannot_do_has_its_own_code():
    for fields in ({"n": 2}, part(type="input_video")):
        with pytest.raises(UnsupportedParameter):
            openai.read_request(body(**fields))


def test_depth_64_and_an_escaped_backslash_before_u0000_are_fine():
    deep = (
        b'{"model": "m", "messages": [{"role": "user", "content": "C:\\\\u0000"}], "x": ' + b"[" * 63 + b"]" * 63 + b"}"
    )
    assert native.read_request(deep).messages[0].text == "C:\\u0000"
    with pytest.raises(InvalidRequest, match="deeper"):
        native.read_request(deep.replace(b"[" * 63 + b"]" * 63, b"[" * 64 + b"]" * 64))


def test_line_separators_and_emoji_in_a_prompt_are_kept():
    text = "a\u2028b\u2029c\u0085d\u00e9\U0001f600"
    assert openai.read_request(body(messages=[{"role": "user", "content": text}])).messages[0].text == text


TEXT_PART = {"type": "text", "text": "x"}
CALL = {"id": "c", "function": {"name": "f"}}


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("messages", "said", "param"),
    [
        (HI * 10_001, "10,000", "messages"),
        ([{"role": "user", "content": [TEXT_PART] * 1_001}], "1,000", "messages[0].content"),
        ([*HI, {"role": "assistant", "tool_calls": [CALL] * 1_001}], "1,000", "messages[1].tool_calls"),
        ([{"role": "user", "content": [TEXT_PART] * 1_000}] * 11, "10,000", "messages"),
        ([{"role": "assistant", "tool_calls": [CALL] * 1_000}] * 11, "10,000", "messages"),
    ],
)
def test_messages_and_their_parts_are_counted_before_they_are_read(read, messages, said, param):
    with pytest.raises(InvalidRequest, match=said) as caught:
        read(body(messages=messages))
    assert caught.value.param == param


@pytest.mark.parametrize("read", READERS)
def test_as_many_messages_and_parts_as_are_accepted_are_read(read):
    assert len(read(body(messages=HI * 10_000)).messages) == 10_000
    many = [{"role": "user", "content": [TEXT_PART] * 1_000}] * 10
    assert [len(m.text) for m in read(body(messages=many)).messages] == [1_999] * 10


def test_tools_and_stops_are_counted_before_they_are_read():
    assert len(openai.read_request(body(tools=[WEATHER] * 1_000)).tools) == 1_000
    for odd, param in (({"tools": [WEATHER] * 1_001}, "tools"), ({"stop": [""] * 17}, "stop")):
        with pytest.raises(InvalidRequest, match="at most") as caught:
            openai.read_request(body(**odd))
        assert caught.value.param == param


def test_what_a_body_holds_besides_its_images_is_known():
    image = "iVBORw0K" * 1000
    sent = body(messages=[{"role": "user", "content": [TEXT_PART, _image(image), _image(image)]}])
    assert text_size(openai.read_request(sent), len(sent)) == len(sent) - 2 * len(image)
    for text in ("data:image/png;base64," + image, image):
        sent = body(messages=[{"role": "user", "content": text}])
        assert text_size(native.read_request(sent), len(sent)) == len(sent)


def _image(data):
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
