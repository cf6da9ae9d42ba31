from __future__ import annotations

import json

import pytest

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.fleet.facts import ListedModel
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.upstream.kinds.kind import MOST_MODELS

ALLOWED = {
    "ollama": {"/api/chat", "/api/generate", "/api/embed", "/api/tags", "/api/show", "/api/ps", "/api/version"},
    "openai": {"/chat/completions", "/completions", "/embeddings", "/models"},
}


@pytest.mark.parametrize("name", KINDS)
def test_only_harmless_paths_are_ever_asked_for(name: str) -> None:
    assert KINDS[name].paths <= ALLOWED[name]


def test_each_kind_knows_its_own_name() -> None:
    assert {name: kind.name for name, kind in KINDS.items()} == {"ollama": "ollama", "openai": "openai"}


@pytest.mark.parametrize("name", KINDS)
def test_a_key_is_sent_as_bearer_and_no_key_as_nothing(name: str) -> None:
    kind = KINDS[name]
    assert kind.auth_headers("k") == [("authorization", "Bearer k")]
    assert kind.auth_headers(None) == []


def test_the_tags_of_an_ollama_server_become_listed_models() -> None:
    body = {
        "models": [
            {
                "name": "tool:latest",
                "model": "tool:latest",
                "size": 2867459,
                "digest": "ad" * 32,
                "details": {
                    "family": "llama",
                    "parameter_size": "714K",
                    "quantization_level": "F32",
                    "context_length": 4096,
                },
                "capabilities": ["completion", "tools"],
            },
            {"name": "bare"},
        ]
    }
    assert KINDS["ollama"].read_list(json.dumps(body).encode()) == (
        ListedModel("tool:latest", "ad" * 32, "llama", "714K", "F32", 4096, 2867459, ("completion", "tools")),
        ListedModel("bare"),
    )


def test_the_list_of_an_openai_server_becomes_listed_models() -> None:
    body = b'{"object":"list","data":[{"id":"tool.gguf","object":"model","meta":{"n_ctx":4096,"size":2855424}}]}'
    (model,) = KINDS["openai"].read_list(body)
    assert (model.name, model.context_length, model.size) == ("tool.gguf", 4096, 2855424)


@pytest.mark.parametrize(("name", "body"), [("ollama", b'{"models":null}'), ("openai", b'{"data":null}')])
def test_null_is_an_empty_list(name: str, body: bytes) -> None:
    assert KINDS[name].read_list(body) == ()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("body", [b"", b"<html>", b'"text"', b'{"other":[]}'])
def test_what_is_no_list_is_not_the_protocol(name: str, body: bytes) -> None:
    with pytest.raises(Fault) as caught:
        KINDS[name].read_list(body)
    assert caught.value.kind is FaultKind.NOT_THE_PROTOCOL


def test_a_list_of_thousands_of_models_is_not_believed() -> None:
    body = json.dumps({"models": [{"name": f"m{n}"} for n in range(MOST_MODELS + 1)]}).encode()
    with pytest.raises(Fault) as caught:
        KINDS["ollama"].read_list(body)
    assert caught.value.kind is FaultKind.TOO_LARGE


@pytest.mark.parametrize(
    ("body", "version"),
    [
        (b'{"version":"0.33.0-rc2"}', "0.33.0-rc2"),
        (b'{"version":"0.0.0"}', "0.0.0"),
        (b'{"version":null}', None),
        (b'{"version":""}', None),
        (b'{"version":"a\\u001bb"}', None),
        (b'{"version":"' + b"9" * 65 + b'"}', None),
        (b"[]", None),
        (b"<html>", None),
    ],
)
def test_the_version_of_an_ollama_server_is_read_or_none(body: bytes, version: str | None) -> None:
    assert KINDS["ollama"].read_version(body) == version
