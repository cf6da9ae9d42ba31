"""Whatever a client sends, it gets a typed error of its own making: never a 5xx, never a connection left in doubt."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import time
from typing import Any

import pytest

from support.gateway import HELLO, KEY, WITH_AND_WITHOUT_ASGI, Live, StartGateway, words
from support.net import Exchange, exchange
from support.rogues import StartRogue

pytestmark = WITH_AND_WITHOUT_ASGI
PATHS = ["/v1/chat", "/v1/chat/stream", "/v1/chat/completions"]
ASK: dict[str, Any] = {"model": "recite", "messages": HELLO}


def said(**changes: Any) -> bytes:
    return json.dumps({**ASK, **changes}).encode()


BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "invalid_json"),
    "no json": (b"hello", "invalid_json"),
    "half of it": (b'{"model": "recite", "mess', "invalid_json"),
    "a trailing comma": (b'{"model": "recite",}', "invalid_json"),
    "two objects": (b"{}{}", "invalid_json"),
    "not utf-8": (b'{"model": "\xff\xfe"}', "invalid_json"),
    "utf-16": (json.dumps(ASK).encode("utf-16"), "invalid_json"),
    "a nan": (b'{"model": "recite", "temperature": NaN}', "invalid_json"),
    "infinity": (said(temperature=float("inf")), "invalid_json"),
    "a list": (b"[]", "invalid_request"),
    "null": (b"null", "invalid_request"),
    "an empty object": (b"{}", "invalid_request"),
    "100 levels": (b'{"model": "recite", "messages": ' + b"[" * 100 + b"]" * 100 + b"}", "invalid_request"),
    "100,000 levels": (b'{"model":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid_request"),
    "100,000 open levels": (b"[" * 100_000, "invalid_"),
    "a nul": (said(model="rec\0ite"), "invalid_request"),
    "a nul in a message": (said(messages=[{"role": "user", "content": "a\0b"}]), "invalid_request"),
    "a lone surrogate": (said(messages=[{"role": "user", "content": "\ud800"}]), "invalid_"),
    "a lone surrogate in the model": (said(model="\udfff"), "invalid_"),
    "a huge integer": (said(max_tokens=10**40), "invalid_"),
    "a huge exponent": (b'{"model": "recite", "messages": [], "temperature": 1e999}', "invalid_"),
    "no model": (json.dumps({"messages": HELLO}).encode(), "invalid_request"),
    "a number as model": (said(model=5), "invalid_request"),
    "an empty model": (said(model=""), "invalid_request"),
    "a model of 10,000 letters": (said(model="x" * 10_000), "invalid_request"),
    "no messages": (json.dumps({"model": "recite"}).encode(), "invalid_request"),
    "empty messages": (said(messages=[]), "invalid_request"),
    "messages as text": (said(messages="hello"), "invalid_request"),
    "a message as text": (said(messages=["hello"]), "invalid_request"),
    "an unknown role": (said(messages=[{"role": "wizard", "content": "x"}]), "invalid_request"),
    "no role": (said(messages=[{"content": "x"}]), "invalid_request"),
    "a number as content": (said(messages=[{"role": "user", "content": 5}]), "invalid_request"),
    "null as content": (said(messages=[{"role": "user", "content": None}]), "invalid_request"),
    "a text as temperature": (said(temperature="hot"), "invalid_request"),
    "a negative temperature": (said(temperature=-1), "invalid_request"),
    "true as max_tokens": (said(max_tokens=True), "invalid_request"),
    "a negative max_tokens": (said(max_tokens=-5), "invalid_request"),
    "a half max_tokens": (said(max_tokens=1.5), "invalid_request"),
    "metadata as text": (said(metadata="x"), "invalid_request"),
    "a number as correlation_id": (said(metadata={"correlation_id": 5}), "invalid_request"),
    "an image from the net": (
        said(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a/b.png"}}]}]),
        "invalid_request",
    ),
}


@pytest.fixture
async def live(start: StartGateway, rogue: StartRogue) -> Live:
    return await start(await rogue())


async def still_works(live: Live) -> None:
    answer = await live.chat()
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == words()


def is_typed(answer: Any, status: int, code: str) -> None:
    """An error of the contract: status, whole object, ids that agree, and nothing of the inside."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert {"message", "type", "code", "param", "request_id", "retryable"} <= set(error)
    assert error["code"].startswith(code), error
    assert error["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    assert ".py" not in answer.text


async def test_bodies_that_are_wrong_are_named_as_wrong_on_every_path(live: Live):
    for name, (body, code) in BODIES.items():
        for path in PATHS:
            answer = await live.http.post(path, content=body)
            try:
                is_typed(answer, 400, code)
            except AssertionError as error:
                raise AssertionError(f"{name} on {path}: {answer.status_code} {answer.text[:300]}") from error
    rows = await live.rows(len(BODIES) * len(PATHS))
    assert {(row["status"], row["outcome"], row["attempts"]) for row in rows} == {(400, "error", 0)}
    assert next(iter(live.fleet.servers.values())).in_flight == 0
    await still_works(live)


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_of_five_megabytes_is_too_large(live: Live, path: str):
    body = said(messages=[{"role": "user", "content": "x" * 5_000_000}])
    is_typed(await live.http.post(path, content=body), 413, "body_too_large")

    async def in_parts() -> Any:
        for at in range(0, len(body), 65_536):
            yield body[at : at + 65_536]

    is_typed(await live.http.post(path, content=in_parts()), 413, "body_too_large")
    for row in await live.rows(2):
        assert (row["status"], row["error_code"]) == (413, "body_too_large")
    await still_works(live)


async def test_only_images_may_make_a_body_larger_not_the_word_of_one(live: Live):
    def asking(*parts: dict[str, Any]) -> bytes:
        return said(messages=[{"role": "user", "content": [{"type": "text", "text": "data:image/"}, *parts]}])

    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0K" * 700_000}}
    assert (await live.http.post("/v1/chat", content=asking(image))).status_code == 200
    for text in ("x" * 5_000_000, "data:image/png;base64," + "iVBORw0K" * 700_000):
        too_large = await live.http.post("/v1/chat", content=asking(image, {"type": "text", "text": text}))
        is_typed(too_large, 413, "body_too_large")
    rows = await live.rows(3)
    assert [row["status"] for row in rows] == [200, 413, 413]
    await still_works(live)


@pytest.mark.parametrize("path", PATHS)
async def test_hundreds_of_thousands_of_small_things_are_refused_without_a_halt(live: Live, path: str):
    many = {
        "numbers": b'{"model":"recite","messages":[{"role":"user","content":"data:image/"}],"x":[%s1]}'
        % (b"1," * 10**6),
        "messages": said(messages=HELLO * 100_000),
        "parts": said(messages=[{"role": "user", "content": [{"type": "text", "text": "x"}] * 100_000}]),
    }
    for name, body in many.items():
        try:
            is_typed(await live.http.post(path, content=body), 400, "invalid_request")
        except AssertionError as error:
            raise AssertionError(name) from error
    await still_works(live)


async def test_a_body_beyond_every_bound_is_refused_by_its_declared_length(live: Live):
    head = f"POST /v1/chat HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\nContent-Length: 999999999999\r\n\r\n"
    refused = await exchange(live.port, head.encode(), enough=lambda data: data.endswith(b"}"))
    assert refused.status == 413


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "br"},
        {"Content-Type": "multipart/form-data; boundary=" + "x" * 1000},
    ],
)
async def test_compressed_and_multipart_bodies_are_refused(live: Live, headers: dict[str, str]):
    answer = await live.http.post("/v1/chat", content=gzip.compress(said()), headers=headers)
    is_typed(answer, 415, "unsupported_media_type")
    await still_works(live)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_not_allowed(live: Live, path: str, method: str):
    answer = await live.http.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    if method != "HEAD":
        is_typed(answer, 405, "method_not_allowed")
    await still_works(live)


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/models"])
async def test_forty_kilobytes_of_headers_are_too_many(live: Live, path: str):
    many = "".join(f"X-{n}: {'z' * 100}\r\n" for n in range(400))
    for headers in (many, f"X-Big: {'z' * 40_000}\r\n"):
        raw = f"POST {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\n{headers}Content-Length: 2\r\n\r\n{{}}"
        refused = await exchange(live.port, raw.encode(), enough=lambda data: data.endswith(b"}}"))
        assert refused.status == 431
        assert json.loads(refused.body)["error"]["code"] == "headers_too_large"
    await still_works(live)


async def test_a_head_without_end_costs_no_memory(live: Live):
    begun = f"GET /v1/health HTTP/1.1\r\nX-Big: {'z' * (1 << 20)}".encode()
    refused = await exchange(live.port, begun)
    assert refused.end in ("closed", "reset")
    if refused.data:
        assert refused.status == 431
    await still_works(live)


async def test_a_body_that_does_not_come_is_not_waited_for_long(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), timeouts={"body": 0.3})
    raw = f"POST /v1/chat HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\nContent-Length: 50\r\n\r\n{{"
    late = await exchange(live.port, raw.encode(), enough=lambda data: data.endswith(b"}}"))
    assert late.status == 408
    assert json.loads(late.body)["error"]["code"] == "request_timeout"
    row = await live.row()
    assert (row["status"], row["error_code"]) == (408, "request_timeout")


SMUGGLED = b"GET /admin/api/projects HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
        b"Content-Length: 6\r\nContent-Length: 60\r\n",
        b"Content-Length: +6\r\n",
        b"Content-Length: 6, 6\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
    ],
)
async def test_two_opinions_on_where_a_request_ends_are_refused(live: Live, framing: bytes):
    raw = b"POST /v1/chat HTTP/1.1\r\nHost: a\r\nX-API-Key: " + KEY.encode() + b"\r\n" + framing + b"\r\n0\r\n\r\n"
    got = await exchange(live.port, raw + SMUGGLED, within=2.0)
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", got.data)]
    assert statuses, got
    assert all(400 <= status < 500 for status in statuses), got.data
    assert got.end in ("closed", "reset"), "the connection may be out of step and was kept"
    assert len(statuses) == 1, "what followed was taken for a second request"
    await still_works(live)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH\r\n",
        b"GET\r\n\r\n",
        b"GET /v1/models\r\n\r\n",
        b"GET /v1/models HTTP/9.9\r\nHost: a\r\n\r\n",
        b"G\0T /v1/models HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v1/mo\0dels HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost a\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nX-A: b\rX-B: c\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://127.0.0.1:22/nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET //v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /docs/assets/..%2f..%2f..%2fpyproject.toml HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /v1/models/%00 HTTP/1.1\r\nHost: a\r\nX-API-Key: " + KEY.encode() + b"\r\nConnection: close\r\n\r\n",
        b"GET /v1/models/%ff%fe HTTP/1.1\r\nHost: a\r\nX-API-Key: " + KEY.encode() + b"\r\nConnection: close\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: a/admin?\r\nConnection: close\r\n\r\n",
        b"GET /admin/api/projects HTTP/1.1\r\nHost: a/v1/health?\r\nConnection: close\r\n\r\n",
        b"GET /admin/api/projects HTTP/1.1\r\nHost: \xff\xfe\r\nConnection: close\r\n\r\n",
        b"GET /v1/health?deep=maybe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ],
    ids=range(24),
)
async def test_bytes_that_are_no_good_request_get_a_4xx_or_a_closed_line(live: Live, raw: bytes):
    got = await exchange(live.port, raw, within=1.0)
    assert got.end != "silent" or not got.data, got
    if got.data:
        assert 400 <= got.status < 500, got.data
        assert b"Traceback" not in got.data
        assert b"[project]" not in got.data
        assert b"root:" not in got.data
    await still_works(live)


async def test_line_ends_never_get_into_a_header_or_the_log(live: Live):
    """They cannot travel within a header; encoded ones are text like any other."""
    answer = await live.chat(headers={"X-Request-ID": "a%0d%0aSet-Cookie: b=c"}, model="no\r\nSet-Cookie: b=c")
    assert answer.status_code == 404
    assert "set-cookie" not in answer.headers
    raw = (
        f"POST /v1/chat HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\nX-Request-ID: one\r\n two\r\n"
        f"Content-Length: {len(said())}\r\nConnection: close\r\n\r\n"
    ).encode() + said()
    folded = await exchange(live.port, raw)
    assert folded.status in (200, 400)
    for row in await live.rows(2 if folded.status == 200 else 1):
        assert "\n" not in (row["client_request_id"] or "")
        assert "\r" not in (row["client_request_id"] or "")


async def test_pipelined_requests_are_answered_in_their_order(live: Live):
    body = said()
    keyed = f"HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\n"
    one = f"POST /v1/chat {keyed}Content-Length: {len(body)}\r\n\r\n".encode() + body
    last = f"GET /v1/models {keyed}Connection: close\r\n\r\n".encode()
    got: Exchange = await exchange(live.port, one + one + last)
    assert got.data.count(b"HTTP/1.1 200") == 3
    assert got.data.count(b"chat.completion") == 2
    assert got.end == "closed"


async def test_every_answer_has_an_id(live: Live):
    for path in (
        "/v1/models",
        "/v1/models/recite",
        "/v1/health",
        "/livez",
        "/nowhere",
        "/openapi.json",
        "/admin/api/x",
    ):
        answer = await live.http.get(path)
        assert answer.headers.get_list("x-request-id"), path
        assert len(answer.headers.get_list("x-request-id")) == 1, path
    garbage = await exchange(live.port, b"?\r\n\r\n")
    assert json.loads(garbage.body)["error"]["request_id"].encode() in garbage.head


async def test_a_key_in_the_address_opens_nothing(live: Live):
    for query in (f"?api_key={KEY}", f"?key={KEY}", f"?X-API-Key={KEY}"):
        answer = await live.http.post(f"/v1/chat{query}", json=ASK, headers={"X-API-Key": ""})
        assert answer.status_code == 401


async def test_a_client_cannot_choose_where_its_request_goes(live: Live, rogue: StartRogue):
    canary = await rogue()
    for field in ("api_base", "base_url", "host", "url", "server"):
        answer = await live.chat(**{field: canary.url})
        assert answer.status_code in (200, 400)
    for header in ("X-Forwarded-Host", "X-Forwarded-For", "Forwarded", "Host", "X-Upstream", "Proxy"):
        answer = await live.chat(headers={header: f"127.0.0.1:{canary.port}"})
        assert answer.status_code == 200
    assert canary.connections == 0


async def test_brackets_without_end_cost_little(live: Live):
    body = b'{"model":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    began = time.process_time()
    await asyncio.gather(*(live.http.post("/v1/chat", content=body) for _ in range(20)))
    assert time.process_time() - began < 5
    await still_works(live)


async def test_a_client_that_speaks_http_1_0_gets_a_whole_answer(live: Live):
    raw = f"POST /v1/chat HTTP/1.0\r\nX-API-Key: {KEY}\r\nContent-Length: {len(said())}\r\n\r\n".encode() + said()
    got = await exchange(live.port, raw)
    assert (got.status, got.end) == (200, "closed")
    assert b"transfer-encoding" not in got.head.lower()
    assert json.loads(got.body)["choices"][0]["message"]["content"] == words()
