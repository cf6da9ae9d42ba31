"""Heads without end and whole answers that are none: told apart before the first word, so that no client notices."""

from __future__ import annotations

import asyncio

import pytest
from trapped import APIS, IMPATIENT, SetTrap, asked, is_out, standing
from vitals import Vitals

from llm_gateway.testing.moods import replies
from support.gateway import MODEL, StartGateway, words
from support.rogues import StartRogue

ENDLESS_HEADS = ("slow_loris", "slow_headers", "endless_100", "endless_1xx")
LARGE_HEADS = ("header_flood", "big_header", "megabyte_head")


@pytest.mark.parametrize("heads", [ENDLESS_HEADS, LARGE_HEADS], ids=["endless", "large"])
async def test_row_06_heads_without_end_or_measure_are_cut_short(trap: SetTrap, vitals: Vitals, heads: tuple[str, ...]):
    caught = await trap(*heads, timeouts=IMPATIENT)
    await caught.expect_exact()
    vitals.expect_calm()


async def test_row_07_a_page_in_place_of_an_answer_never_reaches_a_client(trap: SetTrap):
    caught = await trap("html_200", "html_as_json")
    await caught.expect_exact()
    for bad in caught:
        assert (await caught.standing(bad))["state"] == "quarantined"
    await caught.expect_ejected()


async def test_row_08_f14_redirects_are_never_followed(trap: SetTrap, rogue: StartRogue):
    canary = await rogue()
    caught = await trap("redirect", "redirect_loop", "redirect_internal", bad={"redirect_to": f"{canary.url}/api/chat"})
    await caught.expect_exact()
    assert canary.connections == 0
    for bad in caught:
        assert bad.chats == 1
    await caught.expect_ejected()
    assert canary.connections == 0


async def test_row_09_a_server_that_wants_a_password_is_left_alone_for_long(trap: SetTrap):
    caught = await trap("unauthorized_401", "unauthorized_html", "forbidden_403")
    await caught.expect_exact()
    for bad in caught:
        told = await caught.standing(bad)
        assert max(m["rests_for_s"] or 0 for m in told["model_list"]) > 300 or told["state"] == "quarantined"
    await caught.expect_ejected()


@pytest.mark.parametrize("statuses", [(502, 503, 504), (520, 521, 522), (523, 524, 530)])
async def test_row_10_the_error_pages_of_proxies_are_invisible(trap: SetTrap, statuses: tuple[int, ...]):
    assert {*statuses} <= {502, *replies.PAGES}
    caught = await trap(*(f"html_{status}" for status in statuses))
    await caught.expect_exact()
    await caught.expect_ejected()


async def test_row_11_a_model_that_only_the_list_has_is_asked_for_elsewhere(trap: SetTrap):
    caught = await trap("not_found_model")
    await caught.expect_exact()
    await caught.expect_ejected()


async def test_row_12_another_service_behind_the_port_is_found_out(trap: SetTrap):
    caught = await trap("not_ollama_404")
    await caught.expect_exact()
    for bad in caught:
        assert (await caught.standing(bad))["state"] == "quarantined"
    await caught.expect_ejected()


async def test_row_13_a_runner_that_dies_is_invisible(trap: SetTrap):
    caught = await trap("runner_500", "oom_500", "cuda_500")
    await caught.expect_exact()
    await caught.expect_ejected()


async def test_row_14_a_full_queue_sends_the_request_elsewhere_and_ejects_nobody(trap: SetTrap):
    caught = await trap("busy_503", "loading_503")
    await caught.expect_exact()
    for bad in caught:
        assert not is_out(await caught.standing(bad))


async def test_row_15_an_error_told_with_status_200_is_still_an_error(trap: SetTrap):
    caught = await trap("json_error_200", bad={"version": "0.12.5"})
    await caught.expect_exact()
    await caught.expect_ejected()


async def test_row_23_an_answer_without_words_is_none(trap: SetTrap):
    caught = await trap("empty_done", "empty_stream")
    await caught.expect_exact()
    await caught.expect_ejected()


async def test_row_23_thoughts_without_an_answer_are_none(trap: SetTrap):
    caught = await trap("think_only")
    for seen in await caught.ask_all():
        if seen.streams:  # the thoughts were shown already, and a phase of thinking is never resumed
            seen.expect_lost("")
        else:
            seen.expect(words())
            assert seen.thinking == ""
    await caught.expect_at_rest()


async def test_row_23_thoughts_up_to_the_callers_own_limit_end_as_length(trap: SetTrap):
    for seen in await (await trap("think_to_limit")).ask_all(max_tokens=5):
        seen.expect("", finish="length")
        assert seen.thinking == " The user asks politely."


async def test_row_24_loaded_and_unloaded_are_no_answers(trap: SetTrap):
    caught = await trap("done_load", "done_unload")
    await caught.expect_exact()
    await caught.expect_ejected()


async def test_f10_a_server_that_begins_and_stops_is_overtaken_within_seconds(trap: SetTrap):
    caught = await trap("slow_headers", "headers_then_stall", "hang_after_request", timeout=6.0)
    for seen in await caught.expect_exact():
        assert seen.seconds < 5.0
    assert [bad.aborted for bad in caught] == [1] * len(caught.cases)


async def test_f10_the_loser_of_a_race_is_cancelled_at_once(trap: SetTrap):
    caught = await trap("slow_headers", "headers_then_stall", "hang_after_request", timeouts=IMPATIENT)
    await caught.expect_exact()
    assert [(bad.answered, bad.aborted) for bad in caught] == [(0, 1)] * len(caught.cases)


async def test_f10_a_server_that_stops_after_every_head_counts_as_dead(start: StartGateway, rogue: StartRogue):
    server = await rogue(everywhere=True)
    live = await start(server, timeouts={**IMPATIENT, "budget": 1, "total": 9})
    server.mood = "headers_then_stall"
    answers = await asyncio.gather(*(asked(live, api, MODEL, api.name) for api in APIS))
    for seen in answers:  # of a server that is not known yet, one request finds out; the others wait their turn
        seen.expect_refused(429, 503, 504)
        assert seen.seconds < 10
    assert 504 in {seen.status for seen in answers}
    assert live.in_flight == 0


async def test_f11_nothing_that_only_looks_like_an_answer_reaches_a_client(trap: SetTrap):
    caught = await trap("html_200", "html_502", "json_error_200", "empty_stream", "empty_done", "done_load")
    await caught.expect_exact()
    await caught.expect_ejected()


async def test_f12_what_one_model_cannot_do_ejects_that_model_only(start: StartGateway, rogue: StartRogue):
    moods = ("not_found_model", "runner_500", "oom_500", "unauthorized_401", "forbidden_403")
    good = await rogue([*moods, "fine"])
    bad = await rogue([*moods, "fine"], prefix="b", moods={mood: mood for mood in moods})
    live = await start(good, bad)
    for model in (*moods, "fine"):
        live.prefer(bad, model)
    for api in APIS:
        for model in moods:
            (await asked(live, api, model, f"{api.name} {model}")).expect(words())
        (await asked(live, api, "fine", api.name)).expect(words(prefix="b"))
    assert len(bad.chats_heard()) <= 2 * len(moods) + len(APIS)
    assert bad.chats_heard()[-1].json["model"].startswith("fine")


async def test_f13_busy_servers_eject_nobody_and_are_asked_again_soon(trap: SetTrap):
    caught = await trap("busy_503", "too_many_429")
    await caught.expect_exact()
    for bad in caught:
        assert not is_out(await caught.standing(bad))
        bad.mood = "good"
    caught.good.mood = "refuse"
    for case in caught.cases:
        if case.mood == "busy_503":  # the others said how long they will be
            (await caught.ask(case)).expect(words(prefix="b"))


@pytest.mark.parametrize("mood", ["busy_503", "too_many_429"])
async def test_f13_a_busy_server_is_given_half_of_what_it_had(start: StartGateway, rogue: StartRogue, mood: str):
    for api in APIS:
        server, other = await rogue(words=40, rate=80), await rogue(words=40)
        live = await start(server, other)
        live.prefer(server)
        slots = live.state(server).models["recite:latest"].slots
        slots.limit = 8
        running = [asyncio.create_task(asked(live, api, MODEL, api.name)) for _ in range(3)]
        await server.until(lambda s: s.in_flight == 3)
        server.mood = mood
        (await asked(live, api, MODEL, api.name)).expect(words(40))
        told = await standing(live, server)
        assert (told["model_list"][0]["limit"], is_out(told)) == (2, False), "half of the four at a time"
        for seen in await asyncio.gather(*running):
            seen.expect(words(40))


@pytest.mark.slow
@pytest.mark.parametrize("mood", ["busy_503", "too_many_429"])
async def test_f13_when_all_are_busy_the_client_is_told_when_to_come_back(
    start: StartGateway, rogue: StartRogue, mood: str
):
    live = await start(await rogue(mood=mood), await rogue(mood=mood), timeouts={"total": 9})  # a third of it to wait
    for seen in await asyncio.gather(*(asked(live, api, MODEL, api.name) for api in APIS)):
        seen.expect_refused(429, 503)
