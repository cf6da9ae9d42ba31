"""Does what README.md says, as somebody would who has just found it. (README.es.md has the same blocks.)"""

from __future__ import annotations

import csv
import gzip
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from blocks import block, blocks
from newcomer import DEFAULT_URL, Newcomer, arrive

from llm_gateway.config.load import load

PAGE = "README.md"
CHECKOUT = "llm-gateway-service"
DONE_HERE = {
    "start",
    "output of start",
    "ask",
    "python",
    "own project",
    "connect",
    "look",
    "limits",
    "keep",
    "config",
    "settings",
    "settings of workers",
    "install without run",
}
DONE_BY_CI = {".ci/run"}  # tests/docs/test_documents.py


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """Someone who has typed the first block and now has the demo running."""
    person = arrive(tmp_path_factory.mktemp("readme"))
    with person.running(block(PAGE, "start"), cwd=person.home, ready=person.data_dir / "runtime.json"):
        yield person


@pytest.fixture(scope="module")
def key(newcomer: Newcomer) -> str:
    return re.findall(r"key (llmgw_\w+)", first_run(newcomer))[0]


def first_run(newcomer: Newcomer) -> str:
    return (newcomer.data_dir / "first-run.txt").read_text()


def test_every_block_is_run_by_some_test() -> None:
    assert {each.how for each in blocks(PAGE)} == DONE_HERE | DONE_BY_CI


def test_the_start_shows_what_the_page_shows(newcomer: Newcomer) -> None:
    def without_accidents(text: str, url: str, data_dir: str) -> str:
        text = re.sub(r"login\?t=[\w-]+", "login?t=LINK", text.replace(url, "URL").replace(data_dir, "DATA"))
        return re.sub(r"llmgw_\w+", "KEY", text).strip("\n")

    shown = without_accidents(block(PAGE, "output of start"), DEFAULT_URL, "~/.local/share/llm-gateway")
    assert without_accidents(first_run(newcomer), newcomer.url, str(newcomer.data_dir)) == shown


def test_the_printed_curl_works_when_pasted(newcomer: Newcomer) -> None:
    printed = first_run(newcomer)
    answer = json.loads(newcomer.run(printed[printed.index("curl ") :]))
    assert answer["choices"][0]["message"]["content"]


def test_the_curl_gets_an_answer(newcomer: Newcomer, key: str) -> None:
    answer = json.loads(newcomer.run(block(PAGE, "ask"), KEY=key))
    assert answer["choices"][0]["message"]["content"]
    assert answer["model"] == "llama3.2:3b"


def test_the_openai_client_gets_a_stream(newcomer: Newcomer, key: str) -> None:
    program = newcomer.typed(block(PAGE, "python"))
    said = subprocess.check_output([sys.executable, "-c", program], env={**newcomer.environ, "KEY": key}, text=True)
    assert said


def test_a_project_of_its_own_gets_an_answer_and_is_found_in_the_log(newcomer: Newcomer) -> None:
    checkout = newcomer.home / CHECKOUT
    said = newcomer.run(block(PAGE, "own project"), cwd=checkout)
    assert json.loads(said[said.index('{"id"') :])["choices"][0]["message"]["content"]

    shown, deadline = "", time.monotonic() + 10
    while (
        not re.search("legal .*law-assistant", shown) and time.monotonic() < deadline
    ):  # a row is there within two seconds
        shown = newcomer.run(block(PAGE, "look"), cwd=checkout)
    assert re.search("legal .*law-assistant", shown)
    assert "law-assistant → llama3.2:3b → qwen2.5:7b, asked by project legal" in shown


def test_limits_are_set_and_what_was_used_of_them_is_shown(newcomer: Newcomer) -> None:
    said = newcomer.run(block(PAGE, "limits"), cwd=newcomer.home / CHECKOUT)
    assert re.search(r"Tokens per month +50,000,000 +[1-9]", said)
    assert re.search(r"legal +ci +1 ", said)
    (row,) = csv.DictReader(
        line for n, line in enumerate((newcomer.home / CHECKOUT / "usage.csv").open()) if not n or "legal" in line
    )
    assert float(row["cost"]) > 0


def test_the_gateway_is_backed_up_checked_and_exported_while_it_serves(newcomer: Newcomer) -> None:
    checkout = newcomer.home / CHECKOUT
    said = newcomer.run(block(PAGE, "keep"), cwd=checkout)
    assert "Log and figures are the same." in said
    assert (checkout / "gateway.backup").stat().st_size > 0
    assert gzip.decompress((checkout / "requests.csv.gz").read_bytes()).startswith(b"request_id,")


def test_connect_fills_in_this_gateway_and_the_key(newcomer: Newcomer, key: str) -> None:
    said = newcomer.run(block(PAGE, "connect"), cwd=newcomer.home / CHECKOUT, KEY=key)
    assert "claude-code" in said
    assert f"export OPENAI_BASE_URL={newcomer.url}/v1" in said
    assert f"export OPENAI_API_KEY={key}" in said


def test_a_second_start_of_the_checkout_prepares_nothing(newcomer: Newcomer) -> None:
    process = newcomer.popen("./run --help && ./run setup", cwd=newcomer.home / CHECKOUT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said == "run: ready; ./run starts the gateway\n"


def test_the_config_file_is_a_good_one(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(block(PAGE, "config"))
    environ = {
        "HOME": str(tmp_path),
        "VLLM_KEY": "a key of the server",
        "LEGAL_KEY": "twenty or more characters",
        "ALERT_SECRET": "sixteen or more characters",
    }
    loaded = load({}, environ=environ, cwd=tmp_path, config=file)
    assert loaded.document
    assert [project.name for project in loaded.document.projects] == ["legal"]
    assert not loaded.warnings


def test_the_settings_for_production_are_good_ones(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(block(PAGE, "settings") + block(PAGE, "settings of workers"))
    loaded = load({}, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert loaded.settings.database.startswith("postgresql://")
    assert loaded.settings.workers == 4


@pytest.mark.slow
def test_it_installs_and_serves_without_run(tmp_path: Path) -> None:
    person = arrive(tmp_path)
    checkout = person.repository
    person.run(f"{sys.executable} -m venv own", cwd=checkout)
    own = {"PATH": f"{checkout}/own/bin:{person.environ['PATH']}", "UVICORN_PORT": str(person.port)}
    with person.running(block(PAGE, "install without run"), cwd=checkout, **own):
        health = json.loads(person.run(f"curl -s {DEFAULT_URL}/v1/health"))
    assert health["database"] == "ok"
