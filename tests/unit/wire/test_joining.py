"""Frames that come in one read are one piece, and nothing else about the answer changes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.wire.checked import MOST_REPEATED, CheckedReader
from llm_gateway.wire.collect import Meter
from llm_gateway.wire.joining import MOST_JOINED
from llm_gateway.wire.neutral import ChatRequest, Event, Finish, Message, Piece
from llm_gateway.wire.ollama_upstream import StreamReader

ASK = ChatRequest("m", [Message("user", "Hello?")])
LAST = b'{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}\n'


def frame(text: str, thinking: str = "", **more: object) -> bytes:
    message = {"role": "assistant", "content": text} | ({"thinking": thinking} if thinking else {})
    return json.dumps({"model": "m", "message": message, "done": False, **more}).encode() + b"\n"


def read(parts: list[bytes], ask: ChatRequest = ASK, **how: object) -> list[Event]:
    reader = CheckedReader(StreamReader(), ask, **how)  # type: ignore[arg-type]
    return [event for part in parts for event in reader.feed(part)]


def told(events: list[Event]) -> tuple[object, ...]:
    """What there is to know of an answer, however its pieces came."""
    meter = Meter()
    meter.add_all(events)
    pieces = [event for event in events if isinstance(event, Piece)]
    said = "".join(piece.text for piece in pieces), "".join(piece.thinking for piece in pieces)
    ends = [event.reason for event in events if isinstance(event, Finish)]
    return said, ends, meter.pieces, meter.tokens, meter.size, meter.most


def test_frames_of_one_read_are_one_piece() -> None:
    (piece, finish) = read([b"".join(frame(word) for word in ("Good", " morning", ", all")) + LAST])
    assert piece == Piece("Good morning, all", frames=3, tokens=3)
    assert isinstance(finish, Finish)


def test_a_frame_alone_stays_as_it_is() -> None:
    assert read([frame("Good"), frame(" morning")]) == [Piece("Good"), Piece(" morning")]


def test_thoughts_and_words_are_not_mixed() -> None:
    frames = frame("", "I") + frame("", " see") + frame("So", " then") + frame("it") + frame(" is")
    assert read([frame("Well"), frames])[1:] == [
        Piece("", "I see", frames=2, tokens=2),
        Piece("So", " then"),
        Piece("it is", frames=2, tokens=2),
    ]


def test_tokens_are_estimated_frame_by_frame() -> None:
    words = ["a", "word of more than sixteen bytes", "größer als sechzehn Byte", "b"]
    assert told(read([b"".join(map(frame, words))])) == told(read([frame(word) for word in words]))


def test_a_piece_stays_small_enough_for_every_client() -> None:
    words = [f"{n:05} of a long answer " for n in range(2000)]
    pieces = read([b"".join(map(frame, words))])
    assert max(len(piece.text) for piece in pieces if isinstance(piece, Piece)) <= MOST_JOINED
    assert told(pieces) == told(read([frame(word) for word in words]))


def test_probabilities_are_given_token_by_token() -> None:
    ask = ChatRequest("m", [Message("user", "Hello?")], logprobs=True)
    frames = b"".join(frame(word, logprobs=[{"token": word, "logprob": -1.0}]) for word in ("a", "b"))
    assert [event.logprobs is not None for event in read([frames], ask) if isinstance(event, Piece)] == [True, True]


def test_the_rest_of_a_broken_answer_is_judged_frame_by_frame() -> None:
    assert len(read([frame("a") + frame("b")], begun=True)) == 2


def test_a_loop_is_found_within_one_read() -> None:
    reader = CheckedReader(StreamReader(), ASK)
    reader.feed(frame("again ") * (MOST_REPEATED + 5))
    with pytest.raises(Fault) as raised:
        reader.feed(b"")
    assert raised.value.kind is FaultKind.LOOP


WORDS = st.sampled_from(["a", "b", " and so on", "ü", "…", "\n", "much longer than a token may be ", "<", "think>"])
FRAMES = st.lists(st.tuples(st.sampled_from(["text", "thinking", "both"]), WORDS), min_size=1, max_size=40)


@given(FRAMES, st.integers(1, 45), st.integers(1, 41))
def test_an_answer_is_the_same_however_it_is_cut_into_reads(
    said: list[tuple[str, str]], limit: int, together: int
) -> None:
    frames = [frame(word if kind != "thinking" else "", word if kind != "text" else "") for kind, word in said]
    frames.append(LAST)
    reads = [b"".join(frames[at : at + together]) for at in range(0, len(frames), together)]

    def answer(parts: list[bytes]) -> tuple[object, ...]:
        reader, events = CheckedReader(StreamReader(), ASK, limit=limit), list[Event]()
        try:
            for part in parts:
                events += reader.feed(part)
            events += reader.eof()
        except Fault as fault:
            return (fault.kind, *told(events))
        return told(events)

    assert answer(reads) == answer(frames)
