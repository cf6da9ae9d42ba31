"""The demo fleet: who is in it, what it says, and that it ends."""

from __future__ import annotations

import asyncio

import pytest

from llm_gateway.access.policy import Trust
from llm_gateway.testing.demo import HELLO_MODEL, DemoFleet, sentence
from support.net import Exchange, exchange, http, wait_until
from support.rogues import StartRogue


def asked(text: str) -> dict[str, object]:
    return {"model": HELLO_MODEL, "messages": [{"role": "user", "content": text}]}


async def chat(fleet: DemoFleet, name: str) -> Exchange:
    return await exchange(fleet.rogues[name].port, http("POST", "/api/chat", asked("Hello?")), within=0.5)


async def test_the_fleet_has_good_slow_dead_cutting_and_lying_servers_of_two_trust_classes():
    async with DemoFleet() as fleet:
        assert {server.trust for server in fleet.servers} == {Trust.OWN, Trust.PUBLIC}
        assert all(server.url.startswith("http://127.0.0.1:") and server.kind == "ollama" for server in fleet.servers)
        fleet.rogues["demo-maple"].manner.rate = 10_000
        good = await chat(fleet, "demo-maple")
        assert "demo fleet" in "".join(line["message"]["content"] for line in good.lines)
        assert (await chat(fleet, "demo-slow")).end == "silent"
        assert (await chat(fleet, "demo-lying")).lines[0]["model"] != HELLO_MODEL
        assert b"<html" in (await chat(fleet, "demo-html")).body
        with pytest.raises(ConnectionRefusedError):
            await chat(fleet, "demo-dead")


async def test_no_server_of_the_first_request_breaks_in_mid_answer():
    fleet = DemoFleet()
    holders = [rogue for rogue in fleet.rogues.values() if HELLO_MODEL in rogue.models]
    assert len(holders) >= 4
    assert not any(rogue.mix or rogue.mood.startswith(("cut", "stall", "error")) for rogue in holders)


def test_every_model_has_a_good_server():
    fleet = DemoFleet()
    good = {
        model for rogue in fleet.rogues.values() if rogue.mood == "good" and not rogue.mix for model in rogue.models
    }
    assert {model for rogue in fleet.rogues.values() for model in rogue.models} == good


@pytest.mark.parametrize(("question", "word"), [("What are you?", "demo"), ("¿Quién eres?", "demostración")])
def test_it_answers_in_the_language_of_the_question(question: str, word: str):
    pieces = sentence(asked(question))
    assert len(pieces) > 5
    assert all(piece.startswith(" ") for piece in pieces[1:])
    spoken = "".join(pieces)
    assert spoken == "".join(sentence(asked(question)))
    assert word in spoken or HELLO_MODEL in spoken


async def test_traffic_asks_the_gateway_with_its_key_and_ends_with_the_fleet(rogue: StartRogue):
    gateway = await rogue()
    before = asyncio.all_tasks()
    async with DemoFleet() as fleet:
        fleet.start_traffic(gateway.url, "llmgw_x", every=0.01)
        await gateway.until(lambda g: len(g.requests) >= 4)
    assert {heard.path for heard in gateway.requests} <= {"/v1/chat", "/v1/chat/stream"}
    assert all(heard.headers["x-api-key"] == "llmgw_x" for heard in gateway.requests)
    assert all(heard.json["model"] == HELLO_MODEL for heard in gateway.requests)
    await gateway.until(lambda g: g.open == 0)
    assert asyncio.all_tasks() == before


async def test_traffic_outlives_a_gateway_that_is_away(rogue: StartRogue):
    gateway = await rogue(mood="refuse")
    async with DemoFleet() as fleet:
        fleet.start_traffic(gateway.url, "llmgw_x", every=0.01)
        await wait_until(lambda: fleet.asked >= 2)
        gateway.mood = "good"
        await gateway.until(lambda g: len(g.requests) >= 1)
