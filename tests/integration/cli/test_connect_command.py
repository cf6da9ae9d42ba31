"""`llm-gateway connect`: what it prints, where it takes address, model and key from, and the files it writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_gateway.cli.exits import Exit
from llm_gateway.recipes.table import RECIPES
from support.command import Command
from support.served import Served, serve

ANSWERABLE = "llama3.2:3b"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("demo"), "--demo") as running:
        yield running


@pytest.fixture
def live(command: Command, served: Served, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("LLM_GATEWAY_DATA_DIR", str(served.data_dir))
    return command


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "home"
    made.mkdir()
    monkeypatch.setenv("HOME", str(made))
    return made


def test_all_clients_are_listed(command: Command):
    listed = command.done("connect", "--json").rows
    assert [row["client"] for row in listed] == [recipe.name for recipe in RECIPES]
    people = command.done("connect").out
    assert all(recipe.name in people for recipe in RECIPES)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_recipe_can_be_shown_without_a_gateway(command: Command, recipe: object):
    name = recipe.name  # type: ignore[attr-defined]
    shown = command.done("connect", name, "--model", "my-model")
    assert "my-model" in shown.out or name in ("open-webui", "n8n")
    assert "127.0.0.1:8000" in shown.out
    assert "no gateway runs" in shown.err
    assert "YOUR_KEY" in shown.out
    assert not command.data_dir.exists()


def test_an_unknown_client_is_told_what_was_meant(command: Command):
    ended = command("connect", "claud")
    assert ended.code == Exit.NOT_FOUND
    assert "Did you mean `claude-code`?" in ended.err
    assert "open-webui" in ended.err


def test_a_running_gateway_gives_address_and_model(live: Command, served: Served):
    told = live.done("connect", "openai-python", "--json").json
    assert told["base_url"] == served.url
    assert told["model"] != "YOUR_MODEL"
    known = live.done("models", "list", "--json").json
    assert told["model"] in {row["name"] for row in [*known["data"], *known["physical"]]}


def test_a_key_gives_the_models_of_its_project(live: Command, monkeypatch: pytest.MonkeyPatch):
    live.done("projects", "create", "narrow", "--trust", "own", "--trust", "public", "--allow", ANSWERABLE)
    key = live.done("keys", "create", "--project", "narrow").out.strip()
    for given in ("flag", "environment"):
        if given == "environment":
            monkeypatch.setenv("LLM_GATEWAY_KEY", key)
        flags = ["--key", key] if given == "flag" else []
        told = live.done("connect", "curl", "--json", *flags).json
        assert told["model"] == ANSWERABLE
        assert key in told["parts"][0]["text"]


def test_a_wrong_key_is_an_error_and_not_a_recipe(live: Command):
    ended = live("connect", "curl", "--key", "llmgw_wrong")
    assert ended.code == Exit.ERROR
    assert ended.out == ""
    assert "llmgw_wrong" not in ended.err


def test_the_public_address_is_the_one_that_others_need(live: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LLM_GATEWAY_PUBLIC_URL", "https://llm.example.org")
    assert live.done("connect", "curl", "--json").json["base_url"] == "https://llm.example.org"


@pytest.mark.parametrize("url", ["https://other:9/", "https://other:9/v1", "https://other:9/v1/"])
def test_an_address_may_be_pasted_with_its_path(command: Command, url: str):
    told = command.done("connect", "aider", "--model", "m", "--base-url", url, "--json").json
    assert told["base_url"] == "https://other:9"


@pytest.mark.parametrize("url", ["other:9", "ftp://other", "https://", "https://a b", "https://a?q=1"])
def test_an_address_that_is_none_is_refused(command: Command, url: str):
    assert command("connect", "aider", "--model", "m", "--base-url", url).code == Exit.USAGE


def test_a_file_is_shown_written_and_restored(command: Command, home: Path):
    file = home / ".claude/settings.json"
    file.parent.mkdir()
    file.write_text('{"theme": "dark"}')
    words = ("connect", "claude-code", "--model", "m", "--key", "k-123")
    diff = command.done(*words, "--write", "--dry-run").out
    assert '+    "ANTHROPIC_AUTH_TOKEN": "k-123",' in diff
    assert file.read_text() == '{"theme": "dark"}'

    command.done(*words, "--write")
    held = json.loads(file.read_text())
    assert (held["theme"], held["env"]["ANTHROPIC_MODEL"]) == ("dark", "m")
    assert file.stat().st_mode & 0o777 == 0o600

    command.done("connect", "claude-code", "--restore", "--dry-run")
    command.done("connect", "claude-code", "--restore")
    assert file.read_text() == '{"theme": "dark"}'
    assert command("connect", "claude-code", "--restore").code == Exit.REFUSED


def test_a_file_of_a_project_is_written_where_one_is(command: Command, tmp_path: Path):
    command.done("connect", "opencode", "--model", "m", "--write")
    assert "m" in json.loads((tmp_path / "opencode.json").read_text())["provider"]["llm-gateway"]["models"]
    assert "Removed" in command.done("connect", "opencode", "--restore").out
    assert not (tmp_path / "opencode.json").exists()


def test_a_file_with_comments_is_left_alone_and_what_to_paste_is_shown(command: Command, home: Path):
    file = home / ".config/zed/settings.json"
    file.parent.mkdir(parents=True)
    file.write_text('// mine\n{"theme": "One"}\n')
    ended = command("connect", "zed", "--model", "m", "--write")
    assert ended.code == Exit.REFUSED
    assert '"openai_compatible"' in ended.err
    assert file.read_text() == '// mine\n{"theme": "One"}\n'


@pytest.mark.parametrize(
    "flags",
    [
        ("curl", "--write", "--model", "m"),
        ("curl", "--restore"),
        ("codex", "--write"),  # no gateway runs, so no model is known
        ("codex", "--write", "--restore"),
        ("codex", "--dry-run"),
        ("codex", "--model", "m", "--key", "k\nk"),
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_a_mistake_of_usage(command: Command, flags: tuple[str, ...], home: Path):
    assert command("connect", *flags).code == Exit.USAGE
    assert list(home.iterdir()) == []
