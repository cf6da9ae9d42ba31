"""The code keeps the shape that the design draws. What is checked, and how, is in `picture.py` beside this file."""

from __future__ import annotations

import ast
import statistics
from pathlib import Path

import pytest
from picture import ALLOWED, PURE, Source, dangers, impurities, sources, wrong_imports

SRC = Path(__file__).resolve().parents[2] / "src"
ALL = sources(SRC)
LONG = 500
EXCUSE = "Over 500 lines because"


def module(name: str, text: str, package: bool = False) -> Source:
    return Source(name, f"src/llm_gateway/{name.replace('.', '/')}.py", text, package)


def test_imports_point_inward():
    found = [line for source in ALL for line in wrong_imports(source)]
    assert not found, "\n" + "\n".join(found)


def test_the_picture_itself_has_no_circles():
    tops = {unit: {other.partition(".")[0] for other in others} for unit, others in ALLOWED.items() if "." not in unit}
    while leaves := {unit for unit, others in tops.items() if not others & tops.keys()}:
        for leaf in leaves:
            del tops[leaf]
    assert not tops


def test_the_cores_are_pure():
    found = [line for source in ALL for line in impurities(source)]
    assert not found, "\n" + "\n".join(found)
    assert {source.unit for source in ALL} >= PURE - {"clock"}


def test_no_input_becomes_code():
    found = [line for source in ALL for line in dangers(source)]
    assert not found, "\n" + "\n".join(found)


def test_files_are_short_or_say_why_not(capsys: pytest.CaptureFixture[str]):
    lengths = sorted((len(source.text.splitlines()), source.path) for source in ALL if source.text.strip())
    counts = [count for count, _ in lengths]
    with capsys.disabled():
        print(
            f"\n{len(counts)} source files: median {statistics.median(counts):.0f} lines, "
            f"p90 {statistics.quantiles(counts, n=10)[-1]:.0f}, max {counts[-1]} ({lengths[-1][1]})"
        )
    long = [
        f"{source.path}: {len(source.text.splitlines())} lines"
        for source in ALL
        if len(source.text.splitlines()) > LONG and EXCUSE not in (ast.get_docstring(ast.parse(source.text)) or "")
    ]
    assert not long, "\n" + "\n".join(long)


def test_every_module_says_where_it_stands():
    silent = [s.path for s in ALL if s.text.strip() and not ast.get_docstring(ast.parse(s.text))]
    assert not silent, silent


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("wire.native", "from llm_gateway.fleet.facts import Fact"),
        ("wire.native", "import llm_gateway.service.chat"),
        ("wire.native", "from ..service import chat"),
        ("wire.native", "from .. import gateway"),
        ("fleet.fleet", "def f():\n    from llm_gateway.upstream.drive import Drive"),
        ("fleet.fleet", "from llm_gateway.access.limits import Limits"),
        ("gateway", "if TYPE_CHECKING:\n    from llm_gateway.service.chat import Call"),
        ("service.chat", "from llm_gateway.web.hot import Surface"),
        ("upstream.drive", "from llm_gateway.storage.engine import open_engine"),
        ("testing.rogue", "from llm_gateway.gateway import Gateway"),
        ("observe.logs", "from llm_gateway.settings import Settings"),
        ("config.apply", "from llm_gateway.upstream.transport import Transport"),
        ("utils", "import math"),
    ],
)
def test_an_import_that_points_outward_is_found_with_its_line(name: str, text: str):
    (found,) = wrong_imports(module(name, text))
    assert found.startswith(f"src/llm_gateway/{name.replace('.', '/')}.py")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("wire.native", "import math\nimport msgspec\nfrom llm_gateway.errors import Fault"),
        ("wire.native", "from .neutral import Piece\nfrom . import framing\nfrom ..errors import Fault"),
        ("fleet.facts", "from llm_gateway.access.policy import Trust"),
        ("config.apply", "from llm_gateway.upstream.guard import Guard"),
        ("web.hot", "from llm_gateway.service.chat import chat"),
    ],
)
def test_an_import_that_points_inward_is_let_be(name: str, text: str):
    assert wrong_imports(module(name, text)) == []


def test_relative_imports_of_a_package_count_from_the_package():
    assert wrong_imports(module("wire", "from .neutral import Piece", package=True)) == []
    (found,) = wrong_imports(module("wire", "from ..service import chat", package=True))
    assert "`wire` may not import `service.chat`" in found


@pytest.mark.parametrize(
    "text",
    [
        "import asyncio",
        "import time",
        "from random import random",
        "import secrets",
        "import os",
        "import socket",
        "import logging",
        "import structlog",
        "import sqlalchemy.orm",
        "import httpx",
        "from datetime import datetime",
        "async def f(): ...",
        "def f(clock):\n    return clock.now()",
        "print('x')",
        "open('x')",
        "from uuid import uuid4\nx = uuid4()",
    ],
)
def test_an_impure_line_in_a_core_is_found(text: str):
    assert impurities(module("fleet.fleet", text))
    assert impurities(module("upstream.drive", text)) == []


def test_time_and_chance_may_be_arguments():
    assert impurities(module("fleet.rest", "def shut(now: float, dice: float) -> bool:\n    return now > dice")) == []


@pytest.mark.parametrize(
    "text",
    [
        "eval('1')",
        "exec(code)",
        "import pickle",
        "from pickle import loads",
        "import yaml\nyaml.load(text)",
        "import subprocess",
        "import os\nos.system('ls')",
    ],
)
def test_a_dangerous_line_in_a_request_path_is_found(text: str):
    assert dangers(module("web.hot", text))


def test_commands_may_start_processes_but_evaluate_nothing():
    assert dangers(module("cli.doctor", "import subprocess")) == []
    assert dangers(module("cli.doctor", "eval('1')"))
    assert dangers(module("web.hot", "session.exec(query)\nyaml.safe_load(text)\nre.compile('x')")) == []
