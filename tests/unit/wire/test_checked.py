"""What a server's answer must keep to before it is believed."""

from __future__ import annotations

import json

import pytest
from effort import effort

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.testing.voices import Call, Ollama, OpenAI, Said
from llm_gateway.wire import ollama_upstream as ollama
from llm_gateway.wire import openai_upstream as openai
from llm_gateway.wire.checked import FEW_CHARS, MOST_REPEATED, TOKEN_CHARS, CheckedReader
from llm_gateway.wire.neutral import ChatRequest, Event, Finish, Json, Message, Piece
from llm_gateway.wire.window import Window

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "get_time"}},
]
GOOD = Call("get_weather", {"city": "Boston"})
READERS = {"ollama": ollama.StreamReader, "openai": openai.StreamReader}


def ask(tools: list[Json] | None = None, choice: Json = None) -> ChatRequest:
    return ChatRequest("m", [Message("user", "hi")], tools=TOOLS if tools is None else tools, tool_choice=choice)


def heard(said: Said, kind: str = "ollama", asked: ChatRequest | None = None, **checks) -> list[Event]:
    """All events of an answer that comes at once, in pieces of seven bytes or word by word, which must not matter."""
    voice = OpenAI("m", 7, include_usage=True) if kind == "openai" else Ollama("m", 7)
    frames = [voice.thinking(t) for t in said.thinking] + [voice.text(t) for t in said.pieces]
    frames += [voice.call(n, call) for n, call in enumerate(said.calls)]
    frames.append(voice.finish(said))
    body = b"".join(frames)
    results = []
    for reads in ([body], [body[at : at + 7] for at in range(0, len(body), 7)], frames):
        reader = CheckedReader(READERS[kind](), asked or ask(), **checks)
        events: list[Event] = []
        for data in reads:
            word = reader.word(data)
            events += reader.feed(data) if word is None else [word]
        events += reader.eof()
        results.append(events)
    assert results[0] == results[1] == results[2]
    return results[0]


def unfit(said: Said, kind: str = "ollama", asked: ChatRequest | None = None) -> str:
    with pytest.raises(Fault) as caught:
        heard(said, kind, asked)
    assert caught.value.kind in (FaultKind.UNFIT, FaultKind.LOOP)
    return caught.value.detail


def calls(events: list[Event]) -> list[tuple[str, Json]]:
    parts = [part for event in events if isinstance(event, Piece) for part in event.tools]
    return [(part.name, json.loads(part.arguments)) for part in parts]


# tool calls


@pytest.mark.parametrize("kind", READERS)
def test_calls_that_fit_come_whole_at_the_end(kind: str):
    events = heard(Said([" Let", " me"], calls=[GOOD, Call("get_time", {}, id="call_2")]), kind)
    assert [type(event) for event in events] == [Piece, Piece, Piece, Finish]
    assert calls(events) == [("get_weather", {"city": "Boston"}), ("get_time", {})]
    assert [part.index for part in events[2].tools] == [0, 1]
    assert events[3].reason == "tool_calls"


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    ("call", "why"),
    [
        (Call("delete_everything", {}), "was not offered"),
        (Call("get_weather", '{"city": "Bos'), "not valid JSON"),
        (Call("get_weather", '"Boston"'), "not an object"),
        (Call("get_weather", {"town": "Boston"}), "city is missing"),
        (Call("get_weather", {"city": ["Boston"]}), "another type"),
    ],
)
def test_a_call_that_does_not_fit_is_a_fault_and_nothing_of_it_is_shown(kind: str, call: Call, why: str):
    assert why in unfit(Said(calls=[call]), kind)
    assert why in unfit(Said(calls=[GOOD, call]), kind)


@pytest.mark.parametrize("kind", READERS)
def test_a_call_is_a_fault_where_no_tools_were_offered(kind: str):
    assert "no tools were offered" in unfit(Said(calls=[GOOD]), kind, ask(tools=[]))


def test_only_the_tool_that_the_caller_chose_may_be_called():
    chosen = ask(choice={"type": "function", "function": {"name": "get_time"}})
    assert "was not offered" in unfit(Said(calls=[GOOD]), asked=chosen)
    assert calls(heard(Said(calls=[Call("get_time", {})]), asked=chosen)) == [("get_time", {})]


def test_no_arguments_at_all_are_none():
    assert calls(heard(Said(calls=[Call("get_time", "")]), "openai")) == [("get_time", {})]


def test_arguments_that_fit_stay_as_they_were_written():
    (piece, _) = heard(Said(calls=[Call("get_weather", '{ "city":"Boston" }')]), "openai")
    assert piece.tools[0].arguments == '{ "city":"Boston" }'


def test_a_byte_order_mark_before_arguments_is_not_given_on():
    events = heard(Said([], calls=[Call("get_weather", '\ufeff{"city": "Boston"}')]), "openai")
    assert calls(events) == [("get_weather", {"city": "Boston"})]


def test_a_hundred_calls_take_no_longer_to_judge_than_a_few():
    endless = {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}
    asked = ask([{"type": "function", "function": {"name": "f", "parameters": endless}}])
    voice = Ollama("m", 7)
    body = b"".join(voice.call(n, Call("f", {})) for n in range(100)) + voice.finish(Said([]))
    assert effort(lambda: CheckedReader(ollama.StreamReader(), asked).feed(body)) < 0.5


def test_fragments_of_two_calls_may_come_in_turns():
    def chunk(index: int, **function: str) -> bytes:
        part = {"index": index, "function": function} | ({"id": f"call_{index}"} if "name" in function else {})
        return b"data: " + json.dumps({"choices": [{"delta": {"tool_calls": [part]}}]}).encode() + b"\n\n"

    reader = CheckedReader(openai.StreamReader(), ask())
    begin = chunk(0, name="get_weather", arguments='{"city":') + chunk(1, name="get_time", arguments="{")
    assert reader.feed(begin) == []
    assert reader.held > 0
    assert reader.feed(chunk(0, arguments='"Boston"}') + chunk(1, arguments="}")) == []
    events = reader.feed(b'data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}\n\ndata: [DONE]\n\n')
    assert calls(events) == [("get_weather", {"city": "Boston"}), ("get_time", {})]
    assert reader.held == 0


@pytest.mark.parametrize("kind", READERS)
def test_a_call_that_the_token_limit_cut_is_left_out(kind: str):
    cut = Call("get_weather", '{"city": "Bos', id="call_2")
    (finish,) = heard(Said(calls=[cut], reason="length"), kind)
    assert finish.reason == "length"
    events = heard(Said(calls=[GOOD, cut], reason="length"), kind)
    assert calls(events) == [("get_weather", {"city": "Boston"})]
    assert events[-1].reason == "length"
    assert "not valid JSON" in unfit(Said(calls=[cut, GOOD], reason="length"), kind)


def test_calls_without_end_are_bounded():
    assert "more than 128" in unfit(Said(calls=[GOOD] * 129))
    assert "1,048,576 characters" in unfit(Said(calls=[Call("get_weather", {"city": "x" * 1_048_576})]))


# the limit


@pytest.mark.parametrize("kind", READERS)
def test_an_answer_that_goes_on_past_the_limit_ends_there(kind: str):
    events = heard(Said([" a", " b", " c", " d"]), kind, limit=3)
    assert [event.text for event in events[:-1]] == [" a", " b", " c"]
    assert events[-1] == Finish("length")


@pytest.mark.parametrize("kind", READERS)
def test_an_answer_of_just_as_many_tokens_ends_by_itself_and_keeps_its_figures(kind: str):
    events = heard(Said([" a", " b", " c"]), kind, limit=3)
    assert events[-1].reason == "stop"
    assert events[-1].usage.output == 3


@pytest.mark.parametrize("kind", READERS)
def test_an_answer_that_comes_character_by_character_is_not_cut_at_so_many_characters(kind: str):
    text = "Hello world, how are you today? Fine."  # eleven tokens
    events = heard(Said(list(text)), kind, limit=20)
    assert "".join(e.text for e in events if isinstance(e, Piece)) == text
    assert events[-1].reason == "stop"
    assert heard(Said(list(text * 9)), kind, limit=20)[-1].reason == "length"


def test_thoughts_count():
    events = heard(Said([" a"], thinking=[" t", " u"]), limit=2)
    assert [event.thinking for event in events[:-1]] == [" t", " u"]
    assert events[-1].reason == "length"


def test_large_pieces_hold_more_than_a_token():
    room = 10 * TOKEN_CHARS + FEW_CHARS
    events = heard(Said(["x" * (room + 1), "y"]), limit=10)
    assert [len(event.text) for event in events[:-1]] == [room + 1]
    assert events[-1].reason == "length"
    assert heard(Said(["x" * room, "y"]), limit=10)[-1].reason == "stop"


# loops


def test_blanks_after_a_long_thought_cost_no_more_than_others():
    voice = Ollama("m", 7)
    body = voice.text(f"<think>{'x' * 200_000}</think>") + b"".join(
        voice.text(" " * (1 + n % 5)) for n in range(40_000)
    )
    asked = ChatRequest("m", [Message("user", "hi")])
    assert effort(lambda: CheckedReader(ollama.StreamReader(), asked, limit=100_000).feed(body)) < 0.5


@pytest.mark.parametrize("piece", ["G", "@", "<unused50>", "\n"])
def test_the_same_piece_for_ever_is_no_answer(piece: str):
    assert f"{MOST_REPEATED} times" in unfit(Said([" a", *[piece] * MOST_REPEATED]))
    assert f"{MOST_REPEATED} times" in unfit(Said([" a"], thinking=[piece] * MOST_REPEATED))


@pytest.mark.parametrize("kind", READERS)
def test_the_same_word_for_ever_is_no_answer_when_it_comes_word_by_word(kind: str):
    voice = OpenAI("m", 7, include_usage=False) if kind == "openai" else Ollama("m", 7)
    reader = CheckedReader(READERS[kind](), ChatRequest("m", [Message("user", "hi")]))
    reader.feed(voice.text(" a"))
    for _ in range(MOST_REPEATED - 1):
        assert reader.word(voice.text("G")) == Piece("G")
    with pytest.raises(Fault) as caught:
        reader.word(voice.text("G"))
    assert caught.value.kind is FaultKind.LOOP
    assert reader.fault is caught.value


@pytest.mark.parametrize("piece", ["-", ".", " ", "|---", "0", "ha"])
def test_long_rules_and_tables_are_answers(piece: str):
    said = ([piece] * (MOST_REPEATED - 1) + ["\n"]) * 3
    assert "".join(event.text for event in heard(Said(said))[:-1]) == "".join(said)


def test_equal_lines_are_no_loop():
    heard(Said(["GG", "G"] * 2 * MOST_REPEATED))


# the prompt


def test_the_count_of_a_cut_prompt_is_a_fault():
    window = Window(6000, 4096)
    for count in (2050, 4096):
        with pytest.raises(Fault, match=f"read {count} of about 6000") as caught:
            heard(Said([" a"], prompt_tokens=count), window=window)
        assert caught.value.kind is FaultKind.PROMPT_CUT


@pytest.mark.parametrize("count", [1, 500, 2000, 2060, 3900, 5800, None])
def test_any_other_count_is_believed(count: int | None):
    said = Said([" a"], prompt_tokens=count, figures=count is not None)
    assert heard(said, window=Window(6000, 4096))[-1].reason == "stop"
