"""Clients that hold on to what they have been given: connections without a request, bodies without an end, answers
that they do not read. None of them needs a key.

The product's patience is half a minute; here it is a fraction of a second.
"""

from __future__ import annotations

import asyncio
import gc
import json
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from llm_gateway.web import bodies, protocol, pulse
from support.gateway import HELLO, KEY, WITH_AND_WITHOUT_ASGI, Live, StartGateway
from support.net import Exchange, exchange, wait_until
from support.rogues import StartRogue

GIANT = "z" * (6 * 2**20)
"""More than the buffers of a connection hold together."""
CREATE = "POST /admin/api/projects HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "PATIENCE", 0.4)


@pytest.fixture
async def live(start: StartGateway, rogue: StartRogue) -> Live:
    return await start(await rogue())


async def closed(reader: asyncio.StreamReader) -> None:
    """Until the gateway has ended the connection, in peace or not."""
    async with asyncio.timeout(3):
        with suppress(ConnectionError):
            while await reader.read(1000):
                pass


# -- what is not sent ----------------------------------------------------------------------------------------


@WITH_AND_WITHOUT_ASGI
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\r\n",
        b"GET /livez HT",
        f"{CREATE}Content-Length: 100\r\n\r\n{{".encode(),
        b"POST /v1/chat HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000000\r\n\r\n",
    ],
    ids=["nothing", "an empty line", "half a head", "a cold body", "the body of a refused request"],
)
async def test_what_does_not_come_is_not_waited_for(live: Live, monkeypatch: pytest.MonkeyPatch, sent: bytes):
    monkeypatch.setattr(bodies, "SECONDS", 0.3)
    got = await exchange(live.port, sent)
    assert got.end in ("closed", "reset")


@WITH_AND_WITHOUT_ASGI
@pytest.mark.parametrize("rest", [b"x", b"x" * 999], ids=["a byte", "all of it"])
async def test_what_a_refused_client_still_sends_keeps_no_connection_open(live: Live, rest: bytes):
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    writer.write(b"POST /v1/chat HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\n")
    assert b" 401 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(rest)
    await closed(reader)
    writer.close()


async def test_half_a_second_head_is_not_waited_for(live: Live):
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readuntil(b"}")
    writer.write(b"GET /liv")
    await closed(reader)
    writer.close()


@WITH_AND_WITHOUT_ASGI
async def test_half_a_head_behind_a_request_does_not_end_its_answer(start: StartGateway, rogue: StartRogue):
    """Some clients send an empty line behind a body."""
    live = await start(await rogue(rate=10))
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    body = json.dumps({"model": "recite", "messages": HELLO}).encode()
    head = f"POST /v1/chat/stream HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await reader.readuntil(b"w000")
    writer.write(b"\r\n")
    await reader.readuntil(b"data: [DONE]\n\n")
    await closed(reader)
    writer.close()


@WITH_AND_WITHOUT_ASGI
async def test_a_refused_client_that_sends_its_body_may_ask_again(live: Live):
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    for _ in range(3):
        writer.write(b"POST /v1/chat HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 401 " in head
        writer.write(b"{}")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
    writer.close()


async def test_a_request_that_takes_longer_than_any_of_these_is_left_alone(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(rate=10))
    assert (await live.stream()).done


# -- bodies that nobody has asked for ------------------------------------------------------------------------


async def create(live: Live, body: bytes, *headers: str) -> Exchange:
    head = "".join(f"{header}\r\n" for header in headers)
    return await exchange(live.port, f"{CREATE}{head}\r\n".encode() + body, enough=lambda data: data.endswith(b"}}"))


def is_error(got: Exchange, status: int, code: str) -> None:
    assert got.status == status, got.data
    error = json.loads(got.body)["error"]
    assert error["code"] == code
    assert f"x-request-id: {error['request_id']}".encode() in got.head


async def test_a_stranger_cannot_fill_the_memory_with_a_body(live: Live):
    is_error(await create(live, b" " * (3 * 2**20), f"Content-Length: {2**30}"), 413, "body_too_large")
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    is_error(await create(live, chunk * 3, "Transfer-Encoding: chunked"), 413, "body_too_large")


async def test_a_stranger_cannot_be_waited_for(live: Live, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bodies, "SECONDS", 0.2)
    is_error(await create(live, b"{", "Content-Length: 100"), 408, "request_timeout")


async def test_an_administrator_may_send_much(live: Live):
    names = [f"model-{'x' * 180}-{n:04d}" for n in range(1000)]
    body = {"name": "large", "allowed_models": names}
    made = await live.http.post("/admin/api/projects", json=body, headers=live.admin())
    assert made.status_code == 201, made.text


async def test_an_answer_that_streams_outlives_the_time_for_bodies(live: Live, monkeypatch: pytest.MonkeyPatch):
    """Starlette asks for more of the request while it streams, to notice a client that leaves."""
    monkeypatch.setattr(bodies, "SECONDS", 0.0)
    await live.chat()
    await live.row()
    answer = await live.http.get("/admin/api/requests/export", headers=live.admin())
    assert (answer.status_code, len(answer.text.splitlines())) == (200, 1)


# -- answers that are not read -------------------------------------------------------------------------------


@contextmanager
def deaf_client(live: Live, path: str, **headers: str) -> Iterator[socket.socket]:
    """Asks, and does not read."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", live.port))
        method, body = "GET", b""
        if path.startswith("/v1/chat"):
            method, body = "POST", json.dumps({"model": "recite", "messages": HELLO}).encode()
        lines = {"Host": "localhost", "X-API-Key": KEY, "Content-Length": str(len(body)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        client.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        client.setblocking(False)
        yield client


async def cut(client: socket.socket) -> None:
    """Until the gateway has reset the connection, whatever is still to be read from it."""
    poll = select.poll()
    poll.register(client, 0)  # POLLERR and POLLHUP are told unasked
    await wait_until(lambda: poll.poll(0), 10)


async def gone(live: Live, client: socket.socket) -> None:
    """The client's connection, its place in the project and at the server."""
    (project,) = live.gateway.snapshot.projects
    await cut(client)
    await wait_until(lambda: live.gateway.limits.running(project) == 0 and live.in_flight == 0, 1)


@WITH_AND_WITHOUT_ASGI
@pytest.mark.parametrize(
    ("path", "outcome"),
    [("/v1/chat/stream", ("ok", None)), ("/v1/chat", ("ok", None))],
)
async def test_an_answer_whose_last_bytes_nobody_takes_gives_its_place_back(
    start: StartGateway, rogue: StartRogue, path: str, outcome: tuple[str, str | None]
):
    server = await rogue(script=lambda _: [GIANT], rate=10)
    live = await start(server)
    with deaf_client(live, path) as client:
        await server.until(lambda s: s.answered == 1)
        await gone(live, client)
        row = await live.row()
    assert (row["outcome"], row["error_code"]) == outcome  # the answer was complete


@WITH_AND_WITHOUT_ASGI
async def test_a_client_that_stops_reading_in_the_middle_was_too_slow(start: StartGateway, rogue: StartRogue):
    server = await rogue(script=lambda _: [GIANT, *["more"] * 1000], rate=10)
    live = await start(server, max_tokens=1_000_000, root_path="/llm")
    with deaf_client(live, "/v1/chat/stream") as client:
        await server.until(lambda s: s.aborted == 1)
        await gone(live, client)
        row = await live.row()
    assert (row["outcome"], row["status"], row["error_code"]) == ("client_closed", 200, "client_too_slow")


@pytest.mark.parametrize("start", ["plain"], indirect=True)
async def test_without_our_protocol_the_request_of_such_a_client_ends_too(
    start: StartGateway, rogue: StartRogue, monkeypatch: pytest.MonkeyPatch
):
    """As under a plain `uvicorn llm_gateway.main:app`; what is left there is its connection."""
    for name, seconds in (("LOOK", 0.05), ("STUCK", 0.4)):
        monkeypatch.setattr(pulse, name, seconds)
    server = await rogue(script=lambda _: [GIANT], rate=10)
    live = await start(server)
    (project,) = live.gateway.snapshot.projects
    with deaf_client(live, "/v1/chat/stream"):
        await server.until(lambda s: s.answered == 1)
        await wait_until(lambda: live.gateway.limits.running(project) == 0, 5)
        row = await live.row()
    assert row["outcome"] == "ok"


async def test_a_cold_answer_that_nobody_takes_is_cut(live: Live):
    page = "/docs/assets/swagger-ui-bundle.js"
    with deaf_client(live, page) as client:
        client.send(f"GET {page} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * 6)  # more than the buffers hold together
        await cut(client)


@WITH_AND_WITHOUT_ASGI
async def test_what_is_left_of_an_answer_is_not_kept_for_ever(start: StartGateway, rogue: StartRogue):
    """uvicorn closes the connection as soon as it has written all, and closing waits for the client."""
    live = await start(await rogue(script=lambda _: [GIANT]))
    with deaf_client(live, "/v1/chat", Connection="close") as client:
        await live.row()
        taken = 0
        while taken < 2**20:  # reads a little, then no more
            try:
                taken += len(client.recv(65536))
            except BlockingIOError:
                await asyncio.sleep(0.001)
        await cut(client)


async def test_a_client_that_reads_slowly_is_not_cut(start: StartGateway, rogue: StartRogue):
    """The kernel takes megabytes from us at a time, so there is no sign of its reading for long."""
    live = await start(await rogue(script=lambda _: [GIANT]))
    with deaf_client(live, "/v1/chat", Connection="close") as client:
        await live.row()
        began, got = time.monotonic(), 0
        while time.monotonic() - began < 5 * protocol.PATIENCE:
            with suppress(BlockingIOError):
                got += len(client.recv(65536))
            await asyncio.sleep(0.02)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        while True:
            try:
                data = client.recv(2**20)
            except BlockingIOError:
                await asyncio.sleep(0.001)
                continue
            if not data:
                break
            got += len(data)
    assert got > len(GIANT)


# -- the end of an answer ------------------------------------------------------------------------------------


@WITH_AND_WITHOUT_ASGI
async def test_a_keep_alive_that_is_due_as_the_stream_ends_is_not_sent(
    start: StartGateway, rogue: StartRogue, monkeypatch: pytest.MonkeyPatch
):
    """The look that finds the stream silent may fall into the very turn in which its last bytes come."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    live = await start(await rogue(rate=20, words=5))
    monkeypatch.setattr(pulse, "SILENCE", -1.0)  # every stream is silent, always
    looks = asyncio.get_running_loop().create_task(looking(live))
    for _ in range(5):
        assert (await live.stream()).done
    looks.cancel()
    gc.collect()
    assert not complaints


async def looking(live: Live) -> None:
    while True:
        live.app.edge.pulse.look(live.gateway.clock.now())
        await asyncio.sleep(0)


@WITH_AND_WITHOUT_ASGI
@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream"])
async def test_the_connection_of_a_finished_answer_serves_the_next_request(
    start: StartGateway, rogue: StartRogue, path: str
):
    """uvicorn tells of a disconnect as soon as an answer is complete: that is no client that left."""
    server = await rogue()
    live = await start(server)
    before = server.connections
    for _ in range(10):
        assert (await live.chat(path)).status_code == 200
    assert server.connections <= before + 1


# -- how many ------------------------------------------------------------------------------------------------


async def opened(live: Live, count: int) -> list[bool]:
    """Whether each of so many connections at a time is answered."""
    lines = [await asyncio.open_connection("127.0.0.1", live.port) for _ in range(count)]
    answered = []
    for reader, writer in lines:
        try:
            writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            answered.append(b" 200 " in await reader.read(100))
        except ConnectionError:
            answered.append(False)
    for _, writer in lines:
        writer.close()
    return answered


async def test_one_address_has_so_many_connections_and_a_proxy_as_many_as_it_likes(
    start: StartGateway, rogue: StartRogue, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(protocol, "PER_ADDRESS", 3)
    monkeypatch.setattr(protocol, "PATIENCE", 30.0)
    stranger = await start(wait_for_fleet=False)
    assert (await opened(stranger, 5)).count(True) == 3
    behind = await start(wait_for_fleet=False, trusted_proxies=["127.0.0.0/8"])
    assert (await opened(behind, 5)).count(True) == 5
