"""The command in a process of its own: pipes, signals, completion, and starts that cannot work."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.net import closed_port, hanging_port
from support.served import LOOPBACK, THIS

START = 30.0
"""Seconds that a process may take on a machine with other work to do."""
HEAVY = ("asyncio", "fastapi", "httpx", "pydantic", "rich", "sqlalchemy", "structlog", "uvicorn", "yaml")


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
    return {**kept, "HOME": str(home), "LLM_GATEWAY_ONLY_NETWORKS": LOOPBACK, **more}


def run(home: Path, *words: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*THIS, *words],
        cwd=home,
        env=environment(home, **more),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=START,
        check=False,
    )


def test_help_imports_nothing_that_takes_long():
    code = f"import sys, llm_gateway.cli.app\nprint([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_pipes_get_no_colours_and_whole_lines(tmp_path: Path):
    ended = run(tmp_path, "servers", "list", FORCE_COLOR="1", COLUMNS="30", TERM="xterm-256color")
    assert ended.returncode == 0
    assert "\x1b" not in ended.stdout
    assert len(ended.stdout.splitlines()) == 9


def test_an_encoding_without_our_marks_ends_no_command(tmp_path: Path):
    ended = run(tmp_path, "doctor", PYTHONIOENCODING="ascii", LLM_GATEWAY_PORT="0")
    assert ended.returncode == 0, ended
    assert "python" in ended.stdout


def test_a_reader_that_has_seen_enough_is_no_trouble(tmp_path: Path):
    with subprocess.Popen(
        [*THIS, "config", "schema"], env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(START) == 1


def test_a_question_may_come_from_a_pipe_but_must_be_one(tmp_path: Path):
    ended = run(tmp_path, "chat", "llama3.2:3b", stdin="  \n")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "no question" in ended.stderr


def test_completion_can_be_installed_and_completes(tmp_path: Path):
    assert run(tmp_path, "--install-completion", "bash", SHELL="/bin/bash").returncode == 0
    assert "complet" in "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    asked = {"_LLM_GATEWAY_COMPLETE": "complete_bash", "COMP_WORDS": "llm-gateway proj", "COMP_CWORD": "1"}
    assert run(tmp_path, **asked).stdout.split() == ["projects"]


# --- starts that cannot work -------------------------------------------------------------------------------------


def refused(home: Path, *flags: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A start that must end by itself, in one or two lines."""
    ended = run(home, "serve", "--port", "0", "--data-dir", "data", *flags, **more)
    assert ended.stdout == ""
    assert 1 <= len(ended.stderr.splitlines()) <= 2, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


@pytest.fixture
def newer(tmp_path: Path) -> Iterator[Path]:
    """A database that a newer version has left."""
    run(tmp_path, "db", "upgrade", "--data-dir", "data")
    file = tmp_path / "data" / "gateway.db"
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    before = file.read_bytes()
    yield tmp_path
    assert file.read_bytes() == before, "nothing half-written"


def test_a_port_in_use(tmp_path: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ended = refused(tmp_path, "--port", str(other.getsockname()[1]))
    assert ended.returncode == 1
    assert "Address already in use" in ended.stderr
    assert not (tmp_path / "data").exists()


def test_an_address_that_is_none(tmp_path: Path):
    ended = refused(tmp_path, "--host", "999.1.1.1", LLM_GATEWAY_ADMIN_TOKEN="a-token-for-the-open-address")
    assert (ended.returncode, "999.1.1.1" in ended.stderr) == (1, True)


def test_an_open_address_without_a_token(tmp_path: Path):
    assert refused(tmp_path, "--host", "0.0.0.0").returncode == 78


def test_several_workers_on_sqlite(tmp_path: Path):
    ended = refused(tmp_path, "--workers", "2")
    assert ended.returncode == 78
    assert "PostgreSQL" in ended.stderr


def test_mistakes_in_the_config_file(tmp_path: Path):
    (tmp_path / "bad.yaml").write_text("prot: 1\nsevers: []\n")
    ended = refused(tmp_path, "--config", "bad.yaml")
    assert ended.returncode == 78
    assert [line.split(": ")[0] for line in ended.stderr.splitlines()] == ["bad.yaml:1:1", "bad.yaml:2:1"]
    assert not (tmp_path / "data").exists()


def test_a_database_that_is_too_new(newer: Path):
    ended = refused(newer)
    assert ended.returncode == 69
    assert "newer version" in ended.stderr


def test_commands_that_need_a_database_which_is_none_end_with_one_line(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "gateway.db").write_bytes(b"certainly not a database" * 100)
    ended = run(tmp_path, "projects", "list", "--data-dir", "data")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (69, 1), ended.stderr


@pytest.mark.parametrize("door", [closed_port, hanging_port])
def test_commands_that_need_a_database_which_is_down_end_with_one_line(tmp_path: Path, door):
    with door() as port:
        url = f"postgresql://u:hunter2@127.0.0.1:{port}/x"
        ended = run(tmp_path, "projects", "list", "--data-dir", "data", LLM_GATEWAY_DATABASE_URL=url)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (69, 1), ended.stderr
    assert "LLM_GATEWAY_DATABASE_URL" in ended.stderr
    assert "hunter2" not in ended.stderr


@pytest.mark.parametrize("url", ["mysql://x/y", "postgresql://u:hunter2@[::1/x", "sqlite://host/x"])
def test_a_database_url_that_is_none(tmp_path: Path, url: str):
    ended = refused(tmp_path, LLM_GATEWAY_DATABASE_URL=url)
    assert ended.returncode == 78
    assert "hunter2" not in ended.stderr


def test_a_file_that_wants_a_revoked_key(tmp_path: Path):
    def call(*words: str) -> str:
        return run(tmp_path, *words, "--data-dir", "data").stdout

    call("projects", "create", "legal")
    key = call("keys", "create", "-p", "legal", "--name", "ci").strip()
    call("keys", "revoke", "ci")
    (tmp_path / "gateway.yaml").write_text("projects: [{name: legal, keys: [{name: ci, value_env: KEY}]}]\n")
    ended = refused(tmp_path, "--config", "gateway.yaml", KEY=key)
    assert ended.returncode == 4
    assert "revoked by an administrator" in ended.stderr


def test_the_seeds_way_of_starting_ends_in_clear_lines_too(tmp_path: Path):
    def start(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "uvicorn", "llm_gateway.main:app", "--port", "0"],
            cwd=tmp_path,
            env=environment(tmp_path, **more),
            capture_output=True,
            text=True,
            timeout=START,
            check=False,
        )

    data = tmp_path / "data"
    data.mkdir()
    (data / "admin-token").write_text("hunter2")
    spoilt = start(LLM_GATEWAY_DATA_DIR=str(data))
    wrong = start(LLM_GATEWAY_PROT="1", LLM_GATEWAY_HOTS="1")
    for ended, said in ((spoilt, ("should hold the admin token",)), (wrong, ("PROT`. Did you", "HOTS`. Did you"))):
        assert ended.returncode != 0
        output = ended.stdout + ended.stderr
        assert all(sum(words in line for line in output.splitlines()) == 1 for words in said), output
        assert "Traceback" not in output
        assert "hunter2" not in output
