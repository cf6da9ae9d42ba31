"""What may follow a broken answer: what fits is shown, what begins anew or says words again never is."""

from __future__ import annotations

import random

import pytest

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.fleet.splice import HOLD, Seam, SplicedReader, Verdict, joinable, unsafe
from llm_gateway.wire import ollama_upstream as ollama
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.neutral import ChatRequest, Event, Finish, Message, Piece

TEXT = (
    "The gateway keeps what it has seen of every server. When one of them breaks an answer off, another that holds "
    "the very same model is asked for the rest of it. Nobody reads a word twice, and no word is missing.\n\n"
    "1. First, the end of the answer is compared.\n2. Then its begin.\n3. At last, it goes on.\n\n"
    "```python\nfor word in answer:\n    print(word)\n```\n"
    "Was das heißt: nichts geht verloren. 词语不会重复,也不会丢失。\n"
)
RECITAL = "".join(f" w{n:03d}" for n in range(60))
HELLO = Message("user", "Hello")


def verdict(seam: Seam, rest: str, step: int = 4) -> Verdict:
    """Of a continuation that comes in pieces of `step` characters."""
    for end in range(step, len(rest), step):
        if (said := seam.judge(rest[:end], finished=False)) is not Verdict.OPEN:
            return said
    return seam.judge(rest, finished=True)


@pytest.mark.parametrize("text", [TEXT, RECITAL], ids=["text", "recital"])
@pytest.mark.parametrize("step", [1, 5, 30])
def test_wherever_a_text_is_cut_its_rest_fits_and_its_begin_does_not(text: str, step: int):
    for cut in range(4, len(text) - 1):
        seam = Seam(text[:cut])
        assert verdict(seam, text[cut:], step) is Verdict.CONTINUES, (text[:cut][-20:], text[cut:][:20])
        assert verdict(seam, text, step) in (Verdict.RESTARTS, Verdict.REPEATS), text[:cut]


def test_words_said_again_are_found_however_many():
    dice = random.Random(1)
    words = [n for n, c in enumerate(RECITAL) if c == " "]
    for _ in range(300):
        cut, back = dice.choice(words[5:-5]), dice.randrange(1, 5)
        again = words[words.index(cut) - back]
        assert verdict(Seam(RECITAL[:cut]), RECITAL[again:]) is Verdict.REPEATS


@pytest.mark.parametrize("again", ["  \n the GATEWAY keeps what it has", "The gateway keeps what"])
def test_blanks_and_case_do_not_hide_a_new_begin(again: str):
    assert verdict(Seam(TEXT[:50]), again + TEXT[len(again) :]) is Verdict.RESTARTS


@pytest.mark.parametrize(
    ("said", "rest"),
    [
        ("The", " theory of servers that break, and of those that do not"),
        ("1, 2, 3, 4, 1000, 1000, 1000,", " 1000, 1000, 1000, 1000, 1000, and so on"),
        ("some", "thing"),
        ("- apples\n- apples", " and pears\n- bananas"),
        ("| a | b |\n| --- | --- |\n| 1 | 2 |\n", "| 3 | 4 |\n| 5 | 6 |\n"),
        ("so: ha ha ha", " ha ha ha, said the server that was asked first"),
    ],
)
def test_text_that_repeats_itself_is_let_pass(said: str, rest: str):
    assert verdict(Seam(said), rest) is Verdict.CONTINUES


@pytest.mark.parametrize(
    ("said", "rest"), [("Hel", "Hello there"), (" w0", " w000 w001"), ("I", "I am"), (" Well", "Well then, let me")]
)
def test_an_answer_that_had_hardly_begun_is_not_begun_again(said: str, rest: str):
    assert verdict(Seam(said), rest) is Verdict.RESTARTS


def test_thoughts_are_no_continuation():
    assert verdict(Seam("The answer is"), "\n<think>The user wants") is Verdict.RESTARTS


def test_nothing_is_let_pass_before_enough_of_it_is_known():
    seam = Seam(TEXT[:60])
    assert seam.judge(TEXT[60 : 60 + HOLD - 5], finished=False) is Verdict.OPEN
    assert seam.judge(" " * 100, finished=False) is Verdict.OPEN
    assert seam.judge(" " * 5_000, finished=False) is Verdict.RESTARTS


def test_a_stop_string_is_matched_across_the_seam():
    seam = Seam("one two EN", stops=("END",))
    assert seam.judge("D and more", finished=False) is Verdict.STOPS
    assert seam.judge("", finished=False) is Verdict.OPEN
    assert verdict(seam, "OUGH of that is known to go on for a while") is Verdict.CONTINUES


def test_a_long_stop_string_holds_longer():
    seam = Seam("one two ", stops=("two and a very long stop string that goes on for ever",))
    assert seam.judge("and a very long stop string that", finished=False) is Verdict.OPEN
    assert verdict(seam, "and a very long stop string that goes on for ever") is Verdict.STOPS
    assert verdict(seam, "and a very long stop string that goes elsewhere") is Verdict.CONTINUES


def test_blanks_that_a_template_trimmed_are_not_said_twice():
    assert Seam("a list:\n\n").doubled("\n\n- one") == 2
    assert Seam("a list:\n\n").doubled("- one") == 0
    assert Seam("a list:\n\n", may_trim=False).doubled("\n\n- one") == 0
    assert Seam("def f():\n    ").doubled("    return") == 0


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, None),
        ({"tools": [{}]}, "tools"),
        ({"format": "json"}, "format"),
        ({"format": {}}, "format"),
        ({"logprobs": True}, "logprobs"),
        ({"messages": [HELLO, Message("assistant", "Well")]}, "prefilled"),
    ],
)
def test_only_plain_text_is_continued(fields, why):
    assert unsafe(ChatRequest("m", fields.pop("messages", [HELLO]), **fields)) == why


def test_there_must_be_text_and_no_open_thought():
    assert all(map(joinable, ("Hello", "<think>hm</think>Hello")))
    assert not any(map(joinable, ("", " \n", "\n<think>hm")))


# the reader that stands in between


def frame(text: str = "", **fields: object) -> bytes:
    return encode({"model": "m", "message": {"role": "assistant", "content": text}, "done": False, **fields}) + b"\n"


class Told:
    def __init__(self, said: str, *, ends: bool = False, stops: tuple[str, ...] = ()) -> None:
        self.verdicts: list[Verdict] = []
        self.reader = SplicedReader(ollama.StreamReader(), Seam(said, stops), self.verdicts.append, lambda: ends)

    def read(self, *frames: bytes) -> list[Event]:
        return [event for data in frames for event in self.reader.feed(data)]


def test_pieces_are_held_back_and_then_given_out_as_they_came():
    told = Told(RECITAL[:10])
    pieces = [RECITAL[n : n + 5] for n in range(10, 60, 5)]
    early = told.read(*map(frame, pieces[:4]))
    assert (early, told.verdicts) == ([], [])
    assert told.read(*map(frame, pieces[4:])) == [Piece(piece) for piece in pieces]
    assert told.verdicts == [Verdict.CONTINUES]
    assert told.read(frame(done=True, done_reason="stop")) == [Finish("stop")]
    assert told.reader.done


def test_a_short_rest_is_judged_at_its_end():
    told = Told(RECITAL[:10])
    assert told.read(frame(" w002"), frame(done=True, done_reason="length")) == [Piece(" w002"), Finish("length")]


def test_a_new_begin_is_a_fault_and_stays_one():
    told = Told(RECITAL[:30])
    with pytest.raises(Fault) as raised:
        told.read(*(frame(RECITAL[n : n + 5]) for n in range(0, 30, 5)))
    assert (raised.value.kind, told.verdicts) == (FaultKind.INCAPABLE, [Verdict.RESTARTS])
    with pytest.raises(Fault):
        told.reader.feed(frame(" w099"))


@pytest.mark.parametrize("odd", [{"thinking": "hm"}, {"tool_calls": [{"function": {"name": "f"}}]}])
def test_thoughts_and_calls_in_the_middle_of_a_text_are_a_new_begin(odd):
    told = Told(RECITAL[:30])
    with pytest.raises(Fault):
        told.reader.feed(frame(message={"role": "assistant", "content": "", **odd}))
    assert told.verdicts == [Verdict.RESTARTS]


def test_a_stop_string_that_ends_behind_the_seam_ends_the_answer():
    told = Told("one two EN", stops=("END",))
    assert told.read(frame("D"), frame(" and more")) == [Finish("stop")]
    assert told.reader.done


@pytest.mark.parametrize("ends", [True, False])
def test_an_end_without_text_is_believed_only_when_somebody_else_said_so(ends: bool):
    told = Told(RECITAL, ends=ends)
    end = frame(done=True, done_reason="stop")
    if ends:
        assert told.read(end) == [Finish("stop")]
    else:
        with pytest.raises(Fault) as raised:
            told.read(end)
        assert raised.value.kind is FaultKind.INCAPABLE
    assert told.verdicts == []


def test_a_model_that_was_only_loaded_says_nothing_about_the_end():
    with pytest.raises(Fault) as raised:
        Told(RECITAL, ends=True).read(frame(done=True, done_reason="load"))
    assert raised.value.kind is FaultKind.EMPTY


def test_a_break_while_held_back_shows_nothing():
    told = Told(RECITAL[:10])
    assert told.read(frame(" w002")) == []
    with pytest.raises(Fault) as raised:
        told.reader.eof()
    assert raised.value.kind is FaultKind.CUT
