"""Who may use the dashboard, from the command line: with a running server and without one."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.command import Command
from support.served import LOOPBACK, THIS, Served, serve

PASSWORD = "seven unlikely green words"
LINK = re.compile(r"(http://\S+)/admin/#/login\?t=([\w-]{43})")
SESSION = "/admin/api/session"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("first"), LLM_GATEWAY_SOURCES__OLLAMAFREEAPI__ENABLED="false") as running:
        yield running


@pytest.fixture
def live(command: Command, served: Served, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("LLM_GATEWAY_DATA_DIR", str(served.data_dir))
    return command


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def sign_in(url: str, **how: str) -> int:
    return httpx.post(f"{url}{SESSION}", json=how, trust_env=False).status_code


def test_a_first_start_that_nobody_watches_leaves_a_link_in_a_file(served: Served):
    file = served.data_dir / "first-run.txt"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = LINK.search(file.read_text())
    assert found is not None
    assert found[1] == served.url
    assert not LINK.search((served.data_dir / "output").read_text()), "a secret where no person looks"
    assert [sign_in(served.url, link=found[2]) for _ in range(2)] == [201, 401]


def test_a_fresh_link_is_printed_beside_a_running_server(live: Command, served: Served):
    plain, json = live.done("admin", "login-url").out, live.done("admin", "login-url", "--json").json["url"]
    for text in (plain, json):
        found = LINK.fullmatch(text.strip())
        assert found is not None
        assert found[1] == served.url
        assert sign_in(served.url, link=found[2]) == 201


def test_users_are_kept_from_the_command_line(live: Command, served: Served, monkeypatch: pytest.MonkeyPatch):
    assert live("admin", "users", "create", "ann", "--role", "viewer").code == 2, "no password on stdin"
    typed(monkeypatch, "short\n")
    weak = live("admin", "users", "create", "ann", "--role", "viewer")
    assert weak.code == 2
    assert "15 characters" in weak.err
    typed(monkeypatch, PASSWORD + "\n")
    made = live.done("admin", "users", "create", "ann", "--role", "viewer", "--json").json
    assert (made["name"], made["role"], made["is_active"]) == ("ann", "viewer", True)
    assert sign_in(served.url, name="ann", password=PASSWORD) == 201
    assert live.done("admin", "users", "update", "ann", "--role", "editor", "--json").json["role"] == "editor"
    assert live.done("admin", "users", "sign-out", "ann", "--json").json == {"ended": 1}
    live.done("admin", "users", "disable", "ann")
    assert sign_in(served.url, name="ann", password=PASSWORD) == 401
    live.done("admin", "users", "enable", "ann")
    typed(monkeypatch, "eight unlikely blue words")
    live.done("admin", "users", "password", "ann")
    assert sign_in(served.url, name="ann", password="eight unlikely blue words") == 201
    assert [user["name"] for user in live.done("admin", "users", "list", "--json").rows] == ["ann"]
    assert "editor" in live.done("admin", "users", "list").out
    live.done("admin", "users", "delete", "ann")
    gone = live("admin", "users", "delete", "ann")
    assert gone.code == 3
    assert "admin users list" in gone.err


def test_what_was_changed_is_listed(live: Command):
    live.done("projects", "create", "audited", "--trust", "own")
    live.done("projects", "update", "audited", "--trust", "own,public")
    rows = live.done("admin", "audit", "--object", "audited", "--json").rows
    assert [row["action"] for row in rows] == ["project.update", "project.create"]
    shown = live.done("admin", "audit", "--action", "project", "--since", "1h", "--limit", "1").out
    assert "trust: ['own'] → ['own', 'public']" in shown
    assert "project.create" not in shown
    lines = live.done("admin", "audit-export", "--object", "audited").out.splitlines()
    assert [json.loads(line) for line in lines] == rows[::-1]
    live.done("admin", "audit-export", "--type", "project", "--until", "now", "-o", "changes.csv")
    with Path("changes.csv").open(newline="") as file:
        assert [row["action"] for row in csv.DictReader(file) if row["object_name"] == "audited"] == [
            "project.create",
            "project.update",
        ]


def test_without_a_server_the_database_of_the_data_directory_is_asked(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    made = command.done("admin", "login-url")
    found = LINK.fullmatch(made.out.strip())
    assert found is not None
    assert "start one" in made.err
    typed(monkeypatch, PASSWORD)
    command.done("admin", "users", "create", "bob", "--role", "owner")
    (row,) = command.done("admin", "audit", "--who", "token", "--type", "user", "--json").rows
    assert (row["action"], row["object_name"], row["after"]) == (
        "user.create",
        "bob",
        {"role": "owner", "is_active": True},
    )
    with serve(command.data_dir, LLM_GATEWAY_SOURCES__OLLAMAFREEAPI__ENABLED="false") as running:
        assert "login?t=" not in (command.data_dir / "first-run.txt").read_text(), (
            "there is a user, and a link was made"
        )
        assert sign_in(running.url, link=found[2]) == 201
        assert sign_in(running.url, name="bob", password=PASSWORD) == 201


def test_a_password_of_the_environment_makes_the_first_owner(tmp_path: Path):
    settings = {"LLM_GATEWAY_SOURCES__OLLAMAFREEAPI__ENABLED": "false", "LLM_GATEWAY_ADMIN_PASSWORD": PASSWORD}
    with serve(tmp_path, **settings) as running:
        assert "login?t=" not in (tmp_path / "first-run.txt").read_text()
        assert sign_in(running.url, name="admin", password=PASSWORD) == 201
    settings["LLM_GATEWAY_ADMIN_PASSWORD"] = "eight unlikely blue words"
    with serve(tmp_path, **settings) as running:
        assert sign_in(running.url, name="admin", password=PASSWORD) == 201, "there is a user already"


def test_a_weak_password_of_the_environment_stops_the_start(command: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LLM_GATEWAY_ADMIN_PASSWORD", "password")
    refused = command("serve")
    assert refused.code == 78
    assert "15 characters" in refused.err
    monkeypatch.setenv("LLM_GATEWAY_ADMIN_PASSWORD", "")
    assert command("serve").code == 78


def test_a_person_at_a_terminal_sees_the_link(tmp_path: Path):
    ours, theirs = pty.openpty()
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "LLM_GATEWAY_DATA_DIR": str(tmp_path),
        "LLM_GATEWAY_ONLY_NETWORKS": LOOPBACK,
        "LLM_GATEWAY_SOURCES__OLLAMAFREEAPI__ENABLED": "false",
    }
    words = [*THIS, "serve", "--port", "0"]
    with subprocess.Popen(words, env=environ, stdout=theirs, stderr=theirs, stdin=theirs, cwd=tmp_path) as process:
        os.close(theirs)
        try:
            said, deadline = b"", time.monotonic() + 30
            while b"Try it" not in said and time.monotonic() < deadline:
                said += os.read(ours, 4096)
            found = LINK.search(said.decode())
            assert found is not None, said
            assert sign_in(found[1], link=found[2]) == 201
        finally:
            process.send_signal(signal.SIGINT)
            os.close(ours)
    assert not (tmp_path / "first-run.txt").exists()
