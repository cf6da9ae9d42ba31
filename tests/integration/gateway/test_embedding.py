"""Vectors through the official clients, over fake servers of both kinds and real llama.cpp."""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import AsyncIterator
from typing import Any

import ollama
import openai
import pytest

from llm_gateway.testing.moods import MOODS
from llm_gateway.testing.scene import Scene
from llm_gateway.testing.vectors import vector_of
from support.gateway import HELLO, KEY, Live, StartGateway, entry
from support.llama import LlamaServer, llama_server
from support.rogues import StartRogue

KINDS = ["ollama", "openai"]
TEXTS = ["one", "two", "three"]
GOOD = [vector_of(text) for text in TEXTS]
BAD = ["too_few_vectors", "zero_vectors", "ragged_vectors", "null_vectors"]
ASK = {"model": "recite", "input": TEXTS}


def client(live: Live, **options: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{live.base_url}/v1", api_key=KEY, **options)


async def vectors(live: Live, texts: list[str] | str = TEXTS, **fields: Any) -> list[list[float]]:
    """The client's check of types comes before it decodes its own base64, and would not let that pass."""
    async with client(live, _strict_response_validation=fields.get("encoding_format") == "float") as ai:
        made = await ai.embeddings.create(model="recite", input=texts, **fields)
    assert [item.index for item in made.data] == list(range(len(made.data)))
    return [item.embedding for item in made.data]


def exactly(vectors: list[list[float]]) -> list[list[float]]:
    """As 32 bits hold them."""
    return [array("f", vector).tolist() for vector in vectors]


@pytest.mark.parametrize("kind", KINDS)
async def test_vectors_come_as_floats_and_in_base64_which_the_client_asks_for_itself(
    start: StartGateway, rogue: StartRogue, kind: str
):
    server = await rogue()
    live = await start(entry(server, kind=kind))
    assert await vectors(live) == exactly(GOOD)
    assert await vectors(live, encoding_format="float") == GOOD
    assert await vectors(live, "two", user="ana") == exactly([GOOD[1]])
    path = "/api/embed" if kind == "ollama" else "/v1/embeddings"
    assert [heard.path for heard in server.chats_heard()] == [path] * 3
    rows = await live.rows(3)
    assert {(row["endpoint"], row["outcome"], row["status"], row["attempts"]) for row in rows} == {
        ("/v1/embeddings", "ok", 200, 1)
    }
    assert [(row["tokens_input"], row["tokens_output"], row["tokens_estimated"]) for row in rows] == [
        (3, 0, False), (3, 0, False), (1, 0, False),
    ]  # fmt: skip
    assert rows[2]["end_user"] == "ana"
    assert live.in_flight == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_fewer_dimensions_are_the_same_whoever_cuts(start: StartGateway, rogue: StartRogue, kind: str):
    live = await start(entry(await rogue(), kind=kind))
    for vector, good in zip(await vectors(live, dimensions=4, encoding_format="float"), GOOD, strict=True):
        length = math.hypot(*good[:4])
        assert vector == pytest.approx([number / length for number in good[:4]])
        assert math.hypot(*vector) == pytest.approx(1)


async def test_more_dimensions_than_there_are_is_a_bad_request(start: StartGateway, rogue: StartRogue):
    live = await start(entry(await rogue(), kind="openai"))
    async with client(live) as ai:
        with pytest.raises(openai.BadRequestError) as refused:
            await ai.embeddings.create(model="recite", input="one", dimensions=99)
    assert "have 8 dimensions" in refused.value.message


@pytest.mark.parametrize("kind", KINDS)
async def test_ollamas_client_gets_them_too(start: StartGateway, rogue: StartRogue, kind: str):
    live = await start(entry(await rogue(), kind=kind))
    ai = ollama.AsyncClient(live.base_url, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False)
    many = await ai.embed("recite", TEXTS, truncate=True, keep_alive="5m", options={"num_ctx": 4096})
    assert [list(vector) for vector in many.embeddings] == GOOD
    assert (many.model, many.prompt_eval_count) == ("recite", 3)
    assert [list(vector) for vector in (await ai.embed("recite", "two")).embeddings] == [GOOD[1]]
    assert list((await ai.embeddings("recite", "two")).embedding) == GOOD[1]
    assert (await ai.embed("recite", [])).embeddings == []
    assert (await ai.embeddings("recite", "")).embedding == []
    assert {row["endpoint"] for row in await live.rows(5)} == {"/api/embed", "/api/embeddings"}
    with pytest.raises(ollama.ResponseError) as refused:
        await ai.embed("nope", "x")
    assert (refused.value.status_code, "`nope`" in refused.value.error) == (404, True)
    await ai._client.aclose()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mood", [*BAD, "runner_500", "cut_rst", "html_200", "close_after_request", "no_embeddings"])
async def test_bad_vectors_are_never_delivered_and_the_next_server_is_asked(
    start: StartGateway, rogue: StartRogue, kind: str, mood: str
):
    bad, good = await rogue(), await rogue()
    live = await start(entry(bad, kind=kind), entry(good, kind=kind))
    live.prefer(bad)
    bad.mood = mood
    assert await vectors(live, encoding_format="float") == GOOD
    assert (bad.chats > 0, good.chats) == (True, 1)
    row = await live.row()
    assert (row["outcome"], row["attempts"], row["continuations"]) == ("ok", 2, 0)
    assert live.in_flight == 0


@pytest.mark.parametrize(
    "mood", ["stall_mid", "headers_then_stall", "hang_after_request", "giant_line", "length_short"]
)
async def test_a_server_that_stops_in_the_middle_costs_no_vector(start: StartGateway, rogue: StartRogue, mood: str):
    bad, good = await rogue(), await rogue()
    impatient = {"connect": 1, "head": 0.5, "first_token": 0.5, "stall": 0.5, "write": 2, "budget": 6, "total": 20}
    live = await start(bad, good, timeouts=impatient)
    live.prefer(bad)
    bad.mood = mood
    assert await vectors(live, encoding_format="float") == GOOD
    assert bad.chats > 0
    await bad.until(lambda s: s.in_flight == 0, within=1.0)


@pytest.mark.parametrize("mood", BAD)
async def test_bad_vectors_only_are_an_error(start: StartGateway, rogue: StartRogue, mood: str):
    live = await start(await rogue(mood=mood), await rogue(mood=mood))
    async with client(live, max_retries=0) as ai:
        with pytest.raises(openai.InternalServerError) as failed:
            await ai.embeddings.create(model="recite", input=TEXTS)
    assert (failed.value.status_code, failed.value.code) == (502, "upstream_error")
    assert (await live.row())["attempts"] == 2


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/chat/completions"])
async def test_a_server_that_answers_drop_by_drop_gets_company(
    start: StartGateway, rogue: StartRogue, path: str, monkeypatch: pytest.MonkeyPatch
):
    """Vectors, and what may be a tool call, are kept back to the end."""

    async def drips(scene: Scene) -> None:
        call = [scene.voice.text(character) for character in "<tool_call>" * 99]
        await scene.line.start(scene.voice.stream_type if scene.words else "application/json")
        for drop in call if scene.words else map(bytes, zip(scene.answer().whole)):
            await scene.line.chunk(drop)
            await asyncio.sleep(0.7)

    monkeypatch.setitem(MOODS, "drips", drips)
    bad, good = await rogue(), await rogue()
    servers = [entry(server, hedge=False) for server in (bad, good)]
    live = await start(*servers, timeouts={"first_token": 1, "stall": 1, "budget": 5, "total": 20})
    live.prefer(bad)
    bad.mood = "drips"
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {}}}
    asks = {"/v1/embeddings": ASK, "/v1/chat/completions": {"model": "recite", "messages": HELLO, "tools": [tool]}}
    answer = await live.http.post(path, json=asks[path])
    assert (answer.status_code, bad.chats, good.chats) == (200, 1, 1)
    await bad.until(lambda s: s.in_flight == 0, within=1.0)


async def test_vectors_in_another_order_are_put_in_theirs(start: StartGateway, rogue: StartRogue):
    live = await start(entry(await rogue(mood="shuffled_vectors"), kind="openai"))
    assert await vectors(live, encoding_format="float") == GOOD


@pytest.mark.parametrize("kind", KINDS)
async def test_servers_that_cannot_embed_make_it_a_bad_request_that_says_so(
    start: StartGateway, rogue: StartRogue, kind: str
):
    servers = [await rogue(mood="no_embeddings") for _ in range(2)]
    live = await start(*(entry(server, kind=kind) for server in servers))
    async with client(live) as ai:
        with pytest.raises(openai.BadRequestError) as refused:
            await ai.embeddings.create(model="recite", input=TEXTS)
    assert "embeddings" in refused.value.message
    assert [server.chats for server in servers] == [1, 1]
    answer = await live.chat()
    assert answer.status_code == 200, "they chat as before"


async def test_a_server_too_old_for_vectors_still_chats(start: StartGateway, rogue: StartRogue):
    old = await rogue()
    live = await start(old)
    old.mood = "not_ollama_404"
    answer = await live.http.post("/api/embed", json=ASK)
    assert (answer.status_code, answer.json()["code"]) == (400, "capability_missing")
    old.mood = "good"
    assert (await live.chat()).status_code == 200


async def test_tokens_are_refused_by_name(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    async with client(live) as ai:
        with pytest.raises(openai.BadRequestError) as refused:
            await ai.embeddings.create(model="recite", input=[1, 2, 3])
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "input")


async def test_a_client_that_leaves_frees_the_server(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="hang_after_request")
    live = await start(server)
    asked = asyncio.create_task(live.http.post("/v1/embeddings", json=ASK))
    await server.until(lambda s: s.in_flight == 1)
    asked.cancel()
    await server.until(lambda s: s.in_flight == 0, within=1.0)
    assert (await live.row())["outcome"] == "client_closed"


async def test_as_many_texts_as_are_accepted_are_answered(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    texts = [f"text {n}" for n in range(2_048)]
    assert await vectors(live, texts, encoding_format="float") == [vector_of(text) for text in texts]


# ---- real inference ----


@pytest.fixture
async def llama_vectors() -> AsyncIterator[LlamaServer]:
    async with llama_server(words=40, vectors=True) as server:
        yield server


async def test_llama_cpp_gives_real_vectors(start: StartGateway, llama_vectors: LlamaServer, shared_llama: LlamaServer):
    """Beside a server that holds the same name and was started for words only."""
    servers = [
        {"name": f"s{n}", "url": server.openai_url, "kind": "openai", "trust": "own"}
        for n, server in enumerate((shared_llama, llama_vectors))
    ]
    live = await start(*servers)
    floats = await vectors(live, [" w003 w004", " w003", " w003 w004"], encoding_format="float")
    assert floats[0] == floats[2] != floats[1]
    assert all(math.hypot(*vector) == pytest.approx(1, abs=1e-4) for vector in floats)
    assert await vectors(live, [" w003 w004", " w003"]) == exactly(floats[:2])
    async with client(live) as ai:
        with pytest.raises(openai.BadRequestError) as refused:
            await ai.embeddings.create(model="recite", input="w " * 9_000)
    assert refused.value.code == "context_length_exceeded"
