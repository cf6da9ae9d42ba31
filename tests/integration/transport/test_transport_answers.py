"""Good answers in every framing, what a request looks like, and connections that are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from net import wait_until
from scripted import ANSWER, CHUNKED, Peer, Script, Server, ask, fault_of, get, read_all, soon

from llm_gateway.errors import FaultKind
from llm_gateway.upstream.answer import READ
from llm_gateway.upstream.transport import Stats, Transport

Start = Callable[[Script], Awaitable[Server]]
Client = Callable[..., Transport]

BODY = b'{"message":"hello"}\n'
FRAMINGS = {
    "chunked": CHUNKED + b"14\r\n" + BODY + b"\r\n0\r\n\r\n",
    "content-length": b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + BODY,
    "until the end": b"HTTP/1.1 200 OK\r\n\r\n" + BODY,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    "after an interim answer": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + BODY,
}


def answering(*pieces: bytes) -> Script:
    """Answers every request of a connection with the same bytes."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(*pieces)

    return script


def once(*pieces: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces)

    return script


@pytest.mark.parametrize("raw", FRAMINGS.values(), ids=FRAMINGS)
async def test_a_body_arrives_whole_at_once_and_byte_by_byte(start: Start, client: Client, raw: bytes) -> None:
    at_once, dripping = await start(once(raw)), await start(once(*(raw[i : i + 1] for i in range(len(raw)))))
    transport = client()
    assert await get(transport, at_once.origin) == BODY
    assert await get(transport, dripping.origin) == BODY


async def test_a_request_carries_the_fixed_headers_and_what_the_caller_passes(start: Start, client: Client) -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(ANSWER)

    server = await start(script)
    response = await client().send(
        server.origin, "POST", "/v1/chat/completions", [("Authorization", "Bearer k")], b'{"a":1}', deadline=soon()
    )
    assert (response.status, await read_all(response)) == (200, b"hi")
    assert seen[0].decode().split("\r\n") == [
        "POST /v1/chat/completions HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "User-Agent: llm-gateway",
        "Accept: application/json, application/x-ndjson, text/event-stream",
        "Accept-Encoding: identity",
        "Content-Type: application/json",
        "Content-Length: 7",
        "Authorization: Bearer k",
        "",
        '{"a":1}',
    ]


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("POST", "/", [("X-Key", "a\r\nX-Evil: 1")]),
        ("POST", "/", [("X-Key", "a\x00")]),
        ("POST", "/", [("X-Key", "kéy")]),
        ("POST", "/", [("X-Key\r\nX-Evil", "1")]),
        ("POST", "/", [("Host", "evil.example")]),
        ("POST", "/", [("transfer-encoding", "chunked")]),
        ("POST", "/ HTTP/1.1\r\nX-Evil: 1", []),
        ("POST", "http://evil.example/", []),
        ("DELETE", "/api/delete", []),
        ("GET / HTTP/1.1\r\n", "/", []),
    ],
)
async def test_nothing_can_be_smuggled_into_a_request(
    start: Start, client: Client, method: str, target: str, headers: list[tuple[str, str]]
) -> None:
    server, transport = await start(once(ANSWER)), client()
    with pytest.raises(ValueError):
        await transport.send(server.origin, method, target, headers, deadline=soon())
    assert server.connections == 0


async def test_a_long_request_arrives_whole(start: Start, client: Client) -> None:
    prompt = bytes(range(256)) * 8192
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append((await peer.request()).partition(b"\r\n\r\n")[2])
        await peer.send(ANSWER)

    server = await start(script)
    assert await get(client(), server.origin, prompt) == b"hi"
    assert seen == [prompt]


@pytest.mark.parametrize("status", [301, 302, 307, 308, 404, 500, 503])
async def test_every_status_is_returned_and_no_redirect_followed(start: Start, client: Client, status: int) -> None:
    canary = await start(once(ANSWER))
    head = f"HTTP/1.1 {status} X\r\nLocation: {canary.origin}/\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\nno"
    server = await start(once(head.encode()))
    response = await ask(client(), server.origin)
    assert (response.status, response.headers["retry-after"], await read_all(response)) == (status, "3", b"no")
    assert canary.connections == 0


async def test_an_answer_without_a_body_is_complete_at_once(start: Start, client: Client) -> None:
    server, transport = await start(answering(b"HTTP/1.1 204 No Content\r\n\r\n")), client()
    assert await get(transport, server.origin) == b""
    assert await get(transport, server.origin) == b""
    assert server.connections == 1


@pytest.mark.parametrize("framing", ["chunked", "content-length"])
async def test_a_connection_is_used_again_after_a_whole_answer(start: Start, client: Client, framing: str) -> None:
    server, transport = await start(answering(FRAMINGS[framing])), client()
    for _ in range(3):
        assert await get(transport, server.origin) == BODY
    assert (server.connections, transport.stats()) == (1, Stats(open=1, idle=1, in_flight=0))


async def test_a_whole_answer_need_not_be_read_to_keep_its_connection(start: Start, client: Client) -> None:
    server, transport = await start(answering(ANSWER)), client()
    for _ in range(2):
        response = await ask(transport, server.origin)
        await wait_until(lambda r=response: r.buffered == 2)
        await response.close()
    assert server.connections == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        ANSWER + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ],
    ids=["connection: close", "HTTP/1.0", "an answer too many"],
)
async def test_a_connection_is_not_used_again_when_it_may_not_be(start: Start, client: Client, raw: bytes) -> None:
    server, transport = await start(answering(raw)), client()
    assert await get(transport, server.origin) == b"hi"
    assert await get(transport, server.origin) == b"hi"
    assert server.connections == 2
    await wait_until(lambda: transport.stats().open == 0)


async def test_a_response_closed_in_the_middle_hangs_up_on_the_server(start: Start, client: Client) -> None:
    hung_up = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, b"2\r\nhi\r\n")
        await peer.gone()
        hung_up.set()

    transport = client()
    response = await ask(transport, (await start(script)).origin)
    assert await response.read(soon()) == b"hi"
    response.abort()
    response.abort()
    await asyncio.wait_for(hung_up.wait(), 5)
    await wait_until(lambda: transport.stats() == Stats(0, 0, 0))
    with pytest.raises(RuntimeError):
        await response.read(soon())


async def test_a_closed_response_never_sees_the_next_answer_on_its_connection(start: Start, client: Client) -> None:
    server, transport = await start(answering(ANSWER)), client()
    first = await ask(transport, server.origin)
    assert await read_all(first) == b"hi"
    second = await ask(transport, server.origin)
    first.abort()
    with pytest.raises(RuntimeError):
        await first.read(soon())
    assert (await read_all(second), server.connections) == (b"hi", 1)


async def test_idle_connections_are_few_and_do_not_live_long(start: Start, client: Client) -> None:
    everyone_asked = asyncio.Barrier(6)

    async def script(peer: Peer) -> None:
        await peer.request()
        await everyone_asked.wait()
        await peer.send(ANSWER)
        await peer.gone()

    server, transport = await start(script), client(idle=0.3, idle_per_origin=4)
    assert await asyncio.gather(*(get(transport, server.origin) for _ in range(6))) == [b"hi"] * 6
    assert transport.stats().idle == 4
    await wait_until(lambda: transport.stats() == Stats(0, 0, 0))


async def test_a_kept_connection_that_the_server_closed_is_not_used(start: Start, client: Client) -> None:
    server, transport = await start(once(ANSWER)), client()
    assert await get(transport, server.origin) == b"hi"
    await wait_until(lambda: transport.stats().open == 0)
    assert await get(transport, server.origin) == b"hi"


@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_a_kept_connection_that_dies_under_the_next_request_is_replaced_unseen(
    start: Start, client: Client, how: str
) -> None:
    seen: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.request()
        seen.append(peer.number)
        await peer.send(ANSWER)
        if peer.number == 0:
            await peer.request()  # takes it, and dies without a byte
            if how == "reset":
                peer.reset()
        else:
            await peer.gone()

    server, transport = await start(script), client()
    assert await get(transport, server.origin) == b"hi"
    assert await get(transport, server.origin) == b"hi"
    assert (seen, transport.stats().open) == ([0, 1], 1)


async def test_it_is_replaced_once_only(start: Start, client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number == 0:
            await peer.send(ANSWER)
            await peer.request()

    server, transport = await start(script), client()
    assert await get(transport, server.origin) == b"hi"
    assert await fault_of(get(transport, server.origin)) is FaultKind.RESET
    assert server.connections == 2


async def test_a_kept_connection_that_dies_within_the_head_is_not_retried(start: Start, client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(ANSWER)
        await peer.request()
        await peer.send(b"HTTP/1.1 200")

    server, transport = await start(script), client()
    assert await get(transport, server.origin) == b"hi"
    assert await fault_of(get(transport, server.origin)) is FaultKind.RESET
    assert server.connections == 1


async def test_bytes_that_nobody_asked_for_end_a_kept_connection(start: Start, client: Client) -> None:
    speak = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(ANSWER)
        if peer.number == 0:
            await speak.wait()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        await peer.gone()

    server, transport = await start(script), client()
    assert await get(transport, server.origin) == b"hi"
    speak.set()
    await wait_until(lambda: transport.stats().open == 0)
    assert await get(transport, server.origin) == b"hi"


async def test_a_server_that_talks_on_after_its_answer_is_hung_up_on(start: Start, client: Client) -> None:
    hung_up, answered = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(ANSWER)
        await answered.wait()
        with suppress(ConnectionError):
            while True:
                await peer.send(b"HTTP/1.1 200 OK\r\nEndless: " + b"x" * 65536)
        hung_up.set()

    response = await ask(client(), (await start(script)).origin)
    answered.set()
    await asyncio.wait_for(hung_up.wait(), 5)
    assert await read_all(response) == b"hi"


async def test_a_fast_server_waits_for_a_slow_reader(start: Start, client: Client) -> None:
    size, piece = 64 << 20, b"10000\r\n" + b"x" * 65536 + b"\r\n"
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(CHUNKED)
        for _ in range(size // 65536):
            await peer.send(piece)
            sent += 65536
        await peer.send(b"0\r\n\r\n")
        await peer.gone()

    server, transport = await start(script), client()
    response = await ask(transport, server.origin, max_body=size)
    await wait_until(lambda: response.buffered > 256 * 1024)
    before = -1
    while before != sent:  # until the server is stuck
        before = sent
        await asyncio.sleep(0.05)
    assert sent < size / 2
    got = 0
    while more := await response.read(soon()):
        got += len(more)
        assert max(len(more), response.buffered) <= 1 << 20
    await response.close()
    assert (got, transport.stats().idle) == (size, 1)


async def test_a_flood_is_read_in_portions_between_which_others_get_their_turn(start: Start, client: Client) -> None:
    response = await ask(client(), (await start(once(CHUNKED, b"%x\r\n" % (3 * READ), b"x" * 3 * READ))).origin)
    await wait_until(lambda: response.buffered == 3 * READ)
    turns: list[int] = []
    for portion in range(3):
        asyncio.get_running_loop().call_soon(turns.append, portion)
        assert await response.read(soon()) == b"x" * READ
    assert turns == [0, 1], "nothing was left behind by the third"
    await response.close()


async def test_a_cancellation_between_two_portions_hangs_up(start: Start, client: Client) -> None:
    transport = client()
    response = await ask(transport, (await start(once(CHUNKED, b"%x\r\n" % (3 * READ), b"x" * 3 * READ))).origin)
    await wait_until(lambda: response.buffered == 3 * READ)
    reading = asyncio.create_task(response.read(soon()))
    asyncio.get_running_loop().call_soon(reading.cancel)
    with suppress(asyncio.CancelledError):
        await reading
    assert reading.cancelled()
    await wait_until(lambda: transport.stats().open == 0)
    await response.close()


async def test_a_server_is_reached_by_name(start: Start, client: Client) -> None:
    server, transport = await start(answering(ANSWER)), client()
    by_name = type(server.origin)("http", "localhost", server.port)
    assert await get(transport, by_name) == b"hi"


async def test_proxies_of_the_environment_are_ignored(
    start: Start, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = await start(once(ANSWER)), await start(once(ANSWER))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, str(proxy.origin))
    assert await get(client(), server.origin) == b"hi"
    assert proxy.connections == 0


async def test_closing_the_transport_ends_what_is_in_flight(start: Start, client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        await peer.gone()

    server, transport = await start(script), client()
    response = await ask(transport, server.origin)
    reading = asyncio.create_task(fault_of(read_all(response)))
    await asyncio.sleep(0)
    await transport.aclose()
    assert await reading is FaultKind.CUT
    with pytest.raises(RuntimeError):
        await get(transport, server.origin)
