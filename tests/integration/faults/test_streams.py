"""Answers that break after they began: continued by another server so that no word is lost or doubled, or ended by one
typed error. Never a silent end.

Every server knows the same words here, so a continuation is right when the text is.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from trapped import APIS, IMPATIENT, NEVER_CONTINUE, SetTrap, Trap, asked

from support.gateway import MODEL, StartGateway, words
from support.rogues import StartRogue

SAME_VOICE = {"prefix": "w"}


async def cut_off(trap: SetTrap, *moods: str, **settings: object) -> Trap:
    return await trap(*moods, bad=SAME_VOICE, timeouts=IMPATIENT, **settings)


# continued


async def test_row_16_f24_an_error_in_the_middle_is_continued_elsewhere(trap: SetTrap):
    await (await cut_off(trap, "error_mid")).expect_exact()


async def test_row_17_f21_a_clean_end_without_the_terminal_frame_is_continued_elsewhere(trap: SetTrap):
    await (await cut_off(trap, "cut_clean_eof")).expect_exact()


async def test_row_18_f20_a_cut_within_a_line_or_a_character_is_continued_elsewhere(trap: SetTrap):
    await (await cut_off(trap, "cut_mid_line", "cut_mid_char", "cut_mid_escape")).expect_exact()


async def test_row_19_f22_a_body_shorter_than_promised_is_continued_elsewhere(trap: SetTrap):
    await (await cut_off(trap, "length_short", "cut_no_terminator", "bad_chunk")).expect_exact()


async def test_f23_a_reset_in_the_middle_is_continued_elsewhere(trap: SetTrap):
    await (await cut_off(trap, "cut_rst")).expect_exact()


async def test_f25_a_frame_that_is_not_json_is_continued_elsewhere(trap: SetTrap):
    await (await cut_off(trap, "bad_json_mid")).expect_exact()


async def test_row_20_f26_an_answer_that_falls_silent_is_continued_elsewhere(trap: SetTrap):
    for seen in await (await cut_off(trap, "stall_mid", "blank_mid")).expect_exact():
        assert IMPATIENT["stall"] <= seen.seconds < IMPATIENT["stall"] + 3, seen


async def test_f26_frames_without_words_are_no_progress(trap: SetTrap):
    for seen in await (await cut_off(trap, "endless_blank")).expect_exact():
        assert seen.seconds < IMPATIENT["stall"] + 3, seen


async def test_f29_whoever_continues_no_word_comes_twice(trap: SetTrap):
    await (await cut_off(trap, "cut_rst", good={"prefill": "continue", "renders": False})).expect_exact()


@pytest.mark.parametrize("renders", [True, False])
async def test_f29_servers_that_begin_again_or_refuse_are_passed_by(
    start: StartGateway, rogue: StartRogue, renders: bool
):
    models = [api.name for api in APIS]
    cutting = await rogue(models, renders=renders)
    restarting = await rogue(models, prefill="restart", renders=renders, version="0.11.1")
    repeating = await rogue(models, prefill="repeat", renders=renders, version="0.11.2")
    rejecting = await rogue(models, prefill="reject", renders=renders, version="0.11.3")
    continuing = await rogue(models, prefill="continue", renders=renders, version="0.11.4")
    live = await start(cutting, restarting, repeating, rejecting, continuing, timeouts=IMPATIENT)
    for model in models:
        live.prefer(cutting, model)
    cutting.mood = "cut_rst"
    for seen in await asyncio.gather(*(asked(live, api, api.name, api.name) for api in APIS)):
        seen.expect(words())


async def test_f29_when_nobody_can_continue_the_end_is_typed(start: StartGateway, rogue: StartRogue):
    models = [api.name for api in APIS]
    cutting = await rogue(models, version="0.11.1", renders=False)
    others = [await rogue(models, prefill=how, version="0.11.1", renders=False) for how in ("restart", "reject")]
    live = await start(cutting, *others, timeouts=IMPATIENT)
    for model in models:
        live.prefer(cutting, model)
    cutting.mood = "cut_rst"
    for seen in await asyncio.gather(*(asked(live, api, api.name, api.name) for api in APIS)):
        if seen.streams:
            seen.expect_lost(words(3))
        else:
            seen.expect(words())


async def test_f29_a_continuation_keeps_to_the_callers_limit(trap: SetTrap):
    caught = await cut_off(trap, "cut_rst")
    for seen in await caught.ask_all(max_tokens=6):
        seen.expect(words(6), finish="length")


async def test_f29_an_answer_may_be_continued_more_than_once(start: StartGateway, rogue: StartRogue):
    models = [api.name for api in APIS]
    cutting = [await rogue(models) for _ in range(3)]
    good = await rogue(models)
    live = await start(*cutting, good, timeouts=IMPATIENT)
    for server in cutting:
        server.mood = "cut_rst"
        for model in models:
            live.prefer(server, model)
    for seen in await asyncio.gather(*(asked(live, api, api.name, api.name) for api in APIS)):
        seen.expect(words())


# not continued, by the client's wish or because nobody is there


@pytest.mark.parametrize("kind", ["ollama", "openai"])
@pytest.mark.parametrize(
    "moods",
    [
        ("cut_mid_line", "cut_clean_eof", "cut_no_terminator", "cut_rst"),
        ("error_mid", "bad_json_mid", "stall_mid", "blank_mid"),
        ("cut_mid_char", "cut_mid_escape", "length_short", "bad_chunk"),
    ],
)
async def test_f20_to_f26_a_client_that_wants_no_continuation_gets_one_typed_error(
    trap: SetTrap, kind: str, moods: tuple[str, ...]
):
    caught = await cut_off(trap, *moods, kind=kind)
    for seen in await caught.ask_all(NEVER_CONTINUE):
        if seen.streams:
            seen.expect_lost(words(3))
            assert seen.error is not None
            assert seen.error["delivered_tokens"] == 3
        else:
            seen.expect(words())
    await caught.expect_rows("ok", "error")
    await caught.expect_at_rest()


@pytest.mark.parametrize(
    "mood", ["cut_mid_line", "cut_clean_eof", "cut_rst", "error_mid", pytest.param("stall_mid", marks=pytest.mark.slow)]
)
async def test_f20_to_f26_when_nobody_is_left_the_end_is_typed(start: StartGateway, rogue: StartRogue, mood: str):
    only = await rogue(mood=mood)
    live = await start(only, timeouts={**IMPATIENT, "budget": 1.5, "total": 9})
    for seen in await asyncio.gather(*(asked(live, api, MODEL, f"{api.name} {mood}") for api in APIS)):
        if seen.streams and seen.status == 200:
            seen.expect_lost()
            assert words().startswith(seen.text)
        else:
            seen.expect_refused(429, 502, 503, 504)
    await only.until(lambda s: s.in_flight == 0, within=1.0)


async def test_row_25_an_answer_that_is_never_called_finished_is_not_sold_as_one(trap: SetTrap):
    caught = await cut_off(trap, "done_false")
    for seen in await caught.ask_all():
        if seen.error is None:
            seen.expect(words())
        else:
            assert seen.streams
            seen.expect_lost(words())


# without end


@pytest.mark.parametrize("mood", ["endless", "think_forever"])
async def test_row_21_f27_an_answer_without_end_is_ended_and_the_server_freed(
    start: StartGateway, rogue: StartRogue, mood: str
):
    server = await rogue(mood=mood)
    live = await start(server, timeouts={**IMPATIENT, "total": 1})
    for seen in await asyncio.gather(*(asked(live, api, MODEL, api.name) for api in APIS)):
        if seen.streams:
            seen.expect_lost()
        else:
            seen.expect_refused(504)
        assert seen.seconds < 5
    await server.until(lambda s: s.in_flight == 0, within=1.0)
    assert server.aborted >= len(APIS)
    assert live.in_flight == 0


async def test_row_21_f27_a_server_that_ignores_the_callers_limit_is_stopped_there(
    start: StartGateway, rogue: StartRogue
):
    server = await rogue(mood="endless")
    live = await start(server, timeouts={**IMPATIENT, "total": 3})
    for seen in await asyncio.gather(*(asked(live, api, MODEL, api.name, max_tokens=20) for api in APIS)):
        seen.expect(words() * 2, finish="length")
    await server.until(lambda s: s.in_flight == 0, within=1.0)


async def test_f27_an_answer_without_end_is_cut_at_the_gateways_own_limit(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="endless")
    writer = {"name": "writer", "backend": [MODEL], "params": {"max_tokens": 30}}
    live = await start(server, models=[writer], max_tokens=20, timeouts={**IMPATIENT, "total": 3})
    for model, most, limits in ((MODEL, 2, {}), (MODEL, 2, {"max_tokens": 1000}), ("writer", 3, {"max_tokens": 1000})):
        for seen in await asyncio.gather(*(asked(live, api, model, api.name, **limits) for api in APIS)):
            seen.expect(words() * most, finish="length")
    sent = {(heard.json.get("options") or {}).get("num_predict") for heard in server.chats_heard()}
    assert sent == {None, 20, 30}
    await server.until(lambda s: s.in_flight == 0, within=1.0)


async def test_f27_thinking_without_end_has_a_clock_of_its_own(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="think_forever", rate=50)
    live = await start(server, timeouts={**IMPATIENT, "total": 20})
    live.gateway.drive.clocks = replace(live.gateway.drive.clocks, thinking=1.0)
    for seen in await asyncio.gather(*(asked(live, api, MODEL, api.name) for api in APIS)):
        if seen.status == 200:
            seen.expect_lost("")
            assert seen.thinking
        else:
            seen.expect_refused(429, 502, 503, 504)
        assert seen.seconds < 10, seen
    rows = await live.rows(len(APIS))
    assert {row["outcome"] for row in rows} <= {"error", "shed"}
    assert max(row["latency_ms"] for row in rows) >= 1000
    await server.until(lambda s: s.in_flight == 0, within=1.0)


async def test_row_22_a_model_that_babbles_is_stopped_long_before_the_token_cap(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="babble")
    live = await start(server, timeouts={**IMPATIENT, "total": 3})
    answers = await asyncio.gather(*(asked(live, api, MODEL, api.name) for api in APIS))
    for seen in answers:
        assert len(seen.text) <= 1000
        assert seen.seconds < 2
        if seen.status == 200:
            seen.expect_lost()
        else:
            seen.expect_refused(502, 503)  # one that comes last may find the model at rest
    assert any(seen.status == 200 for seen in answers)
    await server.until(lambda s: s.in_flight == 0, within=1.0)


async def test_row_22_babble_that_nobody_has_seen_is_asked_for_elsewhere(trap: SetTrap):
    for seen in await (await trap("babble")).ask_all():
        if seen.streams:
            seen.expect_lost()
        else:
            seen.expect(words())


async def test_row_22_a_model_that_babbles_is_bounded_in_time(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="babble")
    live = await start(server, timeouts={**IMPATIENT, "total": 1})
    for seen in await asyncio.gather(*(asked(live, api, MODEL, api.name) for api in APIS)):
        assert seen.error is not None or seen.finish == "length", seen
        assert set(seen.text) <= {"G"}
        assert seen.seconds < 8
    await server.until(lambda s: s.in_flight == 0, within=1.0)


# strange wrappings


async def test_row_30_other_labels_line_ends_and_marks_are_read_through(trap: SetTrap):
    caught = await trap("text_plain", "labelled_json", "crlf", "byte_order_mark", "no_metrics")
    for seen in await caught.ask_all():
        seen.expect(words(prefix="b"))
        assert seen.headers["x-gateway-attempts"] == "1"
    await caught.expect_rows("ok")


async def test_row_30_events_on_ollamas_path_are_read_or_asked_for_elsewhere(trap: SetTrap):
    caught = await trap("sse_on_api_chat")
    for seen in await caught.ask_all():
        seen.expect(words(prefix="b") if seen.text.startswith(" b") else words())


@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_row_31_f28_characters_split_anywhere_arrive_whole(trap: SetTrap, kind: str):
    for seen in await (await trap("utf8_split", kind=kind)).ask_all():
        seen.expect(" b000 é€🙂" + words(prefix="b")[10:])


async def test_row_31_f28_bytes_that_are_no_characters_never_arrive(trap: SetTrap):
    caught = await cut_off(trap, "invalid_utf8")
    await caught.expect_exact()
    for bad in caught:
        assert (await caught.standing(bad))["state"] == "quarantined"


async def test_row_31_f28_bytes_that_are_no_characters_end_an_answer_that_may_not_be_continued(trap: SetTrap):
    for seen in await (await cut_off(trap, "invalid_utf8")).ask_all(NEVER_CONTINUE):
        if seen.streams:
            seen.expect_lost(words(1))
        else:
            seen.expect(words())


@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_row_32_what_follows_the_end_is_not_heard(trap: SetTrap, kind: str):
    caught = await trap("two_dones", "late_frames", kind=kind)
    for _ in range(2):
        for seen in await caught.ask_all():
            seen.expect(words(prefix="b"))
