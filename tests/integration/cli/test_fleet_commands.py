"""`llm-gateway servers`, `sources` and `models`, without a server. Nobody is asked anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.command import Command

TAG = {"name": "llama3.2:3b", "model": "llama3.2:3b", "digest": "a" * 64}


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue of one server instead of the installed one's strangers."""
    entry = {"model_name": "llama3.2:3b", "ip_port": "http://127.0.0.1:9", "digest": "a" * 64}
    folder = tmp_path / "catalogue"
    folder.mkdir()
    (folder / "llama.json").write_text(json.dumps({"props": {"pageProps": {"models": [entry]}}}))
    monkeypatch.setenv("LLM_GATEWAY_SOURCES__OLLAMAFREEAPI__PATH", str(folder))
    monkeypatch.setenv("LLM_GATEWAY_ALLOW_PRIVATE_UPSTREAMS", "127.0.0.0/8")
    return folder


def test_a_fresh_data_directory_shows_the_whole_catalogue(command: Command):
    servers = command.done("servers", "list", "--json").rows
    assert [server["name"] for server in servers] == ["oll-de-1", "oll-de-2", "oll-nl-1", "oll-ru-1", "oll-us-1"]
    assert {server["trust"] for server in servers} == {"public"}
    assert {server["state"] for server in servers} == {"unknown"}
    assert len(command.done("models", "list", "--json").json["physical"]) == 10
    (source,) = command.done("sources", "list", "--json").rows
    assert (source["entries"], source["models"], source["servers"]) == (16, 10, 5)
    listed = command.done("servers", "list").out
    assert len(listed.splitlines()) == 1 + 5 + 3
    assert "1 of its models is out" in listed, "the catalogue's gpt-oss:20b is a gemma3 of 4.3 billion parameters"
    assert "quarantined" in command.done("servers", "show", "oll-nl-1").out
    assert len(command.done("models", "list").out.splitlines()) == 1 + 10


def test_nothing_but_the_sources_is_made_by_looking(command: Command):
    command.done("servers", "list")
    assert command.done("projects", "list", "--json").rows == []
    assert command.done("logs", "search", "--json").rows == []


def test_a_catalogue_that_is_no_json_is_told_and_not_fatal(command: Command, catalogue: Path):
    (catalogue / "broken.json").write_text("<html>")
    ended = command.done("sources", "sync")
    assert "broken.json" in ended.err
    assert "Traceback" not in ended.err


def test_an_added_server_lives_from_add_to_remove(command: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LLM_GATEWAY_SOURCES__OLLAMAFREEAPI__ENABLED", "false")
    monkeypatch.setenv("LLM_GATEWAY_ALLOW_PRIVATE_UPSTREAMS", "127.0.0.0/8")
    lab = ("servers", "add", "lab", "http://127.0.0.1:11434", "--kind", "ollama", "--trust", "own")
    added = command.done(*lab, "--max-concurrency", "4", "--json").json
    assert (added["url"], added["max_concurrency"], added["source"]) == ("http://127.0.0.1:11434", 4, "admin")
    command.done("servers", "disable", "lab")
    assert command.done("servers", "show", "lab", "--json").json["state"] == "disabled"
    command.done("servers", "enable", added["id"])
    assert command.done("servers", "show", "lab", "--json").json["enabled"] is True
    command.done("servers", "drain", "lab")
    command.done("servers", "remove", "lab")
    assert command("servers", "show", "lab").code == 3


def test_a_server_of_a_catalogue_is_disabled_not_removed(command: Command):
    refused = command("servers", "remove", "oll-de-1")
    assert refused.code == 4
    assert "disable" in refused.err
    command.done("servers", "disable", "oll-de-1")
    assert command.done("servers", "show", "oll-de-1", "--json").json["enabled"] is False


def test_a_probe_that_may_not_leave_says_so_and_ends_with_one(command: Command):
    ended = command("servers", "probe", "oll-de-1", "--json")
    assert ended.code == 1
    assert ended.rows[0]["probe"]["fault"] == "not_permitted"


def test_a_logical_name_is_mapped_replaced_and_taken_away(command: Command):
    fast = ("models", "map", "fast", "llama3.2:3b", "mistral:latest")
    made = command.done(*fast, "--param", "temperature=0.2", "--param", "stop=END", "--json").json
    assert made["backend"] == ["llama3.2:3b", "mistral:latest"]
    assert made["params"] == {"temperature": 0.2, "stop": ["END"]}
    assert command(*fast).code == 4
    replaced = command.done("models", "map", "fast", "smollm2:135m", "--replace", "--json").json
    assert (replaced["id"], replaced["backend"], replaced["params"]) == (made["id"], ["smollm2:135m"], {})
    shown = command.done("models", "list").out
    assert "fast" in shown.splitlines()[1]
    command.done("models", "unmap", "fast")
    assert command.done("models", "list", "--json").rows == []


def test_a_logical_name_has_the_price_that_it_is_given(command: Command):
    made = command.done(
        "models", "map", "dear", "llama3.2:3b", "--price-input", "0.5", "--price-output", "1.5", "--json"
    )
    assert made.json["price"] == {"input": 0.5, "output": 1.5}
    assert "0.5 in, 1.5 out" in command.done("models", "list").out
    half = command.done("models", "map", "half", "llama3.2:3b", "--price-output", "2", "--json")
    assert half.json["price"] == {"input": 0.0, "output": 2.0}
    free = command.done("models", "map", "dear", "llama3.2:3b", "--replace", "--json")
    assert free.json["price"] is None
    for wrong in ("-1", "inf", "nan", "2e9", "much"):
        assert command("models", "map", "wrong", "llama3.2:3b", "--price-input", wrong).code == 2, wrong


def test_a_name_of_a_project_and_a_shared_one_are_two(command: Command):
    command.done("projects", "create", "legal")
    command.done("models", "map", "fast", "llama3.2:3b")
    command.done("models", "map", "fast", "smollm2:135m", "--project", "legal")
    assert command("models", "unmap", "fast", "--project", "nope").code == 3
    command.done("models", "unmap", "fast", "--project", "legal")
    assert [(row["name"], row["project"]) for row in command.done("models", "list", "--json").rows] == [("fast", None)]
    assert command("models", "unmap", "fast", "--project", "legal").code == 3


def test_a_model_that_nobody_lists_is_mapped_with_a_remark(command: Command):
    ended = command.done("models", "map", "typo", "lama3:3b")
    assert "no server lists lama3:3b now" in ended.err
    assert "no server lists" not in command.done("models", "map", "tagless", "llama3").err


def test_a_backend_is_pinned_to_a_digest_that_a_server_lists_or_mapped_with_a_remark(command: Command):
    physical = command.done("models", "list", "--json").json["physical"]
    name, digest = next((row["name"], row["digest"]) for row in physical if row["digest"])
    made = command.done("models", "map", "pinned", f"{name}@sha256:{digest[:12]}", "--json")
    assert made.json["backend"] == [f"{name}@sha256:{digest[:12]}"]
    assert "no server lists" not in made.err
    strange = f"{name}@{'0' * 12}"
    assert f"no server lists {strange} now" in command.done("models", "map", "strange", strange).err
    refused = command("models", "map", "wrong", f"{name}@sha256:12")
    assert refused.code != 0
    assert "12 to 64 hexadecimal digits" in refused.err


def test_what_needs_a_server_says_that_none_runs(command: Command):
    for words in (("models", "test", "llama3.2:3b"), ("chat", "llama3.2:3b", "Hola")):
        ended = command(*words)
        assert (ended.code, ended.out) == (69, "")
        assert "llm-gateway serve" in ended.err
