"""The transport that calls the application in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from llm_gateway.cli.inprocess import InProcess

MANY = 1000
sent: list[int] = []


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.method} {request.url.path} {request.query_params['q']} {await request.json()}")


async def flood(_: Request) -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        for n in range(MANY):
            sent.append(n)
            yield b"x"

    return StreamingResponse(parts())


async def breaks(_: Request) -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"x"
        raise ConnectionError

    return StreamingResponse(parts())


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    sent.clear()
    routes = [Route("/echo/{name:path}", echo, methods=["POST"]), Route("/flood", flood), Route("/breaks", breaks)]
    transport = InProcess(Starlette(routes=routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield http


async def test_a_call_arrives_whole(client: httpx.AsyncClient):
    answer = await client.post("/echo/a%20b", params={"q": "ñ"}, json={"n": 1})
    assert answer.text == "POST /echo/a b ñ {'n': 1}"


async def test_the_application_waits_for_its_reader(client: httpx.AsyncClient):
    async with client.stream("GET", "/flood") as answer:
        parts = answer.aiter_raw()
        assert await anext(parts) == b"x"
        assert len(sent) < 5
        assert len([part async for part in parts]) == MANY - 1


async def test_a_reader_that_leaves_ends_the_application(client: httpx.AsyncClient):
    before = asyncio.all_tasks()
    async with client.stream("GET", "/flood"):
        pass
    assert asyncio.all_tasks() == before
    assert len(sent) < MANY


async def test_an_answer_that_breaks_is_no_whole_answer(client: httpx.AsyncClient):
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/breaks")
