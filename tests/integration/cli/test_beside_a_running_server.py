"""Commands ask the server that runs on the data directory: the demo, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from llm_gateway.cli.client import RUNTIME
from support.command import Command
from support.served import THIS, Served, serve

MODEL = "llama3.2:3b"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("demo"), "--demo") as running:
        yield running


@pytest.fixture
def live(command: Command, served: Served, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("LLM_GATEWAY_DATA_DIR", str(served.data_dir))
    return command


def until(condition: Callable[[], object], within: float = 15.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def test_the_file_says_where_it_listens(served: Served):
    told = json.loads((served.data_dir / RUNTIME).read_text())
    assert (told["url"], told["pid"], told["config"], told["demo"]) == (served.url, served.process.pid, None, True)


def test_the_live_fleet_is_shown(live: Command):
    servers = live.done("servers", "list", "--json").rows
    assert {server["source"] for server in servers} == {"demo"}
    until(lambda: "healthy" in {server["state"] for server in live.done("servers", "list", "--json").rows})
    assert MODEL in {model["name"] for model in live.done("models", "list", "--json").json["physical"]}


def test_a_probe_tells_the_living_from_the_dead(live: Command):
    good, dead = live.done("servers", "probe", "demo-maple", "demo-dead", "--json").rows
    assert (good["name"], good["probe"]["ok"], good["state"]) == ("demo-maple", True, "healthy")
    assert (dead["name"], dead["probe"]["fault"], dead["state"]) == ("demo-dead", "refused", "resting")
    assert "demo-maple" in live.done("servers", "probe", "--all").out
    assert MODEL in live.done("servers", "show", "demo-maple").out


def test_a_change_is_in_force_at_once(live: Command, served: Served):
    live.done("projects", "create", "legal")
    key = live.done("keys", "create", "-p", "legal", "--name", "ci").out.strip()
    models = f"{served.url}/v1/models"
    assert httpx.get(models, headers={"X-API-Key": key}, trust_env=False).status_code == 200
    live.done("keys", "revoke", "ci", "-p", "legal")
    assert httpx.get(models, headers={"X-API-Key": key}, trust_env=False).status_code == 401
    live.done("projects", "delete", "legal", "--yes")


def test_a_model_is_tested_as_a_project_would_ask_it(live: Command):
    before = live.done("keys", "list", "--json").rows
    answered = live.done("models", "test", MODEL, "--project", "demo", "--json").json
    assert answered["answer"]
    assert (answered["ok"], answered["model"]) == (True, MODEL)
    assert answered["attempts"] >= 1
    assert [key["id"] for key in live.done("keys", "list", "--json").rows] == [key["id"] for key in before]
    request = answered["request_id"]
    until(lambda: live.done("logs", "search", "--request-id", request, "--json").rows)
    assert live.done("logs", "search", "--request-id", request, "--json").rows[0]["project"] == "demo"


def test_a_chat_streams_its_answer(live: Command):
    assert "demo" in live.done("chat", MODEL, "What is a gateway?").out
    unknown = live("chat", "nope", "Hola")
    assert (unknown.code, unknown.out) == (3, "")
    assert "nope" in unknown.err


def test_a_chat_as_nobody_in_particular_wants_a_name(live: Command):
    live.done("projects", "create", "second")
    refused = live("chat", MODEL, "Hola")
    assert (refused.code, "demo, second" in refused.err) == (2, True)
    live.done("projects", "delete", "second", "--yes")


def test_the_doctor_sees_the_fleet_and_asks_only_when_told(live: Command):
    until(lambda: "healthy" in {server["state"] for server in live.done("servers", "list", "--json").rows})
    checks = {check["name"]: check for check in live.done("doctor", "--json").json["checks"]}
    assert checks["server"]["state"] == "ok"
    assert "healthy" in checks["fleet"]["text"]
    assert (checks["request log"]["state"], checks["alerts"]["state"]) == ("ok", "ok")
    assert "model" not in checks
    asked = {check["name"]: check for check in live.done("doctor", "--ask", "--json").json["checks"]}
    assert asked["model"]["state"] == "ok"


def test_settings_are_the_servers(live: Command):
    port = next(row for row in live.done("config", "show", "--json").rows if row["name"] == "port")
    assert (port["value"], port["source"]) == (0, "--port")


def test_the_log_of_the_server_is_read(live: Command):
    until(lambda: live.done("logs", "search", "--json").rows)
    assert live.done("logs", "export").out.count("\n") >= 1
    assert (
        live.done("usage", "--by", "project", "--order", "tokens", "--top", "1", "--json").rows[0]["project"] == "demo"
    )
    assert live.done("overview", "--json").json["top"]["projects"][0]["project"] == "demo"
    assert "Success" in live.done("overview", "--since", "1h").out


def test_a_tail_follows_the_log_and_ends_in_peace_with_ctrl_c(live: Command):
    with subprocess.Popen(
        [*THIS, "logs", "tail", "-n", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # not that of a job in background
    ) as tail:
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["project"] == "demo"  # the demo's own traffic
        tail.send_signal(signal.SIGINT)
        _, err = tail.communicate(timeout=30)
    assert (tail.returncode, err) == (0, "")


def test_another_config_than_the_servers_is_remarked(live: Command, tmp_path: Path):
    (tmp_path / "other.yaml").write_text("port: 9\n")
    ended = live.done("projects", "list", "--config", "other.yaml", "--json")
    assert f"runs with no config file, not with {tmp_path / 'other.yaml'}" in ended.err
    assert ended.rows


def test_another_token_than_the_servers_is_one_line_with_a_hint(live: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LLM_GATEWAY_ADMIN_TOKEN", "not-the-token-of-this-server")
    ended = live("projects", "list")
    assert ended.code == 1
    assert "LLM_GATEWAY_ADMIN_TOKEN" in ended.err.splitlines()[1]
    assert "not-the-token" not in ended.err


def test_a_server_that_does_not_answer_is_remarked_and_done_without(
    command: Command, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
):
    command.done("projects", "create", "legal")
    told = {"url": f"http://127.0.0.1:{unused_tcp_port}", "pid": os.getpid()}
    (command.data_dir / RUNTIME).write_text(json.dumps(told))
    ended = command.done("projects", "list", "--json")
    assert [project["name"] for project in ended.rows] == ["legal"]
    assert "does not answer" in ended.err


def test_an_applied_file_reaches_its_server_at_once(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    config = {"sources": {"ollamafreeapi": {"enabled": False}}, "projects": [{"name": "legal"}]}
    with serve(tmp_path / "data", config=config) as running:
        file = running.data_dir / "gateway.yaml"
        server = {"name": "lab", "url": "http://127.0.0.1:11434", "kind": "ollama", "trust": "own"}
        more = {"allow_private_upstreams": ["127.0.0.0/8"], "servers": [server]}
        file.write_text(json.dumps({**config, **more}))
        ended = command.done("config", "apply", file)
        assert ended.out == "+ server lab\n"
        assert "has read the file again" in ended.err
        assert [row["state"] for row in command.done("servers", "list", "--json").rows] != ["disabled"]
        file.write_text("prot: 1\n")
        refused = httpx.post(
            f"{running.url}/admin/api/config/reload", headers={"X-Admin-Key": running.admin_token}, trust_env=False
        )
        assert refused.status_code == 400
        assert "Did you mean `port`?" in refused.json()["error"]["message"]
        assert [row["name"] for row in command.done("servers", "list", "--json").rows] == ["lab"]
    assert not (running.data_dir / RUNTIME).exists()


def test_what_happens_right_now_is_shown(live: Command):
    found = live.done("live", "list", "--json").json
    assert found["workers"] == {"seen": 1, "of": 1}
    assert found["total"] == len(found["data"])
    live.done("live", "list")
    gone = live("live", "cancel", "019a2f6e-7c1b-7d3e-9f00-0123456789ab")
    assert (gone.code, "in flight" in gone.err) == (3, True)
    until(lambda: live.done("live", "timeline", "demo-maple", "--json").rows)
    assert "healthy" in live.done("live", "timeline", "demo-maple").out
    assert "demo-maple" in live.done("live", "timeline").out
    lanes = live.done("live", "timeline", "--json").rows
    assert next(lane["states"] for lane in lanes if lane["name"] == "demo-maple").strip(".")
    assert live.done("live", "onboarding", "--json").json["key"]["state"] == "done"
    assert "first_request" in live.done("live", "onboarding").out
