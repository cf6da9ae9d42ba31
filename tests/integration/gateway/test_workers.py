"""`serve --workers 2` as its operator and its clients see it, on a real PostgreSQL and a real Redis."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.databases import (  # noqa: F401 - fixtures
    migrated_postgresql,
    postgresql_server,
    postgresql_url,
)
from support.gateway import HELLO, KEY, entry, told, words
from support.net import wait_until
from support.redises import RedisServer, redis_server  # noqa: F401 - a fixture
from support.rogues import StartRogue
from support.served import Served, project, serve
from support.stored import contradictions, rows_of

ASK: dict[str, Any] = {"model": "recite", "messages": HELLO}


class Host:
    """One `serve --workers N`, and a client with its project's key that makes a connection for each request."""

    def __init__(self, served: Served, http: httpx.AsyncClient, database: str) -> None:
        self.served, self.http, self.database = served, http, database

    def signal(self, number: int) -> None:
        self.served.process.send_signal(number)

    def workers(self) -> list[int]:
        """Process ids of the workers that live."""
        parent = self.served.process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return [int(child) for child in children if b"spawn_main" in _command(int(child))]

    async def ask(self) -> int:
        return (await self.http.post("/v1/chat", json=ASK)).status_code

    async def healthy(self) -> int:
        return int((await self.http.get("/v1/health")).json()["servers"].get("healthy", 0))

    async def figures(self) -> dict[str, float]:
        """`name{labels}` -> value, of whichever worker answers."""
        answer = await self.http.get("/metrics", headers={"Authorization": f"Bearer {self.served.admin_token}"})
        assert answer.status_code == 200
        pairs = (line.rpartition(" ") for line in answer.text.splitlines() if line and line[0] != "#")
        return {name: float(value) for name, _, value in pairs}

    async def rows(self) -> list[dict[str, Any]]:
        return await rows_of(self.database, self.served.data_dir)

    async def ended(self, within: float = 20.0) -> int:
        return await asyncio.to_thread(self.served.process.wait, within)

    def output(self) -> str:
        return (self.served.data_dir / "output").read_text()


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


StartHost = Callable[..., Awaitable[Host]]


@pytest.fixture
async def host(tmp_path: Path, postgresql_url: str, redis_server: RedisServer) -> AsyncIterator[StartHost]:  # noqa: F811
    """Starts hosts over the same database and Redis (a config file's content); all end with the test."""
    async with AsyncExitStack() as stack:
        number = 0

        async def start(content: dict[str, Any], workers: int = 2, known: int = 1) -> Host:
            nonlocal number
            number += 1
            running = serve(
                tmp_path / f"host{number}",
                "--workers",
                str(workers),
                config=content,
                LLM_TEST_KEY=KEY,
                LLM_GATEWAY_DATABASE_URL=postgresql_url,
                LLM_GATEWAY_REDIS_URL=redis_server.url,
                PYTHONPATH=os.environ.get("PYTHONPATH", ""),
            )
            served = await asyncio.to_thread(running.__enter__)
            stack.push_async_callback(asyncio.to_thread, running.__exit__, None, None, None)
            http = httpx.AsyncClient(
                base_url=served.url,
                headers={"X-API-Key": KEY, "Connection": "close"},
                timeout=30,
                trust_env=False,
            )
            await stack.enter_async_context(http)
            found = Host(served, http, postgresql_url)

            async def all_are_known() -> bool:
                return min([await found.healthy() for _ in range(4 * workers)]) >= known

            await wait_until(all_are_known, 20)
            return found

        yield start


async def test_two_workers_answer_and_all_of_them_end_in_order(host: StartHost, rogue: StartRogue):
    server = await rogue(words=60, rate=20)
    gateway = await host(project(servers=[entry(server)]))
    assert len(gateway.workers()) == 2
    runtime = json.loads((gateway.served.data_dir / "runtime.json").read_text())
    assert runtime["pid"] == gateway.served.process.pid
    stream = asyncio.create_task(gateway.http.post("/v1/chat/stream", json=ASK))
    await server.until(lambda s: s.in_flight == 1)
    gateway.signal(signal.SIGTERM)

    async def not_ready() -> bool:
        return (await gateway.http.get("/readyz")).status_code == 503

    await wait_until(not_ready, 1.5)
    assert (await gateway.http.get("/v1/models")).status_code == 200
    answer = told(await stream)
    assert (answer.text, answer.done) == (words(60), True)
    assert await gateway.ended() == 0
    assert not (gateway.served.data_dir / "runtime.json").exists()
    (row,) = await gateway.rows()
    assert (row["outcome"], row["tokens_output"]) == ("ok", 60)
    assert "Traceback" not in gateway.output()


async def test_an_operator_who_insists_ends_the_streams_of_all_workers(host: StartHost, rogue: StartRogue):
    server = await rogue(mood="endless")
    gateway = await host(project(servers=[entry(server)]))
    stream = asyncio.create_task(gateway.http.post("/v1/chat/stream", json=ASK))
    await server.until(lambda s: s.in_flight == 1)
    began = time.monotonic()
    gateway.signal(signal.SIGTERM)
    await asyncio.sleep(0.3)  # two signals at the same time are one
    gateway.signal(signal.SIGTERM)
    answer = told(await stream)
    assert answer.error is not None
    assert answer.error["code"] == "server_shutting_down"
    assert await gateway.ended() == 0
    assert 4 < time.monotonic() - began < 12


async def test_a_killed_worker_is_replaced_and_its_open_request_has_its_row(host: StartHost, rogue: StartRogue):
    server = await rogue(words=400, rate=20)
    gateway = await host(project(servers=[entry(server)]))
    before = gateway.workers()
    stream = asyncio.create_task(gateway.http.post("/v1/chat/stream", json=ASK))
    await server.until(lambda s: s.in_flight == 1)
    for pid in before:  # one of the two has the stream; the other one serves on
        os.kill(pid, signal.SIGKILL)
        await asyncio.wait((stream,), timeout=1.0)
        if stream.done():
            break
    with pytest.raises(httpx.TransportError):
        await stream
    assert (await gateway.http.get("/v1/models")).status_code == 200
    await wait_until(lambda: len(gateway.workers()) == 2, 15)

    async def closed() -> bool:
        return [row["outcome"] for row in await gateway.rows()] == ["gateway_crashed"]

    await wait_until(closed, 10, every=0.2)
    assert await contradictions(gateway.database, gateway.served.data_dir) == []


async def test_workers_are_added_and_taken_away_and_no_request_fails(host: StartHost, rogue: StartRogue):
    gateway = await host(project(servers=[entry(await rogue())]))
    statuses = []

    async def serving(count: int) -> bool:
        statuses.append(await gateway.ask())
        return len(gateway.workers()) == count

    for number, count in ((signal.SIGTTIN, 3), (signal.SIGTTOU, 2), (signal.SIGTTOU, 1), (signal.SIGTTOU, 1)):
        gateway.signal(number)
        await wait_until(lambda count=count: serving(count), 20, every=0.02)  # type: ignore[misc]
    assert set(statuses) == {200}


async def test_the_figures_of_any_worker_are_those_of_all_and_outlive_a_killed_one(host: StartHost, rogue: StartRogue):
    server = await rogue()
    gateway = await host(project(servers=[entry(server)]))
    for _ in range(30):
        assert await gateway.ask() == 200

    async def counted() -> float:
        figures = await gateway.figures()
        return sum(value for name, value in figures.items() if name.startswith("llmgw_requests_total"))

    async def all_are_counted() -> bool:  # a worker shows the others what it counted within 20 ms
        return await counted() == 30.0

    await wait_until(all_are_counted, 1.0)
    assert [await counted() for _ in range(6)] == [30.0] * 6
    os.kill(gateway.workers()[0], signal.SIGKILL)
    await wait_until(lambda: len(gateway.workers()) == 2, 15)
    for _ in range(10):
        assert await gateway.ask() == 200
    figures = await gateway.figures()
    assert await counted() == 40.0
    assert figures["llmgw_inflight"] == 0
    assert figures['llmgw_servers{state="healthy"}'] == 1

    async def all_written() -> bool:
        return len(await gateway.rows()) == 40

    await wait_until(all_written, 10, every=0.2)


async def test_whichever_worker_answers_shows_and_ends_the_requests_of_all(host: StartHost, rogue: StartRogue):
    server = await rogue(mood="hang_after_request")
    gateway = await host(project(servers=[entry(server)]))
    admin = {"Authorization": f"Bearer {gateway.served.admin_token}"}
    asking = [asyncio.create_task(gateway.http.post("/v1/chat", json=ASK)) for _ in range(6)]

    async def listed() -> tuple[list[str], dict[str, int]]:
        answer = (await gateway.http.get("/admin/api/live", headers=admin)).json()
        return [row["request_id"] for row in answer["data"]], answer["workers"]

    async def all_there() -> bool:
        return len((await listed())[0]) == 6

    await wait_until(all_there, 10.0)
    ids, _ = await listed()
    for _ in range(6):
        assert await listed() == (ids, {"seen": 2, "of": 2})
    for id in ids:
        ended = await gateway.http.post(f"/admin/api/live/{id}/cancel", headers=admin)
        assert ended.status_code == 200, ended.text
    assert {answer.status_code for answer in await asyncio.gather(*asking)} == {499}
    assert "Traceback" not in gateway.output()


async def test_a_rolling_restart_reads_the_configuration_and_fails_no_request(host: StartHost, rogue: StartRogue):
    servers = [await rogue(models=["recite", "poem"]) for _ in range(3)]
    content = project(servers=[entry(server) for server in servers])
    gateway = await host(content, known=3)
    before = gateway.workers()
    content["projects"][0]["models"] = [{"name": "fresh", "backend": ["poem"]}]
    (gateway.served.data_dir / "gateway.yaml").write_text(json.dumps(content))
    gateway.signal(signal.SIGHUP)
    statuses = []

    async def all_are_new() -> bool:
        statuses.append(await gateway.ask())
        workers = gateway.workers()
        return len(workers) == 2 and not set(workers) & set(before)

    await wait_until(all_are_new, 40, every=0.02)
    assert set(statuses) == {200}
    assert len(statuses) > 20
    for _ in range(4):
        answer = await gateway.http.post("/v1/chat", json={**ASK, "model": "fresh"})
        assert answer.status_code == 200
    now = gateway.workers()
    (gateway.served.data_dir / "gateway.yaml").write_text("{nonsense: 1}")
    await wait_until(lambda: "workers_replaced" in gateway.output(), 10)
    gateway.signal(signal.SIGHUP)  # a file with mistakes changes nothing
    await wait_until(lambda: "config_reload_refused" in gateway.output(), 10)
    assert gateway.workers() == now
    assert await gateway.ask() == 200


async def test_a_revoked_key_is_refused_by_all_workers_of_all_hosts_within_two_seconds(
    host: StartHost, rogue: StartRogue
):
    content = project(servers=[entry(await rogue())])
    hosts = [await host(content), await host(content)]
    first = hosts[0]
    admin = {"Authorization": f"Bearer {first.served.admin_token}"}
    made = await first.http.post("/admin/api/keys", headers=admin, json={"project": "tests", "name": "soon gone"})
    assert made.status_code == 201, made.text
    key = made.json()["key"]

    async def statuses(asks: int = 6) -> set[int]:
        answers = [await each.http.get("/v1/models", headers={"X-API-Key": key}) for each in hosts for _ in range(asks)]
        return {answer.status_code for answer in answers}

    async def known() -> bool:
        return await statuses() == {200}

    await wait_until(known, 5)
    gone = await first.http.post(f"/admin/api/keys/{made.json()['id']}/revoke", headers=admin)
    assert gone.status_code < 300, gone.text
    began = time.monotonic()

    async def refused() -> bool:
        return await statuses() <= {401, 429}  # those who try refused keys too often are let wait

    await wait_until(refused, 4, every=0.2)
    assert time.monotonic() - began < 2.5


@pytest.mark.slow
async def test_four_workers_ask_the_servers_no_more_often_than_one(host: StartHost, rogue: StartRogue):
    async def looks(workers: int) -> int:
        servers = [await rogue(remember=10_000) for _ in range(3)]
        gateway = await host(project(servers=[entry(s) for s in servers]) | {"probes": {"every": 1}}, workers, known=3)
        for server in servers:
            server.requests.clear()
        await asyncio.sleep(10)  # the time is what is measured
        count = sum(len(server.requests) for server in servers)
        gateway.signal(signal.SIGTERM)
        await gateway.ended()
        return count

    one = await looks(1)
    assert one > 15  # three servers, once a second each: 30 where nothing else runs
    assert await looks(4) <= 1.2 * max(one, 30)  # four that do not agree: 120


@pytest.mark.slow
async def test_a_killed_parent_takes_its_workers_along_in_order(host: StartHost, rogue: StartRogue):
    server = await rogue(words=40, rate=20)
    gateway = await host(project(servers=[entry(server)]))
    workers = gateway.workers()
    stream = asyncio.create_task(gateway.http.post("/v1/chat/stream", json=ASK))
    await server.until(lambda s: s.in_flight == 1)
    gateway.signal(signal.SIGKILL)
    await gateway.ended()
    answer = told(await stream)
    assert (answer.text, answer.done) == (words(40), True)
    await wait_until(lambda: not any(_command(pid) for pid in workers), 10)
    (row,) = await gateway.rows()
    assert row["outcome"] == "ok"
