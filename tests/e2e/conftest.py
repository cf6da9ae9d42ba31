"""Each environment is made once: the wheel, an environment that has only it, and the demo that runs from there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from places import Environment, build_wheel, copy_of_repository, environment, outside, skip_without_index

from support.served import Served, serve


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_repository(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="session")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    done = build_wheel(checkout, out, outside())
    if done.returncode:
        skip_without_index(done.stdout)
        pytest.fail(done.stdout[-4000:])
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the locked packages and the wheel."""
    fresh = environment(tmp_path_factory.mktemp("installed") / "env")
    fresh.pip("install", "--require-hashes", "-r", checkout / "requirements.txt")
    fresh.pip("install", "--no-deps", wheel)
    return fresh


@pytest.fixture(scope="session")
def demo(installed: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`llm-gateway serve --demo` of that environment."""
    place = tmp_path_factory.mktemp("demo")
    with serve(place, "--demo", program=[str(installed.bin / "llm-gateway")]) as served:
        yield served
