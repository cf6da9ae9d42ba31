"""The way to Redis: what is not wanted any more is not sent, and nobody waits for an answer that cannot come."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from llm_gateway.clock import SystemClock
from llm_gateway.shared.client import Away, Client, Keys, Script
from support.net import wait_until
from support.redises import RedisServer

COUNT = Script("return redis.call('INCR', KEYS[1])")


async def test_who_is_gone_before_his_turn_is_not_asked_for(redis_server: RedisServer):
    client = Client(redis_server.url, SystemClock().now)
    await client.load(COUNT)
    first = asyncio.create_task(client.run(COUNT, ["n"], []))
    for _ in range(3):
        await asyncio.sleep(0)  # it is under way
    gone = asyncio.create_task(client.run(COUNT, ["n"], []))
    stays = asyncio.create_task(client.run(COUNT, ["n"], []))
    await asyncio.sleep(0)
    gone.cancel()
    assert [await first, await stays] == [1, 2]
    assert await client.command("GET", "n") == b"2"
    await client.aclose()


async def test_words_of_every_kind_arrive_as_they_are(redis_server: RedisServer):
    client = Client(redis_server.url, SystemClock().now)
    told = Script("return {KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4]}")
    words = ["größe", b"\r\n$3\r\n\0\xff", -7, 0.1]
    sent = ["größe".encode(), b"\r\n$3\r\n\0\xff", b"-7", b"0.1"]
    for keys in (["a b", ""], Keys(["a b", ""])):
        assert await client.run(told, keys, words) == [b"a b", b"", *sent]
    await client.aclose()


async def test_a_connection_that_redis_has_closed_is_made_anew(redis_server: RedisServer):
    client, other = Client(redis_server.url, SystemClock().now), Client(redis_server.url, SystemClock().now)
    await client.load(COUNT)
    for n in range(1, 6):
        assert await client.run(COUNT, ["n"], []) == n
        await other.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert client.up
    await client.aclose()
    await other.aclose()


async def test_what_redis_says_against_one_call_is_no_answer_to_the_next(redis_server: RedisServer):
    client = Client(redis_server.url, SystemClock().now, patience=1.0)
    refused = Script("return redis.error_reply('no')")
    with pytest.raises(Away):
        await client.run(refused, [], [])

    async def counted() -> int | None:
        with suppress(Away):  # until its pause is over
            return int(await client.run(COUNT, ["n"], []))
        return None

    assert [await wait_until(counted), await counted()] == [1, 2]
    await client.aclose()


@pytest.mark.parametrize("answer", [b"$x\r\n", b"*-7\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b":\r\n", b"*1\r\n"])
async def test_what_speaks_another_language_is_as_good_as_away(answer: bytes):
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while await reader.read(65_536):
                writer.write(answer * 10)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = Client(f"redis://127.0.0.1:{port}/0", SystemClock().now)
        async with asyncio.timeout(5):
            with pytest.raises(Away):
                await client.run(COUNT, ["n"], [])
        await client.aclose()
