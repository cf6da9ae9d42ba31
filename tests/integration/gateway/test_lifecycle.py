"""Starts, reloads and ends of the real process, as its operator sees them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from llm_gateway.storage import requests
from llm_gateway.storage.engine import open_engine
from llm_gateway.storage.sessions import Sessions
from support.gateway import HELLO, KEY, entry, told, words
from support.net import closed_port, wait_until
from support.rogues import StartRogue
from support.served import LOOPBACK, THIS, Served, project, serve

ASK: dict[str, Any] = {"model": "recite", "messages": HELLO}


class Process:
    """A gateway in a process of its own, and a client with its project's key."""

    def __init__(self, served: Served, http: httpx.AsyncClient) -> None:
        self.served, self.http = served, http

    def signal(self, number: int) -> None:
        self.served.process.send_signal(number)

    async def ended(self, within: float = 15.0) -> int:
        return await asyncio.to_thread(self.served.process.wait, within)

    async def status(self, path: str, **options: Any) -> int:
        """0 where nobody listens any more."""
        try:
            return (await self.http.get(path, **options)).status_code
        except httpx.TransportError:
            return 0

    async def rows(self) -> list[dict[str, Any]]:
        """The request log, read from the file."""
        engine = open_engine("sqlite:///gateway.db", data_dir=self.served.data_dir)
        found = [row async for row in requests.export(Sessions(engine))]
        await engine.dispose()
        return found

    def output(self) -> str:
        return (self.served.data_dir / "output").read_text()


StartProcess = Callable[..., Any]


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[StartProcess]:
    """Starts gateways (a config file's content, flags); all end with the test."""
    async with AsyncExitStack() as stack:

        async def start(content: dict[str, Any] | None, *flags: str, known: int = 1, **environ: str) -> Process:
            running = serve(tmp_path / "data", *flags, config=content, LLM_TEST_KEY=KEY, **environ)
            served = await asyncio.to_thread(running.__enter__)
            stack.push_async_callback(asyncio.to_thread, running.__exit__, None, None, None)
            headers = {"X-API-Key": KEY}
            http = httpx.AsyncClient(base_url=served.url, headers=headers, timeout=30, trust_env=False)
            await stack.enter_async_context(http)

            async def all_are_known() -> bool:
                return bool((await http.get("/v1/health")).json()["servers"].get("healthy", 0) >= known)

            await wait_until(all_are_known, 15)
            return Process(served, http)

        yield start


async def test_sigterm_turns_readiness_off_at_once_and_lets_streams_finish(process: StartProcess, rogue: StartRogue):
    server = await rogue(words=60, rate=20)
    gateway = await process(project(servers=[entry(server)]))
    stream = asyncio.create_task(gateway.http.post("/v1/chat/stream", json=ASK))
    await server.until(lambda s: s.in_flight == 1)
    gateway.signal(signal.SIGTERM)

    async def not_ready() -> bool:
        return await gateway.status("/readyz") == 503

    await wait_until(not_ready, 1.0)
    assert await gateway.status("/livez") == 200
    assert await gateway.status("/v1/models") == 200  # those who have not noticed yet are served
    answer = told(await stream)
    assert (answer.text, answer.done) == (words(60), True)
    assert await gateway.ended() == 0
    assert '"event":"draining","requests":1' in gateway.output()
    assert '"event":"ended"' in gateway.output()
    assert not (gateway.served.data_dir / "runtime.json").exists()
    (row,) = await gateway.rows()
    assert (row["status"], row["outcome"], row["tokens_output"]) == (200, "ok", 60)


async def test_an_operator_who_insists_ends_streams_with_a_typed_error_and_loses_no_row(
    process: StartProcess, rogue: StartRogue
):
    server = await rogue(mood="endless")
    gateway = await process(project(servers=[entry(server)]))
    stream = asyncio.create_task(gateway.http.post("/v1/chat/stream", json=ASK))
    whole = asyncio.create_task(gateway.http.post("/v1/chat", json=ASK))
    await server.until(lambda s: s.in_flight == 2)
    began = time.monotonic()
    gateway.signal(signal.SIGTERM)
    await asyncio.sleep(0.2)  # two signals at the same time are one
    gateway.signal(signal.SIGTERM)
    answer = told(await stream)
    assert answer.error is not None
    assert answer.error["code"] == "server_shutting_down"
    refused = await whole
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "server_shutting_down")
    assert await gateway.ended() == 0
    assert 4 < time.monotonic() - began < 9, "the second signal gives what runs five seconds"
    rows = await gateway.rows()
    assert [(row["outcome"], row["error_code"]) for row in rows] == [("error", "server_shutting_down")] * 2
    assert "Traceback" not in gateway.output()


async def test_a_client_that_only_stays_connected_does_not_hold_up_the_end(process: StartProcess, rogue: StartRogue):
    gateway = await process(project(servers=[entry(await rogue())]))
    idle = [await asyncio.open_connection("127.0.0.1", gateway.served.port) for _ in range(3)]
    began = time.monotonic()
    gateway.signal(signal.SIGINT)
    assert await gateway.ended() == 0
    assert time.monotonic() - began < 3
    for _, writer in idle:
        writer.close()


async def test_sighup_takes_over_the_changed_file(process: StartProcess, rogue: StartRogue):
    one, two = await rogue(["one"]), await rogue(["two"])
    content = project(servers=[entry(one)])
    gateway = await process(content)
    file = gateway.served.data_dir / "gateway.yaml"
    assert (await gateway.http.post("/v1/chat", json={**ASK, "model": "two"})).status_code == 404

    content["servers"].append(entry(two))
    content["models"] = [{"name": "smart", "backend": ["two"], "params": {"max_tokens": 2}}]
    content["projects"][0]["rate_limit_per_minute"] = 3
    file.write_text(json.dumps(content))
    gateway.signal(signal.SIGHUP)

    async def listed() -> bool:
        models = (await gateway.http.get("/v1/models")).json()["data"]
        return [m["id"] for m in models] == ["smart", "one:latest", "two:latest"]

    await wait_until(listed, 10)
    answers = [await gateway.http.post("/v1/chat", json={**ASK, "model": "smart"}) for _ in range(4)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429]
    assert answers[0].json()["choices"][0]["message"]["content"] == words(2)

    content["projects"] = []
    del content["servers"][0]
    file.write_text(json.dumps(content))
    gateway.signal(signal.SIGHUP)

    async def gone() -> bool:
        return await gateway.status("/v1/models") == 401

    await wait_until(gone, 10)


async def test_a_mistake_in_the_changed_file_changes_nothing_and_is_named(process: StartProcess, rogue: StartRogue):
    content = project(servers=[entry(await rogue())])
    gateway = await process(content)
    content["projects"][0]["rate_limit_per_minuet"] = 3
    content["servers"] = []
    (gateway.served.data_dir / "gateway.yaml").write_text(json.dumps(content))
    gateway.signal(signal.SIGHUP)
    await wait_until(lambda: "rate_limit_per_minute" in gateway.output(), 10)  # did you mean
    assert (await gateway.http.post("/v1/chat", json=ASK)).status_code == 200
    assert "Traceback" not in gateway.output()


async def test_a_second_start_shows_no_key_again_and_serves_the_same(tmp_path: Path):
    keys: list[str] = []
    for turn in range(2):
        running = serve(tmp_path, LLM_GATEWAY_SOURCES__OLLAMAFREEAPI__ENABLED="false")
        served = await asyncio.to_thread(running.__enter__)
        try:
            output = (tmp_path / "output").read_text()
            assert "llmgw_" not in output, "a secret where no person looks"
            first = tmp_path / "first-run.txt"
            assert first.exists() == (turn == 0), "the key of the first start is shown once"
            if turn == 0:
                assert "key llmgw_" in first.read_text()
                keys = [first.read_text().partition("key ")[2].split()[0]]
                assert stat.S_IMODE(first.stat().st_mode) == 0o600
                first.unlink()
            for file in tmp_path.iterdir():
                if file.name not in ("output", "gateway.yaml"):
                    wanted = 0o700 if file.is_dir() else 0o600
                    assert stat.S_IMODE(file.stat().st_mode) == wanted, file
            async with httpx.AsyncClient(base_url=served.url, headers={"X-API-Key": keys[0]}) as http:
                assert (await http.get("/v1/models")).status_code == 200
                admin = {"Authorization": f"Bearer {served.admin_token}"}
                projects = (await http.get("/admin/api/projects", headers=admin)).json()["data"]
                assert [p["name"] for p in projects] == ["default"]
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


def ends_at_once(folder: Path, *flags: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A start that cannot be."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    environment = {**kept, "LLM_GATEWAY_ONLY_NETWORKS": LOOPBACK, **environ}
    command = [*THIS, "serve", "--port", "0", "--data-dir", str(folder), *flags]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path, migrated_sqlite: Path):
    import shutil
    import sqlite3

    shutil.copy(migrated_sqlite, tmp_path / "gateway.db")
    with sqlite3.connect(tmp_path / "gateway.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    ended = ends_at_once(tmp_path)
    assert ended.returncode == 69
    assert len(ended.stderr.strip().splitlines()) <= 2, ended.stderr
    assert "newer" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_in_use_is_named_with_the_next_one(tmp_path: Path):
    with closed_port() as port:  # bound, so nobody else can have it
        ended = ends_at_once(tmp_path, "--port", str(port))
    assert ended.returncode == 1
    assert f"--port {port + 1}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_mistakes_in_the_config_file_end_the_start_with_78_and_a_line_for_each(tmp_path: Path):
    (tmp_path / "bad.yaml").write_text("prot: 9000\nprojects:\n  - {name: a, rate_limit_per_minute: -3}\n")
    ended = ends_at_once(tmp_path, "--config", "bad.yaml")
    assert ended.returncode == 78
    assert "bad.yaml:1" in ended.stderr
    assert "bad.yaml:3" in ended.stderr
    assert "`port`" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "gateway.db").exists(), "something was written before the configuration was known good"
