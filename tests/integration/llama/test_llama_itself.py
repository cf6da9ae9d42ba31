"""The real llama.cpp server that other tests build on: it recites in order, stalls when frozen, dies when killed."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

import pytest

from support.llama import LlamaServer, llama_server
from support.net import exchange, http, wait_until

PATH = "/v1/chat/completions"


def ask(server: LlamaServer, **more: object) -> tuple[int, bytes]:
    body = {"model": server.model, "messages": [{"role": "user", "content": "hi"}], **more}
    return urlsplit(server.url).port or 0, http("POST", PATH, body)


def said(body: bytes) -> str:
    datas = [line.removeprefix(b"data: ") for line in body.split(b"\n") if line.startswith(b"data: {")]
    return "".join(choice["delta"].get("content") or "" for data in datas for choice in json.loads(data)["choices"])


async def test_it_recites_its_whole_text_in_order(shared_llama: LlamaServer):
    answer = await exchange(*ask(shared_llama, stream=True), within=20)
    assert said(answer.body) == shared_llama.words()
    assert shared_llama.words(3) == " w000 w001 w002"
    assert b"data: [DONE]" in answer.body


async def test_it_stops_at_the_limit_and_says_so(shared_llama: LlamaServer):
    answer = await exchange(*ask(shared_llama, max_tokens=3, temperature=1.5), within=20)
    choice = json.loads(answer.body)["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (" w000 w001 w002", "length")


async def test_it_lists_its_alias(shared_llama: LlamaServer):
    answer = await exchange(urlsplit(shared_llama.url).port, http("GET", "/v1/models"), within=20)
    assert json.loads(answer.body)["data"][0]["id"] == "recite"


async def test_each_server_has_its_own_voice():
    async with llama_server(alias="other", words=5, prefix="x") as server:
        answer = await exchange(*ask(server, stream=True), within=20)
        assert said(answer.body) == " x000 x001 x002 x003 x004" == server.words()


async def test_killed_in_mid_stream_it_is_gone():
    async with llama_server(loop=True) as server:
        port, request = ask(server, stream=True)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        async with asyncio.timeout(20):
            await reader.readuntil(b" w002")
            server.kill()
            rest = b""
            try:
                while data := await reader.read(65536):
                    rest += data
            except ConnectionResetError:
                pass
        writer.close()
        assert b"[DONE]" not in rest
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_frozen_it_stalls_and_thawed_it_goes_on(llama: LlamaServer):
    llama.freeze()
    port, request = ask(llama, max_tokens=3)
    answer = asyncio.create_task(exchange(port, request, within=20))
    assert (await exchange(port, http("GET", "/health"), within=0.3)).end == "silent"
    assert not answer.done()
    llama.thaw()
    assert b" w000 w001 w002" in (await answer).body


async def test_no_process_is_left_behind():
    async with llama_server() as server:
        process = server.process
    assert await wait_until(lambda: process.poll() is not None)
