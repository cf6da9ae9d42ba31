"""Streams that take their time: words for clients that wait, an end for clients that do not read.

The product's figures are ten and thirty seconds; here they are fractions of one.
"""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from llm_gateway.web import pulse
from support.gateway import HELLO, KEY, StartGateway, words
from support.net import wait_until
from support.rogues import StartRogue


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("LOOK", 0.05), ("SILENCE", 0.2), ("STUCK", 0.5)):
        monkeypatch.setattr(pulse, name, seconds)


@pytest.mark.parametrize("path", ["/v1/chat/stream", "/v1/chat/completions"])
async def test_a_silent_stream_is_kept_open_by_comments_that_clients_skip(
    start: StartGateway, rogue: StartRogue, path: str
):
    live = await start(await rogue(rate=2, words=3))
    told = await live.stream(path)
    assert (told.text, told.done) == (words(3), True)
    comments = [line for line in told.raw.split("\n") if line.startswith(":")]
    assert len(comments) >= 2
    assert "id:" not in told.raw
    assert "event:" not in told.raw


async def test_nothing_is_said_before_the_status_is_known(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="hang_after_request")
    live = await start(server, timeouts={"total": 1})
    answer = await live.chat("/v1/chat/stream")
    assert answer.status_code == 504


async def test_a_client_that_does_not_read_is_given_up_and_its_server_freed(start: StartGateway, rogue: StartRogue):
    server = await rogue(words=200_000)
    live = await start(server, max_tokens=200_000)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", live.port))
        body = json.dumps({"model": "recite", "messages": HELLO}).encode()
        head = f"POST /v1/chat/stream HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        await server.until(lambda s: s.in_flight == 1)
        await server.until(lambda s: s.in_flight == 0 and s.aborted == 1, within=10)
        row = await live.row()
    assert (row["status"], row["error_code"]) == (200, "client_too_slow")
    assert live.in_flight == 0


async def test_a_slow_reader_gets_every_word_and_holds_up_nobody(start: StartGateway, rogue: StartRogue):
    server = await rogue(words=8000)
    live = await start(server)
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port, limit=2048)
    body = json.dumps({"model": "recite", "messages": HELLO}).encode()
    head = f"POST /v1/chat/stream HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\nConnection: close\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    got = b""
    while data := await reader.read(8192):
        got += data
        if len(got) % 7 == 0:
            assert (await live.chat()).status_code == 200
        await asyncio.sleep(0.001)
    writer.close()
    frames = [line[6:] for line in got.split(b"\n") if line.startswith(b"data: ")]
    assert frames[-1] == b"[DONE]"
    said = [json.loads(frame)["choices"][0]["delta"].get("content", "") for frame in frames[:-1]]
    assert "".join(said) == words(8000)
    await wait_until(lambda: live.in_flight == 0)
