"""Clients that ask and do not read: each holds little, none holds up another, and all are given up in the end.

The product gives up after thirty seconds of a full buffer; here it is a second.
"""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import ExitStack

import pytest
from vitals import MIB, Vitals

from llm_gateway.web import pulse
from support.gateway import HELLO, KEY, Live, StartGateway, words
from support.net import wait_until
from support.rogues import StartRogue

READERS = 200
SEGMENT = 1000
"""Bytes of a TCP segment: the kernel's own buffers follow it, and are megabytes on loopback otherwise."""
PATHS = ("/v1/chat/stream", "/v1/chat/completions")


def ask_and_do_not_read(live: Live, path: str, model: str) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
    client.connect(("127.0.0.1", live.port))
    body = json.dumps({"model": model, "messages": HELLO, "stream": True}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    client.sendall(head.encode() + body)
    return client


async def test_f42_two_hundred_clients_that_do_not_read_are_bounded_and_given_up(
    start: StartGateway, rogue: StartRogue, vitals: Vitals, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pulse, "LOOK", 0.1)
    monkeypatch.setattr(pulse, "STUCK", 1.0)
    talker, good = await rogue(["endless"], script=lambda _: [" word" * 200] * 300), await rogue()
    live = await start(talker, good)
    live.state(talker).models["endless:latest"].slots.limit = READERS
    with ExitStack() as stack:
        for n in range(READERS):
            stack.enter_context(ask_and_do_not_read(live, PATHS[n % 2], "endless"))
            if n % 20 == 0:  # the others are served meanwhile
                answer = await live.chat()
                assert answer.json()["choices"][0]["message"]["content"] == words()
        assert talker.in_flight > READERS // 2, "they were to be stuck all at once"
        answers = await asyncio.gather(*(live.stream(path) for path in PATHS * 5))
        assert {(told.text, told.done) for told in answers} == {(words(), True)}
        rows = [row for row in await live.rows(READERS + 20) if row["error_code"] is not None]
    assert [row["error_code"] for row in rows] == ["client_too_slow"] * READERS
    await wait_until(lambda: live.in_flight == 0, 1.0)
    assert vitals.growth < 300 * MIB, f"grew by {vitals.growth / MIB:.0f} MiB"
