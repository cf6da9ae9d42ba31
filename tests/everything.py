"""`./run test`: linters, types, then every test that can run on this machine; ends with what passed, failed and was
left out. Arguments go to pytest. Upstream connections may only go to this machine: the catalogue's servers are
strangers'.

Programs that are no Python packages are installed only on a throw-away machine (CI set, root, apt-get there). Where
there is npm, it puts the JavaScript clients that tests drive beside those tests, as their lock names them.
"""

from __future__ import annotations

import hashlib
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
JS = ROOT / "tests/clients/js"
UI = ROOT / "ui"
BROWSER = "tests/browser"
PATIENT = tuple(f"tests/integration/{topic}" for topic in ("faults", "continuation", "prober", "transport"))
"""Folders whose tests wait for clocks of the gateway for four fifths of their time."""
PROGRAMS = {
    "nginx": ("nginx", "the gateway behind a real nginx"),
    "redis-server": ("redis-server", "limits and fleet state that several processes share"),
    "faketime": ("faketime", "clocks that jump"),
    "chromium": ("chromium", "the dashboard in a browser"),
}
"""Program -> Debian package, what needs it."""


def main(arguments: list[str]) -> int:
    os.chdir(ROOT)
    os.environ.setdefault("LLM_GATEWAY_ONLY_NETWORKS", "127.0.0.0/8,::1/128")
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"])
    install(package for program, (package, _) in PROGRAMS.items() if not shutil.which(program))
    javascript = install_javascript()
    lines = [
        *dashboard(),
        section("ruff check", "ruff", "check", ".", "run"),
        section("ruff format", "ruff", "format", "--check", ".", "run"),
        section("mypy", "mypy"),
        *tests(arguments),
    ]
    for program, (package, needed_for) in PROGRAMS.items():
        if not shutil.which(program):
            lines.append(f"skipped  {needed_for}: no {program} here (Debian package {package})")
    if javascript:
        lines.append(f"skipped  the JavaScript clients: {javascript}")
    print("== summary (what pytest skipped, and why, is listed above)", *lines, sep="\n", flush=True)
    return 1 if any(line.startswith("FAILED") for line in lines) else 0


def tests(arguments: list[str]) -> list[str]:
    """All of them, or those that the arguments choose. Where there are two cores, tests that mostly wait do so beside
    the others; what they say is printed when both have ended."""
    if arguments or (os.cpu_count() or 1) < 2:
        return [section("pytest", "pytest", *arguments)]
    began = time.monotonic()
    with tempfile.TemporaryFile() as said:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *PATIENT]
        beside = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
        ended: list[float] = []
        watch = threading.Thread(target=lambda: ended.append((beside.wait(), time.monotonic())[1]))
        watch.start()
        try:
            others = section("pytest", "pytest", *(f"--ignore={folder}" for folder in (*PATIENT, BROWSER)))
            watch.join()
        finally:
            beside.kill()
        print(f"== pytest {' '.join(PATIENT)}", flush=True)
        said.seek(0)
        shutil.copyfileobj(said, sys.stdout.buffer)
        sys.stdout.flush()
    # a process of their own: the loop in which Playwright runs would be in the way of other tests'
    browser = section("pytest browser", "pytest", "-p", "no:cacheprovider", BROWSER)
    return [others, line("pytest beside", beside.returncode, ended[0] - began), browser]


def dashboard() -> list[str]:
    """Builds it for the tests; its types, form and small tests are looked at where its tools can be installed."""
    npm, place = runpy.run_path(str(UI / "build.py"))["tool"]()
    environment = {**os.environ, "PATH": os.pathsep.join([place, os.environ.get("PATH", "")])}
    lock = (UI / "package-lock.json").read_text()
    held = UI / "node_modules/.held"
    if not (UI / "node_modules/axe-core").exists() or held.read_text() != lock:
        words = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        if subprocess.call(words, cwd=UI, env=environment, stdin=subprocess.DEVNULL):
            return ["FAILED   dashboard: npm could not install its packages, see above"]
        held.write_text(lock)
    return [
        section("dashboard", str(UI / "build.py"), "--needed", module=False),
        section("dashboard types", str(UI / "schema.py"), "--check", module=False),
        timed("dashboard check", [*npm, "run", "--silent", "check"], cwd=UI, env=environment),
        timed("dashboard test", [*npm, "run", "--silent", "test"], cwd=UI, env=environment),
    ]


def section(title: str, tool: str, *arguments: str, module: bool = True) -> str:
    return timed(title, [sys.executable, *(["-m"] if module else []), tool, *arguments])


def timed(title: str, command: list[str], **how: Any) -> str:
    print(f"== {title}", flush=True)
    began = time.monotonic()
    code = subprocess.call(command, stdin=subprocess.DEVNULL, **how)
    return line(title, code, time.monotonic() - began)


def line(title: str, code: int, seconds: float) -> str:
    return f"{'FAILED' if code else 'ok':8} {title:15} {seconds:6.1f} s"


def install(packages: Iterable[str]) -> None:
    """Debian packages, where nobody minds; RUNLEVEL keeps the installation from starting services."""
    wanted = list(packages)
    if not wanted or not os.environ.get("CI") or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    print(f"== apt-get install {' '.join(wanted)}", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *wanted]):
        subprocess.call(["apt-get", "-qq", *words], env=quiet, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def install_javascript() -> str | None:
    """The packages of tests/clients/js, unless they are there already; why not, when they cannot be."""
    lock = hashlib.sha256((JS / "package-lock.json").read_bytes()).hexdigest()
    ready = JS / "node_modules/.ready"
    if ready.exists() and ready.read_text() == lock:
        return None
    if not shutil.which("node") or not shutil.which("npm"):
        return "no node and npm here (Debian packages nodejs and npm)"
    words = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    print(f"== {' '.join(words)}", flush=True)
    if subprocess.call(words, cwd=JS, stdin=subprocess.DEVNULL):
        return "npm could not install them, see above"
    ready.write_text(lock)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
