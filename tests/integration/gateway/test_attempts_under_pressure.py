"""Attempts that race, lose, are lied to or hurried: no place, connection or reputation is lost over them."""

from __future__ import annotations

import asyncio
import json
import random

import httpx
import pytest

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet.attempts import Start
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.upstream.attempt import Attempt
from support.gateway import HELLO, KEY, Live, StartGateway, entry, words
from support.net import wait_until
from support.rogues import StartRogue


def said(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


async def at_rest(live: Live) -> None:
    """Nobody is believed to work on anything, and the transport agrees."""
    stats = live.gateway.drive.transport.stats
    await wait_until(lambda: live.in_flight == 0 and stats().in_flight == 0, 2.0)


async def test_clients_that_leave_while_a_race_is_decided_leave_nothing_behind(start: StartGateway, rogue: StartRogue):
    """The first server is silent, so that a second one wins; clients hang up around the winner's first byte."""
    silent = await rogue(mood="hang_after_request")
    winner = await rogue(delay=0.05, rate=50, words=20)
    live = await start(silent, winner, timeouts={"first_token": 0.1})
    dice = random.Random(7)
    body = json.dumps({"model": "recite", "messages": HELLO}).encode()
    head = f"POST /v1/chat/stream HTTP/1.1\r\nHost: t\r\nX-API-Key: {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"

    async def visit() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", live.port)
        writer.write(head.encode() + body)
        await asyncio.sleep(0.15 + dice.uniform(0.0, 0.02))
        writer.transport.abort()

    for _ in range(20):
        live.prefer(silent)
        await asyncio.gather(*(visit() for _ in range(10)))
    await at_rest(live)
    assert len(await live.rows(200)) == 200
    assert said(await live.chat()) == words(20)


async def test_one_stranger_that_calls_requests_wrong_fails_none(start: StartGateway, rogue: StartRogue):
    liar, good = await rogue(mood="good"), await rogue()
    liar.mood = "caller_400"
    live = await start(entry(liar, trust="public"), good, project={"trust": ["own", "public"]})
    for _ in range(4):
        live.prefer(liar)
        assert said(await live.chat()) == words()
    model = live.state(liar).models["recite:latest"]
    assert (model.failures >= 1, model.rest.last_fault) == (True, FaultKind.SERVER_ERROR)
    assert not live.state(good).models["recite:latest"].failures


async def test_our_own_server_is_believed_when_it_calls_a_request_wrong(start: StartGateway, rogue: StartRogue):
    server, other = await rogue(mood="caller_400"), await rogue()
    live = await start(server, other)
    live.prefer(server)
    answer = await live.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert len(other.chats_heard()) == 0


async def test_max_concurrency_is_kept_when_many_ask_at_once(start: StartGateway, rogue: StartRogue):
    server = await rogue(delay=0.05)
    live = await start(entry(server, max_concurrency=1))
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, live.in_flight)
            await asyncio.sleep(0)

    watcher = asyncio.create_task(watch())
    answers = await asyncio.gather(*(live.chat() for _ in range(10)))
    watcher.cancel()
    assert [said(answer) for answer in answers] == [words()] * 10
    assert most == 1


@pytest.mark.parametrize("mood", ["hang_after_request", "stall_mid"])
async def test_a_caller_in_a_hurry_does_not_rest_the_servers_of_others(
    start: StartGateway, rogue: StartRogue, mood: str
):
    server = await rogue(mood=mood)
    live = await start(server)
    for _ in range(4):
        answer = await live.http.post(
            "/v1/chat/stream", json={"model": "recite", "messages": HELLO}, headers={"X-Request-Timeout": "0.2"}
        )
        assert answer.status_code in (200, 504)
    assert live.state(server).state(live.gateway.clock.now()) == "healthy"
    assert not live.state(server).models["recite:latest"].rest.resting(live.gateway.clock.now())


async def test_an_attempt_given_up_at_its_callers_own_deadline_says_nothing_about_the_server(
    start: StartGateway, rogue: StartRogue
):
    server = await rogue()
    live = await start(server)
    drive, state = live.gateway.drive, live.state(server).models["recite:latest"]
    for total, counts in ((1.5, 0), (None, 1)):
        plan = drive.plan(Ask(("recite",), frozenset(Trust)), total)
        decision = plan.next(drive.clock.now())
        assert isinstance(decision, Start)
        attempt = Attempt(drive, plan, decision.candidate)
        attempt.began -= 2.0
        plan.deadline = drive.clock.now()
        attempt.ended(None)
        assert state.unanswered == counts


async def test_a_flood_of_blanks_is_no_answer_and_does_not_hold_the_others_up(start: StartGateway, rogue: StartRogue):
    server = await rogue(script=lambda _: [" "] * 20_000)
    good = await rogue()
    live = await start(server, good)
    live.prefer(server)
    assert said(await live.chat()) == words()


async def test_a_context_that_is_too_large_for_a_server_is_only_its_callers_trouble(
    start: StartGateway, rogue: StartRogue
):
    server = await rogue(mood="oom_500", context_length=131_072)
    live = await start(server)
    answer = await live.chat(messages=[{"role": "user", "content": "All of this matters. " * 1000}])
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert not live.state(server).models["recite:latest"].failures
    server.mood = "good"
    assert said(await live.chat()) == words()
    assert "num_ctx" not in server.chats_heard()[-1].json.get("options", {})
