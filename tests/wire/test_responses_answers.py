"""What clients of `/v1/responses` get, checked with the official client's types, and against what real servers sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from wire_cases import CASES

from llm_gateway.errors import StreamLost
from llm_gateway.wire.collect import Collector
from llm_gateway.wire.neutral import (
    Answer,
    ChatRequest,
    Envelope,
    Finish,
    Piece,
    Spliced,
    ToolCall,
    ToolPart,
    Usage,
)
from llm_gateway.wire.registry import CLIENTS
from llm_gateway.wire.responses_input import unseal
from support.apis.responses import events

CLIENT = CLIENTS["responses"]
ENVELOPE = Envelope("0190f7a2-0000-7000-8000-0123456789ab", 1795418262, 'odd "model":7b')
HEX = "0190f7a20000700080000123456789ab"
USAGE = Usage(21, 30)
HOSTILE = 'a\u2028b\u2029c\u0085d\r\n\ndata: x\n\n: y</script>\x00\u00e9\U0001f600"\\'
LOGPROBS = [{"token": "é", "logprob": -0.1, "bytes": None, "top_logprobs": [{"token": "e", "logprob": -1.0}]}]
TOOLS = [
    {"type": "function", "name": "get_weather", "parameters": {"type": "object"}},
    {"type": "custom", "name": "apply_patch"},
    {"type": "namespace", "name": "mcp__notes", "tools": [{"type": "function", "name": "add"}]},
    {"type": "web_search"},
]
PIECES = [
    Piece(thinking="hm "),
    Piece(thinking="ah"),
    Piece("Let me "),
    Piece(HOSTILE),
    Piece("é", logprobs=LOGPROBS),
    Piece(tools=[ToolPart(0, "get_weather", "call_a", '{"ci')]),
    Piece(tools=[ToolPart(1, "apply_patch", None, '{"input":"*** Begin"}')]),
    Piece(tools=[ToolPart(0, arguments='ty":1}'), ToolPart(2, "mcp__notes__add", "call_c", "{}")]),
]
_EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


def asked(**fields: Any) -> ChatRequest:
    return CLIENT.read_request(json.dumps({"model": "m", "input": "hi", "tools": TOOLS, **fields}).encode())


def stream(pieces: list[Piece], reason: Any = "stop", spliced: Spliced | None = None, **fields: Any) -> list[bytes]:
    writer = CLIENT.stream_writer(ENVELOPE, asked(**fields))
    return [*(writer.piece(piece) for piece in pieces), writer.finish(Finish(reason, spliced=spliced), USAGE)]


def told(frames: list[bytes]) -> list[dict[str, Any]]:
    """The events, each valid for the official client."""
    found = list(events(b"".join(frames).decode()))
    for event in found:
        _EVENT.validate_json(json.dumps(event), strict=True)
    return found


def whole(answer: Answer, ask: ChatRequest | None = None) -> dict[str, Any]:
    raw = CLIENT.write_answer(ENVELOPE, ask or asked(), answer)
    Response.model_validate_json(raw, strict=True)
    return dict(json.loads(raw))


def answer(**fields: Any) -> Answer:
    return Answer(**{"text": "hi", "thinking": "", "tool_calls": [], "finish": "stop", "usage": USAGE, **fields})


# streams


def test_the_events_of_an_answer_come_in_openais_order():
    names = [event["type"].removeprefix("response.") for event in told(stream(PIECES, "tool_calls"))]
    call = ["output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"]
    custom = [name.replace("function_call_arguments", "custom_tool_call_input") for name in call]
    assert names == [
        *("created", "in_progress"),
        *("output_item.added", "reasoning_summary_part.added"),
        *("reasoning_summary_text.delta", "reasoning_summary_text.delta", "reasoning_summary_text.done"),
        *("reasoning_summary_part.done", "output_item.done"),
        *("output_item.added", "content_part.added"),
        *("output_text.delta", "output_text.delta", "output_text.delta", "output_text.done"),
        *("content_part.done", "output_item.done"),
        *(*call, *custom, *call),
        "completed",
    ]


def test_a_stream_loses_nothing_and_its_last_word_repeats_all_of_it():
    found = told(stream(PIECES, "tool_calls"))
    last = found[-1]["response"]
    reasoning, message, *calls = last["output"]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "hm ah"}]
    part = message["content"][0]
    assert part["text"] == "".join(piece.text for piece in PIECES)
    assert "".join(e["delta"] for e in found if e["type"] == "response.output_text.delta") == part["text"]
    assert part["logprobs"][0]["bytes"] == list("é".encode())
    assert [(c["type"], c["call_id"], c["name"], c.get("namespace")) for c in calls] == [
        ("function_call", "call_a", "get_weather", None),
        ("custom_tool_call", "call_80000123456789ab_1", "apply_patch", None),
        ("function_call", "call_c", "add", "mcp__notes"),
    ]
    assert [calls[0]["arguments"], calls[1]["input"], calls[2]["arguments"]] == ['{"city":1}', "*** Begin", "{}"]
    assert last["usage"] == {
        "input_tokens": 21,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 30,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 51,
    }
    assert [e["item"] for e in found if e["type"] == "response.output_item.done"] == last["output"]
    places = [e["output_index"] for e in found if e["type"] == "response.output_item.added"]
    assert places == list(range(len(last["output"])))


def test_a_delta_is_exactly_this():
    _, second, _ = stream([Piece("He"), Piece('l"lo')])
    assert second == (
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":5,'
        b'"item_id":"msg_'
        + HEX.encode()
        + b'_0","output_index":0,"content_index":0,"delta":"l\\"lo","logprobs":[]}\n\n'
    )


def test_thoughts_after_words_open_a_new_item():
    found = told(stream([Piece("a"), Piece(thinking="b"), Piece("c")]))
    assert [item["type"] for item in found[-1]["response"]["output"]] == ["message", "reasoning", "message"]
    assert len({item["id"] for item in found[-1]["response"]["output"]}) == 3


def test_no_line_end_of_any_alphabet_stands_inside_a_frame():
    for frame in stream([Piece("x"), Piece(HOSTILE), Piece(thinking=HOSTILE)]):
        for block in frame.decode().removesuffix("\n\n").split("\n\n"):
            assert len(block.splitlines()) == 2


@pytest.mark.parametrize(("reason", "why"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_that_was_cut_short_is_incomplete_and_says_why(reason: str, why: str):
    last = told(stream([Piece("a")], reason))[-1]
    assert last["type"] == "response.incomplete"
    assert (last["response"]["status"], last["response"]["incomplete_details"]) == ("incomplete", {"reason": why})
    assert last["response"]["output"][0]["status"] == "incomplete"
    made = whole(answer(finish=reason))
    assert (made["status"], made["incomplete_details"]) == ("incomplete", {"reason": why})
    assert (made["output"][0]["status"], made["completed_at"]) == ("incomplete", None)


def test_who_gave_the_parts_of_a_stitched_answer_is_said_at_its_end():
    last = told(stream([Piece("a")], spliced=Spliced(1, ["srv_a", "srv_b"])))[-1]["response"]
    assert (last["continuations"], last["servers"]) == (1, ["srv_a", "srv_b"])


@pytest.mark.parametrize("pieces", [[], [Piece("He")], [Piece(thinking="hm")], [Piece(tools=[ToolPart(0, "f")])]])
def test_a_failed_stream_ends_in_a_failed_response_and_an_error(pieces: list[Piece]):
    lost = StreamLost("The model server broke off.", details={"delivered_tokens": 1, "code": "spoofed"})
    writer = CLIENT.stream_writer(ENVELOPE, asked())
    frames = [writer.piece(piece) for piece in pieces]
    found = told([*frames, writer.keep_alive(), writer.error(CLIENT.error_body(lost, "req-1"))])
    assert [event["type"] for event in found[:2]] == ["response.created", "response.in_progress"]
    failed, error = found[-2:]
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["error"] == {
        "message": "The model server broke off.",
        "type": "server_error",
        "code": "server_error",
        "param": None,
        "request_id": "req-1",
        "retryable": True,
        "delivered_tokens": 1,
    }
    assert (error["type"], error["code"]) == ("error", "upstream_stream_lost")
    assert error["error"] == {**failed["response"]["error"], "code": "upstream_stream_lost"}
    said = [item for item in failed["response"]["output"] if item["type"] == "message"]
    assert [item["content"][0]["text"] for item in said] == [piece.text for piece in pieces if piece.text]


# whole answers


def test_a_plain_answer_is_exactly_this():
    ask = asked(instructions="Be brief.", temperature=0.5, metadata={"a": "b"}, user="ana", prompt_cache_key="k")
    assert whole(answer(), ask) == {
        "id": f"resp_{HEX}",
        "object": "response",
        "created_at": 1795418262,
        "model": 'odd "model":7b',
        "background": False,
        "frequency_penalty": 0,
        "instructions": "Be brief.",
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {"a": "b"},
        "parallel_tool_calls": True,
        "presence_penalty": 0,
        "previous_response_id": None,
        "prompt_cache_key": "k",
        "reasoning": None,
        "service_tier": "default",
        "store": False,
        "temperature": 0.5,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [
            {**TOOLS[0], "description": None, "strict": None},
            {**TOOLS[1], "description": None},
            {
                **TOOLS[2],
                "description": "",
                "tools": [{"type": "function", "name": "add", "description": None, "parameters": None, "strict": None}],
            },
        ],
        "top_logprobs": 0,
        "top_p": None,
        "truncation": "disabled",
        "user": "ana",
        "status": "completed",
        "completed_at": 1795418262,
        "error": None,
        "incomplete_details": None,
        "output": [
            {
                "id": f"msg_{HEX}_0",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "hi", "annotations": [], "logprobs": []}],
            }
        ],
        "usage": {
            "input_tokens": 21,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 30,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 51,
        },
    }


def test_every_wish_is_repeated_in_a_shape_that_the_official_types_take():
    made = whole(
        answer(logprobs=LOGPROBS),
        asked(
            text={"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}, "verbosity": "low"},
            reasoning={"effort": "high", "summary": "auto"},
            tool_choice={"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "apply_patch"}]},
            max_output_tokens=7,
            top_logprobs=2,
            truncation="auto",
        ),
    )
    assert made["text"]["format"]["schema"] == {"type": "object"}
    assert (made["reasoning"], made["max_output_tokens"]) == ({"effort": "high", "summary": "auto"}, 7)
    assert (made["top_logprobs"], made["truncation"]) == (2, "disabled")
    assert whole(answer(), asked(text={"format": {"type": "json_schema", "schema": {}}}))["text"]["format"]["name"]


def test_sealed_thoughts_are_given_out_only_when_asked_for():
    plain = whole(answer(thinking="hm"))["output"][0]
    assert "encrypted_content" not in plain
    sealed = whole(answer(thinking="hm"), asked(include=["reasoning.encrypted_content"]))["output"][0]
    assert unseal(sealed["encrypted_content"]) == "hm"


def test_an_answer_comes_back_as_the_turn_that_it_was():
    ask = asked(include=["reasoning.encrypted_content"])
    calls = [ToolCall("apply_patch", '{"input":"***"}', "c1"), ToolCall("mcp__notes__add", '{"a":1}', "c2")]
    made = whole(answer(text="Look.", thinking="hm", tool_calls=calls, finish="tool_calls"), ask)
    (turn,) = asked(input=made["output"]).messages
    assert (turn.role, turn.text, turn.thinking, turn.tool_calls) == ("assistant", "Look.", "hm", calls)


@pytest.mark.parametrize("arguments", ['{"other":1}', "not json", '{"input":7}', "[]"])
def test_a_custom_call_without_its_text_gives_what_there_is(arguments: str):
    made = whole(answer(text="", tool_calls=[ToolCall("apply_patch", arguments, "c1")]))
    assert [item["input"] for item in made["output"]] == [arguments]


def test_a_stream_and_a_whole_answer_tell_the_same():
    collector = Collector(prompt=21)
    for event in [*PIECES, Finish("tool_calls", USAGE)]:
        collector.add(event)
    streamed = told(stream(PIECES, "tool_calls"))[-1]["response"]
    assert whole(collector.answer()) == {**streamed, "completed_at": ENVELOPE.created}


# what real servers sent


def captured(name: str) -> tuple[ChatRequest, str]:
    case = json.loads((CASES / "responses" / f"{name}.json").read_text())
    return CLIENT.read_request(json.dumps(case["request"]["body"]).encode()), case["response"]["body"]


def answered(theirs: dict[str, Any], text: str) -> tuple[Envelope, Answer]:
    usage = Usage(theirs["usage"]["input_tokens"], theirs["usage"]["output_tokens"])
    return Envelope(ENVELOPE.id, theirs["created_at"], theirs["model"]), answer(text=text, finish="length", usage=usage)


BETTER_WHOLE = {
    "status": ("completed", "incomplete"),
    "incomplete_details": (None, {"reason": "max_output_tokens"}),
    "completed_at": (1795418262, None),
    "temperature": (1, None),
    "top_p": (1, None),
}
"""Ollama's and ours: its answer was cut at two tokens; its defaults are not the model's."""


def test_ollamas_whole_answer_is_ours_but_for_what_we_do_better():
    ask, body = captured("ollama-whole")
    theirs = json.loads(body)
    ours = json.loads(CLIENT.write_answer(*_with(ask, answered(theirs, " w000 w001"))))
    differences = {key: (theirs[key], ours.get(key)) for key in theirs if theirs[key] != ours.get(key)}
    assert differences.pop("id")
    mine, other = differences.pop("output")[::-1]
    assert {**mine[0], "id": 0, "status": 0} == {**other[0], "id": 0, "status": 0}
    figures = differences.pop("usage")
    assert figures[1] == {
        **figures[0],
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    }, "the official types require cache_write_tokens"
    assert differences == BETTER_WHOLE


def test_llama_cpps_whole_answer_has_nothing_that_ours_lacks():
    ask, body = captured("llamacpp-whole")
    theirs = json.loads(body)
    ours = json.loads(CLIENT.write_answer(*_with(ask, answered(theirs, "<think>\n"))))
    assert theirs.keys() <= ours.keys()
    assert theirs["output"][0].keys() == ours["output"][0].keys()
    assert {**theirs["output"][0], "id": 0, "status": 0} == {**ours["output"][0], "id": 0, "status": 0}
    assert [theirs["usage"][key] for key in ("input_tokens", "output_tokens", "total_tokens")] == [18, 2, 20]
    assert [ours["usage"][key] for key in ("input_tokens", "output_tokens", "total_tokens")] == [18, 2, 20]


def _with(ask: ChatRequest, made: tuple[Envelope, Answer]) -> tuple[Envelope, ChatRequest, Answer]:
    return made[0], ask, made[1]


def test_ollamas_stream_is_ours_but_for_what_we_do_better():
    """Better: the summary's part is told as OpenAI does; the message is closed before the calls, and shares its
    `output_index` with none of them; the items of the last word stand in the order in which they were told;
    encrypted content comes only when asked for."""
    ask, body = captured("ollama-tools-stream")
    theirs = [json.loads(block.split("data: ", 1)[1]) for block in body.strip().split("\n\n")]
    last = theirs[-1]["response"]
    writer = CLIENT.stream_writer(Envelope(ENVELOPE.id, last["created_at"], last["model"]), ask)
    frames = [writer.piece(piece) for piece in _pieces(theirs)]
    usage = Usage(last["usage"]["input_tokens"], last["usage"]["output_tokens"])
    ours = told([*frames, writer.finish(Finish("stop"), usage)])

    closing = ("response.output_text.done", "response.content_part.done")
    better = [n for n, e in enumerate(ours) if "summary_part" in e["type"] or e["type"] in closing]
    better.append(better[-1] + 1)  # the message's output_item.done
    same = [event for n, event in enumerate(ours) if n not in better]
    assert [event["type"] for event in same] == [event["type"] for event in theirs]
    for mine, other in zip(same[2:-1], theirs[2:-1], strict=True):
        assert _bare(mine) == _bare(other)
    by_kind = [_bare({"item": item}) for item in ours[-1]["response"]["output"]]
    assert [by_kind[n] for n in (0, 2, 3, 1)] == [_bare({"item": item}) for item in last["output"]]


def _pieces(theirs: list[dict[str, Any]]) -> list[Piece]:
    pieces = []
    for event in theirs:
        if event["type"] == "response.reasoning_summary_text.delta":
            pieces.append(Piece(thinking=event["delta"]))
        elif event["type"] == "response.output_text.delta":
            pieces.append(Piece(event["delta"]))
        elif event["type"] == "response.output_item.done" and event["item"]["type"] == "function_call":
            item = event["item"]
            pieces.append(Piece(tools=[ToolPart(len(pieces), item["name"], item["call_id"], item["arguments"])]))
    return pieces


def _bare(event: dict[str, Any]) -> dict[str, Any]:
    """Without ids and places; the name in `function_call_arguments.done` is OpenAI's, Ollama leaves it out."""
    left = ("item_id", "output_index", "sequence_number", *(["name"] if "arguments" in event else []))
    item = {k: v for k, v in event.get("item", {}).items() if k not in ("id", "encrypted_content")}
    return {**{key: value for key, value in event.items() if key not in left}, "item": item}
