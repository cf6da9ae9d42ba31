"""What the fleet spends on trouble is on the metrics page."""

from __future__ import annotations

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from support.gateway import Live, StartGateway, entry, words
from support.net import wait_until
from support.rogues import StartRogue


async def figure(live: Live, name: str, **labels: str) -> float:
    page = (await live.http.get("/metrics", headers=live.admin())).text
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


async def test_a_race_that_is_won_is_counted(start: StartGateway, rogue: StartRogue):
    slow, quick = await rogue(), await rogue()
    live = await start(slow, quick)
    live.prefer(slow)
    assert (await live.stream()).text == words()
    assert await figure(live, "llmgw_races_total") == 0
    slow.mood = "hang_after_request"
    assert (await live.stream()).text == words()
    assert await figure(live, "llmgw_races_total", result="started") == 1
    assert await figure(live, "llmgw_races_total", result="won") == 1


async def test_a_server_whose_answers_are_paid_for_takes_part_in_no_race(start: StartGateway, rogue: StartRogue):
    slow, paid = await rogue(delay=1.5), await rogue()
    live = await start(slow, entry(paid, hedge=False))
    live.prefer(slow)
    assert (await live.stream()).text == words()
    assert await figure(live, "llmgw_races_total") == 0
    assert paid.chats == 0


async def test_those_who_wait_and_those_who_waited_in_vain_are_counted(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="hang_after_request")
    live = await start(entry(server, max_concurrency=1))
    first = asyncio.create_task(live.chat())
    await server.until(lambda s: s.in_flight == 1)
    hurried = asyncio.create_task(live.chat(headers={"X-Request-Timeout": "0.9"}))
    await wait_until(lambda: live.gateway.drive.waiting == 1)
    assert await figure(live, "llmgw_queue_depth") == 1
    assert (await hurried).json()["error"]["code"] == "queue_timeout"
    assert await figure(live, "llmgw_queue_depth") == 0
    assert await figure(live, "llmgw_shed_total", reason="queue_timeout") == 1
    first.cancel()
    await wait_until(lambda: live.in_flight == 0)


async def test_a_stream_that_went_on_elsewhere_is_counted(start: StartGateway, rogue: StartRogue):
    cutting, good = await rogue(words=30, cut_after=12), await rogue(words=30)
    live = await start(cutting, good)
    live.prefer(cutting)
    cutting.mood = "cut_rst"
    told = await live.stream()
    assert told.text == words(30)
    assert await figure(live, "llmgw_stream_resumed_total") == 1


async def test_what_servers_rest_for_is_counted(start: StartGateway, rogue: StartRogue):
    html, good = await rogue(mood="html_200", everywhere=True), await rogue()
    live = await start(html, good)
    assert await figure(live, "llmgw_resting", scope="server", fault="not_the_protocol") == 1
    assert await figure(live, "llmgw_resting") == 1
