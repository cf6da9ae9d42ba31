"""Thoughts that a server left in the text are told apart from it, wherever the text is cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.testing.voices import Ollama, OpenAI, Said
from llm_gateway.wire import ollama_upstream, openai_upstream
from llm_gateway.wire.checked import CheckedReader
from llm_gateway.wire.neutral import Answer, ChatRequest, Finish, Message, Piece, Prompt, Usage
from llm_gateway.wire.thoughts import FEW_BLANKS, Thoughts, untangled

ASK = ChatRequest("m", [Message("user", "hi")], logprobs=True)


def reader(kind: str = "ollama", ask: ChatRequest = ASK, **options: Any) -> CheckedReader:
    made = ollama_upstream.StreamReader() if kind == "ollama" else openai_upstream.StreamReader()
    return CheckedReader(made, ask, **options)


def told(pieces: list[str], kind: str = "ollama", reason: str = "stop", **options: Any) -> tuple[str, str, str]:
    """Thinking, text and reason of an answer whose text came in these pieces."""
    voice = Ollama("m", 7) if kind == "ollama" else OpenAI("m", 7, include_usage=True)
    said = Said(pieces, reason=reason)
    reads = reader(kind, **options)
    events = [event for piece in pieces for event in reads.feed(voice.text(piece))]
    events += reads.feed(voice.finish(said)) + reads.eof()
    assert reads.held == 0
    *pieces_, finish = events
    assert isinstance(finish, Finish)
    given_out = [event for event in pieces_ if isinstance(event, Piece)]
    thoughts = [n for n, piece in enumerate(given_out) if piece.thinking]
    texts = [n for n, piece in enumerate(given_out) if piece.text]
    assert not thoughts or not texts or thoughts[-1] < texts[0], "a thought after the text has begun"
    return "".join(p.thinking for p in given_out), "".join(p.text for p in given_out), finish.reason


def cuts(text: str, places: set[int]) -> list[str]:
    """`text` cut at these places."""
    edges = [0, *sorted(place for place in places if 0 < place < len(text)), len(text)]
    return [text[a:b] for a, b in pairwise(edges)] if text else []


ANSWERS = {
    "<think>a b</think>c d": ("a b", "c d"),
    "<thinking>a b</thinking>\n\nc d": ("a b", "c d"),
    "\n <think>\nOkay, so\n</think>\n\nHello\n": ("Okay, so\n", "Hello\n"),
    "<think>\n\n</think>\n\nHello": ("", "Hello"),
    "</think>\n\nHello": ("", "Hello"),
    "<think>a < b </thin </thinking> c</think>d": ("a < b </thin </thinking> c", "d"),
    "<think>a</think><think>b</think>c": ("a", "<think>b</think>c"),
    "<thin": ("", "<thin"),
    "<thinker> is no tag": ("", "<thinker> is no tag"),
    "  < and > are signs": ("", "  < and > are signs"),
    "Text <think>first</think>": ("", "Text <think>first</think>"),
    "thought\n</think>\n\nHello": ("", "thought\n</think>\n\nHello"),
    " \n" * FEW_BLANKS + "<think>a</think>b": ("", " \n" * FEW_BLANKS + "<think>a</think>b"),
}


@pytest.mark.parametrize("kind", ["ollama", "openai"])
@pytest.mark.parametrize("text", ANSWERS)
def test_a_thought_at_the_begin_is_told_apart_also_character_by_character(text: str, kind: str):
    for pieces in ([text], list(text)):
        assert told(pieces, kind) == (*ANSWERS[text], "stop")


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<thinking>", "</thinking>", "<", "/", " ", "\n", "a", "é"])),
    st.sets(st.integers(1, 60)),
)
def test_any_cut_of_any_text_gives_the_same_answer(parts: list[str], places: set[int]):
    text = "".join(parts) + "."

    def outcome(pieces: list[str]) -> object:
        try:
            return told(pieces)
        except Fault as fault:
            return fault.kind

    assert outcome(cuts(text, places)) == outcome([text])


@given(st.text("ab<>/think \n", max_size=80), st.sets(st.integers(1, 80)))
def test_what_was_taken_out_and_the_text_together_are_what_the_server_wrote(text: str, places: set[int]):
    text = f"<think>{text}</think> {text}."
    thoughts = Thoughts()
    pieces = [p for piece in cuts(text, places) for p in thoughts.add(Piece(piece))] + thoughts.rest()
    assert thoughts.opening + "".join(piece.text for piece in pieces) == text


def test_only_a_few_characters_are_held_back():
    reads, voice = reader(), Ollama("m", 7)
    assert reads.feed(voice.text("<thi")) == []
    assert reads.held == 4
    assert reads.feed(voice.text("s is")) == [Piece("<thi"), Piece("s is")]
    assert reads.held == 0
    assert reads.feed(voice.text(" <think>")) == [Piece(" <think>")]


def test_a_thought_streams_and_only_what_may_be_its_end_is_held_back():
    reads, voice = reader(), Ollama("m", 7)
    assert reads.feed(voice.text("<think>one")) == [Piece(thinking="one")]
    assert reads.feed(voice.text(" two</th")) == [Piece(thinking=" two")]
    assert (reads.held, reads.opening) == (4, "")
    assert reads.feed(voice.text("ink>\n")) == []
    assert reads.feed(voice.text("\nthree")) == [Piece("three")]
    assert (reads.held, reads.opening) == (0, "<think>one two</think>\n\n")


def test_blanks_without_end_are_no_sign_of_work():
    reads, voice = reader(), Ollama("m", 7)
    events = []
    for _ in range(FEW_BLANKS + 5):
        events += reads.feed(voice.text("\n"))
        assert reads.held == 0
    assert [event.text for event in events] == ["\n"] * (FEW_BLANKS + 5)


@pytest.mark.parametrize("pieces", [["<think>"], ["<think>", "\n"], ["<think>", "</think>"]])
def test_a_limit_before_the_first_word_leaves_nothing_and_is_no_fault(pieces: list[str]):
    """Programs ask for a single token to see whether a model is there."""
    assert told(pieces, reason="length") == ("", "", "length")


def test_a_thought_that_the_limit_cut_is_all_there_is():
    assert told(["<think>", "a", " b</th"], reason="length") == ("a b</th", "", "length")
    assert told(["<think>", "ab", "cd", "ef"], limit=3) == ("abcd", "", "length")


@pytest.mark.parametrize("text", ["<think>a</think>", "<think>a</think>\n\n", "<think>a", "</think>"])
def test_a_thought_and_nothing_else_is_no_answer(text: str):
    with pytest.raises(Fault) as caught:
        told(list(text))
    assert caught.value.kind is FaultKind.EMPTY


def test_the_rest_of_an_answer_does_not_begin_with_a_thought():
    assert told(["<think>a</think>b"], begun=True) == ("", "<think>a</think>b", "stop")


def test_the_rest_of_a_bare_text_is_whatever_that_text_wants():
    raw = ChatRequest("m", [Message("user", "x")], prompt=Prompt("x", raw=True))
    assert told(["<think>a</think>b"], ask=raw) == ("", "<think>a</think>b", "stop")


# ---- the probabilities of tokens ----


def token(text: str) -> dict[str, Any]:
    return {"token": text, "logprob": -0.1, "bytes": None, "top_logprobs": []}


def frame(text: str, *tokens: str) -> bytes:
    value = {"model": "m", "message": {"content": text}, "done": False, "logprobs": [token(t) for t in tokens]}
    return json.dumps(value).encode() + b"\n"


def test_logprobs_stay_with_their_text_and_those_of_thoughts_are_dropped():
    reads = reader()
    pieces = reads.feed(frame("<th", "<", "th") + frame("ink>a", "ink>", "a") + frame("</think>\n\nb c", "</think>"))
    pieces += reads.feed(frame(" d", " d"))
    assert [(p.thinking, p.text, p.logprobs) for p in pieces[-1:]] == [("", " d", [token(" d")])]
    assert all(p.logprobs is None for p in pieces if p.thinking)
    reads = reader()
    (thought, said) = reads.feed(frame("<think>a</think>\n\nb c", "<think>", "a", "</think>", "\n\n", "b", " c"))
    assert (thought.logprobs, said.logprobs) == (None, [token("b"), token(" c")])
    reads = reader()
    assert reads.feed(frame("<", "<")) == []
    assert [p.logprobs for p in reads.feed(frame("b>", "b", ">"))] == [[token("<")], [token("b"), token(">")]]


def test_logprobs_that_nobody_asked_for_are_not_passed_on():
    quiet = ChatRequest("m", [Message("user", "hi")])
    assert reader(ask=quiet).feed(frame("a", "a")) == [Piece("a")]
    assert reader().feed(frame("a", "a")) == [Piece("a", logprobs=[token("a")])]


# ---- whole answers ----


def whole(text: str, thinking: str = "", tokens: list[str] | None = None) -> Answer:
    return Answer(text, thinking, [], "stop", Usage(), tokens and [token(t) for t in tokens])


@pytest.mark.parametrize(
    ("text", "thought", "said"),
    [
        ("Okay, so\n</think>\n\nHello", "Okay, so", "Hello"),
        ("one two</think>\nHello", "one two", "Hello"),
        ("all of it\n</think>", "all of it", ""),
    ],
)
def test_a_closing_tag_alone_ends_a_thought_that_the_prompt_opened(text: str, thought: str, said: str):
    got = untangled(whole(text))
    assert (got.thinking, got.text) == (thought, said)


@pytest.mark.parametrize(
    "text",
    [
        "Hello",
        "`</think>` ends a thought",
        "The tag </think> ends a thought.",
        "<think> opens and\n</think>\ncloses",
        "```\nthought\n</think>\n```\nis how it looks",
        "a\n</think>\nb\n</think>\nc",
    ],
)
def test_a_tag_that_may_be_spoken_of_stays_where_it_is(text: str):
    assert untangled(whole(text)) == whole(text)


def test_a_server_that_tells_thoughts_apart_has_none_in_the_text():
    assert untangled(whole("a\n</think>\nb", thinking="c")).text == "a\n</think>\nb"


def test_logprobs_of_a_thought_go_with_it():
    got = untangled(whole("a\n</think>\n\nb c", tokens=["a", "\n", "</think>", "\n\n", "b", " c"]))
    assert got.logprobs == [token("b"), token(" c")]
