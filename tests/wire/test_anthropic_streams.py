"""What Anthropic's clients get, checked with the official client's own parser and types."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic._streaming import SSEDecoder
from anthropic.types import Message, MessageTokensCount, RawMessageStreamEvent
from pydantic import TypeAdapter

from llm_gateway import errors as e
from llm_gateway.wire.anthropic import CLIENT, COUNT, error_body
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
from llm_gateway.wire.neutral import Message as Turn

ENVELOPE = Envelope("0190f7a2-0000-7000-8000-0123456789ab", 1795418262, 'odd "model":7b')
ASK = ChatRequest("m", [Turn("user", "How are you?")])
USAGE = Usage(21, 3)
HOSTILE = 'a\u2028b\u2029c\u0085d\r\n\nevent: x\ndata: x\n\n: y</script>\x00\u00e9\U0001f600"\\'
PIECES = [
    Piece(thinking="hm"),
    Piece(thinking=", well"),
    Piece("Let me "),
    Piece(HOSTILE),
    Piece("x", logprobs=[{"token": "x", "logprob": -0.1, "bytes": None, "top_logprobs": []}]),
    Piece(tools=[ToolPart(0, "get_weather", "call_a", '{"ci')]),
    Piece(tools=[ToolPart(0, arguments='ty":1}')]),
    Piece(tools=[ToolPart(1, "get_time", None, "{}"), ToolPart(2, "f", "call_c", '{"a":"\u2028"}')]),
]
EVENT: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


def stream(pieces: list[Piece], finish: Finish) -> list[bytes]:
    writer = CLIENT.stream_writer(ENVELOPE, ASK)
    return [*(writer.piece(piece) for piece in pieces), writer.finish(finish, USAGE)]


def events(raw: bytes) -> list[dict[str, Any]]:
    read = []
    for event in SSEDecoder().iter_bytes(iter([raw])):
        value = json.loads(event.data)
        assert event.event == value["type"]
        read.append(value)
    return read


def blocks_of(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The content that a stream amounts to; checks that each block is closed before the next is opened."""
    blocks: list[dict[str, Any]] = []
    opened = False
    for event in told:
        if event["type"] == "content_block_start":
            assert (opened, event["index"]) == (False, len(blocks))
            blocks.append(dict(event["content_block"]))
            if blocks[-1]["type"] == "tool_use":
                blocks[-1]["input"] = ""
            opened = True
        elif event["type"] == "content_block_delta":
            assert (opened, event["index"]) == (True, len(blocks) - 1)
            delta = event["delta"]
            name = {"input_json_delta": "input"}.get(delta["type"], delta["type"].removesuffix("_delta"))
            blocks[-1][name] += delta.get("partial_json", delta.get(name))
        elif event["type"] == "content_block_stop":
            assert (opened, event["index"]) == (True, len(blocks) - 1)
            opened = False
    assert not opened
    for block in blocks:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block["input"])
    return blocks


def test_every_event_satisfies_the_official_types_and_nothing_is_lost():
    raw = b"".join(stream(PIECES, Finish("tool_calls")))
    for event in SSEDecoder().iter_bytes(iter([raw])):
        EVENT.validate_json(event.data, strict=True)
    told = events(raw)
    assert (told[0]["type"], told[-2]["type"], told[-1]["type"]) == ("message_start", "message_delta", "message_stop")
    assert blocks_of(told) == [
        {"type": "thinking", "thinking": "hm, well", "signature": ""},
        {"type": "text", "text": "Let me " + HOSTILE + "x"},
        {"type": "tool_use", "id": "call_a", "name": "get_weather", "input": {"city": 1}},
        {"type": "tool_use", "id": "call_80000123456789ab_1", "name": "get_time", "input": {}},
        {"type": "tool_use", "id": "call_c", "name": "f", "input": {"a": "\u2028"}},
    ]
    message = told[0]["message"]
    assert (message["id"], message["model"]) == ("msg_0190f7a20000700080000123456789ab", 'odd "model":7b')
    assert (message["content"], message["stop_reason"], message["stop_sequence"]) == ([], None, None)
    assert message["usage"]["input_tokens"] == 7
    assert told[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}


def test_a_short_stream_is_exactly_this():
    lead = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
    assert stream([Piece("He"), Piece("llo")], Finish("length")) == [
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_0190f7a20000700080000123456789ab",'
        b'"type":"message","role":"assistant","model":"odd \\"model\\":7b","content":[],"stop_reason":null,'
        b'"stop_sequence":null,"usage":{"input_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,'
        b'"output_tokens":0,"service_tier":"standard"}}}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        b'"content_block":{"type":"text","text":""}}\n\n' + lead + b'"text":"He"}}\n\n',
        lead + b'"text":"llo"}}\n\n',
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"max_tokens",'
        b'"stop_sequence":null},"usage":{"input_tokens":21,"cache_creation_input_tokens":0,'
        b'"cache_read_input_tokens":0,"output_tokens":3}}\n\n'
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    ]


def test_thinking_that_comes_back_opens_a_block_of_its_own():
    told = events(b"".join(stream([Piece("a"), Piece(thinking="b"), Piece("c", thinking="d")], Finish("stop"))))
    assert blocks_of(told) == [
        {"type": "text", "text": "a"},
        {"type": "thinking", "thinking": "bd", "signature": ""},
        {"type": "text", "text": "c"},
    ]


def test_an_answer_of_nothing_is_a_message_without_blocks():
    told = events(b"".join(stream([], Finish("stop"))))
    assert [event["type"] for event in told] == ["message_start", "message_delta", "message_stop"]


@pytest.mark.parametrize(
    ("reason", "told"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("tool_calls", "tool_use"), ("content_filter", "refusal")],
)
def test_why_an_answer_ended(reason, told):
    assert events(stream([Piece("x")], Finish(reason))[-1])[-2]["delta"]["stop_reason"] == told
    assert json.loads(CLIENT.write_answer(ENVELOPE, ASK, answer(finish=reason)))["stop_reason"] == told


def test_who_gave_the_parts_of_an_answer_is_told_at_its_end():
    last = events(stream([Piece("x")], Finish("stop", spliced=Spliced(1, ["s1", "s2"])))[-1])[-2]
    assert (last["continuations"], last["servers"]) == (1, ["s1", "s2"])
    EVENT.validate_python(last, strict=True)


def test_no_line_end_of_any_alphabet_stands_inside_an_event():
    for frames in stream([Piece(HOSTILE), Piece(HOSTILE), Piece(thinking=HOSTILE)], Finish("stop")):
        for frame in frames.decode().removesuffix("\n\n").split("\n\n"):
            assert len(frame.splitlines()) == 2


def test_keep_alives_are_pings_anywhere():
    writer = CLIENT.stream_writer(ENVELOPE, ASK)
    raw = writer.keep_alive() + writer.piece(Piece("x")) + writer.keep_alive() + writer.finish(Finish("stop"), USAGE)
    assert [event for event in events(raw) if event["type"] == "ping"] == [{"type": "ping"}] * 2


def test_a_failed_stream_ends_in_the_error_object_and_nothing_that_looks_like_an_end():
    lost = e.StreamLost("The model server broke off.", details={"delivered_tokens": 3, "code": "spoofed"})
    raw = CLIENT.stream_writer(ENVELOPE, ASK).error(error_body(lost, "req-1"))
    assert events(raw) == [
        {
            "type": "error",
            "error": {
                "type": "api_error",
                "message": "The model server broke off.",
                "code": "upstream_stream_lost",
                "param": None,
                "retryable": True,
                "delivered_tokens": 3,
            },
            "request_id": "req-1",
        }
    ]


def answer(**fields: Any) -> Answer:
    return Answer(**{"text": "hi", "thinking": "", "tool_calls": [], "finish": "stop", "usage": USAGE, **fields})


def test_an_answer_is_exactly_this():
    assert json.loads(CLIENT.write_answer(ENVELOPE, ASK, answer())) == {
        "id": "msg_0190f7a20000700080000123456789ab",
        "type": "message",
        "role": "assistant",
        "model": 'odd "model":7b',
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 21,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 3,
            "service_tier": "standard",
        },
    }


def test_an_answer_with_everything_satisfies_the_official_types():
    calls = [ToolCall("f", '{"a": 1}', "call_a"), ToolCall("g"), ToolCall("h", "no json", "call_h")]
    raw = CLIENT.write_answer(ENVELOPE, ASK, answer(thinking=HOSTILE, tool_calls=calls, finish="tool_calls"))
    read = Message.model_validate_json(raw, strict=True)
    thinking, said, *used = read.content
    assert (thinking.type, said.type) == ("thinking", "text")
    assert [(block.type == "tool_use" and (block.id, block.name, block.input)) for block in used] == [
        ("call_a", "f", {"a": 1}),
        ("call_80000123456789ab_1", "g", {}),
        ("call_h", "h", {"arguments": "no json"}),
    ]


def test_an_empty_answer_has_no_content_and_not_null():
    raw = CLIENT.write_answer(ENVELOPE, ASK, answer(text=""))
    assert json.loads(raw)["content"] == []
    Message.model_validate_json(raw, strict=True)


def test_a_stream_and_a_whole_answer_tell_the_same():
    collector = Collector(prompt=21)
    for event in [*PIECES, Finish("tool_calls", USAGE)]:
        collector.add(event)
    whole = json.loads(CLIENT.write_answer(ENVELOPE, ASK, collector.answer()))
    told = events(b"".join(stream(PIECES, Finish("tool_calls"))))
    assert whole["content"] == blocks_of(told)
    assert whole["stop_reason"] == told[-2]["delta"]["stop_reason"]
    assert {**told[0]["message"]["usage"], **told[-2]["usage"]} == whole["usage"]


def test_a_count_satisfies_the_official_type():
    raw = COUNT.write_answer(ENVELOPE, ASK, answer(usage=Usage(7, estimated=True)))
    assert MessageTokensCount.model_validate_json(raw, strict=True).input_tokens == 7


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (e.InvalidRequest, "invalid_request_error"),
        (e.InvalidKey, "authentication_error"),
        (e.NoPermittedUpstream, "permission_error"),
        (e.ModelNotFound, "not_found_error"),
        (e.MethodNotAllowed, "invalid_request_error"),
        (e.RequestTimeout, "timeout_error"),
        (e.BodyTooLarge, "request_too_large"),
        (e.QueueFull, "rate_limit_error"),
        (e.InternalError, "api_error"),
        (e.UpstreamFailed, "api_error"),
        (e.NoHealthyUpstream, "overloaded_error"),
        (e.UpstreamTimeout, "timeout_error"),
    ],
)
def test_errors_have_anthropics_types_and_our_codes(error, kind):
    told = error_body(error("What is wrong.", param="x", retry_after=2.5), "req-1")
    assert told == {
        "type": "error",
        "error": {
            "type": kind,
            "message": "What is wrong.",
            "code": error.code,
            "param": "x",
            "retryable": error.retryable,
            "retry_after": 2.5,
        },
        "request_id": "req-1",
    }


def test_a_prompt_that_is_too_long_is_told_in_the_words_that_agents_look_for():
    told = error_body(e.ContextLengthExceeded("The model reads 4096 tokens."), None)
    assert told["error"]["message"] == "prompt is too long: The model reads 4096 tokens."
    assert told["error"]["code"] == "context_length_exceeded"
