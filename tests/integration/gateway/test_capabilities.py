"""What a request needs decides who is asked; what it only wishes for is dropped where a model cannot have it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from llm_gateway.access.policy import Trust
from llm_gateway.fleet.facts import FirstToken
from llm_gateway.testing.catalogue import CAPABILITIES
from llm_gateway.testing.rogue import Rogue
from support.gateway import HELLO, MODEL, Live, StartGateway, entry, words
from support.llama import LlamaServer
from support.net import wait_until
from support.rogues import StartRogue

TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
LOOK = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        ],
    }
]
OPENAI = "/v1/chat/completions"
PLAIN = ("completion",)
OLD = ("silent_tags", "silent_show")
"""Quirks of a server that tells nobody what its models are able to."""


async def ask(live: Live, **body: Any) -> httpx.Response:
    return await live.chat(OPENAI, **body)


def told(answer: httpx.Response) -> tuple[int, str, str | None, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"], error["message"]


def text(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


@pytest.mark.parametrize("quirks", [(), ("silent_tags",)], ids=["listed", "shown"])
async def test_tools_go_to_the_server_whose_model_has_them_though_it_is_slower(
    start: StartGateway, rogue: StartRogue, quirks: tuple[str, ...]
):
    quick = await rogue(prefix="q", capabilities=PLAIN, quirks=quirks, digests={MODEL: "1" * 64})
    able = await rogue(mood="tools", quirks=quirks, digests={MODEL: "2" * 64})
    live = await start(quick, able)
    await wait_until(lambda: all(known(live, server) for server in (quick, able)))
    live.prefer(quick)
    answer = await ask(live, tools=[TOOL])
    assert answer.json()["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "get_weather"
    assert (answer.headers["x-gateway-attempts"], quick.chats, able.chats) == ("1", 0, 1)
    assert text(await ask(live)) == words(prefix="q"), "without tools the quick one is asked"


def known(live: Live, server: Rogue) -> bool:
    return all(model.abilities.sure for model in live.state(server).models.values())


async def test_when_nobody_has_what_is_needed_the_caller_is_told_who_has_it(start: StartGateway, rogue: StartRogue):
    abilities = {MODEL: PLAIN, "sees": ("completion", "vision"), "calls": ("completion", "tools")}
    server = await rogue([*abilities], abilities=abilities)
    live = await start(server, models=[{"name": "helper", "backend": ["calls"]}])
    status, code, param, message = told(await ask(live, tools=[TOOL]))
    assert (status, code, param) == (400, "capability_missing", "tools")
    assert message == (
        f"No server that may be used supports tools with the model `{MODEL}`. "
        "Exposed models that are known to: `helper`, `calls:latest`."
    )
    _, code, param, message = told(await ask(live, messages=LOOK))
    assert (code, param) == ("capability_missing", "messages")
    assert message.endswith("supports images with the model `recite`. Exposed models that are known to: `sees:latest`.")
    _, _, param, message = told(await ask(live, messages=LOOK, tools=[TOOL], model="helper"))
    assert (param, message.endswith("known to: none.")) == ("messages", True)
    assert server.chats == 0
    assert text(await ask(live, messages=LOOK, model="sees")) == words()


async def test_a_model_that_only_forbidden_servers_have_is_not_named(start: StartGateway, rogue: StartRogue):
    mine = await rogue(capabilities=PLAIN)
    others = await rogue(["calls"])
    live = await start(mine, entry(others, trust="public"))
    _, code, _, message = told(await ask(live, tools=[TOOL]))
    assert (code, message.endswith("known to: none.")) == ("capability_missing", True)


async def test_servers_of_which_nobody_knows_are_tried_and_their_refusals_are_learnt(
    start: StartGateway, rogue: StartRogue
):
    first, second = [await rogue(capabilities=PLAIN, quirks=OLD) for _ in range(2)]
    live = await start(first, second)
    status, code, param, _ = told(await ask(live, tools=[TOOL]))
    assert (status, code, param) == (400, "capability_missing", "tools")
    assert first.chats + second.chats == 2
    assert told(await ask(live, tools=[TOOL]))[:3] == (status, code, param)
    assert first.chats + second.chats == 2, "nobody is asked again"
    assert text(await ask(live)) == words()
    for server in (first, second):
        assert live.state(server).state(live.gateway.clock.now()) == "healthy"


async def test_a_refusal_is_made_good_elsewhere_and_forgotten_with_the_digest(start: StartGateway, rogue: StartRogue):
    old = await rogue(capabilities=PLAIN, quirks=OLD, prefix="o", digests={MODEL: "1" * 64})
    other = await rogue(mood="tools", quirks=OLD, digests={MODEL: "1" * 64})
    live = await start(old, other)
    for attempts in ("2", "1"):
        live.prefer(old)
        answer = await ask(live, tools=[TOOL])
        assert (answer.status_code, answer.headers["x-gateway-attempts"]) == (200, attempts)
    assert old.chats == 1
    for server in (old, other):
        server.digests = {MODEL: "2" * 64}
        server.capabilities = CAPABILITIES
        await live.running.prober.probe(live.state(server).spec.id)
    old.mood = "tools"
    live.prefer(old)
    assert (await ask(live, tools=[TOOL])).headers["x-gateway-attempts"] == "1"
    assert old.chats == 2


async def test_thinking_is_dropped_where_the_model_is_known_not_to_think(start: StartGateway, rogue: StartRogue):
    server = await rogue(capabilities=PLAIN)
    live = await start(server)
    answer = await ask(live, reasoning_effort="high")
    assert text(answer) == words()
    assert "think=dropped" in answer.headers["x-gateway-notes"].split(", ")
    assert "think" not in server.chats_heard()[0].json
    assert "think=dropped" in (await live.row())["notes"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_that_refuses_to_think_is_asked_once_more_without(
    start: StartGateway, rogue: StartRogue, stream: bool
):
    server = await rogue(capabilities=PLAIN, quirks=OLD)
    live = await start(server)
    for chats in (2, 3):
        answer = await ask(live, reasoning_effort="high", stream=stream)
        assert answer.status_code == 200
        assert answer.headers["x-gateway-attempts"] == "1"
        assert "think=dropped" in answer.headers["x-gateway-notes"].split(", ")
        assert server.chats == chats
    assert [heard.json.get("think") for heard in server.chats_heard()] == ["high", None, None]


async def test_a_model_that_thinks_is_asked_to(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="think")
    live = await start(server)
    answer = await ask(live, reasoning_effort="low")
    assert "think=" not in answer.headers.get("x-gateway-notes", "")
    assert server.chats_heard()[0].json["think"] == "low"


async def test_logprobs_that_the_server_does_not_give_are_noted(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    answer = await ask(live, logprobs=True)
    assert "logprobs=dropped" in answer.headers["x-gateway-notes"].split(", ")
    assert "logprobs" not in (await ask(live)).headers.get("x-gateway-notes", "")


async def test_the_list_of_models_tells_what_each_is_able_to(start: StartGateway, rogue: StartRogue):
    server = await rogue(quirks=("silent_tags",), capabilities=("completion", "tools"))
    live = await start(server)
    await wait_until(lambda: known(live, server))
    (model,) = (await live.http.get("/v1/models")).json()["data"]
    assert (model["capabilities"], model["context_length"]) == (["completion", "tools"], 4096)
    shows = [heard for heard in server.requests if heard.path == "/api/show"]
    assert [heard.json for heard in shows] == [{"model": "recite:latest"}]


async def test_a_stranger_is_asked_what_an_exposed_model_is_able_to_and_no_other(
    start: StartGateway, rogue: StartRogue
):
    server = await rogue(["exposed", "other"], quirks=("silent_tags",))
    project = {"trust": ["own", "public"]}
    live = await start(
        entry(server, trust="public"), project=project, models=[{"name": "helper", "backend": ["exposed"]}]
    )
    await wait_until(lambda: any(heard.path == "/api/show" for heard in server.requests))
    await live.running.prober.probe(live.state(server).spec.id)
    shows = [heard.json["model"] for heard in server.requests if heard.path == "/api/show"]
    assert shows == ["exposed:latest"]


async def test_it_is_explained_who_lacks_what(start: StartGateway, rogue: StartRogue):
    plain, able = await rogue(capabilities=PLAIN), await rogue(["calls"])
    live = await start(plain, able)

    async def explained(model: str, **query: str) -> dict[str, Any]:
        answer = await live.http.get(f"/admin/api/models/{model}/explain", params=query, headers=live.admin())
        return dict(json.loads(answer.content))

    found = await explained(MODEL, need="tools")
    assert (found["outcome"], found["conclusion"]) == (
        "incapable",
        "Nobody may serve it. The only server that may serve it lacks tools.",
    )
    (row,) = found["data"]
    assert (row["standing"], row["reason"], row["capabilities"]) == ("incapable", "lacks tools", ["completion"])
    assert "tools" in row["lacks"]
    assert (await explained("calls", need="tools"))["outcome"] == "serves"
    assert (await explained(MODEL))["outcome"] == "serves"
    assert (await explained(MODEL, need="wings"))["error"]["param"] == "need"


async def test_a_stranger_cannot_talk_our_own_servers_out_of_what_they_do(start: StartGateway, rogue: StartRogue):
    own = await rogue(mood="tools", quirks=OLD)
    liars = [await rogue(capabilities=PLAIN) for _ in range(3)]
    project = {"trust": ["own", "public"], "public_tools": True}
    live = await start(own, *(entry(liar, trust="public") for liar in liars), project=project)
    for liar in liars:
        assert live.state(liar).spec.trust is Trust.PUBLIC
        live.fleet.apply(FirstToken(live.state(liar).spec.id, MODEL, live.gateway.clock.now(), 0.01))
    answer = await live.chat(OPENAI, tools=[TOOL], messages=HELLO)
    assert (answer.status_code, own.chats) == (200, 1)


@pytest.mark.parametrize("said", ["no such model", "out of memory", "this does not support tools"])
async def test_a_schema_that_a_real_server_quotes_in_its_refusal_puts_it_out_for_nobody(
    start: StartGateway, shared_llama: LlamaServer, said: str
):
    live = await start({"name": "llama", "url": shared_llama.openai_url, "kind": "openai", "trust": "own"})
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": said}}}
    refused = await ask(live, model=shared_llama.model, response_format=wanted)
    assert refused.status_code == 400
    (server,) = live.fleet.servers.values()
    for model in server.models.values():
        assert (model.rest.rests, model.abilities.lacks) == (0, {})
