"""What is measured: the gateway as users start it with all its duties on, nginx, and nothing at all (`direct`).

A subject is a context manager. Between its ends it listens.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processes import cores, pin
from rig import CannotMeasure, Model, Request, Rig, free_port, in_its_own_words, in_openais_words, install

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from support.served import Served, serve  # noqa: E402 - the path comes first

KEY = "a-key-of-the-benchmark-of-speed"
UNREACHED = 1_000_000_000
"""Of a limit that is counted and never hit."""
START = 30.0
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that listens."""

    name: str
    port: int
    pid: int | None
    """Of the process whose family's CPU and memory count; None: nothing is counted."""
    request: Callable[[Model, bool], Request] = in_its_own_words
    """(a model, streamed or not) -> what it is asked."""
    headers: dict[str, str] = field(default_factory=dict)


@contextmanager
def direct(rig: Rig) -> Iterator[Subject]:
    """The upstream itself."""
    yield Subject("direct", rig.ports[0], None)


@contextmanager
def nginx(rig: Rig) -> Iterator[Subject]:
    """One worker, no access log, 64 connections kept to the upstream, nothing buffered. Raises CannotMeasure."""
    program, folder, port = nginx_program(), rig.folder / "nginx", free_port()
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, upstream=rig.ports[0]))
    process = subprocess.Popen([program, "-e", str(folder / "error.log"), "-c", str(config)], stdin=subprocess.DEVNULL)
    try:
        until_listening(process, port)
        pin(process.pid, cores()[0])
        yield Subject("nginx", port, process.pid)
    finally:
        end(process)


@contextmanager
def bare(rig: Rig) -> Iterator[Subject]:
    """A relay in Python without any duty (`bare.py`)."""
    port = free_port()
    program = str(Path(__file__).with_name("bare.py"))
    process = subprocess.Popen([sys.executable, program, str(rig.ports[0]), str(port)], stdin=subprocess.DEVNULL)
    try:
        until_listening(process, port)
        pin(process.pid, cores()[0])
        yield Subject("bare", port, process.pid, by_logical_name)
    finally:
        end(process)


def nginx_program() -> str:
    """Installs it where nobody minds. Raises CannotMeasure."""
    if not shutil.which("nginx", path=PATH):
        install("nginx")
    program = shutil.which("nginx", path=PATH)
    if program is None:
        raise CannotMeasure("there is no nginx here (Debian package nginx)")
    return program


PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
NGINX = """
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream models {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=8192;
        location / {{
            proxy_pass http://models;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""


@contextmanager
def gateway(
    rig: Rig, models: Iterable[Model], *, name: str = "gateway", flags: tuple[str, ...] = (), **environ: str
) -> Iterator[Subject]:
    """`llm-gateway serve`: a key, limits that are counted, logical names, two servers for every model, journal, log,
    metrics. Returns when every server was looked at."""
    folder = rig.folder / name
    with serve(
        folder, *flags, config=config(rig, models), BENCH_KEY=KEY, PYTHONPATH=str(ROOT / "src"), **environ
    ) as it:
        looked_at(it)
        pin(it.process.pid, cores()[0])
        yield Subject(name, it.port, it.process.pid, by_logical_name, {"Authorization": f"Bearer {KEY}"})


def config(rig: Rig, models: Iterable[Model]) -> dict[str, Any]:
    servers = []
    for n, port in enumerate(rig.ports):
        url, more = f"http://127.0.0.1:{port}", {"trust": "own", "max_concurrency": 10_000}
        servers.append({"name": f"ollama-{n}", "url": url, "kind": "ollama", **more})
        servers.append({"name": f"openai-{n}", "url": f"{url}/v1", "kind": "openai", **more})
    return {
        "sources": {"ollamafreeapi": {"enabled": False}},
        "allow_private_upstreams": ["127.0.0.0/8"],
        "log_level": "info",
        "servers": servers,
        "models": [{"name": logical(model), "backend": [model.name]} for model in models],
        "projects": [
            {
                "name": "bench",
                "trust": ["own"],
                "rate_limit_per_minute": UNREACHED,
                "tokens_per_minute": UNREACHED,
                "max_concurrency": 100_000,
                "keys": [{"name": "bench", "value_env": "BENCH_KEY"}],
            }
        ],
    }


def by_logical_name(model: Model, stream: bool) -> Request:
    return in_openais_words(logical(model), model, stream)


def logical(model: Model) -> str:
    """The name under which the gateway offers it."""
    return f"asked-{model.name}"


def looked_at(served: Served) -> None:
    """Until the gateway has asked every server for its models once."""
    until, health = time.monotonic() + START, {}
    while time.monotonic() < until:
        try:
            with DIRECT.open(served.url + "/v1/health", timeout=START) as answer:
                health = json.load(answer)
        except urllib.error.HTTPError as error:
            health = json.load(error)
        if not health.get("servers", {"unknown": 1}).get("unknown"):
            return
        time.sleep(0.05)
    raise CannotMeasure(f"not every server was looked at within {START} s: {health}")


def until_listening(process: subprocess.Popen[bytes], port: int, patience: float = START) -> None:
    """Raises CannotMeasure when it ends, or does not."""
    until = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise CannotMeasure(f"it does not listen (exit code {process.poll()})")


def end(process: subprocess.Popen[bytes]) -> None:
    """In peace, then not."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
