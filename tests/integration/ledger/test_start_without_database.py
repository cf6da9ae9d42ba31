"""A database that is away when the gateway starts: what it held last is served, or a typed 503, never a 401."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.databases import OwnServer
from support.gateway import entry
from support.net import closed_port, hanging_port, wait_until
from support.rogues import StartRogue
from support.served import KEY, LOOPBACK, THIS, Served, project, serve
from support.stored import contradictions

BACK = 10.0
"""Seconds after which all is as if the database had never been away."""
ASK = {"model": "recite", "messages": [{"role": "user", "content": "hello"}]}


def client(served: Served, key: str = KEY) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=served.url, headers={"x-api-key": key}, trust_env=False, timeout=30)


async def chat(http: httpx.AsyncClient, path: str = "/v1/chat/completions") -> httpx.Response:
    return await http.post(path, json=ASK)


async def answers(http: httpx.AsyncClient) -> bool:
    return (await chat(http)).status_code == 200


async def health(http: httpx.AsyncClient) -> dict[str, Any]:
    return dict((await http.get("/v1/health")).json())


async def rows_of(served: Served) -> list[dict[str, Any]]:
    async with client(served, "none") as admin:
        page = await admin.get("/admin/api/requests?limit=200", headers={"x-admin-key": served.admin_token})
        assert page.status_code == 200, page.text
        return list(page.json()["data"])


def create(server: OwnServer) -> str:
    return server.create(f"start_{os.urandom(4).hex()}")


@pytest.fixture
def started() -> Iterator[Callable[..., Served]]:
    """Starts gateways as programs that end with the test, whatever happens to the database meanwhile."""
    with ExitStack() as stack:
        yield lambda *args, **how: stack.enter_context(serve(*args, **how))


@contextmanager
def away(server: OwnServer) -> Iterator[None]:
    server.execute("CHECKPOINT")
    server.stop(at_once=True)
    try:
        yield
    finally:
        server.start()


async def learnt(served: Served) -> None:
    """Until the servers' models are in the file as well."""
    file = served.data_dir / "snapshot.json"
    await wait_until(lambda: file.exists() and "recite" in file.read_text(), BACK)


async def test_with_a_snapshot_valid_keys_are_served_and_everything_is_made_up_for_later(
    tmp_path: Path, rogue: StartRogue, server_of_ours: OwnServer, started: Callable[..., Served]
):
    config = project(servers=[entry(await rogue())])
    settings = {"LLM_TEST_KEY": KEY, "LLM_GATEWAY_DATABASE_URL": create(server_of_ours)}
    with serve(tmp_path, config=config, **settings) as first:
        async with client(first) as http:
            await wait_until(lambda: answers(http), BACK)
            await learnt(first)
    file = tmp_path / "snapshot.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert KEY not in file.read_text()
    config["projects"].append({"name": "later", "trust": ["own"]})
    with away(server_of_ours):
        served = started(tmp_path, config=config, **settings)
        async with client(served) as http, client(served, "a-key-that-nobody-knows") as stranger:
            served_ids = []
            for path in ("/v1/chat/completions", "/v1/chat", "/v1/chat/completions"):
                answer = await chat(http, path)
                assert answer.status_code == 200, answer.text
                served_ids.append(answer.headers["x-request-id"])
            assert (await http.get("/v1/models")).status_code == 200
            assert (await chat(stranger)).status_code == 401
            told = await health(http)
            assert (told["status"], told["database"], told["configuration"]) == ("degraded", "unavailable", "snapshot")
            assert (await http.get("/readyz")).status_code == 200
            admin = {"x-admin-key": served.admin_token}
            made = await http.post("/admin/api/projects", json={"name": "new"}, headers=admin)
            assert (made.status_code, made.json()["error"]["code"]) == (503, "db_unavailable")
    began = time.monotonic()
    async with client(served) as http:

        async def healed() -> bool:
            return (await health(http))["configuration"] == "database"

        await wait_until(healed, BACK)
        names = (await http.get("/admin/api/projects", headers=admin)).json()["data"]
        assert {each["name"] for each in names} == {"tests", "later"}, "the file was applied"

        async def all_are_there() -> bool:
            return {row["request_id"] for row in await rows_of(served)} >= set(served_ids)

        await wait_until(all_are_there, BACK - (time.monotonic() - began))
        assert (await health(http))["database"] == "ok"
    assert await contradictions(settings["LLM_GATEWAY_DATABASE_URL"], tmp_path) == []


@pytest.mark.parametrize("age", [None, 90_000.0], ids=["no snapshot", "a snapshot that is too old"])
async def test_without_a_snapshot_every_request_is_told_to_come_back_and_none_that_its_key_is_wrong(
    tmp_path: Path, rogue: StartRogue, server_of_ours: OwnServer, started: Callable[..., Served], age: float | None
):
    config = project(servers=[entry(await rogue())])
    settings = {"LLM_TEST_KEY": KEY, "LLM_GATEWAY_DATABASE_URL": create(server_of_ours)}
    if age is not None:
        with serve(tmp_path, config=config, **settings) as first:
            await learnt(first)
        file = tmp_path / "snapshot.json"
        kept = json.loads(file.read_text())
        file.write_text(json.dumps(kept | {"at": kept["at"] - age}))
    with away(server_of_ours):
        served = started(tmp_path, config=config, **settings)
        async with client(served) as http:
            for path in ("/v1/chat", "/v1/chat/completions", "/v1/messages", "/api/chat"):
                answer = await chat(http, path)
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["retry-after"]) >= 1
                assert answer.headers["x-request-id"]
            error = (await chat(http)).json()["error"]
            assert (error["code"], error["retryable"]) == ("db_unavailable", True)
            assert (await http.get("/v1/models")).status_code == 503
            assert (await http.get("/readyz")).status_code == 503
            assert (await http.get("/livez")).status_code == 200
            told = await health(http)
            assert (told["status"], told["configuration"]) == ("down", "none")
    async with client(served) as http:
        await wait_until(lambda: answers(http), BACK)
        assert (await http.get("/readyz")).status_code == 200
    said = (tmp_path / "output").read_text()
    assert "every request gets 503 until it is back" in said
    assert "Traceback" not in said


async def test_the_first_project_is_made_when_the_database_comes(
    tmp_path: Path, server_of_ours: OwnServer, started: Callable[..., Served]
):
    settings = {
        "LLM_GATEWAY_DATABASE_URL": create(server_of_ours),
        "LLM_GATEWAY_SOURCES__OLLAMAFREEAPI__ENABLED": "false",
    }
    with away(server_of_ours):
        served = started(tmp_path, **settings)
        assert not (tmp_path / "first-run.txt").exists()
    await wait_until((tmp_path / "first-run.txt").exists, BACK)
    text = (tmp_path / "first-run.txt").read_text()
    key = next(word for word in text.split() if word.startswith("llmgw_") and "admin" not in word)
    async with client(served, key) as http:
        assert (await http.get("/v1/models")).status_code == 200


async def test_a_snapshot_of_another_database_opens_nothing(
    tmp_path: Path, rogue: StartRogue, server_of_ours: OwnServer
):
    config = project(servers=[entry(await rogue())])
    with serve(tmp_path, config=config, LLM_TEST_KEY=KEY) as first:
        await learnt(first)
    with closed_port() as port:
        url = f"postgresql://u:hunter2@127.0.0.1:{port}/x"
        with serve(tmp_path, config=config, LLM_TEST_KEY=KEY, LLM_GATEWAY_DATABASE_URL=url) as second:
            async with client(second) as http:
                assert (await chat(http)).status_code == 503
    assert "hunter2" not in (tmp_path / "output").read_text()


@pytest.mark.parametrize("door", [closed_port, hanging_port])
def test_a_start_without_a_database_ends_with_sigterm_as_any_other(tmp_path: Path, door):
    with door() as port:
        url = f"postgresql://u:hunter2@127.0.0.1:{port}/x"
        with serve(tmp_path, LLM_GATEWAY_DATABASE_URL=url) as served:
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(15) == 0
    said = (tmp_path / "output").read_text()
    assert "Database    away" in said
    assert "hunter2" not in said


def test_a_sqlite_file_that_is_no_database_is_one_that_is_away(tmp_path: Path):
    (tmp_path / "gateway.db").write_bytes(b"certainly not a database" * 100)
    with serve(tmp_path) as served:
        assert httpx.get(f"{served.url}/readyz", trust_env=False).status_code == 503


async def test_a_key_that_was_revoked_a_moment_before_a_crash_stays_revoked_without_the_database(
    tmp_path: Path, rogue: StartRogue, server_of_ours: OwnServer
):
    config = project(servers=[entry(await rogue())])
    settings = {"LLM_TEST_KEY": KEY, "LLM_GATEWAY_DATABASE_URL": create(server_of_ours)}
    with serve(tmp_path, config=config, **settings) as first:
        async with client(first) as http:
            admin = {"x-admin-key": first.admin_token}
            made = (
                await http.post("/admin/api/projects", json={"name": "new", "trust": ["own"]}, headers=admin)
            ).json()
            key = (await http.post("/admin/api/keys", json={"project": made["id"], "name": "k"}, headers=admin)).json()
            assert (await http.get("/v1/models", headers={"x-api-key": key["key"]})).status_code == 200
            gone = await http.post(f"/admin/api/keys/{key['id']}/revoke", headers=admin)
            assert gone.status_code == 200, gone.text
            first.process.kill()
    (tmp_path / "runtime.json").unlink()
    with away(server_of_ours), serve(tmp_path, config=config, **settings) as second:
        async with client(second, key["key"]) as http, client(second) as other:
            assert (await http.get("/v1/models")).status_code == 401
            assert (await other.get("/v1/models")).status_code == 200


def test_commands_still_say_that_the_database_is_away(tmp_path: Path):
    with closed_port() as port:
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        url = f"postgresql://u:hunter2@127.0.0.1:{port}/x"
        ended = subprocess.run(
            [*THIS, "projects", "list", "--data-dir", str(tmp_path)],
            env={**kept, "LLM_GATEWAY_ONLY_NETWORKS": LOOPBACK, "LLM_GATEWAY_DATABASE_URL": url},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 69
    assert "LLM_GATEWAY_DATABASE_URL" in ended.stderr
