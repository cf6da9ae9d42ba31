"""The file in which a server says where it listens."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from llm_gateway.cli import client
from llm_gateway.cli.client import RUNTIME, Runtime
from llm_gateway.first_run import ADMIN_TOKEN


def test_what_is_written_is_read_again_and_nobody_else_may_read_it(tmp_path: Path):
    told = Runtime("http://127.0.0.1:8000", os.getpid(), Path("/etc/gateway.yaml"), "0.1.0", demo=True)
    told.write(tmp_path)
    assert Runtime.read(tmp_path) == told
    assert (tmp_path / RUNTIME).stat().st_mode & 0o077 == 0


def test_a_process_that_is_gone_does_not_count(tmp_path: Path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    Runtime("http://127.0.0.1:8000", ended.pid).write(tmp_path)
    assert Runtime.read(tmp_path) is None


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"url": "x", "pid": "y"}', '{"url": "x", "pid": 1e300}', "\xff"]
)
def test_a_file_that_makes_no_sense_does_not_count(tmp_path: Path, text: str):
    (tmp_path / RUNTIME).write_text(text, encoding="latin-1")
    assert Runtime.read(tmp_path) is None


def test_a_server_forgets_its_own_file_only(tmp_path: Path):
    mine, other = Runtime("http://127.0.0.1:1", os.getpid()), Runtime("http://127.0.0.1:2", os.getppid())
    other.write(tmp_path)
    mine.forget(tmp_path)
    assert (tmp_path / RUNTIME).exists()
    other.forget(tmp_path)
    assert not (tmp_path / RUNTIME).exists()


def test_the_name_of_the_tokens_file_is_the_one_that_the_first_run_writes():
    assert client.ADMIN_TOKEN == ADMIN_TOKEN
