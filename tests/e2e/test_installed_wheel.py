"""What people get who install the wheel: everything is in it, and the demo answers the official client from there."""

from __future__ import annotations

import json
import re
import signal
import zipfile
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam
from places import (
    Environment,
    build_wheel,
    copy_of_repository,
    eventually,
    fetched,
    outside,
    skip_without_index,
    typed,
)

from llm_gateway import __version__
from support.served import Served, serve

pytestmark = pytest.mark.slow
MODEL = "llama3.2:3b"
STATIC = "llm_gateway/web/static"
HELLO: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Say hello in one sentence."}]


@pytest.fixture(scope="module")
def first_run(demo: Served) -> str:
    return (demo.data_dir / "first-run.txt").read_text()


@pytest.fixture(scope="module")
def key(first_run: str) -> str:
    return re.findall(r"key (llmgw_\w+)", first_run)[0]


@pytest.fixture(scope="module")
def client(demo: Served, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{demo.url}/v1", api_key=key, max_retries=0, timeout=60)


def command(installed: Environment, *words: str, cwd: Path) -> str:
    """What `llm-gateway WORDS` of the environment prints, typed in `cwd`."""
    return typed([installed.bin / "llm-gateway", *words], cwd, outside())


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: Path, checkout: Path) -> None:
    src = checkout / "src"
    package = {str(file.relative_to(src)) for file in (src / "llm_gateway").rglob("*") if file.is_file()}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == package
    assert "llm_gateway/storage/migrations/versions/0001_first_tables.py" in held


def test_the_wheel_holds_the_dashboard(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        page = archive.read(f"{STATIC}/index.html").decode()
        (script,) = re.findall(r'<script[^>]* src="\./([^"]+)"', page)
        assert archive.getinfo(f"{STATIC}/{script}").file_size > 10_000


def test_a_dashboard_that_cannot_be_built_fails_the_wheel_unless_it_is_left_out_knowingly(tmp_path: Path) -> None:
    checkout, programs = copy_of_repository(tmp_path / "checkout"), tmp_path / "programs"
    programs.mkdir()
    for name, text in {"node": "echo v24.0.0", "npm": "echo the registry is away >&2; exit 1"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    environ = outside() | {"PATH": f"{programs}:{outside()['PATH']}"}

    failed = build_wheel(checkout, tmp_path / "out", environ)
    skip_without_index(failed.stdout)
    assert failed.returncode != 0
    assert "the registry is away" in failed.stdout
    assert not [*(tmp_path / "out").glob("*.whl")]

    without = build_wheel(checkout, tmp_path / "out", environ | {"GW_SKIP_UI": "1"})
    assert without.returncode == 0, without.stdout
    (wheel,) = (tmp_path / "out").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "llm_gateway/web/ui.py" in names
    assert not [name for name in names if name.startswith(STATIC)]


def test_the_environment_has_the_package_from_the_wheel(installed: Environment, tmp_path: Path) -> None:
    where = typed([installed.bin / "python", "-c", "import llm_gateway; print(llm_gateway.__file__)"], tmp_path)
    assert Path(where.strip()).is_relative_to(installed.place)


def test_the_locked_packages_are_all_that_it_requires(installed: Environment) -> None:
    installed.pip("check")


def test_it_tells_its_version(installed: Environment, tmp_path: Path) -> None:
    assert command(installed, "version", cwd=tmp_path) == f"llm-gateway {__version__}\n"


def test_secrets_are_in_files_that_only_their_owner_reads(demo: Served, first_run: str, key: str) -> None:
    modes = {(demo.data_dir / name).stat().st_mode & 0o777 for name in ("admin-token", "first-run.txt")}
    assert modes == {0o600}
    printed = (demo.data_dir / "output").read_text()
    assert demo.url in printed
    assert key not in printed
    assert demo.admin_token not in printed


def test_the_printed_curl_works_when_pasted(first_run: str, tmp_path: Path) -> None:
    printed = first_run[first_run.index("curl ") :]
    answer = json.loads(typed(["bash", "-c", printed], tmp_path))
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"]


def test_the_openai_client_lists_models(client: openai.OpenAI) -> None:
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).id == MODEL


def test_the_openai_client_chats(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert answer.usage.completion_tokens > 0


def test_the_openai_client_streams_the_same_words(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=HELLO).choices[0].message.content
    stream = client.chat.completions.create(
        model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == whole
    assert len(list(filter(None, pieces))) > 1
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage


def test_the_openai_client_gets_typed_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="no-such-model", messages=HELLO)
    assert unknown.value.code == "model_not_found"
    assert MODEL in unknown.value.message
    with pytest.raises(openai.AuthenticationError) as stranger:
        client.with_options(api_key="llmgw_nobody").models.list()
    assert stranger.value.code == "invalid_api_key"


def test_a_request_is_found_in_the_log_by_the_id_that_its_answer_had(
    client: openai.OpenAI, demo: Served, installed: Environment, tmp_path: Path
) -> None:
    answer = client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    request_id = answer.headers["x-request-id"]
    search = ["logs", "search", "--json", "--request-id", request_id, "--data-dir", str(demo.data_dir)]
    (row,) = eventually(lambda: json.loads(command(installed, *search, cwd=tmp_path))["data"])
    assert row["request_id"] == request_id
    assert (row["status"], row["outcome"], row["backend_model"]) == (200, "ok", MODEL)


def test_the_documentation_needs_nothing_from_elsewhere(demo: Served) -> None:
    page = fetched(f"{demo.url}/docs").decode()
    assets = [urljoin(f"{demo.url}/docs", link) for link in re.findall(r"""(?:src|href)=["']([^"']+)""", page)]
    assert {urlsplit(asset).netloc for asset in assets} == {urlsplit(demo.url).netloc}
    assert all(fetched(asset) for asset in assets)
    assert "/v1/chat/completions" in json.loads(fetched(f"{demo.url}/openapi.json"))["paths"]


def test_sigterm_lets_a_stream_finish_and_ends_with_success(installed: Environment, tmp_path: Path) -> None:
    with serve(tmp_path / "data", "--demo", program=[str(installed.bin / "llm-gateway")]) as served:
        text = (served.data_dir / "first-run.txt").read_text()
        client = openai.OpenAI(base_url=f"{served.url}/v1", api_key=re.findall(r"key (llmgw_\w+)", text)[0])
        stream = client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        first = next(iter(stream))
        served.process.send_signal(signal.SIGTERM)
        rest = list(stream)
        assert first.choices
        assert rest[-1].choices[0].finish_reason == "stop"
        assert served.process.wait(30) == 0
        assert not (served.data_dir / "runtime.json").exists()
