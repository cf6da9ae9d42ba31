"""Moods of the connection, of heads and of sizes, byte for byte."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import zlib

import pytest
from asking import ASK, WHOLE_TEXT, ask, contents, watch

from llm_gateway.testing.moods import heads, sizes
from llm_gateway.testing.rogue import Rogue
from support.net import Exchange, exchange, http
from support.rogues import StartRogue

MIB = 1024 * 1024


async def test_connect_hang_drops_every_syn_until_the_mood_changes(rogue: StartRogue):
    server = await rogue()
    for _ in range(2):
        server.mood = "connect_hang"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await asyncio.open_connection("127.0.0.1", server.port)
        server.mood = "good"
        assert (await ask(server)).status == 200


async def test_a_mood_that_acts_before_the_request_closes_idle_connections(rogue: StartRogue):
    server = await rogue()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await server.until(lambda s: s.open == 1)
    server.mood = "accept_silence"
    assert await reader.read() == b""
    writer.close()


async def test_no_read_takes_nothing_off_the_wire(rogue: StartRogue):
    server = await rogue(mood="no_read")
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        await loop.sock_connect(client, ("127.0.0.1", server.port))
        await server.until(lambda s: s.open == 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await loop.sock_sendall(client, b"x" * 16 * MIB)


async def test_tls_alert_is_the_alert_of_a_tls_port(rogue: StartRogue):
    answer = await ask(await rogue(mood="tls_alert"))
    assert answer == Exchange(b"\x15\x03\x01\x00\x02\x02\x46", "closed")


async def test_slow_loris_says_a_byte_and_no_more_for_long(rogue: StartRogue):
    assert await watch(await rogue(mood="slow_loris")) == Exchange(b"H", "silent")


async def test_megabyte_head_is_few_lines_of_moderate_length(rogue: StartRogue):
    answer = await ask(await rogue(mood="megabyte_head"))
    lines = answer.head.split(b"\r\n")
    assert (len(lines), max(map(len, lines))) == (67, heads.BIG // 64 + len("X-Part-63: "))
    assert len(answer.head) > heads.BIG
    assert WHOLE_TEXT.encode() in answer.body


async def test_endless_1xx_says_every_interim_status(rogue: StartRogue):
    answer = await watch(await rogue(mood="endless_1xx"), wanted=1000)
    statuses = [head.split(b" ")[1] for head in answer.data.split(b"\r\n\r\n")[:-1]]
    assert statuses[:6] == [b"100", b"102", b"103", b"100", b"102", b"103"]
    assert set(statuses) == {b"100", b"102", b"103"}


@pytest.mark.parametrize(
    ("mood", "begins", "goes_on"),
    [
        ("giant_line", b'{"model":"recite"', b"z"),
        ("giant_frame", b'{"model":"recite"', b"z"),
        ("giant_event", b"data: {\ndata: ", b" "),
        ("giant_blank", b"\n", b"\n"),
        ("giant_error", b'{"error":"', b"z"),
    ],
)
async def test_giants_go_on_for_longer_than_anybody_should_read(
    rogue: StartRogue, mood: str, begins: bytes, goes_on: bytes
):
    server = await rogue(mood=mood)
    answer = await watch(server, wanted=3 * MIB)
    assert answer.status == (500 if mood == "giant_error" else 200)
    assert answer.body.startswith(begins)
    assert answer.body.count(goes_on) > MIB
    assert (answer.body.count(b"\n") > 2) is (mood in ("giant_event", "giant_blank"))
    await server.until(lambda s: s.open == 0, within=2.0)


async def test_giant_frame_ends_as_a_proper_answer(rogue: StartRogue, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sizes, "LARGE", 2 * sizes.PIECE)
    answer = await ask(await rogue(mood="giant_frame"))
    assert contents(answer) == ["z" * 2 * sizes.PIECE, ""]
    assert answer.lines[-1]["done"] is True


async def test_giant_chunk_extension_hides_beside_the_body(rogue: StartRogue):
    answer = await watch(await rogue(mood="giant_chunk_extension"), wanted=MIB)
    assert answer.data.partition(b"\r\n\r\n")[2].startswith(b"5;x=zzzz")
    assert b"\r\n" not in answer.data.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("stream", [True, False])
async def test_huge_number_is_json_of_a_million_digits(rogue: StartRogue, stream: bool):
    answer = await ask(await rogue(mood="huge_number"), stream=stream)
    first = answer.body.split(b"\n")[0]
    assert first.endswith(b',"eval_count":' + b"1" * sizes.DIGITS + b"}")
    frame = json.loads(first, parse_int=len)
    assert frame["message"]["content"] == (" w000" if stream else WHOLE_TEXT)
    assert stream is (b'"done":true' in answer.body.partition(b"\n")[2])


async def test_gzip_unlabelled_and_gzip_garbage_lie_about_the_encoding(rogue: StartRogue):
    server = await rogue(mood="gzip_unlabelled")
    answer = await ask(server)
    assert b"Content-Encoding" not in answer.head
    assert json.loads(gzip.decompress(answer.body).splitlines()[-1])["done"] is True
    server.mood = "gzip_garbage"
    answer = await ask(server)
    assert b"Content-Encoding: gzip" in answer.head
    assert "".join(contents(answer)) == WHOLE_TEXT


async def test_gzip_bomb_is_a_thousand_times_smaller_than_what_it_holds(rogue: StartRogue):
    answer = await exchange((await rogue(mood="gzip_bomb")).port, http("POST", "/api/chat", ASK))
    assert b"Content-Encoding: gzip" in answer.head
    members = sizes.BOMB // 16
    assert len(answer.body) % members == 0
    member = answer.body[: len(answer.body) // members]
    assert answer.body == member * members
    assert len(answer.body) < 3 * MIB
    unpacked = zlib.decompress(member, wbits=31)
    assert (len(unpacked), unpacked.strip()) == (16 * MIB, b"")


async def test_rogues_leave_no_socket_behind_whatever_their_mood():
    async with Rogue(mood="no_read") as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await server.until(lambda s: s.open == 1)
    assert server.open == 0
    writer.close()
