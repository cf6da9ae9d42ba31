"""A neutral request becomes exactly these bytes."""

from __future__ import annotations

import json

import pytest

from llm_gateway.wire import ollama_upstream as ollama
from llm_gateway.wire import openai_upstream as openai
from llm_gateway.wire.neutral import ChatRequest, Message, Prompt, ToolCall

WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
TIME = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object"}}}
HI = Message("user", "hi")


def ask(**fields) -> ChatRequest:
    return ChatRequest("asked", fields.pop("messages", [HI]), **fields)


def test_a_plain_request_to_ollama():
    assert ollama.write_upstream(ask(), "llama3.2:3b", {"temperature": 0.2, "max_tokens": 5, "stop": ["x"]}) == (
        b'{"model":"llama3.2:3b","messages":[{"role":"user","content":"hi"}],"stream":true,'
        b'"options":{"temperature":0.2,"num_predict":5,"stop":["x"]}}'
    )


def test_a_plain_request_to_an_openai_compatible_server():
    body = openai.write_upstream(ask(), "m", {"temperature": 0.2, "max_tokens": 5, "num_ctx": 4096})
    assert body == (
        b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,'
        b'"stream_options":{"include_usage":true},"temperature":0.2,"max_tokens":5}'
    )


def test_only_the_parameters_of_this_attempt_are_sent():
    body = json.loads(ollama.write_upstream(ask(params={"temperature": 1.5}), "m", {}))
    assert "options" not in body


def test_everything_else_that_ollama_understands():
    asked = ask(
        format={"type": "object"}, think="high", tools=[WEATHER], keep_alive="5m", logprobs=True, top_logprobs=2
    )
    body = json.loads(ollama.write_upstream(asked, "m", {}))
    assert (body["format"], body["think"], body["tools"], body["keep_alive"]) == (
        {"type": "object"},
        "high",
        [WEATHER],
        "5m",
    )
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)


def test_everything_else_that_openai_understands():
    asked = ask(format={"type": "object"}, think=False, tools=[WEATHER], tool_choice="required", logprobs=True)
    body = json.loads(openai.write_upstream(asked, "m", {}))
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert (body["reasoning_effort"], body["tools"], body["tool_choice"]) == ("none", [WEATHER], "required")
    assert json.loads(openai.write_upstream(ask(format="json"), "m", {}))["response_format"] == {"type": "json_object"}


def test_a_tool_loop_for_ollama_has_objects_and_the_tools_name():
    loop = [
        HI,
        Message("assistant", thinking="hm", tool_calls=[ToolCall("get_weather", '{"city": "Bonn"}', "call_1")]),
        Message("tool", "rain", tool_call_id="call_1", name="get_weather"),
    ]
    body = json.loads(ollama.write_upstream(ask(messages=loop), "m", {}))
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": "",
            "thinking": "hm",
            "tool_calls": [{"id": "call_1", "function": {"name": "get_weather", "arguments": {"city": "Bonn"}}}],
        },
        {"role": "tool", "content": "rain", "tool_name": "get_weather", "tool_call_id": "call_1"},
    ]


def test_a_tool_loop_for_openai_keeps_the_text_of_the_arguments():
    loop = [
        Message("assistant", thinking="hm", tool_calls=[ToolCall("get_weather", '{"city": "Bo', "call_1")]),
        Message("tool", "rain", tool_call_id="call_1"),
    ]
    body = json.loads(openai.write_upstream(ask(messages=loop), "m", {}))
    assert body["messages"] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Bo'}}
            ],
            "reasoning_content": "hm",
        },
        {"role": "tool", "content": "rain", "tool_call_id": "call_1"},
    ]


def test_arguments_that_are_no_object_are_wrapped_for_ollama():
    for text, sent in {
        '{"a": ': {"arguments": '{"a": '},
        "[1]": {"arguments": [1]},
        "": {},
        "{}": {},
        "\ufeff{}": {},
    }.items():
        loop = [Message("assistant", tool_calls=[ToolCall("f", text)])]
        body = json.loads(ollama.write_upstream(ask(messages=loop), "m", {}))
        assert body["messages"][0]["tool_calls"] == [{"function": {"name": "f", "arguments": sent}}]


def test_a_named_tool_choice_leaves_ollama_only_that_tool():
    choice = {"type": "function", "function": {"name": "get_time"}}
    body = json.loads(ollama.write_upstream(ask(tools=[WEATHER, TIME], tool_choice=choice), "m", {}))
    assert body["tools"] == [TIME]
    assert "tool_choice" not in body


def test_images_go_bare_to_ollama_and_as_data_urls_to_openai():
    seen = [Message("user", "what?", images=["iVBORw0KGgo=", "/9j/4AAQ"])]
    assert json.loads(ollama.write_upstream(ask(messages=seen), "m", {}))["messages"][0]["images"] == seen[0].images
    parts = json.loads(openai.write_upstream(ask(messages=seen), "m", {}))["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url", "image_url"]
    assert parts[1]["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="
    assert parts[2]["image_url"]["url"] == "data:image/jpeg;base64,/9j/4AAQ"


def test_what_identifies_the_caller_stays_here():
    asked = ask(end_user="eve@example.org", correlation_id="c-1", project_context="secret")
    for write in (ollama.write_upstream, openai.write_upstream):
        body = write(asked, "m", {})
        assert not any(secret in body for secret in (b"eve@", b"c-1", b"secret", b"asked"))


def test_only_known_options_reach_a_server():
    params = {"temperature": 0.2, "num_gpu": 0, "use_mmap": False, "main_gpu": 3}
    assert json.loads(ollama.write_upstream(ask(), "m", params))["options"] == {"temperature": 0.2}
    assert json.loads(ollama.write_prompt(ask(prompt=Prompt("hi", raw=True)), "m", params))["options"] == {
        "temperature": 0.2
    }
    body = json.loads(openai.write_upstream(ask(), "m", params))
    assert set(body) == {"model", "messages", "stream", "stream_options", "temperature"}


@pytest.mark.parametrize(
    ("asked", "sent"),
    [("5m", "5m"), (300, 300), ("1h", "1h"), (-1, 3600), ("-1", 3600), ("48h", 3600), (0, 60), ("10ms", 60)],
)
def test_a_model_is_neither_thrown_out_nor_kept_for_ever(asked, sent):
    assert json.loads(ollama.write_upstream(ask(keep_alive=asked), "m", {}))["keep_alive"] == sent


@pytest.mark.parametrize("nonsense", ["soon", "", True, [5], float("nan")])
def test_what_is_no_duration_is_not_sent(nonsense):
    body = json.loads(ollama.write_upstream(ask(keep_alive=nonsense), "m", {}))
    assert "keep_alive" not in body or 60 <= body["keep_alive"] <= 3600
