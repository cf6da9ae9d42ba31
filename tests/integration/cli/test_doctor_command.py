"""`llm-gateway doctor` without a server: what it finds, and that it asks no model server."""

from __future__ import annotations

import socket
import sqlite3
from pathlib import Path

import pytest
import redis

from support.command import Command
from support.net import free_port
from support.redises import RedisServer


@pytest.fixture(autouse=True)
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_GATEWAY_PORT", str(free_port()))


def states(command: Command, *words: str) -> dict[str, str]:
    return {check["name"]: check["state"] for check in command("doctor", "--json", *words).json["checks"]}


def test_a_machine_before_its_first_start_is_well(command: Command):
    ended = command.done("doctor")
    assert {line[0] for line in ended.out.splitlines()} == {"✓"}
    assert not command.data_dir.exists(), "a look makes nothing"


def test_the_json_says_the_same(command: Command):
    command.done("db", "upgrade")
    told = command.done("doctor", "--json").json
    assert told["ok"] is True
    assert {check["state"] for check in told["checks"]} == {"ok"}
    assert {"python", "configuration", "data directory", "database", "server"} <= {c["name"] for c in told["checks"]}


def test_mistakes_in_the_configuration_come_with_their_place(command: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LLM_GATEWAY_PROT", "1")
    ended = command("doctor")
    assert ended.code == 1
    assert "✗ configuration" in ended.out
    assert "LLM_GATEWAY_PROT" in ended.out


def test_a_database_that_is_too_new(command: Command):
    command.done("db", "upgrade")
    with sqlite3.connect(command.data_dir / "gateway.db") as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    assert states(command)["database"] == "error"
    assert command("doctor").code == 1


def test_a_database_without_tables_only_wants_an_upgrade(command: Command):
    command.data_dir.mkdir(mode=0o700)
    (command.data_dir / "gateway.db").touch(mode=0o600)
    ended = command.done("doctor")
    assert "! database" in ended.out
    assert "db upgrade" in ended.out


def test_a_database_that_is_down(command: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LLM_GATEWAY_DATABASE_URL", f"postgresql://u:secret@127.0.0.1:{free_port()}/x")
    ended = command("doctor")
    assert "✗ database" in ended.out
    assert "secret" not in ended.out


def redis_check(command: Command) -> tuple[str, str]:
    (check,) = [each for each in command("doctor", "--json").json["checks"] if each["name"] == "redis"]
    return check["state"], check["text"] + check["fix"]


def test_a_redis_that_does_and_one_that_does_not(
    command: Command, monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
):
    assert "redis" not in states(command)
    monkeypatch.setenv("LLM_GATEWAY_REDIS_URL", redis_server.url)
    assert redis_check(command)[0] == "ok"
    with redis.Redis.from_url(redis_server.url) as other:
        other.config_set("maxmemory", "100mb")
        other.config_set("maxmemory-policy", "allkeys-lru")
        state, said = redis_check(command)
        assert (state, "noeviction" in said) == ("warning", True)
        other.replicaof("127.0.0.1", free_port())  # type: ignore[no-untyped-call]
        state, said = redis_check(command)
        assert (state, "replica" in said) == ("error", True)
    redis_server.freeze()
    state, said = redis_check(command)
    assert (state, "does not answer" in said) == ("error", True)


def test_a_port_that_is_taken(command: Command, monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setenv("LLM_GATEWAY_PORT", str(other.getsockname()[1]))
        assert states(command)["server"] == "error"


def test_secrets_that_others_may_read(command: Command):
    token = Path(command.done("admin", "token").out.strip())
    token.chmod(0o644)
    command.data_dir.chmod(0o755)
    found = states(command)
    assert (found["admin token"], found["data directory"]) == ("error", "warning")
    assert "chmod 600" in command("doctor").out


def test_a_weak_token_and_an_open_address(command: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LLM_GATEWAY_ADMIN_TOKEN", "a" * 30)
    monkeypatch.setenv("LLM_GATEWAY_HOST", "0.0.0.0")
    found = states(command)
    assert (found["admin token"], found["listens on"]) == ("warning", "warning")
    monkeypatch.setenv("LLM_GATEWAY_PUBLIC_URL", "https://llm.example.org")
    assert states(command)["listens on"] == "ok"


def test_a_catalogue_with_nothing_in_it(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("LLM_GATEWAY_SOURCES__OLLAMAFREEAPI__PATH", str(tmp_path / "empty"))
    assert states(command)["ollamafreeapi"] == "error"


def test_a_data_directory_that_cannot_be_one(command: Command, tmp_path: Path):
    (tmp_path / "file").touch()
    assert states(command, "--data-dir", str(tmp_path / "file" / "x"))["data directory"] == "error"


def test_asking_a_model_wants_a_server(command: Command):
    assert states(command, "--ask")["model"] == "error"


def test_no_connection_is_opened_to_anybody(command: Command, monkeypatch: pytest.MonkeyPatch):
    asked: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
    command.done("doctor")
    assert asked == []
