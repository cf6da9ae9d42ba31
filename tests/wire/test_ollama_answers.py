"""What Ollama's clients get, compared with what a real Ollama 0.33 sent.

Equal up to times, ids that the server did not give, and where the gateway knows less or does more:
`created_at` is the same in all frames of an answer; `load_duration` and the `context` of generate are never told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ollama import ChatResponse, GenerateResponse

from llm_gateway.errors import InvalidRequest, ModelNotFound, RateLimited, StreamLost
from llm_gateway.wire import ollama, ollama_generate, ollama_upstream
from llm_gateway.wire.collect import Collector
from llm_gateway.wire.dialect import ClientDialect
from llm_gateway.wire.neutral import (
    Answer,
    ChatRequest,
    Envelope,
    Event,
    Finish,
    Message,
    Piece,
    Spliced,
    StreamReader,
    ToolCall,
    ToolPart,
    Usage,
)
from llm_gateway.wire.ollama_frames import error_body, moment

CASES = Path(__file__).parent / "cases"
CHATS = [
    CASES / "ollama" / f"{name}.json"
    for name in ("chat", "chat-stream", "chat-stop", "chat-schema", "chat-think-tools", "chat-think-tools-stream")
] + [CASES / "ollama_clients" / "chat-logprobs.json"]
COMPLETIONS = [CASES / "ollama_clients" / f"generate-{name}.json" for name in ("stream", "raw")]
LOADS = [CASES / "ollama" / "chat-load.json", CASES / "ollama_clients" / "generate-unload.json"]

ENVELOPE = Envelope("0190f7a2-0000-7000-8000-0123456789ab", 1795418262, "physical:7b")
ASK = ChatRequest('odd "name"', [Message("user", "hi")])
USAGE = Usage(21, 3)
HOSTILE = 'a\u2028b\u2029c\u0085d\r\n\n{"error":"x"}\n</script>\x00\u00e9\U0001f600"\\'
BOTH = pytest.mark.parametrize("dialect", [ollama.CLIENT, ollama_generate.CLIENT], ids=lambda d: d.name)


def dialect_of(path: str) -> tuple[ClientDialect, StreamReader]:
    if path == "/api/chat":
        return ollama.CLIENT, ollama_upstream.StreamReader()
    return ollama_generate.CLIENT, ollama_upstream.PromptReader()


def events_of(reader: StreamReader, raw: bytes) -> list[Event]:
    return [*reader.feed(raw), *reader.eof()]


def answer_of(events: Iterable[Event]) -> Answer:
    collector = Collector(prompt=0)
    for event in events:
        collector.add(event)
    return collector.answer()


def comparable(frame: dict[str, Any]) -> list[tuple[str, Any]]:
    """Fields in their order, without what is excepted above. Durations are there or not, whatever they are."""
    kept = {name: value for name, value in frame.items() if name not in ("created_at", "load_duration", "context")}
    return [(name, "…" if name.endswith("_duration") else value) for name, value in kept.items()]


@pytest.mark.parametrize("file", [*CHATS, *COMPLETIONS], ids=lambda file: file.stem)
def test_an_answer_is_what_ollama_itself_sent(file: Path):
    case = json.loads(file.read_text())
    asked, sent = json.dumps(case["request"]["body"]).encode(), case["response"]["body"].encode()
    dialect, reader = dialect_of(case["request"]["path"])
    ask, events = dialect.read_request(asked), events_of(reader, sent)
    recorded = [json.loads(line) for line in sent.splitlines()]
    if ask.stream:
        writer = dialect.stream_writer(ENVELOPE, ask)
        assert writer.content_type == case["response"]["headers"]["content-type"]
        *pieces, finish = events
        assert isinstance(finish, Finish)
        finish.seconds, finish.first_token = 0.03, 0.02
        raw = b"".join(writer.piece(piece) for piece in pieces if isinstance(piece, Piece))
        raw += writer.finish(finish, finish.usage or Usage())
    else:
        answer = answer_of(events)
        answer.seconds, answer.first_token = 0.03, 0.02
        raw = dialect.write_answer(ENVELOPE, ask, answer)
        assert dialect.content_type == case["response"]["headers"]["content-type"]
        assert b"\n" not in raw
    assert [comparable(json.loads(line)) for line in raw.splitlines()] == [comparable(frame) for frame in recorded]


@pytest.mark.parametrize("file", LOADS, ids=lambda file: file.stem)
def test_a_request_without_a_question_is_told_what_ollama_tells(file: Path):
    case = json.loads(file.read_text())
    dialect, _ = dialect_of(case["request"]["path"])
    ask = dialect.read_request(json.dumps(case["request"]["body"]).encode())
    mine = json.loads(dialect.write_answer(ENVELOPE, ask, Answer("", "", [], "stop", Usage())))
    assert comparable(mine) == comparable(json.loads(case["response"]["body"]))


def stream(
    dialect: ClientDialect, pieces: list[Piece], finish: Finish | None = None, usage: Usage = USAGE
) -> list[Any]:
    writer = dialect.stream_writer(ENVELOPE, ASK)
    raw = b"".join([*(writer.piece(piece) for piece in pieces), writer.finish(finish or Finish("stop"), usage)])
    assert raw.endswith(b"}\n")
    return [json.loads(line) for line in raw.decode().splitlines()]  # as httpx's `iter_lines` would cut it


def test_a_stream_of_a_chat_is_exactly_this():
    writer = ollama.CLIENT.stream_writer(ENVELOPE, ASK)
    head = b'{"model":"odd \\"name\\"","created_at":"2026-11-23T07:17:42.000000000Z","message":{"role":"assistant",'
    assert writer.piece(Piece("He")) == head + b'"content":"He"},"done":false}\n'
    assert writer.finish(Finish("length", seconds=0.5, first_token=0.2), USAGE) == (
        head + b'"content":""},"done":true,"done_reason":"length","total_duration":500000000,'
        b'"prompt_eval_count":21,"prompt_eval_duration":200000000,"eval_count":3,"eval_duration":300000000}\n'
    )


@BOTH
def test_no_line_end_of_any_alphabet_stands_inside_a_frame_and_nothing_is_lost(dialect: ClientDialect):
    frames = stream(dialect, [Piece(HOSTILE), Piece(thinking=HOSTILE)])
    said = [frame.get("message", frame) for frame in frames]
    assert said[0].get("content", said[0].get("response")) == HOSTILE
    assert said[1]["thinking"] == HOSTILE
    assert len(frames) == 3


@BOTH
def test_the_official_types_take_every_frame(dialect: ClientDialect):
    kind = ChatResponse if dialect is ollama.CLIENT else GenerateResponse
    for frame in stream(dialect, [Piece("x"), Piece(thinking="hm")], Finish("stop", seconds=2.0, first_token=0.5)):
        kind.model_validate(frame)


def test_calls_come_whole_whatever_the_parts_they_were_made_of():
    frames = stream(
        ollama.CLIENT,
        [
            Piece(tools=[ToolPart(0, "get_weather", "call_a", '{"ci'), ToolPart(1, "get_time", None, "{}")]),
            Piece(tools=[ToolPart(0, arguments='ty":{}')]),
            Piece("x", tools=[ToolPart(0, arguments="\n}"), ToolPart(2, "late", None, "")]),
        ],
    )
    calls = [call for frame in frames for call in frame["message"].get("tool_calls", ())]
    assert calls == [
        {"id": "call_80000123456789ab_1", "function": {"index": 1, "name": "get_time", "arguments": {}}},
        {"id": "call_a", "function": {"index": 0, "name": "get_weather", "arguments": {"city": {}}}},
        {"id": "call_80000123456789ab_2", "function": {"index": 2, "name": "late", "arguments": {}}},
    ]
    assert "".join(frame["message"]["content"] for frame in frames) == "x"
    assert [frame["done"] for frame in frames] == [False, False, False, True]


def test_arguments_that_are_no_object_are_kept_in_one():
    answer = Answer("", "", [ToolCall("f", '{"a"'), ToolCall("g", "[1]"), ToolCall("h", " ")], "tool_calls", USAGE)
    said = json.loads(ollama.CLIENT.write_answer(ENVELOPE, ASK, answer))
    assert [call["function"]["arguments"] for call in said["message"]["tool_calls"]] == [
        {"arguments": '{"a"'},
        {"arguments": "[1]"},
        {},
    ]
    assert said["done_reason"] == "stop"


@BOTH
def test_figures_that_nobody_knows_are_left_out(dialect: ClientDialect):
    *_, last = stream(dialect, [Piece("x")], Finish("stop"), Usage())
    assert not {name for name in last if "duration" in name or "count" in name}
    *_, last = stream(dialect, [Piece("x")], Finish("stop", seconds=2.0))
    assert {name for name in last if "duration" in name} == {"total_duration"}


@BOTH
def test_who_gave_the_parts_of_a_stitched_answer_is_said_at_its_end(dialect: ClientDialect):
    *_, last = stream(dialect, [Piece("x")], Finish("stop", spliced=Spliced(1, ["a", "b"])))
    assert (last["continuations"], last["servers"]) == (1, ["a", "b"])


@BOTH
def test_a_keep_alive_is_no_line_and_the_next_frame_is_still_json(dialect: ClientDialect):
    writer = dialect.stream_writer(ENVELOPE, ASK)
    raw = (
        writer.keep_alive() * 3 + writer.piece(Piece("x")) + writer.keep_alive() + writer.finish(Finish("stop"), USAGE)
    )
    assert [json.loads(line)["done"] for line in raw.decode().splitlines()] == [False, True]


@BOTH
def test_an_error_is_a_text_and_what_programs_test_stands_beside_it(dialect: ClientDialect):
    lost = StreamLost("It broke off.", details={"delivered_tokens": 3, "code": "spoofed", "error": {}})
    body = dialect.error_body(lost, "req-1")
    assert dialect.stream_writer(ENVELOPE, ASK).error(body).count(b"\n") == 1
    assert body == {
        "error": "It broke off.",
        "code": "upstream_stream_lost",
        "request_id": "req-1",
        "retryable": True,
        "delivered_tokens": 3,
    }
    assert error_body(RateLimited("Slow down.", retry_after=2.5), None)["retry_after"] == 2.5
    assert error_body(InvalidRequest("`think` is odd.", param="think"), None)["param"] == "think"


def test_an_unknown_model_is_not_found_in_ollamas_own_words_first():
    error = ModelNotFound("Exposed are: `a`.", details={"model": "nope"})
    assert error_body(error, None)["error"] == "model 'nope' not found. Exposed are: `a`."


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_times_are_those_of_the_calendar(seconds: int):
    known = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    assert moment(seconds) == f"{known.replace(tzinfo=None).isoformat()}.000000000Z"
