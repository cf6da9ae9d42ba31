"""HTTP/1.1 on one connection, the same whether a request is answered on the connection itself or as ASGI messages: when
it ends, what it may be asked meanwhile, how bodies arrive and answers leave.
"""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from llm_gateway.web.protocol import BoundedProtocol
from llm_gateway.web.straight import StraightCall
from support.gateway import HELLO, KEY, WITH_AND_WITHOUT_ASGI, Live, StartGateway, words
from support.net import Exchange, exchange
from support.rogues import StartRogue

ASK = json.dumps({"model": "recite", "messages": HELLO}).encode()
PATHS = ["/v1/chat", "/v1/chat/stream"]


@pytest.fixture
async def live(start: StartGateway, rogue: StartRogue) -> Live:
    return await start(await rogue())


def head(path: str = "/v1/chat", *headers: str, length: int | None = len(ASK), version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: a", f"X-API-Key: {KEY}", *headers]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


def whole(data: bytes) -> bool:
    """Is it one complete answer?"""
    begin, found, rest = data.partition(b"\r\n\r\n")
    if b"chunked" in begin:
        return rest.endswith(b"0\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", begin)
    return bool(found and length and len(rest) == int(length[1]))


def text(got: Exchange) -> str:
    return str(json.loads(got.body)["choices"][0]["message"]["content"])


# -- when it ends --------------------------------------------------------------------------------------------


@WITH_AND_WITHOUT_ASGI
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("sent", "ends"),
    [
        (("1.1", ()), "silent"),
        (("1.1", ("Connection: keep-alive",)), "silent"),
        (("1.1", ("Connection: close",)), "closed"),
        (("1.1", ("Connection: CLOSE, x-a",)), "closed"),
        (("1.0", ()), "closed"),
        (("1.0", ("Connection: keep-alive",)), "closed"),
    ],
    ids=["by default", "kept", "closed", "closed in other words", "1.0", "1.0 kept"],
)
async def test_a_connection_ends_with_its_answer_when_the_client_wants_it_to(
    live: Live, path: str, sent: tuple[str, tuple[str, ...]], ends: str
):
    version, headers = sent
    got = await exchange(live.port, head(path, *headers, version=version) + ASK, within=1.0)
    assert (got.status, got.end) == (200, ends)
    assert whole(got.data)
    assert (b"connection: close" in got.head) is (ends == "closed")


@WITH_AND_WITHOUT_ASGI
async def test_an_idle_connection_is_closed_and_a_busy_one_is_not(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(rate=10), idle=0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    for _ in range(2):  # each of a second
        writer.write(head("/v1/chat/stream") + ASK)
        await reader.readuntil(b"\r\n0\r\n\r\n")
    assert await asyncio.wait_for(reader.read(1), 3.0) == b""
    writer.close()


@WITH_AND_WITHOUT_ASGI
async def test_a_server_that_leaves_says_so_with_every_answer(live: Live, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(BoundedProtocol, "leaving", True)
    got = await exchange(live.port, head() + ASK, within=1.0)
    assert (got.status, got.end) == (200, "closed")
    assert b"connection: close" in got.head


# -- how bodies arrive ---------------------------------------------------------------------------------------


@WITH_AND_WITHOUT_ASGI
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_request_may_come_in_pieces_of_any_size(live: Live, size: int):
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    raw = head() + ASK
    for n in range(0, len(raw), size):
        writer.write(raw[n : n + size])
        await writer.drain()
        await asyncio.sleep(0)
    got = Exchange(await reader.readuntil(b"}}"), "")
    assert (got.status, text(got)) == (200, words())
    writer.close()


@WITH_AND_WITHOUT_ASGI
@pytest.mark.parametrize("size", [1, 2, 10_000])
async def test_a_body_may_come_in_chunks_of_any_size(live: Live, size: int):
    parts = [ASK[n : n + size] for n in range(0, len(ASK), size)]
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nX-Trailer: a\r\n\r\n"
    got = await exchange(live.port, head("/v1/chat", "Transfer-Encoding: chunked", length=None) + body, enough=whole)
    assert (got.status, text(got)) == (200, words())


@WITH_AND_WITHOUT_ASGI
async def test_what_stands_behind_a_body_is_no_header_of_its_request(live: Live):
    body = b"2\r\n{}\r\n0\r\nX-API-Key: " + KEY.encode() + b"\r\n\r\n"
    for path in ("/api/show", "/v1/chat"):
        raw = f"POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        assert (await exchange(live.port, raw + body, enough=whole)).status == 401


@WITH_AND_WITHOUT_ASGI
async def test_chunks_beyond_every_bound_are_refused_while_they_come(live: Live):
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    writer.write(head("/v1/chat", "Transfer-Encoding: chunked", length=None))
    with_images = live.running.settings.max_body_with_images
    for _ in range(with_images // 0x100000 + 2):
        writer.write(chunk)
        await writer.drain()
    assert b" 413 " in await reader.readuntil(b"\r\n")
    writer.close()
    assert (await live.row())["error_code"] == "body_too_large"


@WITH_AND_WITHOUT_ASGI
async def test_a_stranger_is_answered_before_the_body_is_there(live: Live):
    raw = b"POST /v1/chat HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"
    assert (await exchange(live.port, raw, enough=whole)).status == 401


@WITH_AND_WITHOUT_ASGI
async def test_who_expects_to_be_told_to_go_on_is_told_once_the_key_is_known(live: Live):
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    writer.write(head("/v1/chat", "Expect: 100-continue"))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(ASK)
    assert b" 200 " in await reader.readuntil(b"\r\n")
    writer.close()
    stranger = await exchange(
        live.port,
        b"POST /v1/chat HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        enough=whole,
    )
    assert stranger.status == 401


# -- what it may be asked meanwhile --------------------------------------------------------------------------


@WITH_AND_WITHOUT_ASGI
async def test_requests_of_all_kinds_on_one_connection_are_answered_in_their_order(live: Live):
    get = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
    wrong = b"PUT /v1/chat HTTP/1.1\r\nHost: a\r\nX-API-Key: " + KEY.encode() + b"\r\nContent-Length: 0\r\n\r\n"
    last = head("/v1/chat", "Connection: close") + ASK
    raw = get + head() + ASK + wrong + head("/v1/chat/stream") + ASK + get + head("/v1/chat?a=b") + ASK + last
    got = await exchange(live.port, raw)
    statuses = re.findall(rb"HTTP/1\.1 (\d{3})", got.data)
    assert statuses == [b"200", b"200", b"405", b"200", b"200", b"200", b"200"]
    assert [got.data.count(mark) for mark in (b"[DONE]", b'"chat.completion"', b'"status":"ok"')] == [1, 3, 2]
    assert got.end == "closed"


@WITH_AND_WITHOUT_ASGI
@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
async def test_another_protocol_is_not_offered(live: Live, upgrade: str):
    """What follows such a head is no body to the parser."""
    got = await exchange(live.port, head("/v1/chat", f"Upgrade: {upgrade}", "Connection: Upgrade") + ASK, enough=whole)
    assert (got.status, json.loads(got.body)["error"]["code"]) == (400, "invalid_json")


# -- which way a request goes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers", "straight"),
    [
        ("/v1/chat", (), True),
        ("/llm/v1/chat", (), True),
        ("/v1/chat?a=b", (), False),
        ("/v1/%63hat", (), False),
        ("/v1/chat", ("Expect: 100-continue",), False),
        ("/v1/chat", ("Origin: https://a.example",), False),
    ],
)
async def test_only_plain_requests_are_answered_without_asgi_and_all_are_answered_alike(
    start: StartGateway, rogue: StartRogue, monkeypatch: pytest.MonkeyPatch,
    path: str, headers: tuple[str, ...], straight: bool,
):  # fmt: skip
    live = await start(await rogue(), root_path="/llm", cors_origins=["https://a.example"])
    began: list[object] = []
    plain = StraightCall.start
    monkeypatch.setattr(StraightCall, "start", lambda call: (began.append(call), plain(call)))
    got = await exchange(live.port, head(path, *headers, "Connection: close") + ASK)
    assert text(Exchange(got.data.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n"), "")) == words()
    assert bool(began) is straight
    assert (b"access-control-allow-origin: https://a.example" in got.data) is any("Origin" in h for h in headers)


async def test_what_the_edge_of_a_request_adds_is_the_same_either_way(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), project={"rate_limit_per_minute": 100, "tokens_per_minute": 100_000})
    for path in PATHS:
        one, two = await live.chat(path), await live.chat(f"{path}?by=asgi")
        assert list(one.headers) == list(two.headers)
        assert one.headers["content-type"] == two.headers["content-type"]
    refused = [await live.chat(path, model="none") for path in ("/v1/chat", "/v1/chat?by=asgi")]
    assert list(refused[0].headers) == list(refused[1].headers)
