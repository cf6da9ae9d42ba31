"""What Anthropic's clients send, read into the neutral form; and what is wrong with it, in a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from effort import effort

from llm_gateway.errors import InvalidRequest
from llm_gateway.wire.anthropic import CLIENT, COUNT
from llm_gateway.wire.messages import MAX_MESSAGES
from llm_gateway.wire.neutral import Message, ToolCall
from llm_gateway.wire.notes import told
from llm_gateway.wire.requests import text_size

HI = [{"role": "user", "content": "hi"}]
PIXEL = "iVBORw0KGgo="
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "get_weather", "description": "Weather of a city", "input_schema": SCHEMA}
WEATHER_NEUTRAL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Weather of a city", "parameters": SCHEMA},
}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "max_tokens": 100, "messages": HI, **fields}).encode()


def read(**fields: Any):
    return CLIENT.read_request(body(**fields))


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def text(said: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **fields}


def test_a_request_with_everything_that_servers_can_do():
    ask = read(
        system="Be brief.",
        stream=True,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop_sequences=["\n\nHuman:"],
        tools=[WEATHER],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        thinking={"type": "enabled", "budget_tokens": 2048},
        output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}},
        metadata={"user_id": "eve"},
        service_tier="auto",
        unknown=[1],
    )
    assert ask.messages == [Message("system", "Be brief."), Message("user", "hi")]
    assert ask.params == {
        "temperature": 0.5,
        "max_tokens": 100,
        "top_p": 0.9,
        "top_k": 40,
        "stop": ["\n\nHuman:"],
    }
    assert (ask.model, ask.stream, ask.think, ask.format, ask.end_user) == ("m", True, True, {"type": "object"}, "eve")
    assert (ask.tools, ask.tool_choice) == ([WEATHER_NEUTRAL], "required")
    assert ask.wishes == {"parallel_tool_calls": False}
    assert ask.notes == ["thinking.budget_tokens=dropped"]


def test_null_means_not_set():
    names = ("system", "stream", "temperature", "top_p", "top_k", "stop_sequences", "tools", "tool_choice", "thinking")
    names += ("output_config", "output_format", "metadata", "service_tier", "container", "context_management", "speed")
    assert read(**dict.fromkeys(names)) == read()


def test_the_blocks_of_the_system_prompt_are_lines_of_one_message():
    blocks = [text("You are an agent.", cache_control={"type": "ephemeral"}), text("Be brief.")]
    assert read(system=blocks).messages[0] == Message("system", "You are an agent.\nBe brief.")
    assert read(system=[]).messages == read(system="").messages == read().messages


def test_a_turn_of_text_and_images_stays_one_message():
    assert read(messages=[user(text("What is"), IMAGE, text("this?"))]).messages == [
        Message("user", "What is\nthis?", [PIXEL])
    ]


def test_a_tool_loop_is_read_with_results_before_what_the_user_adds():
    messages = [
        user(text("Weather in Bonn and Rome?")),
        assistant(
            {"type": "thinking", "thinking": "Two cities.", "signature": ""},
            text("Let me look."),
            {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Bonn"}},
            {"type": "tool_use", "id": "toolu_2", "name": "get_weather", "input": {"city": "Rome"}},
        ),
        user(
            text("Be quick."),
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"},
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": [text("sun"), text("warm")]},
        ),
    ]
    assert read(messages=messages, tools=[WEATHER]).messages == [
        Message("user", "Weather in Bonn and Rome?"),
        Message(
            "assistant",
            "Let me look.",
            thinking="Two cities.",
            tool_calls=[
                ToolCall("get_weather", '{"city":"Bonn"}', "toolu_1"),
                ToolCall("get_weather", '{"city":"Rome"}', "toolu_2"),
            ],
        ),
        Message("tool", "rain", tool_call_id="toolu_1", name="get_weather"),
        Message("tool", "sun\nwarm", tool_call_id="toolu_2", name="get_weather"),
        Message("user", "Be quick."),
    ]


def test_a_result_that_is_an_error_says_so_in_its_text():
    failed = {"type": "tool_result", "tool_use_id": "t", "is_error": True}
    assert read(messages=[user({**failed, "content": "no such city"})]).messages == [
        Message("tool", "Error: no such city", tool_call_id="t")
    ]
    assert read(messages=[user(failed)]).messages == [Message("tool", "Error", tool_call_id="t")]


def test_what_a_tool_shows_is_shown_by_the_user():
    shown = {"type": "tool_result", "tool_use_id": "t", "content": [text("a screenshot"), IMAGE]}
    assert read(messages=[user(shown)]).messages == [
        Message("tool", "a screenshot", tool_call_id="t"),
        Message("user", "", [PIXEL]),
    ]


def test_turns_of_one_role_in_a_row_become_one():
    messages = [*HI, {"role": "user", "content": "there"}, assistant(text("One")), assistant(text(", two"))]
    assert read(messages=messages).messages == [Message("user", "hi\nthere"), Message("assistant", "One, two")]


def test_an_answer_that_was_begun_is_the_last_message():
    assert read(messages=[*HI, assistant(text("The best answer is ("))]).messages[-1] == Message(
        "assistant", "The best answer is ("
    )


def test_a_system_message_in_mid_conversation_stays_where_it_is():
    messages = [*HI, {"role": "system", "content": "Speak Spanish."}, *HI]
    assert [message.role for message in read(messages=messages).messages] == ["user", "system", "user"]


def test_documents_of_text_are_read_and_files_are_left_out_with_a_note():
    plain = {"type": "text", "media_type": "text/plain", "data": "Clause 4."}
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}
    content = {"type": "content", "content": [text("Clause 5."), IMAGE]}
    found = {"type": "search_result", "title": "Bonn", "source": "https://x", "content": [text("A city.")]}
    ask = read(
        messages=[
            user(
                {"type": "document", "title": "Contract", "source": plain},
                {"type": "document", "source": content},
                found,
                pdf,
                text("Summarise."),
            )
        ]
    )
    said = "Contract\nClause 4.\nClause 5.\nBonn\nhttps://x\nA city.\nSummarise."
    assert ask.messages == [Message("user", said, [PIXEL])]
    assert ask.notes == ["messages.document=dropped"]


def test_blocks_that_no_server_knows_are_left_out_with_a_note_that_quotes_nobody():
    ask = read(
        messages=[
            *HI,
            assistant(
                {"type": "redacted_thinking", "data": "xxx"},
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
                text("Found."),
            ),
            user({"type": "hologram\r\nx: y", "data": 1}, text("Go on.")),
        ]
    )
    assert ask.messages[1:] == [Message("assistant", "Found."), Message("user", "Go on.")]
    assert told(ask.notes) == (
        "messages.redacted_thinking=dropped, messages.server_tool_use=dropped, "
        "messages.web_search_tool_result=dropped, messages.content=dropped"
    )


@pytest.mark.parametrize(
    ("fields", "think", "notes"),
    [
        ({}, None, []),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, True, ["thinking.budget_tokens=dropped"]),
        ({"thinking": {"type": "disabled"}}, False, []),
        ({"thinking": {"type": "adaptive"}}, None, []),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, None, ["thinking.display=dropped"]),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}}, "high", []),
        ({"output_config": {"effort": "max"}}, "max", []),
        (
            {"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}},
            False,
            ["output_config.effort=dropped"],
        ),
    ],
)
def test_how_hard_to_think(fields, think, notes):
    ask = read(**fields)
    assert (ask.think, ask.notes) == (think, notes)


def test_tools_that_anthropic_runs_itself_are_left_out_with_a_note():
    own = [SEARCH, {"type": "bash_20250124", "name": "bash"}, {"type": "novelty_1", "name": "x"}]
    ask = read(tools=[*own, {**WEATHER, "type": "custom", "strict": True}])
    function = {**WEATHER_NEUTRAL["function"], "strict": True}
    assert ask.tools == [{"type": "function", "function": function}]
    assert ask.notes == ["tools.web_search=dropped", "tools.bash=dropped", "tools=dropped"]
    forced = read(tools=[SEARCH], tool_choice={"type": "tool", "name": "web_search"})
    assert (forced.tools, forced.tool_choice) == ([], None)
    assert forced.notes == ["tools.web_search=dropped", "tool_choice=dropped"]


@pytest.mark.parametrize(
    ("choice", "neutral"),
    [
        ({"type": "auto"}, None),
        ({"type": "any"}, "required"),
        ({"type": "tool", "name": "get_weather"}, {"type": "function", "function": {"name": "get_weather"}}),
    ],
)
def test_the_choice_of_a_tool(choice, neutral):
    ask = read(tools=[WEATHER], tool_choice=choice)
    assert (ask.tools, ask.tool_choice) == ([WEATHER_NEUTRAL], neutral)


def test_no_tool_to_choose_takes_the_tools_away():
    ask = read(tools=[WEATHER], tool_choice={"type": "none"})
    assert (ask.tools, ask.tool_choice, ask.wishes) == ([], None, {})


def test_what_would_have_had_an_effect_is_noted():
    ask = read(
        container={"skills": []},
        context_management={"edits": [{"type": "clear_tool_uses_20250919"}]},
        mcp_servers=[{"type": "url", "url": "https://x", "name": "x"}],
        speed="fast",
        inference_geo="global",
        service_tier="standard_only",
        diagnostics={},
    )
    assert ask.notes == [
        "container=dropped",
        "context_management=dropped",
        "mcp_servers=dropped",
        "speed=dropped",
    ]


def test_the_older_name_of_the_format_is_known():
    assert read(output_format={"type": "json_schema", "schema": {"type": "array"}}).format == {"type": "array"}


def test_a_count_needs_no_limit_and_reads_the_same_prompt():
    fields = {"system": "Be brief.", "tools": [WEATHER], "messages": [user(text("x"), IMAGE)]}
    counted = COUNT.read_request(json.dumps({"model": "m", **fields}).encode())
    asked = read(**fields)
    assert (counted.messages, counted.tools) == (asked.messages, asked.tools)


def test_images_are_not_counted_as_text():
    raw = body(messages=[user(IMAGE, {"type": "tool_result", "tool_use_id": "t", "content": [IMAGE]})])
    assert text_size(CLIENT.read_request(raw), len(raw)) == len(raw) - 2 * len(PIXEL)


def image(**source: Any) -> dict[str, Any]:
    return {"messages": [user({"type": "image", "source": source})]}


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"model": None}, "model", "is required"),
        ({"max_tokens": None}, "max_tokens", "is required"),
        ({"max_tokens": 0}, "max_tokens", "from 1"),
        ({"max_tokens": "9"}, "max_tokens", "a whole number, not a string"),
        ({"messages": None}, "messages", "is required"),
        ({"messages": []}, "messages", "at least one message"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", "'tool'; it must be user or assistant"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "must be a string or a list of content blocks"),
        ({"messages": [assistant(7)]}, "messages[0].content[0]", "must be an object"),
        ({"messages": [user({"text": "x"})]}, "messages[0].content[0].type", "is required"),
        ({"messages": [user({"type": "text"})]}, "messages[0].content[0].text", "is required"),
        ({"messages": [user(text("x"), text(7))]}, "messages[0].content[1].text", "must be a string"),
        ({"messages": [user({"type": "tool_result"})]}, "messages[0].content[0].tool_use_id", "is required"),
        (
            {"messages": [user({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image"}]})]},
            "messages[0].content[0].content[0].source",
            "is required",
        ),
        ({"messages": [assistant({"type": "tool_use", "id": "t"})]}, "messages[0].content[0].name", "is required"),
        (
            {"messages": [assistant({"type": "tool_use", "id": "t", "name": "f", "input": "x"})]},
            "messages[0].content[0].input",
            "must be an object",
        ),
        (image(type="url", url="https://x/y.png"), "messages[0].content[0].source.type", "does not fetch"),
        (image(type="file", file_id="f"), "messages[0].content[0].source.type", "must be base64"),
        (
            image(type="base64", media_type="image/tiff", data=PIXEL),
            "messages[0].content[0].source.media_type",
            "image/webp",
        ),
        (image(type="base64", media_type="image/png", data="*"), "messages[0].content[0].source.data", "valid base64"),
        ({"system": 7}, "system", "must be a string or a list"),
        ({"system": [{"type": "text"}]}, "system[0].text", "is required"),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"temperature": 1.5}, "temperature", "from 0 to 1; you sent 1.5"),
        ({"temperature": "hot"}, "temperature", "a number"),
        ({"top_p": 2}, "top_p", "from 0 to 1"),
        ({"stop_sequences": [1]}, "stop_sequences", "list of at most 16 strings"),
        ({"tools": {}}, "tools", "must be a list"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema", "is required"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name", "is required"),
        ({"tool_choice": {"type": "any"}}, "tool_choice", "needs `tools`"),
        ({"tools": [WEATHER], "tool_choice": "any"}, "tool_choice", "must be an object"),
        ({"tools": [WEATHER], "tool_choice": {"type": "all"}}, "tool_choice.type", "auto, any, tool or none"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}}, "tool_choice.name", "not among"),
        ({"thinking": {"type": "deep"}}, "thinking.type", "one of enabled"),
        ({"thinking": True}, "thinking", "must be an object"),
        ({"output_config": {"effort": "huge"}}, "output_config.effort", "one of low"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type", "json_schema"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema", "is required"),
        ({"output_format": "json"}, "output_format", "must be an object"),
        ({"metadata": {"user_id": 7}}, "metadata.user_id", "must be a string"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(fields, param, words):
    with pytest.raises(InvalidRequest) as caught:
        read(**fields)
    assert caught.value.param == param
    assert words in caught.value.message
    assert caught.value.message.startswith(f"`{param.partition('.')[0]}")


def test_the_blocks_of_all_messages_are_counted_before_any_is_read():
    results = [{"type": "tool_result", "tool_use_id": "t", "content": [text("x")] * 999} for _ in range(11)]
    assert MAX_MESSAGES < 11 * 1000
    with pytest.raises(InvalidRequest, match="content blocks together"):
        read(messages=[user(*results)])
    with pytest.raises(InvalidRequest, match="at most 1,000 are accepted"):
        read(messages=[user(*[text("x")] * 1001)])
    with pytest.raises(InvalidRequest, match="at most 1,000 are accepted"):
        read(tools=[WEATHER] * 1001)


def test_documents_within_documents_end_where_json_does():
    held: Any = [text("deep")]
    for _ in range(19):
        held = [{"type": "document", "source": {"type": "content", "content": held}}]
    assert read(messages=[user(*held)]).messages == [Message("user", "deep")]


def test_turns_become_one_at_the_price_of_turns_that_stay_apart():
    said = "x" * 400
    same = body(messages=[{"role": "user", "content": said}] * MAX_MESSAGES)
    apart = body(messages=[{"role": r, "content": said} for r in ("user", "assistant")] * (MAX_MESSAGES // 2))
    assert effort(lambda: CLIENT.read_request(same)) < 4 * effort(lambda: CLIENT.read_request(apart))


@pytest.mark.parametrize("kind", ["text", "thinking"])
def test_what_an_assistant_said_in_many_blocks_is_put_together_once(kind: str):
    long = "x" * 1_000_000 + "\N{GRINNING FACE}"
    said = [{"type": kind, kind: part} for part in [long, *["y"] * 999]]
    raw = body(messages=[{"role": "assistant", "content": said}])
    assert getattr(CLIENT.read_request(raw).messages[0], kind) == long + "y" * 999
    assert effort(lambda: CLIENT.read_request(raw)) < 0.1
