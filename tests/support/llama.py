"""Real llama.cpp servers for tests: processes on loopback that recite known words and really die when killed.

async with llama_server(prefix="a") as server:
    server.openai_url, server.model, server.words(3)     # …/v1, "recite", " a000 a001 a002"
    server.kill()
"""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import tiny_gguf
from support.tiny_gguf import Recital, write_recital

READY_WITHIN = 30.0
"""Seconds. It takes a fraction of one, unless the machine is very busy."""


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """A running server. Signals go to this process only."""

    url: str
    model: str
    recital: Recital
    process: subprocess.Popen[str]

    @property
    def openai_url(self) -> str:
        """The base URL for kind `openai`."""
        return f"{self.url}/v1"

    @property
    def pid(self) -> int:
        return self.process.pid

    def words(self, count: int | None = None) -> str:
        """The first `count` words of its text, or all of it."""
        return "".join(self.recital.pieces()[:count])

    def kill(self) -> None:
        """kill -9, and waits until it is gone."""
        self.process.kill()
        self.process.wait(10)

    def freeze(self) -> None:
        """Stalls it in mid-word; `thaw` lets it go on. Returns when each of its threads has stopped."""
        self.process.send_signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self.process.pid}/task")
        while any(" T " not in (task / "stat").read_text().rpartition(")")[2][:3] for task in tasks.iterdir()):
            time.sleep(0.001)  # the kernel stops them one after the other

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def running_llama(
    alias: str = "recite",
    words: int = 256,
    prefix: str = "w",
    *,
    loop: bool = False,
    slots: int = 4,
    port: int = 0,
    text: str = "",
    vectors: bool = False,
) -> Iterator[LlamaServer]:
    """A server that is ready, on a free port unless one is given; killed at the end. `text`: it says this, and nothing
    else; `vectors`: it gives these instead of words. Raises RuntimeError with its log when it does not come up."""
    recital = Recital(words, prefix, loop, text)
    model = gguf(recital)
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, str(Path(__file__).with_name("serve_gguf.py"))),
                *(str(model), alias, str(slots), "8192", str(port), "vectors" if vectors else "words"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            assert process.stdout
            url = process.stdout.readline().strip()  # ends at once when the process dies
            if not url or not _healthy(url, process):
                log.seek(0)
                raise RuntimeError(f"llama.cpp did not start:\n{log.read()[-2000:]}")
            yield LlamaServer(url, alias, recital, process)
        finally:
            process.kill()
            process.communicate()


@asynccontextmanager
async def llama_server(
    alias: str = "recite",
    words: int = 256,
    prefix: str = "w",
    *,
    loop: bool = False,
    slots: int = 4,
    text: str = "",
    vectors: bool = False,
) -> AsyncIterator[LlamaServer]:
    """`running_llama` that leaves the event loop free while the server starts and ends."""
    running = running_llama(alias, words, prefix, loop=loop, slots=slots, text=text, vectors=vectors)
    server = await asyncio.to_thread(running.__enter__)
    try:
        yield server
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


def gguf(recital: Recital) -> Path:
    """The model file, written once per machine and recital; another version of the writer writes its own."""
    folder = Path(tempfile.gettempdir()) / f"llm-gateway-tests-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    source = Path(tiny_gguf.__file__).read_bytes()
    path = folder / f"{hashlib.sha256(source + repr(recital).encode()).hexdigest()[:16]}.gguf"
    if not path.exists():
        unfinished = path.with_suffix(f".{os.getpid()}")
        write_recital(unfinished, recital)
        unfinished.replace(path)
    return path


def _healthy(url: str, process: subprocess.Popen[str]) -> bool:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):  # 503 while it loads
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    return False


@pytest.fixture(scope="session")
def shared_llama() -> Iterator[LlamaServer]:
    """One server for the whole run, for tests that do not hurt it."""
    with running_llama() as server:
        yield server


@pytest.fixture
async def llama() -> AsyncIterator[LlamaServer]:
    """A server of the test's own, to be killed or frozen."""
    async with llama_server() as server:
        yield server
