"""The short way through frames of nothing but words gives the same events as the long one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm_gateway.errors import Fault
from llm_gateway.wire import ollama_upstream, openai_upstream
from llm_gateway.wire.framing import FrameSplitter
from llm_gateway.wire.neutral import Event, Piece
from llm_gateway.wire.readers import FrameReader


class LongOllama(ollama_upstream.StreamReader):
    def _plain(self, frames: Iterator[bytes], events: list[Event]) -> bytes | None:
        return next(frames, None)


class LongOpenAI(openai_upstream.StreamReader):
    def _plain(self, frames: Iterator[bytes], events: list[Event]) -> bytes | None:
        return next(frames, None)


ODD = st.sampled_from(["", "a", "é\u2028", None, 0, 1, True, False, [], {}, ["x"], {"text": "x"}])
TEXT = st.sampled_from(["", " a", "é", None])
COUNT = st.sampled_from([1, 7, -1, 2.0, 7.5, "7", 2**31 - 1, 2**31, 2**63, 2**64, 10**20])
NATIVE = st.fixed_dictionaries(
    {},
    optional={
        "model": ODD,
        "created_at": st.just("2026-11-23T06:56:07Z"),
        "message": ODD
        | st.fixed_dictionaries(
            {}, optional={"role": ODD, "content": TEXT | ODD, "thinking": TEXT | ODD, "tool_calls": ODD}
        ),
        "done": st.booleans() | ODD,
        "done_reason": ODD | st.sampled_from(["stop", "length", "load"]),
        "prompt_eval_count": ODD | COUNT,
        "eval_count": ODD | COUNT,
        "logprobs": ODD,
        "error": ODD,
        "object": st.sampled_from(["error", "x", None]),
    },
)
DELTA = st.fixed_dictionaries(
    {},
    optional={
        "role": ODD,
        "content": TEXT | ODD,
        "reasoning": TEXT,
        "reasoning_content": TEXT | ODD,
        "refusal": ODD,
        "tool_calls": ODD,
    },
)
CHOICE = st.fixed_dictionaries(
    {},
    optional={
        "index": st.sampled_from([0, 0, 1, None, "0", 0.0]),
        "delta": DELTA | ODD,
        "message": DELTA | ODD,
        "finish_reason": ODD | st.sampled_from(["stop", "length", "error", "content_filter"]),
        "logprobs": ODD,
    },
)
CHUNK = st.fixed_dictionaries(
    {},
    optional={
        "object": st.sampled_from(["chat.completion.chunk", "chat.completion", "error", None, 7]),
        "model": ODD,
        "choices": st.lists(CHOICE, max_size=2) | ODD,
        "usage": ODD
        | st.fixed_dictionaries({}, optional={"prompt_tokens": ODD | COUNT, "completion_tokens": ODD | COUNT}),
        "error": ODD,
    },
)


def outcome(reader: FrameReader, reads: list[bytes]) -> list[object]:
    seen: list[object] = []
    try:
        for data in reads:
            seen += reader.feed(data)
        if reader.fault is not None:
            raise reader.fault
    except Fault as fault:
        seen.append((fault.kind, fault.detail))
    return [*seen, reader.echoed, reader.done]


def outcome_of_words(reader: FrameReader, reads: list[bytes]) -> list[object]:
    """As `outcome`, where each read is looked at as a word first."""
    seen: list[object] = []
    try:
        for data in reads:
            piece = reader.word(data) if reader.fault is None and not reader.done else None
            seen += reader.feed(data) if piece is None else [piece]
        if reader.fault is not None:
            raise reader.fault
    except Fault as fault:
        seen.append((fault.kind, fault.detail))
    return [*seen, reader.echoed, reader.done]


def written(frames: list[Any], begin: bytes, end: bytes) -> list[bytes]:
    return [begin + json.dumps(frame, ensure_ascii=False).encode() + end for frame in frames]


@given(st.lists(NATIVE, max_size=4))
def test_ollamas_frames_mean_the_same_either_way(frames: list[Any]):
    reads = written(frames, b"", b"\n")
    for given_as in (reads, [b"".join(reads)]):
        assert outcome(ollama_upstream.StreamReader(), given_as) == outcome(LongOllama(), reads)
    assert outcome_of_words(ollama_upstream.StreamReader(), reads) == outcome(LongOllama(), reads)


@given(st.lists(CHUNK, max_size=4))
def test_openais_chunks_mean_the_same_either_way(frames: list[Any]):
    reads = written(frames, b"data: ", b"\n\n")
    for given_as in (reads, [b"".join(reads)]):
        assert outcome(openai_upstream.StreamReader(), given_as) == outcome(LongOpenAI(), reads)
    assert outcome_of_words(openai_upstream.StreamReader(), reads) == outcome(LongOpenAI(), reads)


@given(st.lists(NATIVE, max_size=4))
def test_a_stream_of_ollamas_that_flows_is_read_as_one_that_does_not(frames: list[Any]):
    reads = written([{"model": "m", "message": {"content": "a"}, "done": False}, *frames], b"", b"\n")
    assert outcome_of_words(ollama_upstream.StreamReader(), reads) == outcome(LongOllama(), reads)


@given(st.lists(CHUNK, max_size=4))
def test_a_stream_of_openais_that_flows_is_read_as_one_that_does_not(frames: list[Any]):
    reads = written([{"model": "m", "choices": [{"delta": {"content": "a"}}]}, *frames], b"data: ", b"\n\n")
    assert outcome_of_words(openai_upstream.StreamReader(), reads) == outcome(LongOpenAI(), reads)


WORD: Final = b'{"model":"m","message":{"content":" word"},"done":false}\n'
CHUNK_OF_A_WORD: Final = b'data: {"model":"m","choices":[{"delta":{"content":" word"}}]}\n\n'


@pytest.mark.parametrize(
    ("reader", "word"), [(ollama_upstream.StreamReader, WORD), (openai_upstream.StreamReader, CHUNK_OF_A_WORD)]
)
def test_a_word_is_known_as_one_once_a_frame_came_before_it(reader: type[FrameReader], word: bytes):
    flowing = reader()
    assert flowing.word(word) is None
    assert flowing.feed(word) == [Piece(" word")]
    assert flowing.word(word) == Piece(" word")
    for other in (word + word, word[:-1], word[1:], word + b"\n", b"", b"\n", b"data: [DONE]\n\n"):
        assert flowing.word(other) is None
    flowing.feed(word[:20])
    assert flowing.word(word) is None, "behind the begin of another frame it is a part of that"


class Recorder(FrameReader):
    """Keeps the frames as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[object] = []

    def _read(self, frame: bytes, events: list[Event]) -> None:
        self.seen.append(frame)


def recorded(reads: Iterable[bytes]) -> list[object]:
    reader = Recorder()
    try:
        for data in reads:
            reader.feed(data)
    except Fault as fault:
        reader.seen.append((fault.kind, fault.detail))
    return reader.seen


@given(
    st.lists(
        st.sampled_from(
            [
                *(b'{"a":1}', b'{"a":1}\n', b'data: {"a":1}\n\n', b"data: [DONE]\n\n", b": c\n\n", b"data: x\n\n"),
                *(b"\n", b"\r", b"data: ", b"data:", b"[DONE]", b"}", b"{", b"x", b" ", b"{\n", b"}\n"),
            ]
        ),
        max_size=6,
    )
)
@example([b'data: {"a":1}\n\n', b"data: {\n\n", b"data: }\n\n", b"data: [DONE]\n\n"])
@example([b'{"a":1}\n', b"data: {\n", b"data: }\n", b"\n", b'{"a":1}\n'])
def test_a_read_of_whole_frames_is_what_splitting_finds(parts: list[bytes]):
    data = b"".join(parts)
    assert recorded([data]) == recorded(data[n : n + 1] for n in range(len(data)))


@pytest.mark.parametrize(("begin", "end"), [(b"", b"\n"), (b"data: ", b"\n\n")])
@pytest.mark.parametrize("count", [1, 3])
def test_whole_frames_in_a_read_are_known_at_once_unless_something_came_before(begin: bytes, end: bytes, count: int):
    data = (begin + b'{"a":1}' + end) * count
    assert FrameSplitter().whole(data) == [b'{"a":1}'] * count
    for before in (b'{"b":', b"data: {\n"):
        splitter = FrameSplitter()
        list(splitter.feed(before))
        assert splitter.whole(data) is None
    assert FrameSplitter(max_line=5).whole(data) is None


def test_the_marker_at_the_end_of_a_read_is_a_frame_of_its_own():
    assert FrameSplitter().whole(b'data: {"a":1}\n\ndata: [DONE]\n\n') == [b'{"a":1}', b"[DONE]"]
