"""A body that is poured: handed on the moment it comes, until there is something to look at."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from net import wait_until
from scripted import CHUNKED, Peer, Script, Server, ask, fault_of, soon

from llm_gateway.errors import FaultKind
from llm_gateway.upstream.answer import READ
from llm_gateway.upstream.transport import Stats, Transport

Start = Callable[[Script], Awaitable[Server]]
Client = Callable[..., Transport]
Patience = Callable[[], tuple[float, FaultKind]]


def patience(seconds: float = 10.0) -> Patience:
    until = soon(seconds)
    return lambda: (until, FaultKind.STALLED)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def saying(*words: bytes, then: Callable[[Peer], Awaitable[object]], pause: float = 0.02) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for word in words:
            await asyncio.sleep(pause)
            await peer.send(chunk(word))
        await then(peer)

    return script


async def ends(peer: Peer) -> None:
    await asyncio.sleep(0.05)  # what comes together with the end is left to be read with it
    await peer.send(b"0\r\n\r\n")
    await peer.gone()


async def test_chunks_are_handed_on_as_they_come_and_the_end_is_left_to_read(start: Start, client: Client) -> None:
    server = await start(saying(b"one", b"two", b"three", then=ends))
    response, got = await ask(client(), server.origin), list[bytes]()
    await response.pour(lambda data: got.append(data) is None, patience())
    assert b"".join(got) == b"onetwothree"
    assert await response.read(soon()) == b""
    await response.close()


async def test_it_ends_when_no_more_is_wanted_and_nothing_is_lost(start: Start, client: Client) -> None:
    server = await start(saying(b"one", b"two", b"three", then=ends))
    response, got = await ask(client(), server.origin), b""

    def only_once(data: bytes) -> bool:
        nonlocal got
        got += data
        return False

    await response.pour(only_once, patience())
    assert got == b"one"
    while data := await response.read(soon()):
        got += data
    assert got == b"onetwothree"
    await response.close()


async def test_more_than_is_read_at_a_time_is_left_to_read(start: Start, client: Client) -> None:
    whole = bytes(4 * READ)
    server = await start(saying(whole, then=ends))
    response, got = await ask(client(), server.origin), list[bytes]()
    while True:
        await response.pour(lambda data: got.append(data) is None, patience())
        if not (data := await response.read(soon())):
            break
        got.append(data)
    assert b"".join(got) == whole
    assert max(map(len, got)) <= READ
    await response.close()


async def test_silence_is_a_fault_of_the_next_read(start: Start, client: Client) -> None:
    server, transport = await start(saying(b"one", then=Peer.hold)), client()
    response = await ask(transport, server.origin)
    await response.pour(lambda _: True, patience(0.2))
    assert await fault_of(response.read(soon())) is FaultKind.STALLED
    await response.close()
    await wait_until(lambda: transport.stats() == Stats(0, 0, 0))


async def test_whoever_is_heard_has_more_time(start: Start, client: Client) -> None:
    server = await start(saying(*[b"word"] * 12, then=ends, pause=0.05))
    response, heard = await ask(client(), server.origin), soon(0)

    def hear(_: bytes) -> bool:
        nonlocal heard
        heard = soon(0)
        return True

    await response.pour(hear, lambda: (heard + 0.3, FaultKind.STALLED))
    assert await response.read(soon()) == b""
    await response.close()


async def test_a_body_that_is_cut_is_a_fault_of_the_next_read(start: Start, client: Client) -> None:
    server = await start(saying(b"one", then=lambda peer: asyncio.sleep(0)))
    response = await ask(client(), server.origin)
    await response.pour(lambda _: True, patience())
    assert await fault_of(response.read(soon())) is FaultKind.CUT
    await response.close()


async def test_what_goes_wrong_on_the_way_is_told_to_who_waits(start: Start, client: Client) -> None:
    def fails(_: bytes) -> bool:
        raise ValueError("a bug")

    response = await ask(client(), (await start(saying(b"one", then=ends))).origin)
    with pytest.raises(ValueError, match="a bug"):
        await response.pour(fails, patience())
    await response.close()


async def test_who_is_cancelled_closes_the_connection(start: Start, client: Client) -> None:
    server, transport = await start(saying(b"one", then=Peer.gone)), client()
    response, got = await ask(transport, server.origin), list[bytes]()
    pouring = asyncio.ensure_future(response.pour(lambda data: got.append(data) is None, patience()))
    await wait_until(lambda: got == [b"one"])
    pouring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pouring
    await response.close()
    await wait_until(lambda: transport.stats() == Stats(0, 0, 0))
