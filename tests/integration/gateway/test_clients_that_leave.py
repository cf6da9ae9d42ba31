"""A client that hangs up stops the work for it at once, wherever its request is, and leaves exactly one row."""

from __future__ import annotations

import asyncio
import json
import statistics
import time

import pytest

from support.gateway import BOTH_WAYS, HELLO, KEY, Live, StartGateway, entry, words
from support.net import wait_until
from support.rogues import StartRogue

pytestmark = BOTH_WAYS
PATHS = ["/v1/chat", "/v1/chat/stream", "/v1/chat/completions"]


def request(path: str, *, whole: bool = True, **fields: object) -> bytes:
    body = json.dumps({"model": "recite", "messages": HELLO, **fields}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\nX-API-Key: {KEY}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    return head + (body if whole else body[:-5])


class Visitor:
    """A raw client that reads as far as told and leaves as told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.read = b""

    @classmethod
    async def asks(cls, live: Live, request: bytes) -> Visitor:
        visitor = cls(*await asyncio.open_connection("127.0.0.1", live.port))
        visitor._writer.write(request)
        return visitor

    async def until(self, mark: bytes) -> None:
        async with asyncio.timeout(5):
            while mark not in self.read:
                data = await self._reader.read(4096)
                assert data, f"it ended: {self.read!r}"
                self.read += data

    def leave(self, *, reset: bool = False) -> None:
        if reset:
            self._writer.transport.abort()
        else:
            self._writer.close()


async def left(live: Live) -> None:
    """Neither a server nor the project is believed to be at work any more."""
    (project,) = live.gateway.snapshot.projects
    await wait_until(lambda: live.in_flight == 0 and live.gateway.limits.running(project) == 0, 1.0)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("path", PATHS)
async def test_f40_before_the_first_word(start: StartGateway, rogue: StartRogue, path: str, reset: bool):
    server = await rogue(mood="hang_after_request")
    live = await start(server)
    visitor = await Visitor.asks(live, request(path))
    await server.until(lambda s: s.in_flight == 1)
    visitor.leave(reset=reset)
    await server.until(lambda s: s.in_flight == 0 and s.aborted == 1, within=1.0)
    await left(live)
    row = await live.row()
    assert (row["outcome"], row["status"], row["error_code"]) == ("client_closed", 499, "client_closed")
    assert (row["attempts"], row["model"]) == (1, "recite:latest")


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("path", ["/v1/chat/stream", "/v1/chat/completions"])
async def test_f40_in_the_middle_of_a_stream(start: StartGateway, rogue: StartRogue, path: str, reset: bool):
    server = await rogue(words=1000, rate=100)
    live = await start(server)
    visitor = await Visitor.asks(live, request(path, stream=True))
    await visitor.until(b" w009")
    visitor.leave(reset=reset)
    await server.until(lambda s: s.in_flight == 0 and s.aborted == 1, within=1.0)
    await left(live)
    row = await live.row()
    assert (row["outcome"], row["status"]) == ("client_closed", 200)
    assert 10 <= row["tokens_output"] <= 100
    assert row["server_id"] == live.state(server).spec.id


async def test_f40_in_the_middle_of_an_answer_that_is_not_streamed(start: StartGateway, rogue: StartRogue):
    server = await rogue(words=1000, rate=100)
    live = await start(server)
    visitor = await Visitor.asks(live, request("/v1/chat"))
    await wait_until(lambda: live.state(server).models["recite:latest"].waits)  # the first word has come
    visitor.leave()
    await server.until(lambda s: s.in_flight == 0 and s.aborted == 1, within=1.0)
    await left(live)
    assert (await live.row())["outcome"] == "client_closed"


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_before_its_body_is_complete(start: StartGateway, rogue: StartRogue, reset: bool):
    server = await rogue()
    live = await start(server)
    visitor = await Visitor.asks(live, request("/v1/chat", whole=False))
    await wait_until(lambda: live.gateway.limits.running(next(iter(live.gateway.snapshot.projects))) == 1)
    visitor.leave(reset=reset)
    row = await live.row()
    assert (row["outcome"], row["status"], row["model"]) == ("client_closed", 499, None)
    assert server.chats == 0


async def test_while_two_servers_work_on_its_request(start: StartGateway, rogue: StartRogue):
    servers = [await rogue(mood="hang_after_request") for _ in range(2)]
    live = await start(*servers, timeouts={"first_token": 0.2})
    visitor = await Visitor.asks(live, request("/v1/chat/stream"))
    for server in servers:
        await server.until(lambda s: s.in_flight == 1)
    visitor.leave()
    for server in servers:
        await server.until(lambda s: s.in_flight == 0 and s.aborted == 1, within=1.0)
    await left(live)
    assert (await live.row())["attempts"] == 2


async def test_the_place_of_a_client_that_left_is_free_again(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="hang_after_request")
    live = await start(server, project={"max_concurrency": 1})
    visitor = await Visitor.asks(live, request("/v1/chat"))
    await server.until(lambda s: s.in_flight == 1)
    refused = await live.chat()
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "concurrency_limit_exceeded")
    visitor.leave()
    await server.until(lambda s: s.in_flight == 0)
    server.mood = "good"

    async def served() -> bool:
        return (await live.chat()).status_code == 200

    await wait_until(served, 1.0)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("path", PATHS)
async def test_f40_while_it_waits_for_a_place(start: StartGateway, rogue: StartRogue, path: str, reset: bool):
    server = await rogue(mood="hang_after_request")
    live = await start(entry(server, max_concurrency=1))
    first = await Visitor.asks(live, request(path))
    await server.until(lambda s: s.in_flight == 1)
    second = await Visitor.asks(live, request(path))
    (project,) = live.gateway.snapshot.projects
    await wait_until(lambda: live.gateway.limits.running(project) == 2)
    second.leave(reset=reset)
    await wait_until(lambda: live.gateway.limits.running(project) == 1, 1.0)
    row = await live.row()
    assert (row["outcome"], row["status"], row["attempts"]) == ("client_closed", 499, 0)
    first.leave()
    await left(live)
    assert server.chats == 1


async def test_f40_its_server_hears_of_it_within_fifty_milliseconds(start: StartGateway, rogue: StartRogue):
    server = await rogue(words=1000, rate=100)
    live = await start(server)
    took = []
    for path in (*PATHS, *PATHS, *PATHS):
        visitor = await Visitor.asks(live, request(path))
        await server.until(lambda s: s.in_flight == 1)
        aborted, began = server.aborted, time.perf_counter()
        visitor.leave()
        await server.until(lambda s, before=aborted: s.aborted > before, within=1.0)
        took.append(time.perf_counter() - began)
    assert statistics.median(took) <= 0.05, took


async def test_the_place_at_a_server_of_a_client_that_left_goes_to_one_that_waits(
    start: StartGateway, rogue: StartRogue
):
    server = await rogue(mood="hang_after_request")
    live = await start(entry(server, max_concurrency=1))
    visitor = await Visitor.asks(live, request("/v1/chat"))
    await server.until(lambda s: s.in_flight == 1)
    server.mood = "good"
    waiting = asyncio.create_task(live.chat())
    (project,) = live.gateway.snapshot.projects
    await wait_until(lambda: live.gateway.limits.running(project) == 2)
    assert server.chats == 1
    visitor.leave()
    answer = await waiting
    assert answer.json()["choices"][0]["message"]["content"] == words()


async def test_while_a_second_server_is_asked_for_an_answer_of_the_right_form(start: StartGateway, rogue: StartRogue):
    proper = {"type": "object"}
    servers = [await rogue(script=lambda _: ["no", " JSON"]) for _ in range(2)]
    live = await start(*servers)
    live.prefer(servers[0])
    servers[1].mood = "hang_after_request"
    visitor = await Visitor.asks(live, request("/api/chat", stream=False, format=proper))
    await servers[1].until(lambda s: s.in_flight == 1)
    visitor.leave()
    await servers[1].until(lambda s: s.in_flight == 0 and s.aborted == 1, within=1.0)
    await left(live)
    row = await live.row()
    assert (row["outcome"], row["status"], row["attempts"]) == ("client_closed", 499, 2)


async def test_while_a_server_is_asked_again_without_the_wish_to_think(start: StartGateway, rogue: StartRogue):
    server = await rogue(capabilities=("completion",), quirks=("silent_tags", "silent_show"), load=30.0)
    live = await start(server)
    visitor = await Visitor.asks(live, request("/api/chat", think=True))
    await server.until(lambda s: s.chats == 2 and s.in_flight == 1)
    visitor.leave()
    await server.until(lambda s: s.in_flight == 0 and s.aborted == 1, within=1.0)
    await left(live)
    row = await live.row()
    assert (row["outcome"], row["status"], row["attempts"]) == ("client_closed", 499, 1)


async def test_while_it_asks_what_a_model_is(
    start: StartGateway, rogue: StartRogue, capsys: pytest.CaptureFixture[str]
):
    """No request of the log, and nothing that anybody has to look into."""
    live = await start(await rogue())
    visitor = await Visitor.asks(live, request("/api/show", whole=False))
    await asyncio.sleep(0.05)
    visitor.leave()
    assert (await live.http.post("/api/show", json={"model": "recite"})).status_code == 200
    await asyncio.sleep(0.05)
    assert "request_failed" not in "".join(capsys.readouterr())
