"""Servers' answers of vectors: what is believed, and what is not."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from effort import effort
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.wire import ollama_upstream, openai_upstream, vectors
from llm_gateway.wire.neutral import ChatRequest, Event, Inputs, Usage, Vectors
from llm_gateway.wire.vectors import OllamaVectors, OpenAIVectors, VectorReader

TWO = [[0.6, 0.8], [-0.8, 0.6]]
READERS = [OllamaVectors, OpenAIVectors]


def body(reader: type[VectorReader], given: list[Any], **more: Any) -> bytes:
    if reader is OllamaVectors:
        return json.dumps({"model": "m", "embeddings": given, "prompt_eval_count": 5, **more}).encode()
    data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(given)]
    return json.dumps({"object": "list", "model": "m", "data": data, "usage": {"prompt_tokens": 5}, **more}).encode()


def read(reader: VectorReader, *parts: bytes) -> list[Event]:
    return [event for part in parts for event in reader.feed(part)] + reader.eof()


def fails(reader: VectorReader, raw: bytes) -> Fault:
    with pytest.raises(Fault) as caught:
        read(reader, raw)
    assert reader.fault is caught.value
    for again in (lambda: reader.feed(b"x"), reader.eof):
        with pytest.raises(Fault) as same:
            again()
        assert same.value is caught.value
    return caught.value


@pytest.mark.parametrize("reader", READERS)
def test_good_vectors_are_one_event_with_the_servers_count(reader: type[VectorReader]):
    made = reader(Inputs(["a", "b"]))
    assert read(made, body(reader, TWO)) == [Vectors("stop", Usage(5), vectors=TWO)]
    assert (made.done, made.echoed, made.eof()) == (True, "m", [])


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=100, deadline=None)
@given(cuts=st.lists(st.integers(0, 200), max_size=5))
def test_split_anywhere_it_is_the_same(reader: type[VectorReader], cuts: list[int]):
    raw = body(reader, TWO)
    at = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    parts = [raw[a:b] for a, b in pairwise(at)]
    assert read(reader(Inputs(["a", "b"])), *parts) == [Vectors("stop", Usage(5), vectors=TWO)]


@pytest.mark.parametrize("reader", READERS)
def test_cut_anywhere_it_is_a_cut(reader: type[VectorReader]):
    raw = body(reader, TWO)
    for at in range(len(raw)):
        kind = fails(reader(Inputs(["a", "b"])), raw[:at]).kind
        assert kind is FaultKind.CUT or (kind is FaultKind.UNFIT and raw[:at].endswith(b"}")), at


def test_the_index_says_whose_a_vector_is():
    data = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]
    (answer,) = read(OpenAIVectors(Inputs(["a", "b"])), json.dumps({"data": data}).encode())
    assert answer == Vectors("stop", None, vectors=[[1.0], [2.0]])
    bare = [{"embedding": [1.0]}, {"embedding": [2.0]}]
    (answer,) = read(OpenAIVectors(Inputs(["a", "b"])), json.dumps({"data": bare}).encode())
    assert answer == Vectors("stop", None, vectors=[[1.0], [2.0]])


@pytest.mark.parametrize("indexes", [(0, 0), (1, 2), (-1, 0)])
def test_indexes_that_are_none_make_it_no_answer(indexes: tuple[int, int]):
    data = [{"index": index, "embedding": [1.0]} for index in indexes]
    assert fails(OpenAIVectors(Inputs(["a", "b"])), json.dumps({"data": data}).encode()).kind is FaultKind.UNFIT


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "given",
    [
        [],
        [[1.0]],
        [[1.0], [2.0], [3.0]],
        [[1.0], [2.0, 3.0]],
        [[], []],
        [[1.0], [0.0]],
        [[1.0], [None]],
        [[1.0], ["2"]],
        [[1.0], [True]],
        [[1.0], [[2.0]]],
        [[1.0], [1e39]],
        [1.0, 2.0],
        [[1.0]] * 100,
        "AACAPw==",
    ],
)
def test_whatever_is_not_one_good_vector_for_each_text_is_no_answer(reader: type[VectorReader], given: Any):
    if reader is OpenAIVectors and not isinstance(given, list):
        raw = json.dumps({"data": given}).encode()
    else:
        raw = body(reader, given)
    assert fails(reader(Inputs(["a", "b"])), raw).kind is FaultKind.UNFIT


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", FaultKind.CUT),
        (b"<html>", FaultKind.NOT_THE_PROTOCOL),
        (b"[[1.0]]", FaultKind.NOT_THE_PROTOCOL),
        (b'{"error":"model \'x\' not found"}', FaultKind.MODEL_MISSING),
        (b'{"error":{"message":"Loading model","code":503}}', FaultKind.BUSY),
        (b'{"hello":{}}', FaultKind.UNFIT),
        (b'{"embeddings":[[NaN]],"data":[{"embedding":[NaN]}]}', FaultKind.UNFIT),
        (b'{"embeddings":[[1e999]],"data":[{"embedding":[1e999]}]}', FaultKind.UNFIT),
        (b'{"x":' + b"[" * 15 + b'"\xff"' + b"]" * 15 + b"}", FaultKind.UNFIT),
    ],
)
def test_what_is_no_answer_at_all_is_told_apart(reader: type[VectorReader], raw: bytes, kind: FaultKind):
    assert fails(reader(Inputs(["a"])), raw).kind is kind


@pytest.mark.parametrize("reader", READERS)
def test_dimensions_that_a_server_does_not_know_are_cut_and_stretched_here(reader: type[VectorReader]):
    (answer,) = read(reader(Inputs(["a"], dimensions=2)), body(reader, [[0.3, 0.4, 0.5]]))
    assert isinstance(answer, Vectors)
    assert answer.vectors == [[pytest.approx(0.6), pytest.approx(0.8)]]
    (answer,) = read(reader(Inputs(["a"], dimensions=2)), body(reader, [[0.3, 0.4]]))
    assert isinstance(answer, Vectors)
    assert answer.vectors == [[0.3, 0.4]]
    assert fails(reader(Inputs(["a"], dimensions=1)), body(reader, [[0.0, 0.4]])).kind is FaultKind.UNFIT
    fault = fails(reader(Inputs(["a"], dimensions=3)), body(reader, [[0.3, 0.4]]))
    assert (fault.kind, fault.said) == (
        FaultKind.CALLER, "The vectors of this model have 2 dimensions; `dimensions` is 3.",
    )  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_an_answer_beyond_all_bounds_is_the_callers_to_mend(reader: type[VectorReader], monkeypatch: Any):
    monkeypatch.setattr(vectors, "MOST_BYTES", 1024)
    endless = reader(Inputs(["a"]))
    with pytest.raises(Fault) as caught:
        for _ in range(100):
            endless.feed(b'{"embeddings":[[1.0,' * 10)
    assert caught.value.kind is FaultKind.CALLER
    assert caught.value.said is not None
    assert "send fewer" in caught.value.said
    short = reader(Inputs(["a", "b"]))
    monkeypatch.setattr(vectors, "MOST_BYTES_EACH", 256)
    with pytest.raises(Fault) as liar:
        short.feed(b"x" * 513)
    assert liar.value.kind is FaultKind.TOO_LARGE
    monkeypatch.setattr(vectors, "MOST_NUMBERS", 10)
    assert fails(reader(Inputs(["a"])), body(reader, [[1.0] * 20])).kind is FaultKind.CALLER


@pytest.mark.parametrize("reader", READERS)
def test_numbers_with_exponents_are_read_as_any(reader: type[VectorReader]):
    numbers = [5e-324, 1e-7, -2.5e10, 3.0, 7] * 100
    (answer,) = read(reader(Inputs(["a"])), body(reader, [numbers]))
    assert isinstance(answer, Vectors)
    assert answer.vectors == [numbers]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("number", ["1" * 400, "1" * 5_000, "0." + "0" * 400 + "1"])
@pytest.mark.parametrize("others", ["1.5,", "1e1,"])
def test_a_number_without_end_is_no_answer(reader: type[VectorReader], number: str, others: str):
    raw = body(reader, [["here"]]).replace(b'"here"', (others * 600 + number).encode())
    assert fails(reader(Inputs(["a"])), raw).kind is FaultKind.UNFIT


@pytest.mark.parametrize("reader", READERS)
def test_what_stands_beside_the_vectors_is_not_taken_apart_when_it_is_large(reader: type[VectorReader]):
    large = {str(n): {} for n in range(50_000)}
    raw = body(reader, TWO, model=large, usage=large, prompt_eval_count=large)
    assert read(reader(Inputs(["a", "b"])), raw) == [Vectors("stop", None, vectors=TWO)]
    assert effort(lambda: read(reader(Inputs(["a", "b"])), raw)) < 0.02


@pytest.mark.parametrize("reader", READERS)
def test_what_was_read_so_far_is_known_to_be_kept_back(reader: type[VectorReader]):
    made = reader(Inputs(["a"]))
    assert (made.held, made.may_be_empty) == (0, True)
    for _ in range(4 * vectors.DROP):
        made.feed(b" ")
    assert made.held == 4


# ---- what servers are asked ----


def test_ollama_is_asked_for_vectors_in_its_own_words():
    ask = ChatRequest("asked", [], inputs=Inputs(["a", "b"], 4, truncate=False), keep_alive="5m")
    assert json.loads(ollama_upstream.write_inputs(ask, "m", {"num_ctx": 4096})) == {
        "model": "m", "input": ["a", "b"], "dimensions": 4, "truncate": False, "keep_alive": "5m",
        "options": {"num_ctx": 4096},
    }  # fmt: skip


def test_openais_servers_are_asked_for_floats_whatever_the_client_wants():
    ask = ChatRequest("asked", [], inputs=Inputs(["a"], truncate=True), own="base64")
    assert json.loads(openai_upstream.write_inputs(ask, "m", {"num_ctx": 4096})) == {
        "model": "m", "input": ["a"], "encoding_format": "float",
    }  # fmt: skip
    assert openai_upstream.dropped(ask) == ["truncate=dropped"]
