"""`llm-gateway config`, `db`, `admin`, `version` and `openapi`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_gateway import __version__
from llm_gateway.access.keys import hash_key
from llm_gateway.storage.upgrade import HEAD
from support.command import Command

SECRET = "the-key-of-the-legal-project"
FILE: dict[str, Any] = {
    "sources": {"ollamafreeapi": {"enabled": False}},
    "allow_private_upstreams": ["127.0.0.0/8"],
    "servers": [{"name": "lab", "url": "http://127.0.0.1:11434", "kind": "ollama", "trust": "own"}],
    "models": [{"name": "fast", "backend": ["llama3.2:3b"], "params": {"temperature": 0.7}}],
    "projects": [
        {
            "name": "legal",
            "description": "Contract review",
            "rate_limit_per_minute": 600,
            "keys": [{"name": "ci", "value_env": "LEGAL_KEY"}],
            "models": [{"name": "law", "backend": ["a:1", "b:2"], "params": {"max_tokens": 5}}],
        }
    ],
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEGAL_KEY", SECRET)
    path = tmp_path / "gateway.yaml"
    path.write_text(yaml.safe_dump(FILE))
    return path


def test_a_good_file_is_ok(command: Command, file: Path):
    held = "1 server, 2 models, 1 project, 1 key, 0 alert rules, 0 webhooks"
    assert command.done("config", "check", file).out == f"ok: {file}: {held}\n"
    assert command.done("config", "check", "--config", file).code == 0
    assert not command.data_dir.exists(), "a look makes nothing"


def test_every_mistake_has_a_line_with_its_place(command: Command, file: Path):
    file.write_text("prot: 1\nprojects:\n  - {name: a, rate_limit_per_minute: -1}\n  - {name: a}\n")
    ended = command("config", "check", "gateway.yaml")
    assert (ended.code, ended.out) == (78, "")
    places = [line.split(": ")[0] for line in ended.err.splitlines()]
    assert places == ["gateway.yaml:1:1", "gateway.yaml:3:38", "gateway.yaml:4:12"]
    assert "Did you mean `port`?" in ended.err


def test_mistakes_stop_every_command(command: Command, file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LLM_GATEWAY_PROT", "1")
    for words in (("projects", "list"), ("serve",), ("db", "upgrade"), ("config", "show"), ("logs", "search")):
        ended = command(*words)
        assert (ended.code, len(ended.err.splitlines())) == (78, 1), ended
    assert not command.data_dir.exists()


def test_a_warning_is_no_mistake(command: Command, file: Path):
    file.write_text("projects: [{name: a, daily_cost: 5}]\n")
    assert "warning: gateway.yaml:1:22: `daily_cost`" in command.done("config", "check", "gateway.yaml").out


def test_applying_twice_changes_once(command: Command, file: Path):
    apply = ("config", "apply", "--config", file)
    wanted = ["project legal", "key legal/ci", "model fast", "model legal/law", "server lab"]
    assert command.done("config", "diff", file, "--json").json["created"] == wanted
    assert command.done(*apply).out.splitlines() == [f"+ {each}" for each in wanted]
    assert command.done(*apply).out == "Nothing to change.\n"
    assert not any(command.done("config", "diff", file, "--json").json.values())


def test_a_diff_changes_nothing(command: Command, file: Path):
    command.done("config", "diff", file)
    assert command.done("projects", "list", "--json").rows == []


def test_what_the_file_owns_is_read_only_elsewhere(command: Command, file: Path):
    command.done("config", "apply", file)
    for words in (
        ("projects", "update", "legal", "--description", "mine"),
        ("projects", "delete", "legal", "--yes"),
        ("models", "map", "fast", "x:1", "--replace"),
        ("models", "unmap", "law", "--project", "legal"),
        ("keys", "revoke", "ci"),
        ("servers", "disable", "lab", "--config", file),
    ):
        ended = command(*words)
        assert ended.code == 4, ended
        assert "config apply" in ended.err


def test_what_vanishes_from_the_file_is_taken_away(command: Command, file: Path):
    command.done("config", "apply", file)
    file.write_text(yaml.safe_dump({**FILE, "models": [], "servers": []}))
    assert command.done("config", "apply", file, "--json").json["removed"] == ["model fast", "server lab"]


def test_an_export_can_be_applied_elsewhere_and_holds_no_secret(
    command: Command, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    command.done("config", "apply", file)
    exported = command.done("config", "export").out
    assert SECRET not in exported
    objects = yaml.safe_load(exported)
    assert objects["projects"][0]["keys"] == [{"name": "ci", "sha256": hash_key(SECRET).hex()}]
    assert objects["servers"] == FILE["servers"]
    assert objects["models"] == FILE["models"]
    (tmp_path / "exported.yaml").write_text(exported)
    monkeypatch.setenv("LLM_GATEWAY_ALLOW_PRIVATE_UPSTREAMS", "127.0.0.0/8")
    other = ("--data-dir", tmp_path / "other")
    command.done("config", "apply", "exported.yaml", *other)
    assert command.done("config", "export", *other).out == exported


def test_an_export_leaves_out_what_has_ended(command: Command):
    command.done("projects", "create", "legal")
    command.done("projects", "create", "gone")
    command.done("projects", "disable", "gone")
    command.done("keys", "create", "-p", "legal", "--name", "ci")
    command.done("keys", "rotate", "ci")
    command.done("keys", "create", "-p", "legal", "--name", "old")
    command.done("keys", "revoke", "old")
    ended = command.done("config", "export")
    (project,) = yaml.safe_load(ended.out)["projects"]
    assert [key["name"] for key in project["keys"]] == ["ci", "ci 2"]
    assert "gone is disabled" in ended.err


def test_apply_wants_a_file(command: Command):
    assert command("config", "apply").code == 2
    assert command("config", "apply", "nowhere.yaml").code == 78


def test_the_settings_say_where_they_came_from_and_keep_their_secrets(
    command: Command, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LLM_GATEWAY_ADMIN_TOKEN", "a-token-that-nobody-may-see")
    ended = command.done("config", "show", "--json")
    settings = {row["name"]: row for row in ended.rows}
    assert settings["admin_token"] == {
        "name": "admin_token",
        "value": "**********",
        "source": "environment LLM_GATEWAY_ADMIN_TOKEN",
    }
    assert settings["port"]["source"] == "default"
    assert "nobody-may-see" not in ended.out + command.done("config", "show").out


def test_the_schema_is_json(command: Command):
    assert "projects" in command.done("config", "schema").json["properties"]


def test_an_upgrade_says_what_it_did_on_both_databases(
    command: Command, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LLM_GATEWAY_DATABASE_URL", empty_database_url)
    kind = "SQLite" if empty_database_url.startswith("sqlite") else "PostgreSQL"
    assert command.done("db", "upgrade").out == f"{kind}: empty -> {HEAD}\n"
    assert command.done("db", "upgrade").out == f"{kind}: {HEAD} already is the newest.\n"
    command.done("projects", "create", "legal")
    assert [project["name"] for project in command.done("projects", "list", "--json").rows] == ["legal"]
    assert command.done("doctor").code == 0


def test_the_admin_token_is_only_shown_when_asked_for(command: Command, monkeypatch: pytest.MonkeyPatch):
    path = Path(command.done("admin", "token").out.strip())
    assert path.read_text().strip() not in command.done("admin", "token").out
    assert command.done("admin", "token", "--reveal").out == path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("LLM_GATEWAY_ADMIN_TOKEN", "a-token-that-nobody-may-see")
    ended = command.done("admin", "token")
    assert (ended.out, ended.err) == ("", "It is set by environment LLM_GATEWAY_ADMIN_TOKEN.\n")


def test_version_and_openapi(command: Command):
    assert command.done("version").out == f"llm-gateway {__version__}\n"
    assert command.done("version", "--json").json["version"] == __version__
    schema = command.done("openapi").json
    assert {"/v1/chat", "/admin/api/projects"} <= schema["paths"].keys()
    assert json.dumps(schema)
