"""Servers that are not quite what they should be, frame by frame."""

from __future__ import annotations

import json

import pytest

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.wire import ollama_upstream as ollama
from llm_gateway.wire import openai_upstream as openai
from llm_gateway.wire.neutral import Event, Finish, Piece, StreamReader, ToolPart, Usage


def read(reader: StreamReader, *frames: object, end: str = "\n") -> list[Event]:
    data = "".join((frame if isinstance(frame, str) else json.dumps(frame)) + end for frame in frames)
    return reader.feed(data.encode()) + reader.eof()


def fails(reader: StreamReader, *frames: object) -> FaultKind:
    with pytest.raises(Fault) as caught:
        read(reader, *frames)
    assert reader.fault is caught.value
    return caught.value.kind


def native(content: object = "x", **fields: object) -> dict[str, object]:
    return {"model": "m", "message": {"role": "assistant", "content": content}, "done": False, **fields}


def chunk(finish: str | None = None, **delta: object) -> dict[str, object]:
    return {"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


# ---- both ----


def test_tokens_that_came_with_an_error_in_the_same_bytes_are_not_lost():
    reader = ollama.StreamReader()
    boom = '{"error":"an error was encountered while running the model: unexpected EOF"}\n'
    assert reader.feed((json.dumps(native("a")) + "\n" + boom).encode()) == [Piece("a")]
    assert reader.fault is not None
    assert reader.fault.kind is FaultKind.SERVER_ERROR
    for call in (lambda: reader.feed(b"more"), reader.eof):
        with pytest.raises(Fault) as caught:
            call()
        assert caught.value is reader.fault


@pytest.mark.parametrize("make", [ollama.StreamReader, openai.StreamReader])
def test_an_error_as_the_only_line_of_a_200_is_that_error(make):
    assert fails(make(), '{"error":"model \'x\' not found"}') is FaultKind.MODEL_MISSING
    assert fails(make(), {"error": {"message": "Loading model", "code": 503}}) is FaultKind.BUSY


@pytest.mark.parametrize("make", [ollama.StreamReader, openai.StreamReader])
@pytest.mark.parametrize("page", ["<!doctype html>", "Ollama is running", '{"status":"ok"}', '{"hello":{}}'])
def test_another_service_behind_the_port_is_told(make, page):
    assert fails(make(), page) is FaultKind.NOT_THE_PROTOCOL


@pytest.mark.parametrize("make", [ollama.StreamReader, openai.StreamReader])
@pytest.mark.parametrize("body", ["", "\n\n\n", ": ping\n\n"])
def test_an_empty_body_is_a_cut(make, body):
    assert fails(make(), body) is FaultKind.CUT


def test_one_dialect_on_the_others_path_is_not_the_protocol():
    assert fails(ollama.StreamReader(), chunk(content="x")) is FaultKind.NOT_THE_PROTOCOL
    assert fails(openai.StreamReader(), native()) is FaultKind.NOT_THE_PROTOCOL


def test_a_strange_frame_in_mid_stream_does_no_harm():
    reader = openai.StreamReader()
    assert read(reader, chunk(content="x"), {"type": "ping"}, chunk("stop"))[0] == Piece("x")


# ---- Ollama ----


def test_metrics_may_be_missing_and_odd():
    assert read(ollama.StreamReader(), native(done=True))[-1] == Finish("stop", None)
    odd = native(done=True, prompt_eval_count="9", eval_count=4, done_reason=7)
    assert read(ollama.StreamReader(), odd)[-1] == Finish("stop", Usage(0, 4))
    assert read(ollama.StreamReader(), native(done=True, eval_count=10**30))[-1] == Finish("stop", None)


@pytest.mark.parametrize("reason", ["load", "unload", "stop", "length", None])
def test_a_finished_answer_without_content_is_empty(reason):
    assert fails(ollama.StreamReader(), native("", done=True, done_reason=reason)) is FaultKind.EMPTY
    assert read(ollama.StreamReader(), native("x"), native("", done=True, done_reason=reason))[0] == Piece("x")


def test_thoughts_alone_are_an_answer_only_when_the_limit_cut_them():
    thought = {"message": {"content": "", "thinking": "hm"}, "done": False}
    assert read(ollama.StreamReader(), thought, native("", done=True, done_reason="length"))[-1] == Finish("length")
    reader = ollama.StreamReader()
    assert reader.feed(json.dumps(thought).encode() + b"\n") == [Piece(thinking="hm")]
    assert fails(reader, native("", done=True, done_reason="stop")) is FaultKind.EMPTY


def test_done_false_as_the_only_object_is_a_cut():
    assert fails(ollama.StreamReader(), native("")) is FaultKind.CUT
    assert fails(ollama.StreamReader(), native("", done="false")) is FaultKind.CUT


def test_frames_after_done_are_ignored():
    done = native("", done=True)
    events = read(ollama.StreamReader(), native("a"), done, done, native("b"), "<html>")
    assert events == [Piece("a"), Finish("stop")]


def test_ollamas_frames_may_come_as_sse_or_crlf():
    for end in ("\r\n", "\n\n"):
        frames = ["data: " + json.dumps(frame) for frame in (native("a"), native("b", done=True))]
        assert read(ollama.StreamReader(), *frames, "data: [DONE]", end=end) == [
            Piece("a"),
            Piece("b"),
            Finish("stop"),
        ]


def test_content_may_be_null_or_parts_but_not_something_else():
    events = read(
        ollama.StreamReader(),
        native(None),
        native([{"type": "text", "text": "a"}, "b"]),
        native("", done=True),
    )
    assert events == [Piece("ab"), Finish("stop")]
    for odd in (7, {"text": "x"}, True):
        assert fails(ollama.StreamReader(), native(odd)) is FaultKind.BAD_FRAME


def test_think_tags_stay_text():
    assert read(ollama.StreamReader(), native("<think>a</think>b", done=True))[0] == Piece("<think>a</think>b")


def test_ollamas_calls_are_numbered_and_end_with_tool_calls():
    calls = [{"function": {"name": "f", "arguments": {"b": 1, "a": "é"}}}, {"id": "", "function": {"name": "g"}}]
    frame = {"message": {"content": "", "tool_calls": calls}, "done": False}
    more = {"message": {"content": "", "tool_calls": [{"function": {"name": "h", "arguments": '{"x":1}'}}]}}
    events = read(ollama.StreamReader(), frame, more, native("", done=True, done_reason="stop"))
    assert [part for event in events[:-1] for part in event.tools] == [
        ToolPart(0, "f", None, '{"b":1,"a":"é"}'),
        ToolPart(1, "g", None, "{}"),
        ToolPart(2, "h", None, '{"x":1}'),
    ]
    assert events[-1] == Finish("tool_calls")


@pytest.mark.parametrize("call", [7, {}, {"function": {}}, {"function": {"name": ""}}, {"function": {"name": 3}}])
def test_a_call_without_a_name_is_a_bad_frame(call):
    assert fails(ollama.StreamReader(), {"message": {"tool_calls": [call]}, "done": False}) is FaultKind.BAD_FRAME
    assert fails(openai.StreamReader(), chunk(tool_calls=[call])) is FaultKind.BAD_FRAME


# ---- OpenAI ----


def test_usage_is_found_wherever_it_is():
    usage = {"usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    zero = {"usage": {"prompt_tokens": 0, "completion_tokens": 0}}
    want = [Piece("x"), Finish("stop", Usage(5, 2))]
    assert read(openai.StreamReader(), chunk(content="x"), chunk("stop"), {"choices": [], **usage}) == want
    assert read(openai.StreamReader(), chunk(content="x"), {**chunk("stop"), **usage}) == want
    assert (
        read(openai.StreamReader(), {**chunk(content="x"), **zero}, {**chunk("stop"), **usage}, "data: [DONE]") == want
    )
    for later in (None, zero["usage"], 7):
        assert read(openai.StreamReader(), {**chunk(content="x"), **usage}, {**chunk("stop"), "usage": later}) == want


def test_the_finish_waits_for_done_or_the_end():
    reader = openai.StreamReader()
    assert reader.feed(b"data: " + json.dumps(chunk("stop", content="x")).encode() + b"\n\n") == [Piece("x")]
    assert not reader.done
    assert reader.feed(b"data: [DONE]\n\n") == [Finish("stop")]
    assert reader.done
    assert reader.eof() == []


def test_done_alone_ends_an_answer_but_not_an_empty_one():
    assert read(openai.StreamReader(), chunk(content="x"), "data: [DONE]")[-1] == Finish("stop")
    assert fails(openai.StreamReader(), chunk(content=""), "data: [DONE]") is FaultKind.EMPTY


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("stop", "stop"), ("length", "length"), ("content_filter", "content_filter"), ("eos", "stop")],
)
def test_reasons_are_translated(theirs, ours):
    assert read(openai.StreamReader(), chunk(theirs, content="x"))[-1] == Finish(ours)


def test_a_server_that_says_it_broke_off_is_believed():
    for reason in ("error", "abort"):
        assert fails(openai.StreamReader(), chunk(reason)) is FaultKind.SERVER_ERROR


def test_a_filtered_answer_may_be_empty():
    assert read(openai.StreamReader(), chunk("content_filter")) == [Finish("content_filter")]


def test_thoughts_have_two_names_and_refusals_are_text():
    frames = [chunk(reasoning="a"), chunk(reasoning_content="b", content=None), chunk("stop", refusal="no")]
    assert read(openai.StreamReader(), *frames)[:-1] == [Piece(thinking="a"), Piece(thinking="b"), Piece("no")]


def test_calls_that_all_claim_index_0_are_told_apart_by_their_ids():
    def call(given, name, arguments):
        return chunk(tool_calls=[{"index": 0, "id": given, "function": {"name": name, "arguments": arguments}}])

    events = read(
        openai.StreamReader(),
        call("a", "f", "{}"),
        call("b", "g", '{"x"'),
        call("b", "g", ":1}"),
        chunk("stop"),
    )
    assert [part for event in events[:-1] for part in event.tools] == [
        ToolPart(0, "f", "a", "{}"),
        ToolPart(1, "g", "b", '{"x"'),
        ToolPart(1, arguments=":1}"),
    ]
    assert events[-1] == Finish("tool_calls")


def test_other_choices_than_the_first_are_not_mixed_in():
    two = {"choices": [{"index": 1, "delta": {"content": "other"}}, {"index": 0, "delta": {"content": "x"}}]}
    assert read(openai.StreamReader(), two, chunk("stop"))[0] == Piece("x")


@pytest.mark.parametrize("odd", [{"choices": 7}, {"choices": ["x"]}, {"choices": [{"delta": "x"}]}, chunk(content=7)])
def test_choices_of_another_shape_are_bad_frames(odd):
    assert fails(openai.StreamReader(), chunk(content=""), odd) is FaultKind.BAD_FRAME


def test_vllms_own_error_shape_is_an_error():
    odd = {"object": "error", "message": "maximum context length is 9", "type": "BadRequestError", "code": 400}
    assert fails(openai.StreamReader(), odd) is FaultKind.CONTEXT


def test_the_model_a_server_names_is_remembered():
    reader = openai.StreamReader()
    read(reader, {"model": "", "choices": []}, chunk(content="x"), {**chunk("stop"), "model": "other"})
    assert reader.echoed == "m"
