"""How commands are declared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.main import get_command

from llm_gateway.cli.frame import Group, Where


@dataclass(frozen=True)
class Size:
    width: Annotated[int, typer.Option(help="How wide.")] = 1
    height: Annotated[int, typer.Option(help="How high.")] = 2


@pytest.fixture
def seen() -> list[object]:
    return []


@pytest.fixture
def run(seen: list[object]):
    inner = Group("Inner.")
    top = Group("Top.")
    top.add_typer(inner, name="inner")

    @inner.command("plain")
    def plain(where: Where, name: Annotated[str, typer.Argument()], size: Size) -> None:
        """Say it."""
        seen.append((where, name, size))

    @inner.command("waiting")
    async def waiting(where: Where) -> None:
        seen.append(where)

    return lambda *words: get_command(top).main(list(words), standalone_mode=False)


def test_a_dataclass_stands_for_its_options(run, seen):
    run("inner", "plain", "x", "--width", "7")
    assert seen == [(Where(), "x", Size(7, 2))]


@pytest.mark.parametrize(
    "words",
    [
        ("--data-dir", "/d", "inner", "plain", "x"),
        ("inner", "--data-dir", "/d", "plain", "x"),
        ("inner", "plain", "x", "--data-dir", "/d"),
        ("--data-dir", "/other", "inner", "plain", "x", "--data-dir", "/d"),
    ],
)
def test_the_options_of_every_command_may_stand_anywhere_and_the_nearest_wins(run, seen, words):
    run(*words)
    assert seen[0][0] == Where(data_dir=Path("/d"))


def test_options_of_different_places_come_together(run, seen):
    run("--config", "a.yaml", "inner", "waiting", "--data-dir", "/d")
    assert seen == [Where(Path("a.yaml"), Path("/d"))]


def test_a_coroutine_function_is_a_command_too(run, seen):
    run("inner", "waiting")
    assert seen == [Where()]
