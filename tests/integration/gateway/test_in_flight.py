"""Operators see what every request in flight is doing, and can end it: its client is told, its server is free."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from llm_gateway.testing.rogue import Rogue
from support.gateway import BOTH_WAYS, HELLO, KEY, Live, StartGateway, Wire, entry
from support.net import wait_until
from support.rogues import StartRogue
from support.sse import told

pytestmark = BOTH_WAYS
CODE = "cancelled_by_operator"


async def in_flight(live: Live) -> list[dict[str, Any]]:
    answer = await live.http.get("/admin/api/live", headers=live.admin())
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["total"] == len(body["data"])
    assert body["workers"] == {"seen": 1, "of": 1}
    rows: list[dict[str, Any]] = body["data"]
    return rows


async def in_phase(live: Live, phase: str) -> dict[str, Any]:
    """The only request of this phase, once there is one."""
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        found[:] = [row for row in await in_flight(live) if row["phase"] == phase]
        return len(found) == 1

    await wait_until(there, 5.0, every=0.02)
    return found[0]


async def cancel(live: Live, request_id: str) -> httpx.Response:
    return await live.http.post(f"/admin/api/live/{request_id}/cancel", headers=live.admin())


async def cancelled(live: Live, row: dict[str, Any], *servers: Rogue) -> None:
    """Ends it; afterwards nothing of it is left but one row."""
    answer = await cancel(live, row["request_id"])
    assert answer.status_code == 200, answer.text
    assert answer.json()["request_id"] == row["request_id"]
    for server in servers:
        await server.until(lambda s: s.in_flight == 0 and s.open == 0, within=1.0)
    (project,) = live.gateway.snapshot.projects
    await wait_until(lambda: live.in_flight == 0 and live.gateway.limits.running(project) == 0, 1.0)
    assert await in_flight(live) == []
    logged = await live.row(request_id=row["request_id"])
    assert (logged["outcome"], logged["error_code"], logged["status"]) == ("error", CODE, 499)
    assert (await cancel(live, row["request_id"])).status_code == 404


def refused(answer: httpx.Response, row: dict[str, Any]) -> None:
    assert answer.status_code == 499
    error = answer.json()["error"]
    assert (error["code"], error["request_id"], error["retryable"]) == (CODE, row["request_id"], False)


async def test_while_its_body_is_read(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nX-API-Key: {KEY}\r\nContent-Length: 100\r\n\r\n"
    writer.write(head.encode() + b"{")
    row = await in_phase(live, "body")
    assert (row["model"], row["stream"], row["server"], row["attempts"]) == (None, None, None, 0)
    await cancelled(live, row)
    answer = await asyncio.wait_for(reader.readuntil(b"}}"), 2)
    assert answer.startswith(b"HTTP/1.1 499")
    assert CODE.encode() in answer
    writer.close()


async def test_while_it_waits_for_a_place(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="hang_after_request")
    live = await start(entry(server, max_concurrency=1))
    first = asyncio.create_task(live.chat())
    await in_phase(live, "first_token")
    second = asyncio.create_task(live.chat())
    row = await in_phase(live, "waiting")
    assert (row["model"], row["project"], row["attempts"]) == ("recite:latest", live.project, 0)
    assert (await cancel(live, row["request_id"])).status_code == 200
    refused(await second, row)
    assert live.gateway.drive.waiting == 0
    await cancelled(live, await in_phase(live, "first_token"), server)
    assert (await first).status_code == 499


async def test_while_it_connects(start: StartGateway, rogue: StartRogue):
    server = await rogue()
    live = await start(server)
    server.mood = "connect_hang"
    asking = asyncio.create_task(live.chat())
    row = await in_phase(live, "connecting")
    assert row["server"] == {"id": live.state(server).spec.id, "name": live.state(server).spec.name}
    await cancelled(live, row)
    refused(await asking, row)


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream", "/v1/messages", "/api/chat"])
async def test_while_its_server_says_nothing(start: StartGateway, rogue: StartRogue, path: str):
    server = await rogue(mood="hang_after_request")
    live = await start(server)
    asking = asyncio.create_task(live.chat(path, max_tokens=10))
    row = await in_phase(live, "first_token")
    assert (row["ttft_ms"], row["attempts"], row["backend_model"]) == (None, 1, "recite:latest")
    await cancelled(live, row, server)
    answer = await asking
    assert answer.status_code == 499
    assert "An operator of the gateway ended this request" in answer.text
    if path != "/api/chat" and path != "/v1/messages":
        refused(answer, row)


@pytest.mark.parametrize("path", ["/v1/chat/stream", "/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_in_the_middle_of_a_stream(start: StartGateway, rogue: StartRogue, path: str):
    server = await rogue(words=1000, rate=100)
    live = await start(server)
    body: dict[str, Any] = {"stream": True, "max_tokens": 2000}
    if path == "/v1/responses":
        body = {"stream": True, "input": "Hello", "messages": None}
    asking = asyncio.create_task(live.chat(path, **body))
    await wait_until(lambda: any(e.meter and e.meter.tokens > 5 for e in live.gateway.in_flight), 5.0)
    row = await in_phase(live, "streaming")
    assert row["stream"] is True
    assert row["tokens_output"] > 5
    assert row["ttft_ms"] > 0
    await cancelled(live, row, server)
    answer = await asking
    assert answer.status_code == 200
    assert CODE in answer.text or "An operator of the gateway ended this request" in answer.text
    if path == "/v1/chat/completions":
        assert told(answer).error["code"] == CODE
    logged = await live.row()
    assert 5 < logged["tokens_output"] < 1000


async def test_an_answer_that_is_gathered_streams_too(start: StartGateway, rogue: StartRogue):
    server = await rogue(words=1000, rate=100)
    live = await start(server)
    asking = asyncio.create_task(live.chat())
    row = await in_phase(live, "streaming")
    assert row["stream"] is False
    await cancelled(live, row, server)
    refused(await asking, row)


async def test_a_request_that_ended_is_not_found(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    answer = await live.chat()
    assert (await cancel(live, answer.headers["x-request-id"])).status_code == 404
    assert (await cancel(live, "x" * 5000)).json()["error"]["code"] == "not_found"
    assert live.gateway.in_flight == {}


async def test_the_connection_of_a_cancelled_request_serves_the_next(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="hang_after_request")
    live = await start(server)
    async with Wire(live) as wire:
        asking = asyncio.create_task(wire.ask())
        await cancelled(live, await in_phase(live, "first_token"), server)
        assert (await asking).status_code == 499
        server.mood = "good"
        live.forgive(server)
        assert (await wire.ask()).status_code == 200


async def test_nobody_but_the_administrator_sees_or_ends_any(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="hang_after_request")
    live = await start(server)
    asking = asyncio.create_task(live.chat())
    row = await in_phase(live, "first_token")
    assert (await live.http.get("/admin/api/live")).status_code == 401
    assert (await live.http.post(f"/admin/api/live/{row['request_id']}/cancel")).status_code == 401
    await cancelled(live, row, server)
    assert (await asking).status_code == 499
    assert json.dumps(HELLO) not in json.dumps(row)
