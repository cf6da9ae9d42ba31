"""The short way through frames of nothing but words gives the same events as the long one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.errors import Fault
from llm_gateway.wire import ollama_upstream, openai_upstream
from llm_gateway.wire.framing import FrameSplitter
from llm_gateway.wire.neutral import Event
from llm_gateway.wire.readers import FrameReader


class LongOllama(ollama_upstream.StreamReader):
    def _plain(self, frame: bytes, events: list[Event]) -> bool:
        return False


class LongOpenAI(openai_upstream.StreamReader):
    def _plain(self, frame: bytes, events: list[Event]) -> bool:
        return False


ODD = st.sampled_from(["", "a", "é\u2028", None, 0, 1, True, False, [], {}, ["x"], {"text": "x"}])
TEXT = st.sampled_from(["", " a", "é", None])
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
        "done_reason": ODD,
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
        "finish_reason": ODD,
        "logprobs": ODD,
    },
)
CHUNK = st.fixed_dictionaries(
    {},
    optional={
        "object": st.sampled_from(["chat.completion.chunk", "chat.completion", "error", None, 7]),
        "model": ODD,
        "choices": st.lists(CHOICE, max_size=2) | ODD,
        "usage": ODD,
        "error": ODD,
    },
)


def outcome(reader: FrameReader, frames: list[Any]) -> list[object]:
    seen: list[object] = []
    try:
        for frame in frames:
            seen += reader.feed(json.dumps(frame, ensure_ascii=False).encode() + b"\n")
    except Fault as fault:
        seen.append((fault.kind, fault.detail))
    return [*seen, reader.echoed, reader.done]


@given(st.lists(NATIVE, max_size=4))
def test_ollamas_frames_mean_the_same_either_way(frames: list[Any]):
    assert outcome(ollama_upstream.StreamReader(), frames) == outcome(LongOllama(), frames)


@given(st.lists(CHUNK, max_size=4))
def test_openais_chunks_mean_the_same_either_way(frames: list[Any]):
    assert outcome(openai_upstream.StreamReader(), frames) == outcome(LongOpenAI(), frames)


@given(
    st.lists(st.sampled_from([b'{"a":1}', b"\n", b"\r", b"data: ", b"data:", b"[DONE]", b"}", b"x", b" "]), max_size=6)
)
def test_a_read_that_is_one_frame_is_what_splitting_finds(parts: list[bytes]):
    data = b"".join(parts)
    single = FrameSplitter().single(data)
    if single is not None:
        assert list(FrameSplitter().feed(data)) == [single]


@pytest.mark.parametrize("data", [b'{"a":1}\n', b'data: {"a":1}\n\n'])
def test_one_whole_frame_in_a_read_is_known_at_once_unless_something_came_before(data: bytes):
    assert FrameSplitter().single(data) == b'{"a":1}'
    for before in (b'{"b":', b"data: {\n"):
        splitter = FrameSplitter()
        list(splitter.feed(before))
        assert splitter.single(data) is None
    assert FrameSplitter(max_line=5).single(data) is None
