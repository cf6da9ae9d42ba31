"""What clients send to `/v1/responses`, read into the neutral form; and what is wrong with it, in a sentence."""

from __future__ import annotations

import json
from functools import partial
from random import Random
from typing import Any

import pytest
from effort import effort
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_gateway.errors import InvalidRequest, UnsupportedParameter
from llm_gateway.wire.neutral import Answer, ChatRequest, Envelope, Finish, Message, Piece, ToolCall, Usage
from llm_gateway.wire.params import PARAMS
from llm_gateway.wire.registry import CLIENTS
from llm_gateway.wire.responses_input import seal, unseal

PIXEL = "iVBORw0KGgo="
IMAGE = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}
WEATHER = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": True}
PATCH = {"type": "custom", "name": "apply_patch", "description": "Edits files."}
NOTES = {"type": "namespace", "name": "mcp__notes", "description": "Notes.", "tools": [{**WEATHER, "name": "add"}]}


def read(**fields: Any) -> ChatRequest:
    return CLIENTS["responses"].read_request(json.dumps({"model": "m", "input": "hi", **fields}).encode())


def messages(*items: Any) -> list[Message]:
    return read(input=list(items)).messages


def text(said: str) -> dict[str, str]:
    return {"type": "input_text", "text": said}


def call(number: int, **fields: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": f"c{number}", "name": "f", "arguments": f'{{"n":{number}}}', **fields}


def output(number: int, said: Any = "done", kind: str = "function_call_output") -> dict[str, Any]:
    return {"type": kind, "call_id": f"c{number}", "output": said}


def thought(said: str) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": said}]}


def said(what: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": what, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}


CODEX: dict[str, Any] = {
    "instructions": "You are a coding agent.",
    "input": [
        {"type": "message", "role": "developer", "content": [text("<permissions>")]},
        {"type": "message", "role": "user", "content": [text("<environment_context>")]},
        {"type": "message", "role": "user", "content": [text("Fix the test.")]},
        {"type": "reasoning", "summary": [], "content": None, "encrypted_content": seal("first the file")},
        {"type": "function_call", "name": "shell", "arguments": '{"command":["ls"]}', "call_id": "c1"},
        {"type": "function_call_output", "call_id": "c1", "output": '{"output":"a.py"}'},
        {"type": "custom_tool_call", "status": "completed", "call_id": "c2", "name": "apply_patch", "input": "***"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "Success."},
    ],
    "tools": [
        {"type": "function", "name": "shell", "description": "Runs.", "strict": False, "parameters": {}},
        {**PATCH, "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}},
        NOTES,
        {"type": "web_search", "external_web_access": False},
        {"type": "local_shell"},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "019a2f6e-7c1b-7d3e-9f00-0123456789ab",
    "text": {"verbosity": "medium"},
}


# input


def test_a_text_is_what_the_user_says_and_instructions_come_first():
    assert read(instructions="Be brief.").messages == [Message("system", "Be brief."), Message("user", "hi")]


def test_messages_may_be_easy_or_in_parts_and_developers_speak_for_the_system():
    assert messages(
        {"role": "developer", "content": "Be brief."},
        {
            "type": "message",
            "role": "user",
            "content": [text("What is"), IMAGE],
        },
        {"role": "assistant", "content": "A dot."},
        {"role": "user", "content": "Sure?"},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ) == [
        Message("system", "Be brief."),
        Message("user", "What is", [PIXEL]),
        Message("assistant", "A dot."),
        Message("user", "Sure?"),
        Message("assistant", "No."),
    ]


def test_reasoning_text_and_calls_in_a_row_are_one_turn_of_the_model():
    two = [ToolCall("f", '{"n":1}', "c1"), ToolCall("f", '{"n":2}', "c2")]
    assert messages(
        {"role": "user", "content": "hi"},
        *(thought("hm"), said("Let me look."), call(1), call(2)),
        *(output(1), output(2, [text("two"), IMAGE])),
        *(thought("ah"), said("Done.")),
    ) == [
        Message("user", "hi"),
        Message("assistant", "Let me look.", thinking="hm", tool_calls=two),
        Message("tool", "done", tool_call_id="c1", name="f"),
        Message("tool", "two", tool_call_id="c2", name="f"),
        Message("user", images=[PIXEL]),
        Message("assistant", "Done.", thinking="ah"),
    ]


def test_calls_that_nobody_answered_yet_keep_the_turn_open():
    turn, *_ = messages(call(1), thought("and"), said("Also."), call(2), output(1), output(2))
    assert (turn.text, turn.thinking, [c.id for c in turn.tool_calls]) == ("Also.", "and", ["c1", "c2"])


def test_two_answers_in_a_row_stay_two_messages():
    assert [m.text for m in messages(said("One."), said("Two."))] == ["One.", "Two."]


def test_every_call_takes_only_its_own_turn_along():
    turns = messages(call(1), output(1), call(2), output(2))
    assert [len(turn.tool_calls) for turn in turns] == [1, 0, 1, 0]


def test_a_turn_of_thousands_of_items_is_put_together_once():
    long = "x" * 1_000_000 + "\N{GRINNING FACE}"
    call = {"type": "function_call", "name": "f", "call_id": "c"}
    said = [{"role": "assistant", "content": part} for part in [long, *["y"] * 4_000]]
    thought = [{"type": "reasoning", "content": [{"type": "reasoning_text", "text": i["content"]}]} for i in said]
    for items, field in ((said, "text"), (thought, "thinking")):
        raw = json.dumps({"model": "m", "input": [call, *items]}).encode()
        (message,) = CLIENTS["responses"].read_request(raw).messages
        assert getattr(message, field) == long + "y" * 4_000
        assert effort(partial(CLIENTS["responses"].read_request, raw)) < 0.2


def test_namespaces_of_too_many_tools_are_refused_at_once():
    spaces = [
        {"type": "namespace", "name": f"n{n}", "tools": [{"type": "function", "name": "f"}] * 1_000} for n in range(100)
    ]
    raw = json.dumps({"model": "m", "input": "hi", "tools": spaces}).encode()
    with pytest.raises(InvalidRequest, match="`tools` has 2,000 entries"):
        CLIENTS["responses"].read_request(raw)


def test_custom_and_shell_calls_are_calls_of_functions():
    custom = {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "*** Begin"}
    shell = {"type": "local_shell_call", "id": "c2", "status": "completed", "action": {"command": ["ls", "-l"]}}
    shell_output = {"type": "local_shell_call_output", "id": "c2", "output": "total 0"}
    turn, first, second = messages(custom, shell, output(1, "ok", "custom_tool_call_output"), shell_output)
    assert turn.tool_calls == [
        ToolCall("apply_patch", '{"input":"*** Begin"}', "c1"),
        ToolCall("local_shell", '{"command":["ls","-l"]}', "c2"),
    ]
    assert (first, second) == (
        Message("tool", "ok", tool_call_id="c1", name="apply_patch"),
        Message("tool", "total 0", tool_call_id="c2", name="local_shell"),
    )


def test_what_we_sealed_comes_back_as_it_was_and_what_others_sealed_is_left():
    assert unseal(seal("näh\n\U0001f600")) == "näh\n\U0001f600"
    (turn,) = messages({**thought("short"), "encrypted_content": seal("all of it")}, said("x"))
    assert turn.thinking == "all of it"
    for foreign in ("gAAAAABo-not-ours", "gAAAAABogICA", "plain text", "\u00e9"):
        (turn,) = messages({**thought("short"), "encrypted_content": foreign}, said("x"))
        assert turn.thinking == "short"


def test_reasoning_that_says_nothing_leaves_no_empty_turn():
    ask = read(
        input=[
            {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "gAAA"},
            {"role": "user", "content": "x"},
        ]
    )
    assert ask.messages == [Message("user", "x")]
    assert ask.notes == ["input.reasoning=dropped"]


def test_reasoning_in_full_wins_over_its_summary():
    (turn,) = messages({**thought("short"), "content": [{"type": "reasoning_text", "text": "long"}]}, said("x"))
    assert turn.thinking == "long"


def test_items_and_parts_that_nobody_here_can_use_are_dropped_with_a_note():
    ask = read(
        input=[
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
            {"type": "ghost_snapshot", "ghost_commit": {}},
            {
                "role": "user",
                "content": [text("hi"), {"type": "input_file", "filename": "a.pdf"}],
            },
        ]
    )
    assert ask.messages == [Message("user", "hi")]
    assert ask.notes == ["input.web_search_call=dropped", "input.other=dropped", "input.input_file=dropped"]


@pytest.mark.parametrize(
    ("given", "param"),
    [
        (None, "input"),
        (7, "input"),
        ([], "input"),
        (["hi"], "input[0]"),
        ([{"type": "web_search_call"}], "input"),
        ([{"role": "tool", "content": "x"}], "input[0].role"),
        ([{"role": "user"}], "input[0].content"),
        ([{"role": "user", "content": [{"type": "video"}]}], "input[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "input_text"}]}], "input[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}], "input[0].content[0].image_url"),
        ([call(1, call_id=None)], "input[0].call_id"),
        ([call(1, arguments={})], "input[0].arguments"),
        ([output(1, None)], "input[0].output"),
        ([{"type": "item_reference", "id": "msg_1"}], "input[0]"),
        ([{"id": "msg_1"}], "input[0]"),
        ([{"role": "user", "content": "x"}] * 10_001, "input"),
        ([{"role": "user", "content": [text("x")] * 1_001}], "input[0].content"),
        ([{"role": "user", "content": [text("x")] * 900}] * 12, "input"),
    ],
)
def test_a_wrong_input_is_named_by_its_path(given: Any, param: str):
    with pytest.raises(InvalidRequest) as wrong:
        read(input=given)
    assert wrong.value.param == param


# tools


def test_tools_get_the_shape_that_servers_know():
    ask = read(tools=[WEATHER, PATCH, NOTES])
    weather, patch, add = (tool["function"] for tool in ask.tools)
    assert weather == {"name": "get_weather", "parameters": {"type": "object"}, "strict": True}
    assert (patch["name"], patch["parameters"]["required"]) == ("apply_patch", ["input"])
    assert add["name"] == "mcp__notes__add"
    assert ask.notes == []


def test_the_model_is_told_a_grammar_that_nobody_can_enforce():
    form = {"type": "grammar", "syntax": "lark", "definition": "start: begin"}
    ask = read(tools=[{**PATCH, "format": form}])
    assert ask.tools[0]["function"]["description"].endswith("lark grammar:\nstart: begin")
    assert ask.notes == ["tools.format=best_effort"]
    assert ask.own.echo["tools"] == [{**PATCH, "format": form}]


def test_what_openai_runs_itself_is_dropped_with_a_note():
    kinds = ["web_search", "web_search_preview_2025_03_11", "local_shell", "mcp", "image_generation", "hologram"]
    ask = read(tools=[*({"type": kind} for kind in kinds), WEATHER])
    assert [tool["function"]["name"] for tool in ask.tools] == ["get_weather"]
    assert set(ask.notes) == {
        f"tools.{kind}=dropped" for kind in ("web_search", "local_shell", "mcp", "image_generation", "other")
    }
    assert [tool["type"] for tool in ask.own.echo["tools"]] == ["function"]


@pytest.mark.parametrize(
    ("choice", "meant", "offered"),
    [
        (None, None, 3),
        ("auto", None, 3),
        ("none", None, 0),
        ("required", "required", 3),
        ({"type": "function", "name": "get_weather"}, {"type": "function", "function": {"name": "get_weather"}}, 3),
        ({"type": "custom", "name": "apply_patch"}, {"type": "function", "function": {"name": "apply_patch"}}, 3),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "apply_patch"}]}, None, 1),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "get_weather"}]},
            "required",
            1,
        ),
    ],
)
def test_the_choice_of_tools(choice: Any, meant: Any, offered: int):
    ask = read(tools=[WEATHER, PATCH, NOTES], tool_choice=choice)
    assert (ask.tool_choice, len(ask.tools)) == (meant, offered)
    assert (ask.own.echo["tool_choice"], len(ask.own.echo["tools"])) == (choice or "auto", 3)


@pytest.mark.parametrize("choice", ["required", {"type": "web_search_preview"}])
def test_a_choice_of_what_was_dropped_is_dropped_as_well(choice: Any):
    ask = read(tools=[{"type": "web_search_preview"}], tool_choice=choice)
    assert (ask.tool_choice, ask.own.echo["tool_choice"]) == (None, "auto")
    assert ask.notes == ["tools.web_search=dropped", "tool_choice=dropped"]


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": 7},
        {"tools": ["f"]},
        {"tools": [{"name": "f"}]},
        {"tools": [{"type": "function"}]},
        {"tools": [{"type": "function", "name": "f", "parameters": "x"}]},
        {"tools": [{"type": "namespace", "name": "n"}]},
        {"tools": [NOTES | {"tools": [WEATHER] * 600}] * 2},
        {"tools": [WEATHER] * 1001},
        {"tools": [WEATHER, {**PATCH, "name": "get_weather"}]},
        {"tools": [NOTES, {**WEATHER, "name": "mcp__notes__add"}]},
        {"tool_choice": "required"},
        {"tool_choice": "sometimes", "tools": [WEATHER]},
        {"tool_choice": {"type": "function", "name": "g"}, "tools": [WEATHER]},
        {"tool_choice": {"type": "allowed_tools", "mode": "x", "tools": []}, "tools": [WEATHER]},
        {"tool_choice": {"type": "allowed_tools", "tools": [{"type": "function", "name": "g"}]}, "tools": [WEATHER]},
    ],
)
def test_wrong_tools_are_refused_with_their_path(fields: dict[str, Any]):
    with pytest.raises(InvalidRequest) as wrong:
        read(**fields)
    assert str(wrong.value.param).split("[")[0].split(".")[0] in fields


# the rest


def test_parameters_by_their_names_here():
    ask = read(max_output_tokens=5, temperature=0.5, top_p=1, reasoning={"effort": "minimal", "summary": "auto"})
    assert (ask.params, ask.think) == ({"max_tokens": 5, "temperature": 0.5, "top_p": 1.0}, "low")
    assert read(max_output_tokens=0).params == {}


def test_formats():
    schema = {"type": "object"}
    assert read(text={"format": {"type": "json_schema", "name": "x", "schema": schema}}).format == schema
    assert read(text={"format": {"type": "json_object"}}).format == "json"
    assert read(text={"format": {"type": "text"}, "verbosity": "low"}).wishes == {"verbosity": "low"}
    with pytest.raises(InvalidRequest, match="text, json_object or json_schema"):
        read(text={"format": {"type": "grammar"}})


def test_logprobs_are_asked_for_in_either_way():
    by_name = read(include=["message.output_text.logprobs", "reasoning.encrypted_content"])
    assert (by_name.logprobs, by_name.top_logprobs, by_name.own.sealed) == (True, None, True)
    by_number = read(top_logprobs=3)
    assert (by_number.logprobs, by_number.top_logprobs, by_number.own.sealed) == (True, 3, False)
    assert not read(top_logprobs=0, include=["file_search_call.results"]).logprobs
    with pytest.raises(InvalidRequest, match="from 0 to 20"):
        read(top_logprobs=21)


def test_only_what_differs_from_the_default_is_a_wish():
    assert read(parallel_tool_calls=False, tools=[WEATHER]).wishes == {"parallel_tool_calls": False}
    assert read(parallel_tool_calls=True, tools=[WEATHER]).wishes == {"parallel_tool_calls": True}
    assert read(parallel_tool_calls=False).wishes == {}


def test_who_asked_is_kept_with_the_row():
    assert read(user="ana").end_user == "ana"
    assert read(user="ana", safety_identifier="a1", metadata={"user_id": "x"}).end_user == "a1"
    assert read(metadata={"correlation_id": "c", "project_context": "p"}).correlation_id == "c"


@pytest.mark.parametrize(
    "kept",
    [{"previous_response_id": "resp_1"}, {"conversation": "conv_1"}, {"prompt": {"id": "p"}}, {"background": True}],
)
def test_what_needs_a_memory_is_refused_with_the_way_out(kept: dict[str, Any]):
    with pytest.raises(UnsupportedParameter, match="Send the whole input") as refused:
        read(**kept)
    assert refused.value.param == next(iter(kept))


def test_what_has_no_effect_is_accepted_and_noted():
    assert read(store=False, background=False, service_tier="flex", truncation="disabled").notes == []
    assert read(store=True, truncation="auto").notes == ["store=dropped", "truncation=dropped"]


def test_null_means_not_set_everywhere():
    names = (*PARAMS, "instructions", "max_output_tokens", "tools", "tool_choice", "text", "reasoning", "include")
    more = ("stream", "stream_options", "store", "background", "metadata", "user", "safety_identifier", "prompt")
    rest = ("previous_response_id", "conversation", "top_logprobs", "truncation", "prompt_cache_key", "service_tier")
    nothing = dict.fromkeys((*names, *more, *rest, "parallel_tool_calls", "max_tool_calls"))
    assert read(**nothing) == read()


def test_the_clients_request_with_all_parameters_is_accepted():
    ask = read(
        include=["code_interpreter_call.outputs"],
        input="string",
        instructions="instructions",
        max_output_tokens=0,
        max_tool_calls=0,
        metadata={"foo": "string"},
        parallel_tool_calls=True,
        prompt_cache_key="prompt-cache-key-1234",
        prompt_cache_retention="in_memory",
        reasoning={"effort": "none", "generate_summary": "auto", "summary": "auto"},
        safety_identifier="safety-identifier-1234",
        service_tier="auto",
        store=True,
        stream=True,
        stream_options={"include_obfuscation": True},
        temperature=1,
        text={"format": {"type": "text"}, "verbosity": "low"},
        tool_choice="none",
        tools=[{**WEATHER, "parameters": {"foo": "bar"}, "description": "description"}],
        top_logprobs=0,
        top_p=1,
        truncation="auto",
        user="user-1234",
    )
    assert (ask.stream, ask.think, ask.tools) == (True, False, [])


def test_codex_asks_like_this():
    ask = read(**CODEX)
    assert [message.role for message in ask.messages] == [
        *("system", "system", "user", "user", "assistant", "tool", "assistant", "tool"),
    ]
    assert (ask.messages[4].thinking, ask.messages[4].tool_calls[0].name) == ("first the file", "shell")
    assert [tool["function"]["name"] for tool in ask.tools] == ["shell", "apply_patch", "mcp__notes__add"]
    assert ask.notes == ["tools.format=best_effort", "tools.web_search=dropped", "tools.local_shell=dropped"]
    assert (ask.think, ask.stream, ask.own.sealed) == ("medium", True, True)


_KEYS = st.sampled_from(["type", "name", "x"])
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_KEYS, inner, max_size=2),
    max_leaves=4,
)
_ANSWER = Answer("a", "b", [ToolCall("shell"), ToolCall("apply_patch")], "stop", Usage(1, 2))
_ENVELOPE = Envelope("0190f7a2-0000-7000-8000-0123456789ab", 1795418262, "m")


@settings(max_examples=400, deadline=None)
@given(place=st.randoms(use_true_random=False), value=_JSON)
def test_whatever_stands_in_a_field_it_is_answered_or_refused_by_its_name(place: Random, value: Any):
    fields = json.loads(json.dumps(CODEX))
    _replace(fields, place, value)
    ask = wrong = None
    try:
        ask = read(**fields)
    except InvalidRequest as refused:
        wrong = refused
    if ask is None:
        assert wrong is not None
        assert wrong.param
        return
    client = CLIENTS["responses"]
    assert json.loads(client.write_answer(_ENVELOPE, ask, _ANSWER))["status"] == "completed"
    writer = client.stream_writer(_ENVELOPE, ask)
    assert writer.piece(Piece("a"))
    assert writer.finish(Finish("stop"), Usage(1, 2))


def _replace(value: Any, place: Random, new: Any) -> None:
    """Puts `new` somewhere into `value`."""
    while True:
        key = place.choice(list(value) if isinstance(value, dict) else range(len(value)))
        if not isinstance(value[key], dict | list) or not value[key] or place.random() < 0.3:
            value[key] = new
            return
        value = value[key]
