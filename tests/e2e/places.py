"""Places that know nothing of this checkout: copies of what git has of it, and environments to install into."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
BASE_PYTHON = Path(getattr(sys, "_base_executable", None) or sys.executable)
LOOPBACK = "127.0.0.0/8,::1/128"
PATIENCE = 300.0
"""Seconds for whatever fetches packages on a busy machine."""
NO_INDEX = ("index cannot be reached", "NewConnectionError", "name resolution", "NameResolutionError", "dns error")
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def outside() -> dict[str, str]:
    """The environment variables of somebody who has not entered any environment of Python's."""
    theirs = ("LLM_GATEWAY_", "VIRTUAL_ENV", "PYTHON", "GIT_", "UV_PROJECT")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    tools = str(Path(sys.executable).parent)
    path = os.pathsep.join(each for each in environ["PATH"].split(os.pathsep) if each != tools)
    return environ | {"PATH": path, "LLM_GATEWAY_ONLY_NETWORKS": LOOPBACK}


def uv() -> str | None:
    """The `uv` of this machine, if it works: what is on PATH may be an empty shim."""
    found = shutil.which("uv", path=outside()["PATH"])
    works = found and not subprocess.call([found, "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return found if works else None


def copy_of_repository(place: Path) -> Path:
    """A copy of every file that git has here, or would take in, as it is now."""
    listed = subprocess.check_output(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, text=True)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            target = place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    return place


def typed(words: Sequence[str | Path], cwd: Path, environ: Mapping[str, str] | None = None) -> str:
    """What a command prints. Its failure fails the test with its own words; without a package index: skipped."""
    ended = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=environ or outside(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    said = ended.stdout + ended.stderr
    if ended.returncode:
        skip_without_index(said)
        pytest.fail(f"{' '.join(map(str, words))} ended with {ended.returncode}:\n{said[-4000:]}")
    return ended.stdout


def skip_without_index(said: str) -> None:
    if any(mark in said for mark in NO_INDEX):
        pytest.skip("no package index to be reached from here")


def build_wheel(checkout: Path, out: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Builds the wheel of a checkout into `out`; `stdout` holds everything that was said."""
    quick = ["--installer", "uv"] if uv() else []
    return subprocess.run(
        [sys.executable, "-m", "build", "--wheel", *quick, "--outdir", str(out), str(checkout)],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment in `place`."""

    place: Path

    @property
    def bin(self) -> Path:
        return self.place / "bin"

    @property
    def entered(self) -> dict[str, str]:
        """The variables after `. bin/activate`."""
        environ = outside()
        return environ | {"PATH": f"{self.bin}{os.pathsep}{environ['PATH']}", "VIRTUAL_ENV": str(self.place)}

    def pip(self, command: str, *words: str | Path) -> None:
        """`pip COMMAND WORDS` on this environment, by uv where there is one."""
        python = self.bin / "python"
        tool = uv()
        start = [tool, "pip", command, "--python", python] if tool else [python, "-m", "pip", command]
        typed([*start, *words], cwd=self.place)


def environment(place: Path, *, pip: bool = False) -> Environment:
    """A fresh environment with nothing in it; with `pip` in any case on request."""
    tool = uv()
    words = (
        [tool, "venv", "-q", "--python", BASE_PYTHON, place] if tool and not pip else [BASE_PYTHON, "-m", "venv", place]
    )
    typed([str(word) for word in words], cwd=place.parent)
    return Environment(place)


@contextmanager
def staying(words: Sequence[str | Path], cwd: Path, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A command that runs until the block ends. Its own words are in the file `output` of `cwd`."""
    with (cwd / "output").open("w") as sink:
        process = subprocess.Popen(
            [str(word) for word in words],
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def fetched(url: str) -> bytes:
    with DIRECT.open(url, timeout=30) as answer:
        return bytes(answer.read())


def answers(url: str, process: subprocess.Popen[str], output: Path) -> bytes:
    """The body of the first answer with status 200. Fails with the words of the process when none comes."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return fetched(url)
        except OSError:
            time.sleep(0.02)
    said = output.read_text()
    skip_without_index(said)
    pytest.fail(f"{url} has not answered; exit code {process.poll()}:\n{said[-4000:]}")


def eventually(look: Callable[[], T], within: float = 10.0) -> T:
    """The first true value of `look`. Fails when there is none in time."""
    deadline = time.monotonic() + within
    while not (value := look()):
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.05)
    return value
