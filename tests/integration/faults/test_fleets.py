"""Servers that come and go, crawl, or are all bad: good answers as long as there is anybody, a typed error in time."""

from __future__ import annotations

import asyncio

import pytest
from trapped import APIS, IMPATIENT, SetTrap, asked

from support.gateway import MODEL, StartGateway, words
from support.rogues import StartRogue

ALL_BAD = (
    *("refuse", "accept_close", "accept_rst", "rst_after_request", "garbage_banner", "html_200", "html_502"),
    *("runner_500", "oom_500", "busy_503", "not_found_model", "empty_done", "redirect", "tls_port", "bad_status_line"),
)
SILENT = ("connect_hang", "accept_silence", "hang_after_request", "slow_headers", "headers_then_stall")
"""Silent on every path: one that still answers lighter questions might be loading its model, and is waited for."""
MOST_ATTEMPTS = 12


async def test_f31_a_stream_that_crawls_moves_to_a_faster_server(trap: SetTrap):
    crawling = {"prefix": "w", "words": 60, "delay": 0.0}  # the first word comes at once
    caught = await trap("degraded", good={"words": 60}, bad=crawling, timeouts={"slow": 3.0})
    for seen in await caught.ask_all():
        seen.expect(words(60))


async def test_f31_a_server_that_crawls_to_its_first_word_is_overtaken(trap: SetTrap):
    caught = await trap("degraded", bad={"words": 1})
    for _ in range(2):
        for seen in await caught.ask_all():
            seen.expect(words())
            assert seen.seconds < 3


async def test_f32_servers_that_come_and_go_are_invisible(trap: SetTrap):
    caught = await trap("flap", "first_n", bad={"prefix": "w", "first_n": 2})
    for _ in range(6):
        for seen in await caught.ask_all():
            seen.expect(words())
    await caught.expect_at_rest()


async def test_f32_a_server_that_cuts_a_third_of_its_answers_is_invisible(trap: SetTrap):
    caught = await trap("partial_35", bad={"prefix": "w", "seed": 1})  # this seed begins with a cut
    for _ in range(4):
        for seen in await caught.ask_all():
            seen.expect(words())


@pytest.mark.parametrize("mood", ["refuse", "html_502"])
async def test_f32_a_server_that_healed_is_in_use_again_within_a_minute(
    start: StartGateway, rogue: StartRogue, mood: str
):
    healing, other = await rogue(), await rogue(delay=0.2)
    live = await start(healing, other)
    live.prefer(healing)
    (await asked(live, APIS[0], MODEL, "in use")).expect(words())
    assert healing.chats == 1
    healing.mood = mood
    for api in APIS:
        (await asked(live, api, MODEL, api.name)).expect(words())
    healing.mood = "good"
    before, turn = healing.chats, 0
    async with asyncio.timeout(60):
        while healing.chats == before:
            turn += 1
            question = [{"role": "user", "content": f"Question {turn}"}]
            for seen in await asyncio.gather(*(asked(live, api, MODEL, api.name, messages=question) for api in APIS)):
                seen.expect(words())


async def test_f33_when_all_are_bad_the_error_is_typed_and_there_is_no_storm(start: StartGateway, rogue: StartRogue):
    servers = [await rogue() for _ in ALL_BAD]
    live = await start(*servers, timeouts={**IMPATIENT, "budget": 3})
    for server, mood in zip(servers, ALL_BAD, strict=True):
        server.mood = mood
    for api in APIS:
        before = sum(server.chats for server in servers)
        (await asked(live, api, MODEL, api.name)).expect_refused(502, 503, 504)
        assert sum(server.chats for server in servers) - before <= MOST_ATTEMPTS
    rows = await live.rows(len(APIS))
    assert {row["outcome"] for row in rows} == {"error"}
    assert max(row["attempts"] for row in rows) <= len(ALL_BAD)
    assert live.in_flight == 0


@pytest.mark.slow
async def test_f33_when_all_are_bad_or_silent_the_error_comes_within_35_seconds(start: StartGateway, rogue: StartRogue):
    moods = (*ALL_BAD[:7], *SILENT * 2)
    servers = [await rogue(everywhere=True) for _ in moods]
    live = await start(*servers, timeout=60.0)
    for server, mood in zip(servers, moods, strict=True):
        server.mood = mood
    answers = await asyncio.gather(*(asked(live, api, MODEL, api.name) for api in APIS))
    for seen in answers:
        seen.expect_refused(429, 502, 503, 504)  # so many at once may fill the queue
        assert seen.seconds <= 35
    assert sum(server.chats for server in servers) <= MOST_ATTEMPTS * len(APIS)
    for server in servers:
        await server.until(lambda s: s.in_flight == 0, within=1.0)
