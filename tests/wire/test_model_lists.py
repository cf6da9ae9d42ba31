"""Model lists, captured and odd."""

from __future__ import annotations

import json

import pytest
from wire_cases import Case, cases

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.wire.models import ModelEntry, read_models, read_tags

DIGEST = "adb0918b3be584e7c215a7e0fa359f1259bccbe1fe8292ae1c7a0556f4b05752"


@pytest.mark.parametrize("case", cases("lists"))
def test_a_captured_list_is_read(case: Case):
    read = read_tags if case.name == "tags" else read_models
    assert [model.name for model in read(case.body)] == case.expect["names"]


def test_ollamas_details_are_kept():
    (case,) = (case.values[0] for case in cases("lists") if case.id == "tags")
    assert read_tags(case.body)[0] == ModelEntry(
        name="tool-go:latest",
        digest=DIGEST,
        family="llama",
        parameter_size="714K",
        quantization="F32",
        context_length=4096,
        size=2867459,
        capabilities=("completion", "tools", "thinking"),
        embedding_length=384,
    )


def test_llama_cpps_context_is_the_one_in_effect():
    (case,) = (case.values[0] for case in cases("lists") if case.id == "llamacpp-v1-models")
    assert read_models(case.body) == (
        ModelEntry("tool.gguf", context_length=4096, size=2855424, quantization="all F32", embedding_length=384),
    )


def tags(*models: object) -> bytes:
    return json.dumps({"models": models}).encode()


def test_missing_and_absurd_fields_are_unknown():
    odd = {"name": "m", "digest": 7, "size": -1, "details": None, "capabilities": "x", "modified_at": "0001-01-01"}
    assert read_tags(tags(odd)) == (ModelEntry("m"),)
    assert read_tags(tags({"name": "m", "size": True, "details": {"context_length": "4k"}})) == (ModelEntry("m"),)
    assert read_tags(tags({"model": "m", "digest": f"sha256:{DIGEST}"}))[0].digest == DIGEST


def test_entries_without_a_believable_name_and_repeated_ones_are_left_out():
    assert read_tags(tags({}, "x", None, {"name": ""}, {"name": "a\nb"}, {"name": "m" * 300}, {"name": 7})) == ()
    assert read_tags(tags({"name": "m", "size": 1}, {"name": "m", "size": 2})) == (ModelEntry("m", size=1),)


@pytest.mark.parametrize("body", [b'{"models":null}', b'{"models":[]}', b"[]"])
def test_no_models_is_an_empty_list(body):
    assert read_tags(body) == ()


def test_openais_list_may_be_bare_null_or_called_models():
    assert read_models(b'[{"id":"m","max_model_len":8192}]') == (ModelEntry("m", context_length=8192),)
    assert read_models(b'{"object":"list","data":null}') == ()
    assert read_models(b'{"models":[{"name":"m"}]}') == (ModelEntry("m"),)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"models":7}', b"[" * 999, b'"x"'])
def test_what_is_no_list_is_not_the_protocol(body):
    for read in (read_tags, read_models):
        with pytest.raises(Fault) as caught:
            read(body)
        assert caught.value.kind is FaultKind.NOT_THE_PROTOCOL


def test_an_error_instead_of_a_list_says_what_it_says():
    with pytest.raises(Fault) as caught:
        read_models(b'{"error":{"message":"Loading model","code":503}}')
    assert caught.value.kind is FaultKind.BUSY
