"""The measuring side: the upstream and the load generator of `tools/`, built with the C compiler of the machine.

with Rig() as rig:                                       # builds, starts the upstream on two ports
    told = rig.load(port, request, connections=32, seconds=2.0)
    told.bad                                             # must be 0: every byte of every answer is looked at
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from processes import cores, pin

HERE = Path(__file__).resolve().parent
TOOLS = HERE / "tools"
BUILT = HERE / ".built"
PATIENCE = 20.0
"""Seconds after which an answer is late."""


class CannotMeasure(Exception):
    """What is missing here, in one sentence."""


@dataclass(frozen=True, slots=True)
class Model:
    """How the upstream answers, as its model's name says."""

    dialect: str
    """`nd` = Ollama's NDJSON, `sse` = OpenAI's events."""
    chunks: int
    bytes: int
    """Of each chunk's text."""
    interval: int = 0
    """Milliseconds between chunks; 0 = no pause."""
    each: bool = False
    """Without a pause: written one by one instead of all at once."""

    @property
    def name(self) -> str:
        return f"{self.dialect}-{self.chunks}-{self.bytes}-{self.interval}{'w' if self.each else ''}"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, and what the answer must be."""

    path: str
    name: str
    """Of the model, as it is asked for."""
    model: Model
    stream: bool
    end: tuple[str, int]
    """What there must be in so many of the last bytes of a good answer."""

    def raw(self, headers: dict[str, str]) -> bytes:
        body = {
            "model": self.name,
            "messages": [
                {"role": "system", "content": "You are a careful assistant. Answer in one short paragraph."},
                {"role": "user", "content": "What does a gateway in front of several model servers do, and why?"},
            ],
            "stream": self.stream,
        }
        content = json.dumps(body, separators=(",", ":")).encode()
        lines = {
            "Host": "127.0.0.1",
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            "Accept": "*/*",
            "User-Agent": "bench",
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"POST {self.path} HTTP/1.1\r\n{head}\r\n".encode() + content


OPENAI, OLLAMA = "/v1/chat/completions", "/api/chat"
ENDS = {"events": ("data: [DONE]", 32), "lines": ('"done":true', 512), "object": ('"stop"', 4096)}


def in_openais_words(name: str, model: Model, stream: bool, path: str = OPENAI) -> Request:
    """For a gateway that offers the model as `name`."""
    return Request(path, name, model, stream, ENDS["events" if stream else "object"])


def in_its_own_words(model: Model, stream: bool) -> Request:
    """For the upstream itself, or whatever passes requests on as they are."""
    if model.dialect == "nd":
        return Request(OLLAMA, model.name, model, stream, ENDS["lines"])
    return in_openais_words(model.name, model, stream)


@dataclass(frozen=True, slots=True)
class Told:
    """What the load generator saw. Times in microseconds."""

    requests: int
    chunks: int
    bad: int
    wrong: dict[str, int]
    """What was wrong with the bad ones -> how many."""
    first_wrong: str
    reconnects: int
    elapsed: float
    cpu: float
    """Seconds of the load generator itself."""
    latency_p50: int
    latency_p99: int
    latency_max: int
    first_p50: int
    first_p99: int
    first_max: int
    delay_p50: int
    """Of a chunk: from the upstream's write to here."""
    delay_p99: int
    delay_max: int


def build() -> Path:
    """The folder of the programs, made anew where their sources are newer. Raises CannotMeasure."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        install("gcc", "libc6-dev")
        compiler = shutil.which("gcc")
    if compiler is None:
        raise CannotMeasure("there is no C compiler here (Debian packages gcc and libc6-dev)")
    BUILT.mkdir(exist_ok=True)
    newest = max(source.stat().st_mtime for source in TOOLS.iterdir())
    for name in ("upstream", "load"):
        target = BUILT / name
        if target.exists() and target.stat().st_mtime > newest:
            continue
        words = [compiler, "-O2", "-o", str(target), str(TOOLS / f"{name}.c")]
        made = subprocess.run(words, capture_output=True, text=True, check=False)
        if made.returncode:
            raise CannotMeasure(f"{name}.c does not build: {made.stderr[-500:]}")
    return BUILT


def install(*packages: str) -> None:
    """Debian packages, where nobody minds: a throw-away machine (CI set) on which we are root."""
    if not os.environ.get("CI") or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        subprocess.call(["apt-get", "-qq", *words], env=quiet, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Rig:
    """The upstream with these models, and the load generator for what stands before it, on the measuring core."""

    def __init__(self, models: Iterable[Model]) -> None:
        self._built = build()
        self._models = list(dict.fromkeys(model.name for model in models))
        self.ports = (free_port(), free_port())
        self.folder = Path(tempfile.mkdtemp(prefix="bench-speed-"))
        self.upstream: subprocess.Popen[bytes] | None = None
        self._loads = count()

    def __enter__(self) -> Self:
        words = [str(self._built / "upstream"), ",".join(map(str, self.ports)), *self._models]
        self.upstream = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.upstream.stdout is not None
        if self.upstream.stdout.readline() != b"ready\n":
            raise CannotMeasure("the upstream does not start")
        pin(self.upstream.pid, cores()[1])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.upstream is not None and self.upstream.stdin is not None:
            self.upstream.stdin.close()  # it ends with it
            self.upstream.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start_load(
        self,
        port: int,
        request: Request,
        headers: dict[str, str],
        *,
        connections: int,
        seconds: float = 0.0,
        requests: int = 0,
        ramp: int = 0,
        patience: float = PATIENCE,
    ) -> subprocess.Popen[bytes]:
        """New requests for so many seconds, or so many requests; connections begin over `ramp` milliseconds."""
        file = self.folder / f"request-{next(self._loads)}"  # one of its own: others may just be reading theirs
        file.write_bytes(request.raw(headers))
        model = request.model
        words: list[Any] = [self._built / "load", port, connections, file, model.chunks, model.bytes, *request.end]
        words += [seconds, requests, ramp, seconds + patience]
        process = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        pin(process.pid, cores()[1])
        return process

    def load(self, port: int, request: Request, headers: dict[str, str], **how: Any) -> Told:
        """`start_load`, to its end."""
        return told(self.start_load(port, request, headers, **how))


def told(process: subprocess.Popen[bytes]) -> Told:
    said, _ = process.communicate()
    return Told(**json.loads(said))
