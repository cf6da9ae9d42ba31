"""What clients get, checked with the official client's own parser and types."""

from __future__ import annotations

import json

import pytest
from openai._streaming import SSEDecoder
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from llm_gateway.errors import InvalidRequest, RateLimited, StreamLost
from llm_gateway.wire.collect import Collector
from llm_gateway.wire.errors import error_body
from llm_gateway.wire.neutral import Answer, ChatRequest, Envelope, Finish, Message, Piece, ToolCall, ToolPart, Usage
from llm_gateway.wire.registry import CLIENTS

ENVELOPE = Envelope("0190f7a2-0000-7000-8000-0123456789ab", 1795418262, 'odd "model":7b')
ASK = ChatRequest("m", [])
USAGE = Usage(21, 3)
CHUNKED = ("native", "openai")
"""The dialects that share `chat.completion` objects."""
HOSTILE = 'a\u2028b\u2029c\u0085d\r\n\ndata: x\n\n: y</script>\x00\u00e9\U0001f600"\\'
LOGPROBS = [{"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}]
PIECES = [
    Piece(thinking="hm"),
    Piece("Let me "),
    Piece(HOSTILE),
    Piece("x", logprobs=LOGPROBS),
    Piece(tools=[ToolPart(0, "get_weather", "call_a", '{"ci')]),
    Piece(tools=[ToolPart(0, arguments='ty":1}')]),
    Piece(tools=[ToolPart(1, "get_time", None, "{}")]),
]


def stream(dialect: str, pieces: list[Piece], *, include_usage: bool = False, reason="stop") -> list[bytes]:
    ask = ChatRequest("m", [Message("user", "hi")], include_usage=include_usage)
    writer = CLIENTS[dialect].stream_writer(ENVELOPE, ask)
    return [*(writer.piece(piece) for piece in pieces), writer.finish(Finish(reason), USAGE)]


def events(raw: bytes) -> list[str]:
    return [event.data for event in SSEDecoder().iter_bytes(iter([raw]))]


@pytest.mark.parametrize("dialect", CHUNKED)
@pytest.mark.parametrize("include_usage", [False, True])
def test_every_chunk_satisfies_the_official_types_and_nothing_is_lost(dialect, include_usage):
    *chunks, last = events(b"".join(stream(dialect, PIECES, include_usage=include_usage, reason="tool_calls")))
    assert last == "[DONE]"
    read = [ChatCompletionChunk.model_validate_json(chunk, strict=True) for chunk in chunks]
    assert {(chunk.created, chunk.model) for chunk in read} == {(1795418262, 'odd "model":7b')}
    deltas = [chunk.choices[0].delta for chunk in read if chunk.choices]
    assert [delta.role for delta in deltas if delta.role] == ["assistant"]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == "".join(piece.text for piece in PIECES)
    assert "".join(delta.model_extra.get("reasoning", "") for delta in deltas) == "hm"
    calls = [call for delta in deltas for call in delta.tool_calls or []]
    assert [(c.index, c.id, c.function.name, c.function.arguments) for c in calls] == [
        (0, "call_a", "get_weather", '{"ci'),
        (0, None, None, 'ty":1}'),
        (1, "call_80000123456789ab_1", "get_time", "{}"),
    ]
    reasons = [chunk.choices[0].finish_reason for chunk in read if chunk.choices]
    assert reasons == [None] * len(PIECES) + ["tool_calls"]
    assert read[3].choices[0].logprobs.content[0].token == "a"


def test_a_native_stream_is_exactly_this():
    head = b'"id":"0190f7a2-0000-7000-8000-0123456789ab","object":"chat.completion.chunk","created":1795418262,'
    head = b"data: {" + head + b'"model":"odd \\"model\\":7b","choices":[{"index":0,"delta":'
    assert stream("native", [Piece("He"), Piece("llo")], reason="length") == [
        head + b'{"role":"assistant","content":"He"},"finish_reason":null}]}\n\n',
        head + b'{"content":"llo"},"finish_reason":null}]}\n\n',
        head
        + b'{},"finish_reason":"length"}],"usage":{"prompt_tokens":21,"completion_tokens":3,"total_tokens":24}}\n\n'
        + b"data: [DONE]\n\n",
    ]


def test_openais_usage_comes_alone_and_only_when_asked_for():
    quiet = [json.loads(chunk) for chunk in events(b"".join(stream("openai", [Piece("x")])))[:-1]]
    assert not any("usage" in chunk for chunk in quiet)
    asked = [json.loads(chunk) for chunk in events(b"".join(stream("openai", [Piece("x")], include_usage=True)))[:-1]]
    assert [chunk["usage"] for chunk in asked[:-1]] == [None, None]
    assert asked[-1]["choices"] == []
    assert asked[-1]["usage"] == {"prompt_tokens": 21, "completion_tokens": 3, "total_tokens": 24}
    assert asked[-1]["id"] == asked[0]["id"] == "chatcmpl-0190f7a2-0000-7000-8000-0123456789ab"


@pytest.mark.parametrize("dialect", CHUNKED)
def test_no_line_end_of_any_alphabet_stands_inside_a_frame(dialect):
    for frame in stream(dialect, [Piece("x"), Piece(HOSTILE), Piece(thinking=HOSTILE)])[:-1]:
        assert frame.endswith(b"\n\n")
        assert len(frame.decode().splitlines()) == 2


@pytest.mark.parametrize(("dialect", "start"), [("native", b"event: error\ndata: {"), ("openai", b"data: {")])
def test_a_failed_stream_ends_in_the_error_object_and_no_done(dialect, start):
    lost = StreamLost("The model server broke off.", details={"delivered_tokens": 3, "code": "spoofed"})
    made = CLIENTS[dialect]
    event = made.stream_writer(ENVELOPE, ASK).error(made.error_body(lost, "req-1"))
    assert event.startswith(start)
    assert b"[DONE]" not in event
    (data,) = events(event)
    assert json.loads(data)["error"] == {
        "message": "The model server broke off.",
        "type": "server_error",
        "code": "upstream_stream_lost",
        "param": None,
        "request_id": "req-1",
        "retryable": True,
        "delivered_tokens": 3,
    }


def test_keep_alives_are_comments_that_the_official_parser_passes_over():
    writer = CLIENTS["openai"].stream_writer(ENVELOPE, ASK)
    raw = writer.keep_alive() + writer.piece(Piece("x")) + writer.keep_alive() + writer.finish(Finish("stop"), USAGE)
    assert len(events(raw)) == 3


def answer(**fields) -> Answer:
    return Answer(**{"text": "hi", "thinking": "", "tool_calls": [], "finish": "stop", "usage": USAGE, **fields})


def test_a_native_answer_is_exactly_this():
    assert json.loads(CLIENTS["native"].write_answer(ENVELOPE, ASK, answer())) == {
        "id": "0190f7a2-0000-7000-8000-0123456789ab",
        "object": "chat.completion",
        "created": 1795418262,
        "model": 'odd "model":7b',
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 21, "completion_tokens": 3, "total_tokens": 24},
    }


def test_an_openai_answer_satisfies_the_official_types_and_holds_the_required_nulls():
    plain = CLIENTS["openai"].write_answer(ENVELOPE, ASK, answer(thinking="hm"))
    read = ChatCompletion.model_validate_json(plain, strict=True)
    assert read.choices[0].message.content == "hi"
    choice = json.loads(plain)["choices"][0]
    assert choice["logprobs"] is None
    assert choice["message"] == {"role": "assistant", "content": "hi", "reasoning": "hm", "refusal": None}
    calls = [ToolCall("f", '{"a":1}', "call_a"), ToolCall("g")]
    full = answer(text="", tool_calls=calls, finish="tool_calls", logprobs=LOGPROBS)
    read = ChatCompletion.model_validate_json(CLIENTS["openai"].write_answer(ENVELOPE, ASK, full), strict=True)
    assert read.choices[0].message.content is None
    made = [(c.id, c.function.name, c.function.arguments) for c in read.choices[0].message.tool_calls]
    assert made == [("call_a", "f", '{"a":1}'), ("call_80000123456789ab_1", "g", "{}")]


@pytest.mark.parametrize("dialect", CHUNKED)
def test_a_stream_and_a_whole_answer_tell_the_same(dialect):
    collector = Collector(prompt=21)
    for event in [*PIECES, Finish("tool_calls", USAGE)]:
        collector.add(event)
    whole = json.loads(CLIENTS[dialect].write_answer(ENVELOPE, ASK, collector.answer()))["choices"][0]
    chunks = [json.loads(chunk) for chunk in events(b"".join(stream(dialect, PIECES, reason="tool_calls")))[:-1]]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert whole["message"]["content"] == "".join(delta.get("content") or "" for delta in deltas)
    assert whole["finish_reason"] == chunks[-1]["choices"][0]["finish_reason"]
    streamed = [call for delta in deltas for call in delta.get("tool_calls", []) if "id" in call]
    assert [call["id"] for call in whole["message"]["tool_calls"]] == [call["id"] for call in streamed]


def test_the_error_object_has_the_fields_of_the_contract():
    wrong = error_body(InvalidRequest("`n` is odd.", param="n"), "req-1")
    assert wrong == {
        "error": {
            "message": "`n` is odd.",
            "type": "invalid_request_error",
            "code": "invalid_request",
            "param": "n",
            "request_id": "req-1",
            "retryable": False,
        }
    }
    assert error_body(RateLimited("Slow down.", retry_after=2.5), None)["error"]["retry_after"] == 2.5
