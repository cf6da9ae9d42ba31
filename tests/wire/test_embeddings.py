"""Vectors as clients of three spellings ask for them and get them."""

from __future__ import annotations

import base64
import json
import struct
from array import array
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse

from llm_gateway.errors import InvalidRequest, UnsupportedParameter
from llm_gateway.wire.dialect import EmbedDialect
from llm_gateway.wire.embeddings import MOST_INPUTS, OLLAMA, OLLAMA_OLD, OPENAI
from llm_gateway.wire.neutral import ChatRequest, Envelope, Inputs, Usage

ENVELOPE = Envelope("0190f7a2-0000-7000-8000-0123456789ab", 1795418262, "nomic:latest")
VECTORS = [[0.6, 0.8], [-0.8, 0.6]]
USAGE = Usage(5)


def read(dialect: EmbedDialect, **fields: Any) -> ChatRequest:
    return dialect.read_request(json.dumps({"model": "m", **fields}).encode())


def write(dialect: EmbedDialect, ask: ChatRequest, vectors: list[list[float]] | None = None) -> Any:
    return json.loads(dialect.write_answer(ENVELOPE, ask, VECTORS if vectors is None else vectors, USAGE))


def test_texts_are_read_in_every_spelling():
    assert read(OPENAI, input="a", dimensions=4, user="ana").inputs == Inputs(["a"], 4)
    assert read(OPENAI, input=["a", "b"]).inputs == Inputs(["a", "b"])
    sent = {"input": ["a"], "dimensions": 4, "truncate": False, "keep_alive": "5m", "options": {"num_ctx": 512}}
    ask = read(OLLAMA, **sent)
    assert ask.inputs == Inputs(["a"], 4, truncate=False)
    assert (ask.keep_alive, ask.params, ask.messages) == ("5m", {"num_ctx": 512}, [])
    assert read(OLLAMA_OLD, prompt="a").inputs == Inputs(["a"])


def test_null_means_not_set():
    nothing = dict.fromkeys(("dimensions", "user", "encoding_format", "truncate", "options", "keep_alive", "metadata"))
    for dialect in (OPENAI, OLLAMA):
        assert read(dialect, input="a", **nothing) == read(dialect, input="a")
    assert read(OLLAMA, input="a", dimensions=0) == read(OLLAMA, input="a")


def test_no_text_is_no_vector_to_ollama_and_a_mistake_to_openai():
    for sent in ("", []):
        assert write(OLLAMA, read(OLLAMA, input=sent), [])["embeddings"] == []
        with pytest.raises(InvalidRequest):
            read(OPENAI, input=sent)
    for nothing in ({}, {"prompt": ""}):
        assert write(OLLAMA_OLD, read(OLLAMA_OLD, **nothing), []) == {"embedding": []}


@pytest.mark.parametrize("dialect", [OPENAI, OLLAMA], ids=["openai", "ollama"])
@pytest.mark.parametrize("tokens", [[1, 2], [[1], [2]], ["a", 3]])
def test_tokens_are_refused_by_name(dialect: EmbedDialect, tokens: Any):
    with pytest.raises(UnsupportedParameter) as refused:
        read(dialect, input=tokens)
    assert refused.value.param == "input"
    assert "a list of strings" in refused.value.message


@pytest.mark.parametrize(
    ("dialect", "fields", "param"),
    [
        (OPENAI, {}, "input"),
        (OPENAI, {"input": {}}, "input"),
        (OPENAI, {"input": ["a", None]}, "input[1]"),
        (OPENAI, {"input": ["a", ""]}, "input[1]"),
        (OPENAI, {"input": ["a"] * (MOST_INPUTS + 1)}, "input"),
        (OPENAI, {"input": "a", "encoding_format": "int8"}, "encoding_format"),
        (OPENAI, {"input": "a", "encoding_format": 1}, "encoding_format"),
        (OPENAI, {"input": "a", "dimensions": 0}, "dimensions"),
        (OPENAI, {"input": "a", "dimensions": True}, "dimensions"),
        (OLLAMA, {"input": [True]}, "input[0]"),
        (OLLAMA, {"input": "a", "truncate": "yes"}, "truncate"),
        (OLLAMA, {"input": "a", "options": []}, "options"),
        (OLLAMA, {"input": "a", "options": {"num_ctx": "much"}}, "options.num_ctx"),
        (OLLAMA_OLD, {"prompt": ["a"]}, "prompt"),
    ],
)
def test_a_wrong_field_is_named(dialect: EmbedDialect, fields: Any, param: str):
    with pytest.raises(InvalidRequest) as refused:
        read(dialect, **fields)
    assert refused.value.param == param


def test_as_many_texts_as_are_accepted_are_read():
    ask = read(OPENAI, input=["a"] * MOST_INPUTS)
    assert ask.inputs is not None
    assert len(ask.inputs.texts) == 2_048


def test_an_answer_satisfies_the_official_types():
    ask = read(OPENAI, input=["a", "b"])
    answer = CreateEmbeddingResponse.model_validate(write(OPENAI, ask), strict=True)
    assert [item.embedding for item in answer.data] == VECTORS
    assert [item.index for item in answer.data] == [0, 1]
    assert (answer.model, answer.usage.prompt_tokens, answer.usage.total_tokens) == ("nomic:latest", 5, 5)


def test_base64_is_little_endian_and_exact_to_32_bits():
    numbers = [0.1, -1.5, 1e-30, 3.0e38, 0.5773502588272095, 16777217.0]
    ask = read(OPENAI, input="a", encoding_format="base64")
    (item,) = write(OPENAI, ask, [numbers])["data"]
    raw = base64.b64decode(item["embedding"], validate=True)
    assert raw == b"".join(struct.pack("<f", number) for number in numbers)
    assert array("f", raw).tolist() == array("f", numbers).tolist()


def test_floats_are_as_the_server_wrote_them():
    ask = read(OPENAI, input="a", encoding_format="float")
    assert b"[0.5773502588272095,-1e-7,2.0]" in OPENAI.write_answer(
        ENVELOPE, ask, [[0.5773502588272095, -1e-7, 2.0]], USAGE
    ).replace(b"e-07", b"e-7")


def test_ollamas_vectors_have_length_one_whatever_the_server_gave():
    ask = read(OLLAMA, input=["a", "b"])
    assert write(OLLAMA, ask, [[3.0, 4.0], [0.6, 0.8]]) == {
        "model": "m", "embeddings": [[0.6, 0.8], [0.6, 0.8]], "prompt_eval_count": 5,
    }  # fmt: skip
    assert write(OLLAMA_OLD, read(OLLAMA_OLD, prompt="a"), [[3.0, 4.0]]) == {"embedding": [0.6, 0.8]}
