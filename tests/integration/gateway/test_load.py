"""A thousand requests, with failing servers and leaving clients among them: as many rows as requests, nothing left."""

from __future__ import annotations

import asyncio
import gc
import random

import pytest

from support.gateway import Live, StartGateway, Wire, entry, open_files, words
from support.net import wait_until
from support.rogues import StartRogue

REQUESTS, AT_ONCE = 1000, 50
FAILING = {"runner_500": 0.3, "cut_rst": 0.2, "html_502": 0.2, "busy_503": 0.2, "close_after_request": 0.1}
PATHS = ("/v1/chat", "/v1/chat/stream", "/v1/chat/completions")


async def counted_by_metrics(live: Live) -> float:
    """All requests that have ended, as Prometheus would add them up; and none is under way."""
    page = (await live.http.get("/metrics", headers=live.admin())).text
    assert "\nllmgw_inflight 0.0\n" in page
    counts = [line for line in page.splitlines() if line.startswith("llmgw_requests_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in counts)


async def test_there_are_as_many_rows_as_admitted_requests(database_url: str, start: StartGateway, rogue: StartRogue):
    dice = random.Random(7)
    servers = [await rogue(rate=400, seed=n) for n in range(9)] + [await rogue(rate=400, mix=FAILING)]
    live = await start(*servers, database_url=database_url)
    await live.chat()
    tasks, files = len(asyncio.all_tasks()), open_files()
    outcomes: list[str] = []

    async def one(number: int, wire: Wire) -> str:
        path = dice.choice(PATHS)
        body = {"stream": dice.random() < 0.5} if path == "/v1/chat/completions" else {}
        if dice.random() < 0.1:
            await wire.send(path, metadata={"correlation_id": f"n{number}"}, **body)
            await asyncio.sleep(dice.uniform(0, 0.06))
            wire.leave(reset=dice.random() < 0.5)
            return "left"
        answer = await wire.ask(path, metadata={"correlation_id": f"n{number}"}, **body)
        if answer.status_code != 200:
            return f"{answer.status_code} {answer.json()['error']['code']}"
        if "upstream_stream_lost" in answer.text:
            return "lost"
        streamed = answer.headers["content-type"].startswith("text/event-stream")
        if not streamed:
            assert answer.json()["choices"][0]["message"]["content"] == words()
        else:
            assert all(answer.text.count(f'" {word}"') == 1 for word in words().split())
            assert answer.text.endswith("data: [DONE]\n\n")
        return "ok"

    async def client(numbers: range) -> None:
        async with Wire(live) as wire:
            outcomes.extend([await one(number, wire) for number in numbers])

    await asyncio.gather(*(client(range(n, REQUESTS, AT_ONCE)) for n in range(AT_ONCE)))
    assert len(outcomes) == REQUESTS
    await wait_until(lambda: live.in_flight == 0 and not any(server.in_flight for server in servers), 1.0)
    assert set(outcomes) <= {"ok", "lost", "left"}
    assert outcomes.count("ok") > 800

    rows = await live.rows(REQUESTS + 1)
    assert len({row["id"] for row in rows}) == REQUESTS + 1
    assert {row["correlation_id"] for row in rows if row["correlation_id"]} <= {f"n{n}" for n in range(REQUESTS)}
    counted = {name: sum(row["outcome"] == name for row in rows) for name in ("ok", "error", "client_closed")}
    assert sum(counted.values()) == REQUESTS + 1
    assert counted["error"] == outcomes.count("lost")
    assert counted["ok"] >= outcomes.count("ok") + 1
    assert counted["client_closed"] <= outcomes.count("left")
    assert live.gateway.ledger.dropped == 0
    assert await counted_by_metrics(live) == REQUESTS + 1

    def nothing_is_left() -> bool:
        gc.collect()
        # connections that lie idle for the next request are no leak
        connections = live.gateway.drive.transport.stats()
        kept = connections.idle
        return (
            connections.open == kept
            and len(asyncio.all_tasks()) - kept <= tasks + 2
            and open_files() - 2 * kept <= files + 2
        )

    await wait_until(nothing_is_left, 5.0)


@pytest.mark.parametrize("kill", [False, True], ids=["idle", "killed"])
async def test_streams_whose_clients_all_leave_leave_nothing_behind(start: StartGateway, rogue: StartRogue, kill: bool):
    server = await rogue(mood="endless")
    live = await start(entry(server))
    tasks, files = len(asyncio.all_tasks()), open_files()
    for _ in range(4):
        wires = [Wire(live) for _ in range(50)]
        for wire in wires:
            await wire.send("/v1/chat/stream")
        await server.until(lambda s: s.in_flight == 50, within=10)
        for wire in wires:
            wire.leave(reset=kill)
        await server.until(lambda s: s.in_flight == 0, within=2)
    await live.rows(200, outcome="client_closed")
    await wait_until(lambda: len(asyncio.all_tasks()) <= tasks + 2 and open_files() <= files + 4, 5.0)
