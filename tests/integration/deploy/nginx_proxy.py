"""A real nginx on a loopback port with the files that `deploy/nginx` ships, everything else in a temporary prefix."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SHIPPED = Path(__file__).resolve().parents[3] / "deploy/nginx"
SITE_NAME = "llm.example.org"
NGINX = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
WHY_NOT = "no nginx here (Debian package: nginx)"
MAIN = """
daemon off;
master_process off;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    gzip on;
    gzip_types *;
    include {prefix}/llm-gateway.conf;
}}
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    """What clients of the site see."""

    url: str
    host: str = SITE_NAME


def site(prefix: Path, *, gateway_port: int, port: int, path: str = "") -> Path:
    """Writes the shipped site into `prefix` for these ports; returns the main file. `path` serves it below one, too."""
    snippet = (SHIPPED / "llm-gateway-proxy.conf").read_text()
    (prefix / "llm-gateway-proxy.conf").write_text(snippet)
    text = (SHIPPED / "llm-gateway.conf").read_text()
    text = _replaced(text, "server 127.0.0.1:8000;", f"server 127.0.0.1:{gateway_port};")
    text = _replaced(text, "listen 80;", f"listen 127.0.0.1:{port};")
    if path:
        below = _replaced((SHIPPED / "llm-gateway-path.conf").read_text(), "/llm/", f"{path}/")
        text = _replaced(text, "    location / {", f"{below}\n    location / {{")
    (prefix / "llm-gateway.conf").write_text(text.replace("/etc/nginx/", f"{prefix}/"))
    main = prefix / "nginx.conf"
    main.write_text(MAIN.format(prefix=prefix) + ("" if os.geteuid() else "\nuser root;\n"))
    return main


def check(prefix: Path, main: Path) -> str:
    """What `nginx -t` says; raises AssertionError when it is not content."""
    assert NGINX, WHY_NOT
    done = subprocess.run([NGINX, "-t", "-p", str(prefix), "-c", str(main)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


@contextmanager
def running(prefix: Path, *, gateway_port: int, path: str = "") -> Iterator[Nginx]:
    """nginx in front of a gateway on `gateway_port`, until the block ends."""
    assert NGINX, WHY_NOT
    port = _free_port()
    main = site(prefix, gateway_port=gateway_port, port=port, path=path)
    check(prefix, main)
    process = subprocess.Popen([NGINX, "-p", str(prefix), "-c", str(main)], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process, prefix / "error.log")
        yield Nginx(f"http://127.0.0.1:{port}{path}")
    finally:
        process.terminate()
        process.wait(10)


def _replaced(text: str, old: str, new: str) -> str:
    assert old in text, f"{old!r} is no longer in the shipped file"
    return re.sub(re.escape(old), lambda _: new, text)


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nginx did not start: {log.read_text() if log.exists() else 'no log'}")
