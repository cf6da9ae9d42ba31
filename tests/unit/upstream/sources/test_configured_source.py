from __future__ import annotations

from dataclasses import dataclass

import pytest

from llm_gateway.access.policy import Trust
from llm_gateway.fleet.facts import ListedModel
from llm_gateway.upstream.sources.catalogue import Catalogue
from llm_gateway.upstream.sources.configured import read


@dataclass(frozen=True)
class Entry:
    name: str = "lab"
    url: str = "http://127.0.0.1:11434/"
    kind: str = "ollama"
    trust: str = "own"
    api_key_env: str | None = None
    max_concurrency: int | None = None
    hedge: bool = True
    models: tuple[str, ...] = ()


def configured(*entries: Entry, **environ: str) -> Catalogue:
    return read(entries, environ, ["openai", "ollama"])


def test_an_entry_becomes_a_server() -> None:
    found = configured(
        Entry(name="vllm", url="HTTP://127.0.0.1:8001/v1/", kind="openai", trust="partner", max_concurrency=4)
    )
    (spec,) = found.specs
    assert (spec.id, spec.name, spec.url, spec.kind) == ("", "vllm", "http://127.0.0.1:8001/v1", "openai")
    assert (spec.trust, spec.source, spec.max_concurrency) == (Trust.PARTNER, "configured", 4)
    assert (found.problems, found.entries) == ([], 1)


def test_named_models_are_believed_once_each() -> None:
    (spec,) = configured(Entry(models=("a", "b", "a"))).specs
    assert spec.models == (ListedModel("a"), ListedModel("b"))


def test_the_key_comes_from_the_environment_and_is_never_shown() -> None:
    (spec,) = configured(Entry(api_key_env="LAB_KEY"), LAB_KEY=" s3cret\n").specs
    assert spec.api_key == "s3cret"
    assert "s3cret" not in repr(spec)


def test_a_missing_key_is_told_and_the_server_kept() -> None:
    found = configured(Entry(api_key_env="LAB_KEY"))
    assert found.specs[0].api_key is None
    assert found.problems == ["Server lab: LAB_KEY is not set, so it is asked without a key."]


def test_a_key_that_would_break_a_header_is_refused_without_being_shown() -> None:
    found = configured(Entry(api_key_env="LAB_KEY"), LAB_KEY="s3\r\ncret")
    assert found.specs == []
    assert "s3" not in found.problems[0]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (Entry(kind="grpc"), "Its kind is 'grpc', not one of ollama, openai"),
        (Entry(trust="friend"), "Its trust is 'friend', not one of own, partner, public"),
        (Entry(url="127.0.0.1:11434"), "only http:// and https:// are allowed"),
        (Entry(url=""), "only http:// and https:// are allowed"),
        (Entry(url="http://u:p@127.0.0.1"), "user name or password"),
    ],
)
def test_a_wrong_entry_is_told_and_the_others_are_used(entry: Entry, told: str) -> None:
    found = configured(entry, Entry(name="other", url="http://127.0.0.1:1234"))
    assert [spec.name for spec in found.specs] == ["other"]
    assert found.problems[0].startswith("Server lab was left out: ")
    assert told in found.problems[0]


def test_a_second_entry_with_the_same_name_or_address_is_told() -> None:
    found = configured(Entry(), Entry(url="http://127.0.0.1:1234"), Entry(name="twin", url="http://127.0.0.1:11434"))
    assert [spec.name for spec in found.specs] == ["lab"]
    assert found.problems == [
        "Server lab: the name is used twice; the first one counts.",
        "Server twin: it has the same address as lab; it was left out.",
    ]


def test_an_ipv6_address_keeps_its_brackets() -> None:
    (spec,) = configured(Entry(url="https://[2001:0DB8::1]:443")).specs
    assert spec.url == "https://[2001:db8::1]"
