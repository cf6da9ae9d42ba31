"""A person who has just cloned the repository: a clone of the files as they are, and a shell to type commands into."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_URL = "http://127.0.0.1:8000"
NO_NETWORK = ("index cannot be reached", "NewConnectionError", "NameResolutionError", "name resolution")
PATIENCE = 300.0
"""Seconds for a command that installs packages on a busy machine."""


@dataclass(slots=True)
class Newcomer:
    """`home` is where they type; the gateway they start listens on `port` instead of 8000."""

    home: Path
    repository: Path
    port: int
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def data_dir(self) -> Path:
        return self.home / "data"

    def typed(self, text: str) -> str:
        """What they type when a page says this."""
        return text.replace("REPOSITORY", str(self.repository)).replace(DEFAULT_URL, self.url)

    def popen(self, text: str, cwd: Path, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", self.typed(text)],
            cwd=cwd,
            env={**self.environ, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, text: str, cwd: Path | None = None, **more: str) -> str:
        """Types the lines; returns what they print. A failing line fails the test with its own words."""
        process = self.popen(text, cwd or self.home, **more)
        out, err = process.communicate(timeout=PATIENCE)
        if process.returncode and any(mark in out + err for mark in NO_NETWORK):
            pytest.skip("no package index to be reached from here")
        assert process.returncode == 0, out + err
        return out

    @contextmanager
    def running(self, text: str, cwd: Path, ready: Path | None = None, **more: str) -> Iterator[None]:
        """Types lines of which the last one stays; the block begins once the port (or the file) is there."""
        process = self.popen(text, cwd, **more)
        deadline = time.monotonic() + PATIENCE
        try:
            while not (ready.exists() if ready else self._listening()):
                if process.poll() is not None or time.monotonic() > deadline:
                    os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
                    out, err = process.communicate()
                    if any(mark in out + err for mark in NO_NETWORK):
                        pytest.skip("no package index to be reached from here")
                    pytest.fail(f"it did not start:\n{out}{err}")
                time.sleep(0.05)
            yield
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            try:
                process.communicate(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()

    def _listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def arrive(place: Path) -> Newcomer:
    """A newcomer with an empty home, and a repository that holds what git knows or would take in here."""
    repository, home = place / "repository", place / "home"
    home.mkdir(parents=True)
    _snapshot(repository)
    tools = Path(sys.executable).parent
    path = [each for each in os.environ["PATH"].split(os.pathsep) if Path(each) != tools]
    theirs = ("LLM_GATEWAY_", "VIRTUAL_ENV", "GIT_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    port = _free_port()
    environ |= {
        "PATH": os.pathsep.join(path),
        "LLM_GATEWAY_ONLY_NETWORKS": "127.0.0.0/8,::1/128",
        "LLM_GATEWAY_PORT": str(port),
        "LLM_GATEWAY_DATA_DIR": str(home / "data"),
    }
    return Newcomer(home, repository, port, environ)


def _snapshot(repository: Path) -> None:
    listed = subprocess.check_output(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, text=True)
    for name in listed.split("\0"):
        source = ROOT / name
        if name and source.is_file():
            target = repository / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)
    who = ["-c", "user.name=newcomer", "-c", "user.email=newcomer@example.org", "-c", "init.defaultBranch=main"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "--no-gpg-sign", "-m", "As it is"]):
        subprocess.run(["git", *who, *words], cwd=repository, check=True)


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])
