"""A gateway that hedges cancels all day: wherever it happens, nothing is left, and the next request works."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from net import hanging_port, wait_until
from scripted import (
    ANSWER,
    CHUNKED,
    Peer,
    Script,
    Server,
    ask,
    fault_of,
    get,
    make_transport,
    open_files,
    read_all,
    soon,
)

from llm_gateway.errors import Fault
from llm_gateway.upstream.guard import Origin
from llm_gateway.upstream.transport import Limits, Stats, Transport

Start = Callable[[Script], Awaitable[Server]]
Client = Callable[..., Transport]


async def unpredictable(peer: Peer) -> None:
    """Answers well, slowly, in pieces, half, or not at all."""
    dice = random.Random(peer.number)
    while True:
        await peer.request()
        mood = dice.randrange(6)
        if mood == 0:
            await peer.gone()
        elif mood == 1:
            return
        elif mood == 2:
            await peer.send(CHUNKED)
            while True:
                await peer.send(b"5\r\nhello\r\n")
                await asyncio.sleep(0.001)
        elif mood == 3:
            await asyncio.sleep(dice.random() / 100)
        await peer.send(ANSWER[:9], ANSWER[9:])


async def cancel(task: asyncio.Task[object]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, Fault):
        await task


async def test_f41_two_thousand_cancellations_leave_nothing_behind(start: Start) -> None:
    server = await start(unpredictable)
    transport = make_transport(Limits(idle_per_origin=4))
    assert await read_until_it_works(transport, server.origin) == b"hi"
    gc.collect()
    files, tasks = open_files(), len(asyncio.all_tasks())
    dice, left = random.Random(7), 2000

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            asking = asyncio.create_task(get(transport, server.origin))
            for _ in range(dice.randrange(12)):
                await asyncio.sleep(0)
            if dice.random() < 0.5:
                await asyncio.sleep(dice.random() / 100)
            await cancel(asking)

    await asyncio.gather(*(worker() for _ in range(64)))
    assert transport.stats().in_flight == 0
    assert await read_until_it_works(transport, server.origin) == b"hi"
    await wait_until(lambda: transport.stats().open == transport.stats().idle <= 4)
    await wait_until(lambda: open_files() <= files + 8)  # at most 4 kept connections, both ends of each
    await wait_until(lambda: len(asyncio.all_tasks()) <= tasks + 4)
    await transport.aclose()
    assert transport.stats() == Stats(0, 0, 0)
    await wait_until(lambda: open_files() <= files)


async def read_until_it_works(transport: Transport, origin: Origin) -> bytes:
    while True:
        with suppress(Fault):
            response = await ask(transport, origin, within=1)
            try:
                if len(body := await response.read(soon(1))) == 2:
                    return body
            finally:
                await response.close()


async def test_a_cancelled_wait_for_the_head_hangs_up(start: Start, client: Client) -> None:
    asked, hung_up = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.gone()
        hung_up.set()

    transport = client()
    asking = asyncio.create_task(ask(transport, (await start(script)).origin))
    await asked.wait()
    await cancel(asking)
    await asyncio.wait_for(hung_up.wait(), 5)
    await wait_until(lambda: transport.stats() == Stats(0, 0, 0))


async def test_a_cancelled_read_hangs_up_even_if_nobody_closes_the_response_yet(start: Start, client: Client) -> None:
    hung_up = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        await peer.gone()
        hung_up.set()

    response = await ask(client(), (await start(script)).origin)
    reading = asyncio.create_task(response.read(soon()))
    await asyncio.sleep(0)
    await cancel(reading)
    await asyncio.wait_for(hung_up.wait(), 5)
    await response.close()


async def test_a_cancelled_connect_leaves_no_socket(client: Client) -> None:
    with hanging_port() as port:
        transport, origin = client(), Origin("http", "127.0.0.1", port)
        await fault_of(ask(transport, origin, within=0.01))  # uvloop opens a file of its own with its first socket
        files = open_files()
        for _ in range(20):
            asking = asyncio.create_task(ask(transport, origin))
            await asyncio.sleep(0.005)
            await cancel(asking)
        await wait_until(lambda: open_files() <= files)
        assert transport.stats() == Stats(0, 0, 0)


async def test_a_cancelled_tls_handshake_leaves_no_socket(start: Start, client: Client) -> None:
    server, transport = await start(Peer.gone), client()
    origin, files = Origin("https", "127.0.0.1", server.port), open_files()
    for _ in range(20):
        asking = asyncio.create_task(ask(transport, origin))
        await asyncio.sleep(0.005)
        await cancel(asking)
    await wait_until(lambda: open_files() <= files)
    assert (transport.stats(), server.connections > 0) == (Stats(0, 0, 0), True)


async def test_a_cancelled_request_does_not_disturb_its_neighbours(start: Start, client: Client) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await go_on.wait()
            await peer.send(ANSWER)

    server, transport = await start(script), client()
    asking = [asyncio.create_task(get(transport, server.origin)) for _ in range(10)]
    await wait_until(lambda: server.connections == 10)
    for task in asking[::2]:
        await cancel(task)
    go_on.set()
    assert await asyncio.gather(*asking[1::2]) == [b"hi"] * 5
    assert await read_all(await ask(transport, server.origin)) == b"hi"
