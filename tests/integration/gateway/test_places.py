"""Places at servers are found out, waited for in turn, raced for when one is slow, and always given back."""

from __future__ import annotations

import asyncio

from llm_gateway.access.policy import Trust
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.upstream.lines import MOST_LINES, Lines
from support.gateway import Live, StartGateway, entry, words
from support.net import wait_until
from support.rogues import StartRogue
from support.served import KEY

ALL = frozenset(Trust)
OTHER = "a-key-of-another-project"


def running(live: Live) -> int:
    return sum(live.gateway.limits.running(project) for project in live.gateway.snapshot.projects)


async def test_more_requests_than_places_are_all_answered_in_turn(start: StartGateway, rogue: StartRogue):
    server = await rogue(rate=200)
    live = await start(entry(server, max_concurrency=2))
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, server.in_flight)
            await asyncio.sleep(0.002)

    watching = asyncio.create_task(watch())
    answers = await asyncio.gather(*(live.chat() for _ in range(12)))
    watching.cancel()
    assert [a.json()["choices"][0]["message"]["content"] for a in answers] == [words()] * 12
    assert 1 <= most <= 2
    assert live.in_flight == 0


async def test_an_unknown_server_is_asked_one_thing_until_it_answers(start: StartGateway, rogue: StartRogue):
    server = await rogue(delay=1.0, rate=1000)
    live = await start(server)
    asking = [asyncio.create_task(live.chat()) for _ in range(5)]
    await wait_until(lambda: running(live) == 5)
    await server.until(lambda s: s.in_flight == 1)
    assert server.chats == 1
    assert [a.status_code for a in await asyncio.gather(*asking)] == [200] * 5
    assert server.chats == 5


async def test_a_loud_project_does_not_keep_others_from_a_busy_model(start: StartGateway, rogue: StartRogue):
    server = await rogue(rate=100)
    projects = [
        {"name": "loud", "keys": [{"name": "k", "value_env": "LLM_TEST_KEY"}]},
        {"name": "quiet", "keys": [{"name": "k", "value_env": "OTHER_KEY"}]},
    ]
    live = await start(entry(server, max_concurrency=1), projects=projects, environ={"OTHER_KEY": OTHER})
    done: list[str] = []

    async def ask(project: str, key: str) -> None:
        answer = await live.chat(headers={"X-API-Key": key})
        assert answer.status_code == 200, answer.text
        done.append(project)

    loud = [asyncio.create_task(ask("loud", KEY)) for _ in range(10)]
    await wait_until(lambda: running(live) == 10)
    await ask("quiet", OTHER)
    assert done.count("loud") <= 4
    await asyncio.gather(*loud)


async def test_who_waits_too_long_for_a_place_is_told_when_to_come_back(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="hang_after_request")
    live = await start(entry(server, max_concurrency=1), timeouts={"total": 20})
    first = asyncio.create_task(live.chat())
    await server.until(lambda s: s.in_flight == 1)
    answer = await live.chat(headers={"X-Request-Timeout": "0.9"})  # a third of it may be spent on waiting
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_timeout")
    assert int(answer.headers["retry-after"]) >= 1
    first.cancel()
    await wait_until(lambda: live.in_flight == 0)


async def test_clients_that_leave_the_queue_leave_nothing_behind(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="hang_after_request")
    live = await start(entry(server, max_concurrency=1))
    waiting = [asyncio.create_task(live.chat()) for _ in range(6)]
    await wait_until(lambda: running(live) == 6)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    await wait_until(lambda: live.in_flight == 0 and running(live) == 0)
    server.mood = "good"
    assert (await live.chat()).status_code == 200


async def test_a_slow_server_is_raced_and_the_loser_is_stopped(start: StartGateway, rogue: StartRogue):
    slow, quick = await rogue(), await rogue(prefix="b")
    live = await start(slow, quick)
    live.prefer(slow)
    slow.mood = "hang_after_request"
    told = await live.stream()
    assert (told.text, told.done, told.headers["x-gateway-attempts"]) == (words(prefix="b"), True, "2")
    await slow.until(lambda s: s.in_flight == 0 and s.aborted == 1, within=1.0)
    assert live.in_flight == 0


async def test_a_server_that_never_says_a_word_is_soon_asked_no_more(start: StartGateway, rogue: StartRogue):
    silent, good = await rogue(), await rogue()
    live = await start(silent, good)
    live.prefer(silent)
    silent.mood = "hang_after_request"
    for _ in range(6):
        assert (await live.stream()).text == words()
    assert silent.chats <= 3
    assert good.chats == 6


async def test_who_pins_a_model_waits_in_the_same_line_as_all_others(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    details = live.gateway.fleet.details("recite")
    assert details is not None
    lines = Lines(live.gateway.drive)
    plain, pinned = (Ask((name,), ALL) for name in ("Recite", f"recite@sha256:{details.digest}"))
    assert lines.of(plain) is lines.of(pinned)


async def test_models_that_nobody_asks_for_any_more_are_forgotten(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    lines = Lines(live.gateway.drive)
    used, unused = Ask(("used",), ALL), Ask(("unused",), ALL)
    line, old = lines.of(used), lines.of(unused)
    line.queue.held("p", 1)
    for n in range(MOST_LINES):
        lines.of(Ask((f"m{n}",), ALL))
    assert lines.of(used) is line
    assert lines.of(unused) is not old
