"""What is nothing but text takes a short way through the wire. It leads to the same place as the long one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_gateway.errors import InvalidRequest
from llm_gateway.wire import messages, native, ollama, openai
from llm_gateway.wire.chunks import completion, plain
from llm_gateway.wire.collect import Collector, Meter
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.neutral import Answer, ChatRequest, Envelope, Finish, Message, Piece, Usage
from llm_gateway.wire.openai_short import read_short

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
ASK = ChatRequest("m", [Message("user", "hi")])


@given(text=TEXTS, model=TEXTS, finish=st.sampled_from(["stop", "length", "content_filter"]), tokens=st.integers(0))
def test_a_plain_answer_is_written_as_any_other(text: str, model: str, finish: str, tokens: int):
    envelope = Envelope("0190f7a2-0000-7000-8000-0123456789ab", 1_795_418_262, model)
    answer = Answer(text, "", [], finish, Usage(7, tokens))  # type: ignore[arg-type]
    assert plain(envelope, answer, chat_id="id") == encode(completion(envelope, answer, chat_id="id"))


def test_a_plain_answer_has_the_nulls_that_openai_requires_where_they_stand_in_others():
    envelope, usage = Envelope("id", 1, "m"), Usage(1, 2)
    short = openai.write_answer(envelope, ASK, Answer("said", "", [], "stop", usage))
    long = openai.write_answer(envelope, ASK, Answer("said", "thought", [], "stop", usage))
    assert long.replace(b',"reasoning":"thought"', b"") == short
    assert b"null" not in native.write_answer(envelope, ASK, Answer("said", "", [], "stop", usage))


@given(
    st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from([*messages.ROLE_NAMES]), "content": TEXTS},
            optional={"name": st.none() | st.just("Ann"), "tool_call_id": st.just("call_1"), "more": st.integers()},
        ),
        min_size=1,
        max_size=6,
    )
)
def test_texts_are_read_as_any_other_messages(sent: list[dict[str, object]]):
    """A message with a further field, even an unknown one, sends the conversation on the long way."""
    short, long = {"messages": sent}, {"messages": [{**message, "unknown": 1} for message in sent]}

    def read(body: dict[str, object]) -> object:
        try:
            return messages.read_messages(body, [])
        except InvalidRequest as error:
            return str(error)

    assert read(short) == read(long)


@pytest.mark.parametrize("role", [None, 1, [], {}, "", "User", "tool"])
def test_a_role_that_is_none_is_refused_as_ever(role: object):
    with pytest.raises(InvalidRequest, match="messages"):
        messages.read_messages({"messages": [{"role": role, "content": "hi"}]}, [])


@given(st.dictionaries(st.sampled_from(["temperature", "top_p", "seed", "stop", "max_tokens", "stream"]), st.none()))
def test_fields_of_a_plain_chat_mean_the_same_beside_others(fields: dict[str, None]):
    asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5, **fields}
    assert openai.read_request(encode(asked)) == openai.read_request(encode({**asked, "n": 1, "unknown": {}}))


ODD = st.sampled_from([True, "1", [], {}, -1, 0, 1e300, 5e-324, 2.0, 10**6, 10**6 + 1, 2**63, 2**64, 10**30, [[1]]])
NUMBERS = st.one_of(st.none(), st.floats(0, 1), st.integers(1, 2), ODD)
ROLES = st.sampled_from(["system", "developer", "user", "assistant"])
TEXT_ONLY = st.fixed_dictionaries({"role": ROLES, "content": TEXTS})
SAID = st.one_of(
    TEXT_ONLY,
    st.fixed_dictionaries({"role": st.sampled_from(["tool", "User", None]), "content": TEXTS}),
    st.fixed_dictionaries({"role": ROLES, "content": st.none() | st.just(1)}, optional={"name": st.just("Ann")}),
)
FIELDS = st.fixed_dictionaries(
    {
        "model": st.one_of(st.just("m"), TEXTS, st.sampled_from([" \n", "m" * 256, "m" * 257, None, 1])),
        "messages": st.one_of(
            st.lists(TEXT_ONLY, min_size=1, max_size=3), st.lists(SAID, max_size=3), st.sampled_from([None, "hi"])
        ),
    },
    optional={
        "stream": st.sampled_from([True, False, None, 0]),
        "stream_options": st.sampled_from([None, {}, {"include_usage": True}, {"include_usage": None}, {"x": 1}, []]),
        **dict.fromkeys(("temperature", "top_p", "max_tokens", "max_completion_tokens", "seed"), NUMBERS),
    },
)


def read_either(body: bytes) -> object:
    try:
        return openai.read_request(body)
    except InvalidRequest as error:
        return type(error), str(error), error.param


@settings(max_examples=500)
@given(FIELDS)
def test_a_short_request_of_openais_is_read_as_one_that_goes_the_long_way(fields: dict[str, object]):
    """An unknown field leads it there."""
    assert read_either(encode(fields)) == read_either(encode({**fields, "unknown": None}))


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ('{"model":"m","messages":[{"role":"user","content":"hi"}]}', True),
        ('{"model":"n","model":"m","messages":[{"role":"system","role":"user","content":"hi"}]}', True),
        ('{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":1e400,"temperature":1}', False),
        ('{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":-0.0,"max_tokens":5.0}', True),
        ('{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0.1000000000000000055511151}', True),
        ('{"model":"m","messages":[{"role":"user","content":"hi"}],"max_completion_tokens":5,"max_tokens":2}', False),
        ('{"model":"m","messages":[{"role":"user","content":"a\\\\u0000"}]}', True),
        ('{"model":"m","messages":[{"role":"user","content":"a\\u0000"}]}', False),
        ('{"model":"m","messages":[{"role":"user","content":"a\\ud800"}]}', False),
        ('{"model":"m","messages":[{"role":"user","content":"hi"}]}}', False),
        ('\ufeff{"model":"m","messages":[{"role":"user","content":"hi"}]}', False),
        ('{"model":"m","messages":[' + "[" * 100_000, False),
        (
            '{"model":"m","messages":[{"role":"user","content":"hi"}],"top_p":' + "[" * 20_000 + "]" * 20_000 + "}",
            False,
        ),
        ('{"model":"m","messages":[{"role":"user","content":"' + "h" * 2**16 + '"}]}', False),
        ("", False),
    ],
)
def test_what_is_not_as_usual_goes_the_long_way_and_comes_to_the_same(text: str, reads: bool):
    body = text.encode()
    assert (read_short(body) is not None) == reads
    if text.endswith("}"):
        assert read_either(body) == read_either(body[:-1] + b',"unknown":null}')


@given(st.lists(st.sampled_from(["system", "user", "assistant", "tool", "User", "x"]), max_size=4))
def test_ollamas_texts_are_read_as_any_other_messages(roles: list[str]):
    def read(**more: object) -> object:
        sent = [{"role": role, "content": f"{n}", **more} for n, role in enumerate(roles)]
        try:
            return ollama.read_request(encode({"model": "m", "messages": sent, "options": {"seed": 1}, **more}))
        except InvalidRequest as error:
            return str(error)

    assert read() == read(unknown=1)


def test_what_somebody_else_counts_is_not_counted_again():
    meter = Meter()
    collector = Collector(prompt=3, meter=meter)
    for word in ("one", " two"):
        meter.add(Piece(word))
        collector.add(Piece(word))
    collector.add(Finish("stop"))
    assert (meter.tokens, collector.answer().usage) == (2, Usage(3, 2, estimated=True))
