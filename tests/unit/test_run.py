"""Stories about the file `run`, on a small copy of a checkout, with a stand-in for `uv` and without network."""

from __future__ import annotations

import ast
import hashlib
import http.server
import io
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE_PYTHON = getattr(sys, "_base_executable", None) or sys.executable
UV = f'#!/bin/sh\necho "$@" >> "$0.calls"\nexec "{BASE_PYTHON}" -m venv --without-pip "$UV_PROJECT_ENVIRONMENT"\n'
NO_SUCH_INDEX = "http://127.0.0.1:9/simple"
PIP = re.search(r'"(pip-\S+\.whl)", "([0-9a-f]{64})"', (ROOT / "run").read_text())


class Checkout:
    """A checkout whose `llm-gateway` prints its arguments, with a stand-in for the dashboard's build, and a PATH on
    which `uv` may be."""

    def __init__(self, place: Path, *, uv: bool = True) -> None:
        self.place = place / "a checkout"
        self.bin = place / "bin"
        self.environ = {"PATH": f"{self.bin}:/usr/bin:/bin"}
        cli = self.place / "src/llm_gateway/cli"
        cli.mkdir(parents=True)
        (cli / "__init__.py").write_text("import sys\n\n\ndef main():\n    print(*sys.argv[1:])\n")
        for name in ("run", "pyproject.toml", "uv.lock", "requirements.txt", "requirements-dev.txt"):
            shutil.copy(ROOT / name, self.place)
        (self.place / "ui").mkdir()
        (self.place / "ui/build.py").write_text(
            "from pathlib import Path\n\nPath(__file__).with_name('built').touch()\n"
        )
        self.bin.mkdir()
        if uv:
            (self.bin / "uv").write_text(UV)
            (self.bin / "uv").chmod(0o755)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [BASE_PYTHON, str(self.place / "run"), *words],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    @property
    def preparations(self) -> list[str]:
        calls = self.bin / "uv.calls"
        return calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_it_is_one_short_executable_file_of_the_standard_library_that_python_3_6_can_read() -> None:
    text = (ROOT / "run").read_text()
    tree = ast.parse(text, feature_version=(3, 6))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
    }
    assert text.startswith("#!/usr/bin/env python3\n")
    assert os.access(ROOT / "run", os.X_OK)
    assert len(text.splitlines()) < 200
    assert imported <= sys.stdlib_module_names


def test_options_go_to_serve_and_stdout_belongs_to_the_command(checkout: Checkout) -> None:
    assert checkout.run("--port", "9000")[:2] == (0, "serve --port 9000\n")
    assert checkout.run()[:2] == (0, "serve\n")


def test_other_words_are_a_command_of_llm_gateway(checkout: Checkout) -> None:
    assert checkout.run("keys", "list", "--json")[:2] == (0, "keys list --json\n")


def test_setup_prepares_and_leaves_a_command_that_works_by_itself(checkout: Checkout) -> None:
    assert checkout.run("setup")[:2] == (0, "")
    command = checkout.place / ".venv/bin/llm-gateway"
    assert subprocess.check_output([command, "doctor"], text=True) == "doctor\n"
    assert (checkout.place / "ui/built").exists()


def test_a_second_run_prepares_nothing_and_says_nothing(checkout: Checkout) -> None:
    checkout.run("setup")
    assert checkout.run("doctor") == (0, "doctor\n", "")
    assert len(checkout.preparations) == 1


def test_a_changed_lock_is_installed(checkout: Checkout) -> None:
    checkout.run("setup")
    with open(checkout.place / "uv.lock", "a") as lock:
        lock.write("\n")
    checkout.run("setup")
    assert len(checkout.preparations) == 2


def test_locks_are_installed_as_they_are_and_no_python_is_fetched(checkout: Checkout) -> None:
    checkout.run("setup")
    (sync,) = checkout.preparations
    assert sync.startswith("sync --frozen ")
    assert f"--python {BASE_PYTHON} " in sync
    assert "--no-dev" in sync


def test_the_environment_of_tests_and_benchmarks_serves_as_well(checkout: Checkout) -> None:
    for word, program in (("tests", "tests/everything.py"), ("bench", "bench/speed/__main__.py")):
        (checkout.place / program).parent.mkdir(parents=True)
        (checkout.place / program).write_text(f"import sys\n\nprint('{word}', *sys.argv[1:])\n")
    assert checkout.run("test", "-k", "words")[:2] == (0, "tests -k words\n")
    assert checkout.run("bench", "--quick")[:2] == (0, "bench --quick\n")
    assert checkout.run("doctor")[:2] == (0, "doctor\n")
    (sync,) = checkout.preparations
    assert "--all-groups" in sync


def test_several_at_once_prepare_once(checkout: Checkout) -> None:
    together = [checkout.start(f"job{number}") for number in range(4)]
    outputs = [process.communicate(timeout=120)[0] for process in together]
    assert outputs == [f"job{number}\n" for number in range(4)]
    assert len(checkout.preparations) == 1


def test_an_interrupted_setup_is_made_anew(checkout: Checkout) -> None:
    checkout.run("setup")
    half_installed = checkout.place / ".venv/half-installed"
    half_installed.touch()
    (checkout.place / ".venv/ready-runtime").unlink()
    (checkout.place / ".venv-setup/unfinished").touch()
    assert checkout.run("doctor")[:2] == (0, "doctor\n")
    assert not half_installed.exists()


@pytest.mark.parametrize("harm", ["python gone", "moved", "junk"])
def test_an_environment_that_cannot_work_is_made_anew(checkout: Checkout, harm: str) -> None:
    checkout.run("setup")
    if harm == "python gone":
        (checkout.place / ".venv/bin/python").unlink()
        (checkout.place / ".venv/bin/python").symlink_to("/nowhere/python3")
    elif harm == "moved":
        checkout.place = checkout.place.rename(checkout.place.with_name("elsewhere"))
    else:
        shutil.rmtree(checkout.place / ".venv")
        (checkout.place / ".venv").mkdir()
    assert checkout.run("doctor")[:2] == (0, "doctor\n")
    assert str(checkout.place) in (checkout.place / ".venv/bin/llm-gateway").read_text()


def test_without_an_index_to_reach_it_ends_in_one_honest_line(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path, uv=False)
    checkout.environ["PIP_INDEX_URL"] = NO_SUCH_INDEX
    code, out, err = checkout.run("setup")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("run: cannot install the packages: the package index cannot be reached")
    assert "Traceback" not in err


def test_a_failing_uv_leaves_the_work_to_pip(checkout: Checkout) -> None:
    (checkout.bin / "uv").write_text("#!/bin/sh\necho 'error: this lock is from the future'\nexit 2\n")
    pip = wheel({"pip/__main__.py": "print('installed')\n"})
    with index_with(pip) as url:
        without_ensurepip(checkout, url)
        pin(checkout, pip)
        del checkout.environ["PIP_INDEX_URL"]
        source = checkout.place / "run"
        source.write_text(source.read_text().replace("https://pypi.org/simple", url))
        code, _, err = checkout.run("setup")
    assert "run: uv could not do it: error: this lock is from the future; trying pip" in err
    assert code == 0


def test_without_ensurepip_pip_itself_comes_from_the_index(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path, uv=False)
    pip = wheel({"pip/__main__.py": "import sys\n\nprint('PIP', *sys.argv[1:])\n"})
    pin(checkout, pip)
    with index_with(pip) as url:
        without_ensurepip(checkout, url)
        assert checkout.run("doctor")[:2] == (0, "doctor\n")
    log = (checkout.place / ".venv-setup/log").read_text()
    assert f"PIP --python {checkout.place}/.venv/bin/python install" in log
    assert "--require-hashes" in log


def test_a_pip_with_another_hash_is_refused_with_the_package_to_install_instead(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path, uv=False)
    with index_with(wheel({"pip/__main__.py": "print('evil')\n"})) as url:
        without_ensurepip(checkout, url)
        code, _, err = checkout.run("setup")
    assert code == 1
    assert "another hash" in err
    assert "apt install python3." in err


def test_the_password_of_a_private_index_is_not_shown(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path, uv=False)
    without_ensurepip(checkout, "http://user:secret@127.0.0.1:9/simple")
    code, _, err = checkout.run("setup")
    assert code == 1
    assert "secret" not in err


@pytest.mark.parametrize("old", ["3.6", "3.8", "3.10"])
def test_an_old_python_finds_a_newer_one_or_says_what_is_needed(checkout: Checkout, old: str) -> None:
    names = [shutil.which(f"python{old}"), *Path("~/.pyenv/versions").expanduser().glob(f"{old}.*/bin/python{old}")]
    works = [
        name for name in names if name and subprocess.run([name, "-c", ""], stderr=subprocess.DEVNULL).returncode == 0
    ]
    if not works:
        pytest.skip(f"no Python {old} here")
    run = [works[0], str(checkout.place / "run"), "doctor"]
    (checkout.bin / "python3.13").write_text("#!/bin/sh\nexit 127\n")
    (checkout.bin / "python3.13").chmod(0o755)
    alone = subprocess.run(run, env={"PATH": str(checkout.bin)}, stderr=subprocess.PIPE, text=True, check=False)
    assert alone.returncode == 1
    assert "Python 3.11 or newer is needed" in alone.stderr
    (checkout.bin / "python3.12").symlink_to(BASE_PYTHON)
    assert subprocess.check_output(run, env=checkout.environ, text=True) == "doctor\n"


def wheel(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return packed.getvalue()


def pin(checkout: Checkout, pip: bytes) -> None:
    """Make this the pip that the copy of `run` trusts."""
    assert PIP
    source = checkout.place / "run"
    source.write_text(source.read_text().replace(PIP[2], hashlib.sha256(pip).hexdigest()))


def without_ensurepip(checkout: Checkout, index: str) -> None:
    shadow = checkout.place.parent / "shadow"
    shadow.mkdir()
    (shadow / "ensurepip.py").write_text("raise ImportError('as on Debian without python3-venv')\n")
    checkout.environ |= {"PYTHONPATH": str(shadow), "PIP_INDEX_URL": index}


@contextmanager
def index_with(pip: bytes) -> Iterator[str]:
    """A package index on the loopback that holds one file."""
    assert PIP
    page = f'<a href="../../files/{PIP[1]}#sha256=0">{PIP[1]}</a>'.encode()
    answers = {"/simple/pip/": page, f"/files/{PIP[1]}": pip}

    class Index(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.get(self.path)
            self.send_response(200 if body else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever, name="package-index", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/simple"
        finally:
            server.shutdown()
            thread.join()
