"""Servers that cannot be reached, close, reset, say nothing, or speak another language: no client ever notices."""

from __future__ import annotations

import asyncio

import pytest
from trapped import APIS, IMPATIENT, SetTrap, Trap, asked, is_out

from support.gateway import MODEL, StartGateway, entry, words
from support.net import wait_until
from support.rogues import StartRogue

COLD = 5.0
"""Seconds within which the first content comes although the first server is dead and nothing is known of any."""
LONG = {"context_length": 2_000_000}
"""Servers whose context has room for prompts of megabytes."""
WARM = 2.0
"""Seconds beyond what the good server takes (hundredths here), once the dead ones are known."""


async def expect_quick(caught: Trap) -> None:
    """After two meetings nobody waits for the bad servers any more."""
    for seen in await caught.expect_ejected():
        assert seen.seconds <= WARM, seen


async def test_row_01_f01_a_refused_connection_is_invisible(trap: SetTrap):
    caught = await trap("refuse")
    for seen in await caught.expect_exact(met=False):
        assert seen.seconds < COLD
    for bad in caught:
        assert is_out(await caught.standing(bad))
    await expect_quick(caught)


async def test_row_02_f02_a_connection_that_never_comes_about_is_given_up_in_time(trap: SetTrap):
    caught = await trap("connect_hang")
    for seen in await caught.expect_exact(met=False):
        assert seen.seconds < COLD
        assert seen.headers["x-gateway-attempts"] == "2"
    await expect_quick(caught)


async def test_row_03_a_server_that_stays_silent_gets_company(trap: SetTrap):
    await (await trap("accept_silence", "hang_after_request", timeouts=IMPATIENT)).expect_exact()


@pytest.mark.parametrize("mood", ["accept_close", "close_after_request"])
async def test_row_04_f03_an_empty_reply_is_invisible(trap: SetTrap, mood: str):
    caught = await trap(mood)
    for seen in await caught.expect_exact():
        assert seen.seconds < COLD
    await expect_quick(caught)


async def test_f04_a_reset_at_once_is_invisible(trap: SetTrap):
    caught = await trap("accept_rst")
    for seen in await caught.expect_exact():
        assert seen.seconds < COLD
    await expect_quick(caught)


async def test_f05_silence_after_the_connection_costs_less_than_five_seconds(trap: SetTrap):
    caught = await trap("accept_silence", timeout=COLD + 1)
    for seen in await caught.expect_exact():
        assert seen.seconds < COLD
    await expect_quick(caught)


async def test_f06_a_reset_after_the_request_is_invisible(trap: SetTrap):
    caught = await trap("rst_after_request")
    for seen in await caught.expect_exact():
        assert seen.seconds < COLD
    await expect_quick(caught)


async def test_f07_the_banner_of_another_protocol_is_invisible(trap: SetTrap):
    caught = await trap("garbage_banner")
    for seen in await caught.expect_exact():
        assert seen.seconds < COLD
    for bad in caught:
        assert (await caught.standing(bad))["state"] == "quarantined"
    await expect_quick(caught)


@pytest.mark.parametrize("size", [200_000, 3_800_000])
async def test_f08_a_long_prompt_to_a_server_that_never_reads_goes_elsewhere(trap: SetTrap, size: int):
    caught = await trap("no_read", timeouts=IMPATIENT, good=LONG, bad=LONG)
    question = [{"role": "user", "content": "Hello there " * (size // 12)}]
    await caught.expect_exact(messages=question)


async def test_row_05_a_tls_port_spoken_to_in_plain_is_left_for_another_server(trap: SetTrap):
    caught = await trap("tls_port", "tls_alert")
    await caught.expect_exact()
    await caught.expect_ejected()


async def test_row_37_f09_a_kept_connection_found_closed_is_replaced_unseen(start: StartGateway, rogue: StartRogue):
    for api in APIS:
        server = await rogue(mood="stale_keepalive")
        live = await start(server)
        for _ in range(3):
            seen = await asked(live, api, MODEL, api.name)
            seen.expect(words())
            assert seen.headers["x-gateway-attempts"] == "1"
        assert server.chats > 3, "no kept connection was found closed"
        rows = await live.rows(3)
        assert [(row["outcome"], row["attempts"]) for row in rows] == [("ok", 1)] * 3


async def test_row_33_a_late_first_word_is_overtaken_and_the_loser_cancelled(trap: SetTrap):
    caught = await trap("good", bad={"load": 60.0}, timeouts=IMPATIENT)
    await caught.expect_exact()
    assert [bad.aborted for bad in caught] == [1] * len(APIS)


async def test_row_33_the_only_server_may_load_its_model_for_longer_than_any_patience(
    start: StartGateway, rogue: StartRogue
):
    live = await start(await rogue(load=2.0), timeouts={**IMPATIENT, "budget": 1})
    answers = await asyncio.gather(*(asked(live, api, MODEL, api.name) for api in APIS))
    for seen in answers:
        seen.expect(words())
        assert seen.headers["x-gateway-attempts"] == "1"


async def test_row_34_a_proxy_that_keeps_everything_back_is_waited_for(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="buffering_proxy")
    live = await start(server, timeouts={**IMPATIENT, "budget": 1})
    for seen in await asyncio.gather(*(asked(live, api, MODEL, api.name) for api in APIS)):
        seen.expect(words())
    assert (server.answered, server.aborted) == (len(APIS), 0)


@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_row_38_after_a_restart_with_other_models_nothing_is_asked_of_a_server_that_is_not_there(
    start: StartGateway, rogue: StartRogue, kind: str
):
    moved, stayed = await rogue(["recite", "extra"], prefix="b"), await rogue()
    live = await start(entry(moved, kind=kind), entry(stayed, kind=kind))
    live.prefer(moved)
    moved.models = ["newcomer"]
    for api in APIS:
        (await asked(live, api, MODEL, api.name)).expect(words())
    assert moved.chats <= 2
    await live.running.prober.probe(live.state(moved).spec.id)
    (await asked(live, APIS[0], "newcomer", "newcomer")).expect(words(prefix="b"))
    gone = await asked(live, APIS[0], "extra", "extra")
    assert gone.status == 404


async def test_row_38_a_port_taken_by_another_service_is_found_out(start: StartGateway, rogue: StartRogue):
    taken, good = await rogue(prefix="b", everywhere=True), await rogue()
    live = await start(taken, good)
    live.prefer(taken)
    taken.mood = "not_ollama_404"
    for api in APIS:
        (await asked(live, api, MODEL, api.name)).expect(words())
    await live.running.prober.probe(live.state(taken).spec.id)
    await wait_until(lambda: live.state(taken).state(live.gateway.clock.now()) in ("resting", "quarantined"), 2.0)
    assert taken.chats <= 2
