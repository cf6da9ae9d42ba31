"""What servers do wrong once a connection stands: each is its own fault, in time, and nothing is left behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from net import wait_until
from scripted import ANSWER, CHUNKED, Peer, Script, Server, ask, collect, fault_of, get, make_transport, read_all, soon

from llm_gateway.errors import FaultKind
from llm_gateway.upstream.transport import Limits, Stats, Transport

Start = Callable[[Script], Awaitable[Server]]
Client = Callable[..., Transport]


def saying(*pieces: bytes, then: str = "close") -> Script:
    """Takes the request, sends the pieces and closes, resets or holds the connection."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces)
        if then == "reset":
            peer.reset()
        elif then == "hold":
            await peer.gone()

    return script


# --- Ends in the wrong place --------------------------------------------------------------------------------------


async def test_a_connection_closed_on_arrival_is_reset(start: Start, client: Client) -> None:
    async def script(peer: Peer) -> None:
        pass

    assert await fault_of(get(client(), (await start(script)).origin)) is FaultKind.RESET


async def test_a_connection_reset_on_arrival_is_reset(start: Start, client: Client) -> None:
    async def script(peer: Peer) -> None:
        peer.reset()

    assert await fault_of(get(client(), (await start(script)).origin)) is FaultKind.RESET


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 20", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_an_end_before_the_head_is_a_reset(start: Start, client: Client, sent: bytes, then: str) -> None:
    server = await start(saying(sent, then=then))
    assert await fault_of(ask(client(), server.origin)) is FaultKind.RESET


HEADS = {
    "content-length": b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n",
    "chunked": CHUNKED,
    "until the end": b"HTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
async def test_a_reset_between_head_and_body_is_a_reset(start: Start, client: Client, head: bytes) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(head)
        await go_on.wait()
        peer.reset()

    response = await ask(client(), (await start(script)).origin)
    go_on.set()
    assert await fault_of(read_all(response)) is FaultKind.RESET


CUTS = {
    "content-length, closed": (HEADS["content-length"] + b"half", b"half", "close"),
    "chunked, closed within a chunk": (CHUNKED + b"10\r\nhalf", b"half", "close"),
    "chunked, closed between chunks": (CHUNKED + b"4\r\nhalf\r\n", b"half", "close"),
    "chunked, closed in the last chunk": (CHUNKED + b"4\r\nhalf\r\n0\r\n", b"half", "close"),
    "chunked, closed before the body": (CHUNKED, b"", "close"),
}


@pytest.mark.parametrize(("raw", "got", "then"), CUTS.values(), ids=CUTS)
async def test_a_body_that_ends_early_is_cut_after_what_came(
    start: Start, client: Client, raw: bytes, got: bytes, then: str
) -> None:
    response = await ask(client(), (await start(saying(raw, then=then))).origin)
    body = bytearray()
    assert await fault_of(collect(response, body)) is FaultKind.CUT
    assert body == got


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
async def test_a_reset_within_the_body_is_a_cut(start: Start, client: Client, head: bytes) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(head + b"5\r\nsome \r\n")
        await go_on.wait()
        peer.reset()

    response = await ask(client(), (await start(script)).origin)
    assert await response.read(soon())
    go_on.set()
    assert await fault_of(read_all(response)) is FaultKind.CUT


# --- Not an answer ------------------------------------------------------------------------------------------------

NONSENSE = {
    "ssh banner": (b"SSH-2.0-OpenSSH_9.9\r\n", FaultKind.BAD_HTTP),
    "tls alert": (b"\x15\x03\x01\x00\x02\x02\x16", FaultKind.BAD_HTTP),
    "bad status line": (b"HTTP/1.1 2OO OK\r\n\r\n", FaultKind.BAD_HTTP),
    "endless 100": (b"HTTP/1.1 100 Continue\r\n\r\n" * 3, FaultKind.BAD_HTTP),
    "switching protocols": (b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nx", FaultKind.BAD_HTTP),
    "both framings": (CHUNKED[:-2] + b"Content-Length: 2\r\n\r\nhi", FaultKind.BAD_HTTP),
    "header flood": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000, FaultKind.TOO_LARGE),
    "big header": (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000, FaultKind.TOO_LARGE),
    "gzip": (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b", FaultKind.ENCODED),
    "brotli": (CHUNKED[:-2] + b"content-encoding: BR\r\n\r\n1\r\nx\r\n", FaultKind.ENCODED),
    "announced too large": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", FaultKind.TOO_LARGE),
}


@pytest.mark.parametrize(("raw", "kind"), NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_instead_of_a_head_is_a_fault_and_hangs_up(
    start: Start, client: Client, raw: bytes, kind: FaultKind
) -> None:
    server, transport = await start(saying(raw, then="hold")), client()
    assert await fault_of(ask(transport, server.origin)) is kind
    await wait_until(lambda: transport.stats() == Stats(0, 0, 0))


async def test_a_banner_that_comes_unasked_is_bad_http(start: Start, client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"220 mail.example ESMTP\r\n")
        await peer.gone()

    assert await fault_of(ask(client(), (await start(script)).origin)) is FaultKind.BAD_HTTP


async def test_broken_chunking_is_bad_http_after_what_came(start: Start, client: Client) -> None:
    response = await ask(client(), (await start(saying(CHUNKED + b"2\r\nhi\r\nnonsense\r\n", then="hold"))).origin)
    assert await response.read(soon()) == b"hi"
    assert await fault_of(read_all(response)) is FaultKind.BAD_HTTP


@pytest.mark.parametrize("head", [CHUNKED, b"HTTP/1.1 200 OK\r\n\r\n"], ids=["chunked", "until the end"])
async def test_an_endless_body_is_too_large_in_the_end(start: Start, client: Client, head: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(head)
        while True:
            await peer.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    transport = client(body_bytes=300_000)
    assert await fault_of(get(transport, (await start(script)).origin)) is FaultKind.TOO_LARGE
    await wait_until(lambda: transport.stats() == Stats(0, 0, 0))


async def test_the_cap_can_be_set_for_one_request(start: Start, client: Client) -> None:
    transport, server = client(), await start(saying(ANSWER))
    assert await fault_of(get(transport, server.origin, max_body=1)) is FaultKind.TOO_LARGE
    assert await get(transport, server.origin, max_body=2) == b"hi"


# --- Too late -----------------------------------------------------------------------------------------------------


async def test_silence_lasts_until_the_callers_deadline(start: Start, client: Client) -> None:
    server, transport = await start(saying(then="hold")), client()
    began = time.monotonic()
    assert await fault_of(ask(transport, server.origin, within=0.3)) is FaultKind.FIRST_TOKEN_TIMEOUT
    assert time.monotonic() - began >= 0.3
    await wait_until(lambda: transport.stats() == Stats(0, 0, 0))


async def test_a_deadline_that_is_over_fails_at_once(start: Start, client: Client) -> None:
    server = await start(saying(then="hold"))
    assert await fault_of(ask(client(), server.origin, within=-1)) is FaultKind.FIRST_TOKEN_TIMEOUT


async def test_a_head_that_drips_is_given_up(start: Start, client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await peer.send(b"X: y\r\n")
            await asyncio.sleep(0.05)

    assert await fault_of(ask(client(head=0.3), (await start(script)).origin)) is FaultKind.HEAD_TIMEOUT


async def test_the_heads_clock_starts_with_its_first_byte_and_not_with_an_interim_answer(
    start: Start, client: Client
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await asyncio.sleep(0.4)
        await peer.send(ANSWER)

    assert await get(client(head=0.1), (await start(script)).origin) == b"hi"


@pytest.mark.parametrize("kind", [FaultKind.STALLED, FaultKind.TOTAL_TIMEOUT])
async def test_a_stalled_body_is_the_fault_that_the_reader_named(start: Start, client: Client, kind: FaultKind) -> None:
    server, transport = await start(saying(CHUNKED + b"2\r\nhi\r\n", then="hold")), client()
    response = await ask(transport, server.origin)
    assert await response.read(soon()) == b"hi"
    assert await fault_of(response.read(soon(0.1), kind)) is kind
    assert await fault_of(response.read(soon(0.1))) is kind
    await response.close()
    await wait_until(lambda: transport.stats() == Stats(0, 0, 0))


async def test_framing_without_a_byte_of_the_body_is_silence(start: Start, client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"5;")
        while True:
            await peer.send(b"x")
            await asyncio.sleep(0.02)

    response = await ask(client(), (await start(script)).origin)
    assert await fault_of(response.read(soon(0.3))) is FaultKind.STALLED
    await response.close()


async def test_a_later_deadline_takes_the_place_of_an_earlier_one(start: Start, client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for _ in range(8):
            await asyncio.sleep(0.05)
            await peer.send(b"1\r\nx\r\n")
        await peer.send(b"0\r\n\r\n")

    response = await ask(client(), (await start(script)).origin, within=0.2)
    body = b""
    while piece := await response.read(soon(2)):
        body += piece
    await response.close()
    assert body == b"x" * 8


async def test_a_server_that_reads_nothing_is_given_up(start: Start, client: Client) -> None:
    server, transport = await start(Peer.hold), client(write=0.4)
    assert await fault_of(ask(transport, server.origin, b"x" * 30_000_000)) is FaultKind.WRITE_TIMEOUT
    await wait_until(lambda: transport.stats() == Stats(0, 0, 0))


async def test_a_server_that_reads_slowly_is_waited_for(start: Start, client: Client) -> None:
    async def script(peer: Peer) -> None:
        for _ in range(10):
            await asyncio.sleep(0.1)
            await peer._reader.readexactly(1_500_000)
        await peer.send(ANSWER)
        await peer.gone()

    assert await get(client(write=0.4), (await start(script)).origin, b"x" * 15_000_000) == b"hi"


async def test_an_answer_before_the_whole_request_was_taken_is_an_answer(start: Start, client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await peer.hold()

    async def answer_late(peer: Peer) -> None:
        await peer._reader.readuntil(b"\r\n\r\n")
        await script(peer)

    transport = client()
    response = await ask(transport, (await start(answer_late)).origin, b"x" * 30_000_000)
    assert (response.status, await read_all(response)) == (413, b"no")
    await wait_until(lambda: transport.stats() == Stats(0, 0, 0))  # never kept: half a request is still on it


async def test_a_response_that_nobody_reads_for_a_while_keeps_nothing_busy(start: Start) -> None:
    looks = 0

    def counting() -> float:
        nonlocal looks
        looks += 1
        return time.monotonic()

    async def script(peer: Peer) -> None:
        await peer._reader.readuntil(b"\r\n\r\n")
        await peer.send(CHUNKED)
        await peer.hold()

    transport = make_transport(Limits(write=0.04, head=0.01), now=counting)
    response = await ask(transport, (await start(script)).origin, b"x" * 30_000_000)
    await asyncio.sleep(0.2)
    assert looks < 20
    await response.close()
    await transport.aclose()


# --- Anything -----------------------------------------------------------------------------------------------------

_MORSELS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b"HTTP/1.1 200 OK\r\n", b"\r\n", CHUNKED, ANSWER, b"2\r\nhi\r\n", b"0\r\n\r\n", b"HTTP/1.0 ", b"A: b"]
    ),
)


@given(pieces=st.lists(_MORSELS, max_size=8), closes=st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
async def test_whatever_a_server_sends_only_an_answer_or_a_fault_comes_out_in_time(
    pieces: list[bytes], closes: bool
) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(saying(*pieces, then="close" if closes else "hold")))
        transport = make_transport(Limits())
        began = time.monotonic()

        async def exchange() -> None:
            await read_all(await ask(transport, server.origin, within=0.03), within=0.03)

        assert await fault_of(exchange()) is not FaultKind.STALE
        assert time.monotonic() - began < 3
        await transport.aclose()
        assert transport.stats() == Stats(0, 0, 0)
