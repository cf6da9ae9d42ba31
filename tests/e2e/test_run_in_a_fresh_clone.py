"""`./run` where nobody has been before: a fresh clone, Python and git, and either `uv` or only pip."""

from __future__ import annotations

import shlex
import subprocess
import time
from pathlib import Path

import pytest
from places import BASE_PYTHON, answers, copy_of_repository, outside, staying, uv

from support.net import free_port

pytestmark = pytest.mark.slow
COLD = 90.0
"""Seconds: the promise for a machine of two cores that has nothing else to do."""
BUSY = 3.0
"""How many times longer it may take where other work runs and the way to the index is slow."""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of a repository that holds what this one would after a commit."""
    origin, clone = copy_of_repository(tmp_path / "origin"), tmp_path / "clone"
    who = ["-c", "user.name=newcomer", "-c", "user.email=newcomer@example.org", "-c", "init.defaultBranch=main"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "--no-gpg-sign", "-m", "As it is"]):
        subprocess.run(["git", *who, *words], cwd=origin, check=True, env=outside())
    subprocess.run(["git", "clone", "-q", origin, clone], check=True, env=outside())
    return clone


@pytest.mark.parametrize(("installer", "ensurepip"), [("uv", True), ("pip", True), ("pip", False)])
def test_it_serves_within_the_promised_time(
    clone: Path, tmp_path: Path, installer: str, ensurepip: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = outside() | {"PATH": machine_with(installer, tmp_path / "programs")}
    if not ensurepip:
        environ["PYTHONPATH"] = str(without_ensurepip(tmp_path / "modules"))

    cold, said = first_answer(clone, environ)
    assert f"preparing .venv with {installer}" in said
    assert bool([*(clone / ".venv-setup").glob("pip-*.whl")]) is not ensurepip  # pip came from the index
    warm, said = first_answer(clone, environ)
    assert "run:" not in said
    with capsys.disabled():
        how = installer if ensurepip else f"{installer}, no ensurepip"
        print(f"\n./run to the first answer, with {how}: {cold:.1f} s in a fresh clone, then {warm:.2f} s")
    assert cold < COLD * BUSY


def machine_with(installer: str, place: Path) -> str:
    """The PATH of a machine that has `python3` and, only if that is the installer, `uv`."""
    place.mkdir()
    programs = {"python3": str(BASE_PYTHON)}
    if installer == "uv":
        programs["uv"] = uv() or pytest.skip("no uv here")
    for name, path in programs.items():
        (place / name).write_text(f'#!/bin/sh\nexec {shlex.quote(path)} "$@"\n')
        (place / name).chmod(0o755)
    return f"{place}:/usr/bin:/bin" if installer == "uv" else str(place)


def without_ensurepip(place: Path) -> Path:
    """Modules that make Python look as Debian ships it, where `ensurepip` is a package of its own."""
    (place / "ensurepip").mkdir(parents=True)
    (place / "ensurepip/__init__.py").write_text("raise ImportError('not installed')\n")
    return place


def first_answer(clone: Path, environ: dict[str, str]) -> tuple[float, str]:
    """Seconds from `./run` to the first answer, and what it printed."""
    port, began = free_port(), time.monotonic()
    with staying(["./run", "--port", str(port), "--data-dir", clone / "data"], clone, environ) as process:
        answers(f"http://127.0.0.1:{port}/v1/health", process, clone / "output")
        seconds = time.monotonic() - began
    return seconds, (clone / "output").read_text()
