"""OpenAI's older completions through the official client, over fake servers of both kinds and real llama.cpp."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types import Completion

from llm_gateway.testing.rogue import Rogue
from support.gateway import KEY, Live, StartGateway, entry, words
from support.llama import LlamaServer, llama_server
from support.net import wait_until
from support.rogues import StartRogue
from support.sse import told

KINDS = ["ollama", "openai"]
IMPATIENT = {"connect": 1, "head": 0.5, "first_token": 0.5, "stall": 0.5, "write": 2, "budget": 6, "total": 20}
PATH = "/v1/completions"


def client(live: Live, *, strict: bool = True) -> openai.AsyncOpenAI:
    """Strict for whole answers only: OpenAI's own chunks, with `finish_reason: null`, do not pass that check."""
    return openai.AsyncOpenAI(base_url=f"{live.base_url}/v1", api_key=KEY, _strict_response_validation=strict)


async def complete(live: Live, prompt: str = "Once", **fields: Any) -> Completion:
    async with client(live) as ai:
        return await ai.completions.create(model="recite", prompt=prompt, **fields)


async def stream(live: Live, prompt: str = "Once", **fields: Any) -> list[Completion]:
    async with client(live, strict=False) as ai:
        parts = await ai.completions.create(model="recite", prompt=prompt, stream=True, **fields)
        return [part async for part in parts]


def text(parts: list[Completion]) -> str:
    return "".join(choice.text for part in parts for choice in part.choices)


def paths(server: Rogue) -> list[str]:
    return [heard.path for heard in server.chats_heard()]


@pytest.mark.parametrize(("kind", "path"), [("ollama", "/api/chat"), ("openai", "/v1/completions")])
async def test_a_prompt_is_completed_whole_and_streamed(start: StartGateway, rogue: StartRogue, kind: str, path: str):
    server = await rogue()
    live = await start(entry(server, kind=kind))
    whole = await complete(live, user="ana", max_tokens=4)
    assert (whole.choices[0].text, whole.choices[0].finish_reason) == (words(4), "length")
    assert whole.model in ("recite", "recite:latest"), "as its server lists it"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 4
    parts = await stream(live, stream_options={"include_usage": True})
    assert text(parts) == words()
    assert [c.finish_reason for part in parts for c in part.choices if c.finish_reason] == ["stop"]
    assert (parts[-1].choices, parts[-1].usage.completion_tokens if parts[-1].usage else 0) == ([], 10)
    assert paths(server) == [path, path]
    rows = await live.rows(2)
    assert [(row["endpoint"], row["outcome"], row["tokens_output"]) for row in rows] == [
        (PATH, "ok", 4),
        (PATH, "ok", 10),
    ]
    assert rows[0]["end_user"] == "ana"


@pytest.mark.parametrize(("kind", "path"), [("ollama", "/api/generate"), ("openai", "/v1/completions")])
async def test_a_gap_is_filled(start: StartGateway, rogue: StartRogue, kind: str, path: str):
    server = await rogue()
    live = await start(entry(server, kind=kind))
    answer = await live.http.post(PATH, json={"model": "recite", "prompt": " w000 w001", "suffix": " w004"})
    assert answer.json()["choices"][0]["text"] == " w002 w003"
    assert answer.headers.get("x-gateway-notes") == (None if kind == "ollama" else "suffix=best_effort")
    assert paths(server) == [path]
    assert server.chats_heard()[0].json["suffix"] == " w004"
    assert "raw" not in server.chats_heard()[0].json


async def test_echo_puts_the_prompt_before_the_text(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    assert (await complete(live, echo=True)).choices[0].text == "Once" + words()
    assert text(await stream(live, echo=True)) == "Once" + words()


async def test_a_bias_goes_to_servers_that_know_it_and_is_noted_elsewhere(start: StartGateway, rogue: StartRogue):
    for kind in KINDS:
        server = await rogue()
        live = await start(entry(server, kind=kind))
        body = {"model": "recite", "prompt": "Once", "logit_bias": {"5": -100}}
        answer = await live.http.post(PATH, json=body)
        told_of = answer.headers.get("x-gateway-notes")
        sent = server.chats_heard()[0].json.get("logit_bias")
        assert (told_of, sent) == (("logit_bias=dropped", None) if kind == "ollama" else (None, {"5": -100}))


@pytest.mark.parametrize(
    ("fields", "param"), [({"n": 2}, "n"), ({"best_of": 2}, "best_of"), ({"prompt": ["a", "b"]}, "prompt")]
)
async def test_what_cannot_be_done_is_a_bad_request_that_names_it(
    start: StartGateway, rogue: StartRogue, fields: Any, param: str
):
    live = await start(await rogue())
    async with client(live) as ai:
        with pytest.raises(openai.BadRequestError) as refused:
            await ai.completions.create(**{"model": "recite", "prompt": "Once", **fields})
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", param)
    assert (await live.row())["error_code"] == "unsupported_parameter"


# ---- failures ----


@pytest.mark.parametrize("kind", KINDS)
async def test_a_broken_stream_goes_on_word_for_word(start: StartGateway, rogue: StartRogue, kind: str):
    bad, good = await rogue(mood="cut_rst", words=80), await rogue(words=80)
    live = await start(entry(bad, kind=kind), entry(good, kind=kind), timeouts=IMPATIENT)
    live.prefer(bad)
    parts = await stream(live)
    assert text(parts) == words(80)
    assert (await live.row())["continuations"] == 1
    if kind == "openai":
        assert [heard.json["prompt"] for heard in good.chats_heard()] == ["Once" + words(3)], "and no probe before it"


async def test_servers_that_begin_conversations_anew_still_go_on_with_prompts(start: StartGateway, rogue: StartRogue):
    first, second, good = [await rogue(words=80, prefill="restart") for _ in range(3)]
    live = await start(*(entry(server, kind="openai") for server in (first, second, good)), timeouts=IMPATIENT)
    first.mood = "cut_rst"
    live.rank(first, second, good)
    stopped = told(await live.chat("/v1/chat/completions", stream=True))
    assert stopped.error is not None, "it is known now that nobody goes on with a conversation"
    second.mood = "cut_rst"
    live.rank(second, good, first)
    assert text(await stream(live)) == words(80)
    assert good.chats_heard()[-1].json["prompt"] == "Once" + words(3)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_gap_that_was_half_filled_is_lost(start: StartGateway, rogue: StartRogue, kind: str):
    bad, good = await rogue(mood="cut_rst"), await rogue()
    live = await start(entry(bad, kind=kind), entry(good, kind=kind), timeouts=IMPATIENT)
    live.prefer(bad)
    with pytest.raises(openai.APIError) as lost:
        await stream(live, " w000", suffix=" w009")
    assert lost.value.code == "upstream_stream_lost"
    assert good.chats == 0


async def test_a_server_without_completions_may_chat_as_well_as_any(start: StartGateway, rogue: StartRogue):
    old, new = await rogue(), await rogue()
    live = await start(entry(old, kind="openai"), entry(new, kind="openai"))
    live.prefer(old)
    old.mood = "not_ollama_404"
    assert (await complete(live)).choices[0].text == words()
    old.mood = "good"
    assert live.state(old).rest.until <= live.gateway.clock.now()
    assert old.chats == 1


# ---- real inference ----


@pytest.fixture
async def llamas() -> AsyncIterator[list[LlamaServer]]:
    async with llama_server(loop=True) as one, llama_server(loop=True) as other:
        yield [one, other]


def own(*servers: LlamaServer) -> list[dict[str, Any]]:
    return [{"name": f"s{n}", "url": s.openai_url, "kind": "openai", "trust": "own"} for n, s in enumerate(servers)]


async def test_llama_cpp_completes_a_prompt_as_it_is(start: StartGateway, shared_llama: LlamaServer):
    live = await start(*own(shared_llama))
    whole = await complete(live, "Count: w003", max_tokens=2, logprobs=2)
    choice = whole.choices[0]
    assert (choice.text, choice.finish_reason) == (" w004 w005", "length")
    assert choice.logprobs is not None
    assert (choice.logprobs.tokens, choice.logprobs.text_offset) == ([" w004", " w005"], [0, 5])
    assert choice.logprobs.top_logprobs is not None
    assert [len(top) for top in choice.logprobs.top_logprobs] == [2, 2]
    assert text(await stream(live, "Count: w003", max_tokens=3, echo=True)) == "Count: w003 w004 w005 w006"


async def test_a_killed_llama_cpp_costs_no_word(start: StartGateway, llamas: list[LlamaServer]):
    live = await start(*own(*llamas), timeouts={"connect": 2, "head": 2, "first_token": 5, "stall": 2.5, "total": 60})
    said = ""
    async with client(live, strict=False) as ai:
        parts = await ai.completions.create(model="recite", prompt="Count:", max_tokens=2_000, stream=True)
        async for part in parts:
            said += part.choices[0].text
            if len(said.split()) == 300:
                busy = [server.spec.url for server in live.fleet.servers.values() if server.in_flight]
                next(server for server in llamas if [server.openai_url] == busy).kill()
    assert said == "".join((llamas[0].recital.pieces() * 8)[:2_000])
    assert (await live.row())["continuations"] == 1


async def test_a_client_that_leaves_frees_the_server(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="endless")
    live = await start(entry(server, kind="openai"))
    asked = asyncio.create_task(live.http.post(PATH, json={"model": "recite", "prompt": "Once"}))
    await server.until(lambda s: s.in_flight == 1)
    asked.cancel()
    await server.until(lambda s: s.in_flight == 0, within=1.0)
    await wait_until(lambda: live.in_flight == 0, 1.0)
