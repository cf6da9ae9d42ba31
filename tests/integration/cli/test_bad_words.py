"""Bad input on the command line: one line with the program's name, where possible a hint, the documented code, and
nothing written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.command import Command

LAB = ("servers", "add", "lab")
OWN = ("--kind", "ollama", "--trust", "own")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the data directory that every case copies will be kept."""
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture
def stocked(command: Command, prepared: Path) -> Command:
    """A database with the project `legal` and the shared name `fast`."""
    if not (prepared / "data").exists():
        command.done("projects", "create", "legal")
        command.done("models", "map", "fast", "llama3.2:3b")
        shutil.copytree(command.data_dir, prepared / "data")
    else:
        shutil.copytree(prepared / "data", command.data_dir)
    return command


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("projects", "create", "legal"), 4, "exists already"),
        (("projects", "create", ""), 2, "name"),
        (("projects", "create", "x" * 101), 2, "name"),
        (("projects", "create", "x", "--rate-limit-per-minute", "-5"), 2, "--rate-limit-per-minute"),
        (("projects", "create", "x", "--rate-limit-per-minute", "0"), 2, "whole number from 1"),
        (("projects", "create", "x", "--max-concurrency", "many"), 2, "'many'"),
        (("projects", "create", "x", "--monthly-tokens", "9" * 30), 2, "monthly_tokens"),
        (("projects", "create", "x", "--trust", "evil"), 2, "own"),
        (("projects", "update", "legal"), 2, "Nothing to change"),
        (("projects", "update", "nope", "--description", "x"), 3, "nope"),
        (("projects", "delete", "nope", "--yes"), 3, "nope"),
        (("projects", "show", "../keys"), 3, "../keys"),
        (("projects", "show", "."), 3, "'.'"),
        (("keys", "create", "--project", "nope"), 3, "nope"),
        (("keys", "create"), 2, "--project"),
        (("keys", "create", "-p", "legal", "--expires", "soon"), 2, "--expires"),
        (("keys", "rotate", "nope"), 3, "nope"),
        (("keys", "rotate", "nope", "--overlap", "long"), 2, "--overlap"),
        (("keys", "revoke", "00000000-0000-0000-0000-000000000000"), 3, "00000000"),
        ((*LAB, "ftp://example.org", *OWN), 2, "http:// and https://"),
        ((*LAB, "http://", *OWN), 2, "host is missing"),
        ((*LAB, "http://user:hunter2@example.org", *OWN), 2, "user name or password"),
        ((*LAB, "http://127.0.0.1:11434", *OWN), 2, "allow_private_upstreams"),
        ((*LAB, "http://10.0.0.5:11434", *OWN), 2, "private address"),
        ((*LAB, "http://0x7f.1", *OWN), 2, "loopback"),
        ((*LAB, "http://169.254.169.254", *OWN), 2, "link-local"),
        ((*LAB, "http://example.org:22", *OWN), 2, "port 22"),
        ((*LAB, "http://example.org", "--kind", "ollama"), 2, "--trust"),
        ((*LAB, "http://example.org", "--kind", "vllm", "--trust", "own"), 2, "--kind"),
        ((*LAB, "http://example.org", *OWN, "--max-concurrency", "-1"), 2, "--max-concurrency"),
        ((*LAB, "http://example.org", *OWN, "--api-key-env", "not a name"), 2, "api_key_env"),
        (("servers", "show", "nope"), 3, "nope"),
        (("servers", "remove", "nope"), 3, "nope"),
        (("servers", "probe"), 2, "--all"),
        (("servers", "probe", "oll-de-1", "--all"), 2, "--all"),
        (("models", "map", "fast", "x:1"), 4, "exists already"),
        (("models", "map", "x"), 2, "backend"),
        (("models", "map", "bad name", "x:1"), 2, "name"),
        (("models", "map", "x", "y:1", "--project", "nope"), 3, "nope"),
        (("models", "map", "x", "y:1", "--param", "temperature"), 2, "NAME=VALUE"),
        (("models", "map", "x", "y:1", "--param", "temprature=1"), 2, "temprature"),
        (("models", "map", "x", "y:1", "--param", "temperature=9"), 2, "from 0 to 2"),
        (("models", "unmap", "nope"), 3, "nope"),
        (("logs", "search", "--since", "tomorrowish"), 2, "--since"),
        (("logs", "search", "--status", "9xx"), 2, "--status"),
        (("logs", "search", "--limit", "0"), 2, "--limit"),
        (("logs", "search", "--cursor", "nonsense"), 2, "cursor"),
        (("logs", "search", "--request-id", "nonsense"), 2, "request id"),
        (("logs", "search", "--project", "nope"), 3, "nope"),
        (("logs", "export", "--format", "xml"), 2, "--format"),
        (("logs", "export", "--key", "nonsense"), 3, "There is no key"),
        (("usage", "--by", "planet"), 2, "planet"),
        (("usage", "--bucket", "year"), 2, "--bucket"),
        (("serve", "--port", "80000"), 2, "--port"),
        (("serve", "--log-level", "loud"), 2, "--log-level"),
        (("projets", "list"), 2, "projects"),
        (("projects", "lst"), 2, "list"),
        (("projects", "list", "--jason"), 2, "--json"),
        (("projects", "list", "surplus"), 2, "surplus"),
    ],
)
def test_bad_words(stocked: Command, words: tuple[str, ...], code: int, said: str):
    before = stocked.done("config", "export").out
    ended = stocked(*words)
    assert (ended.code, ended.out) == (code, ""), ended
    lines = ended.err.splitlines()
    assert said in ended.err
    assert lines[0].startswith("llm-gateway: ")
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("  ")), ended.err
    assert "Traceback" not in ended.err
    assert "hunter2" not in ended.err
    assert stocked.done("config", "export").out == before


def test_a_data_directory_that_is_a_file(command: Command, tmp_path: Path):
    (tmp_path / "file").touch()
    for words in (("projects", "list"), ("db", "upgrade"), ("admin", "token")):
        ended = command(*words, "--data-dir", tmp_path / "file" / "x")
        assert (ended.code, len(ended.err.splitlines())) == (1, 1)
        assert str(tmp_path / "file") in ended.err


def test_a_group_alone_shows_what_it_has(command: Command):
    ended = command("keys")
    assert ended.code == 2
    assert "rotate" in ended.out + ended.err
