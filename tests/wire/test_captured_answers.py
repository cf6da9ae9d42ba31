"""What real servers sent, read whole, split anywhere and cut anywhere."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_cases import CASES, Case, cases, read_all, read_case

from llm_gateway.wire.collect import Collector
from llm_gateway.wire.neutral import Finish, Piece, ToolPart, Usage
from llm_gateway.wire.registry import SERVERS

ANSWERS = [*cases("ollama"), *cases("openai")]
STREAMS = [case for case in ANSWERS if b"\n" in case.values[0].body.strip()]


@pytest.mark.parametrize("case", ANSWERS)
def test_a_captured_answer_is_read_as_it_was_meant(case: Case):
    reader = case.reader()
    events, fault = read_all(reader, [case.body])
    if "fault" in case.expect:
        assert fault == case.expect["fault"]
        assert "".join(event.text for event in events if isinstance(event, Piece)) == case.expect["text"]
        return
    assert fault is None
    collector = Collector(prompt=0)
    for event in events:
        collector.add(event)
    answer = collector.answer()
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert {
        "text": answer.text,
        "thinking": answer.thinking,
        "tool_calls": [{"name": c.name, "id": c.id, "arguments": c.arguments} for c in answer.tool_calls],
        "finish": answer.finish,
        "usage": None if finish.usage is None else [finish.usage.input, finish.usage.output],
        "pieces": len(events) - 1,
        "echoed": reader.echoed,
    } == case.expect


def test_ollamas_frames_become_exactly_these_events():
    case = read_case(CASES / "ollama" / "chat-stream.json")
    events, _ = read_all(case.reader(), [case.body])
    assert events == [Piece(" w000"), Piece(" w001"), Piece(" w002"), Finish("length", Usage(21, 3))]


def test_llama_cpps_argument_fragments_keep_their_call():
    case = read_case(CASES / "openai" / "llamacpp-tools-stream.json")
    events, _ = read_all(case.reader(), [case.body])
    parts = [part for event in events if isinstance(event, Piece) for part in event.tools]
    assert parts[0] == ToolPart(0, "get_weather", "Og0QvIHsdwnhlQthZTA36l5gBWfLWQxc", "{")
    assert parts[1] == ToolPart(0, arguments='"')
    assert [part.name for part in parts if part.name] == ["get_weather", "get_time"]


@pytest.mark.parametrize("case", STREAMS)
def test_split_at_any_byte_gives_the_same_events(case: Case):
    whole = read_all(case.reader(), [case.body])
    assert read_all(case.reader(), [case.body[i : i + 1] for i in range(len(case.body))]) == whole
    for at in range(len(case.body)):
        assert read_all(case.reader(), [case.body[:at], case.body[at:]]) == whole, at


@pytest.mark.parametrize("case", STREAMS)
def test_cut_after_any_byte_is_a_cut_unless_the_terminal_marker_was_there(case: Case):
    whole, _ = read_all(case.reader(), [case.body])
    text = "".join(event.text for event in whole if isinstance(event, Piece))
    complete_from = _end_of_terminal_frame(case)
    for at in range(len(case.body) + 1):
        events, fault = read_all(case.reader(), [case.body[:at]])
        if at < complete_from:
            assert fault == "cut", at
        else:
            assert fault is None, at
        assert text.startswith("".join(event.text for event in events if isinstance(event, Piece)))


def _end_of_terminal_frame(case: Case) -> float:
    """The number of bytes after which the server has said how the answer ended."""
    seen = 0
    for line in case.body.split(b"\n"):
        payload = line.removeprefix(b"data: ")
        if payload.startswith(b"{"):
            frame = json.loads(payload)
            if frame.get("done") or any(choice["finish_reason"] for choice in frame.get("choices", ())):
                return seen + len(line)
        seen += len(line) + 1
    return float("inf")


LINES = [
    b'{"model":"m","message":{"role":"assistant","content":"caf\xc3\xa9 \xe2\x80\xa8\xf0\x9f\x98\x80"},"done":false}',
    b'{"model":"m","message":{"content":"","thinking":"hm"},"done":false}',
    b'{"model":"m","message":{"content":" x"},"done":true,"done_reason":"stop"}',
    b'{"error":"an error was encountered while running the model: unexpected EOF"}',
    b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}',
    b'data:{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
    b"data: [DONE]",
    b'data: {"error":{"message":"boom","code":500}}',
    b'data: {"choices":',
    b"data: []}",
    b": ping",
    b"event: ping",
    b"",
    b"<html>",
    b"\xff\xfe",
    b'{"a":' + b"[" * 70,
    b'{"message":{"content":7},"done":false}',
]


@pytest.mark.parametrize("dialect", sorted(SERVERS))
@settings(max_examples=400, deadline=None)
@given(
    lines=st.lists(st.sampled_from(LINES), max_size=8),
    ending=st.sampled_from([b"\n", b"\r\n", b"\n\n"]),
    last=st.sampled_from([b"", b"\n"]),
    cuts=st.lists(st.integers(0, 900), max_size=6),
)
def test_any_mixture_of_lines_means_the_same_however_it_is_split(dialect, lines, ending, last, cuts):
    body = ending.join(lines) + last
    at = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    chunks = [body[a:b] for a, b in pairwise(at)]
    dialect = SERVERS[dialect]
    assert read_all(dialect.stream_reader(), chunks) == read_all(dialect.stream_reader(), [body])


@pytest.mark.parametrize("dialect", sorted(SERVERS))
@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=200))
def test_no_bytes_whatever_make_a_reader_fail_in_another_way_than_a_fault(dialect, body):
    read_all(SERVERS[dialect].stream_reader(), [body])
