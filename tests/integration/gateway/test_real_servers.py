"""Two real llama.cpp servers behind the real command: every word arrives, in its order, also when one is killed."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from support.gateway import HELLO, KEY, told
from support.llama import LlamaServer, llama_server
from support.net import wait_until
from support.served import Served, project, serve

WORDS = 40


@dataclass
class Set:
    """The gateway, its two servers, and a client with the project's key."""

    served: Served
    one: LlamaServer
    two: LlamaServer
    http: httpx.AsyncClient

    @property
    def words(self) -> str:
        return self.one.words(WORDS)

    async def chat(self, path: str = "/v1/chat", **body: Any) -> httpx.Response:
        ask = {"model": "recite", "messages": HELLO, "max_tokens": WORDS, **body}
        return await self.http.post(path, json=ask)

    async def in_use(self) -> LlamaServer:
        """The one that answers at present."""
        answer = await self.chat()
        headers = {"Authorization": f"Bearer {self.served.admin_token}"}
        listed = (await self.http.get("/admin/api/servers", headers=headers)).json()["data"]
        (url,) = (s["url"] for s in listed if s["id"] == answer.headers["x-gateway-server"])
        return self.one if url == self.one.openai_url else self.two


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Set]:
    async with llama_server() as one, llama_server() as other:
        servers = [
            {"name": name, "url": server.openai_url, "kind": "openai", "trust": "own"}
            for name, server in (("one", one), ("two", other))
        ]
        content = project(servers=servers) | {"timeouts": {"first_token": 1}}
        running = serve(tmp_path, config=content, LLM_TEST_KEY=KEY)
        served = await asyncio.to_thread(running.__enter__)
        try:
            headers = {"X-API-Key": KEY}
            async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=60, trust_env=False) as http:

                async def both_are_known() -> bool:
                    health = (await http.get("/v1/health")).json()
                    return bool(health["servers"].get("healthy") == 2)

                await wait_until(both_are_known, 15)
                yield Set(served, one, other, http)
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


async def test_chat_stream_models_and_health_as_plain_http(two: Set):
    whole = await two.chat()
    assert whole.json()["choices"][0]["message"]["content"] == two.words
    assert whole.json()["usage"]["completion_tokens"] == WORDS
    assert whole.json()["choices"][0]["finish_reason"] == "length"
    for path, body in (("/v1/chat/stream", {}), ("/v1/chat/completions", {"stream": True})):
        stream = told(await two.chat(path, **body))
        assert (stream.text, stream.done, stream.finish_reason) == (two.words, True, "length")
    everything = await two.chat(max_tokens=None)
    assert everything.json()["choices"][0]["message"]["content"] == two.one.words()
    assert everything.json()["choices"][0]["finish_reason"] == "stop"
    listed = (await two.http.get("/v1/models")).json()["data"]
    assert [(m["id"], m["healthy_servers"]) for m in listed] == [("recite", 2)]
    health = (await two.http.get("/v1/health?deep=true")).json()
    assert (health["status"], health["deep"]["status"]) == ("ok", "ok")


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")
async def test_chat_and_stream_through_curl(two: Set):
    async def curl(path: str, *options: str) -> str:
        body = json.dumps({"model": "recite", "messages": HELLO, "max_tokens": WORDS})
        command = ["curl", "-sS", "-N", f"{two.served.url}{path}", "-H", f"X-API-Key: {KEY}", *options, "-d", body]
        ran = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
        return str(ran.stdout)

    assert json.loads(await curl("/v1/chat"))["choices"][0]["message"]["content"] == two.words
    streamed = await curl("/v1/chat/stream")
    assert streamed.endswith("data: [DONE]\n\n")
    chunks = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
    assert "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks) == two.words


async def test_chat_stream_and_models_through_the_openai_client(two: Set):
    async with AsyncOpenAI(base_url=f"{two.served.url}/v1", api_key=KEY) as ai:
        messages: Any = HELLO
        whole = await ai.chat.completions.create(model="recite", messages=messages, max_tokens=WORDS)
        assert whole.choices[0].message.content == two.words
        assert whole.usage is not None
        assert whole.usage.completion_tokens == WORDS
        stream = await ai.chat.completions.create(model="recite", messages=messages, max_tokens=WORDS, stream=True)
        assert "".join([c.choices[0].delta.content or "" async for c in stream if c.choices]) == two.words
        assert [m.id for m in (await ai.models.list()).data] == ["recite"]
        with pytest.raises(openai.NotFoundError):
            await ai.chat.completions.create(model="gpt-9", messages=messages)


async def test_after_kill_minus_nine_of_one_server_the_next_hundred_requests_succeed(two: Set):
    (await two.in_use()).kill()
    for n in range(100):
        path = ("/v1/chat", "/v1/chat/stream", "/v1/chat/completions")[n % 3]
        answer = await two.chat(path)
        assert answer.status_code == 200, answer.text
        if path == "/v1/chat/stream":
            stream = told(answer)
            assert (stream.text, stream.done, stream.error) == (two.words, True, None)
        else:
            assert answer.json()["choices"][0]["message"]["content"] == two.words


async def test_killed_in_the_middle_of_its_answers_none_is_lost_or_doubled(two: Set):
    everything, victim = two.one.words(), await two.in_use()
    whole = [asyncio.create_task(two.chat("/v1/chat", max_tokens=None)) for _ in range(8)]
    streams = [asyncio.create_task(two.chat("/v1/chat/stream", max_tokens=None)) for _ in range(8)]

    async def some_are_answered() -> bool:
        return any(task.done() for task in (*whole, *streams))

    await wait_until(some_are_answered, 30, every=0.001)
    victim.kill()
    for answer in await asyncio.gather(*whole):
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["message"]["content"] == everything
    for answer in await asyncio.gather(*streams):
        stream = told(answer)
        if stream.done:
            assert stream.text == everything
        else:
            assert stream.error is not None
            assert stream.error["code"] == "upstream_stream_lost"
            assert everything.startswith(stream.text)


async def test_a_frozen_server_is_noticed_and_left(two: Set):
    victim = await two.in_use()
    victim.freeze()
    try:
        for answer in await asyncio.gather(*(two.chat() for _ in range(6))):
            assert answer.json()["choices"][0]["message"]["content"] == two.words
    finally:
        victim.thaw()
