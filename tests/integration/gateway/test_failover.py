"""Before the first content every failure of a server is invisible; after it nothing is ever lost, doubled or silent.

One story per mood of the misbehaving server. It is asked first, certainly: the good one was seen to be slower.
"""

from __future__ import annotations

import asyncio

import pytest

from llm_gateway.testing.rogue import Rogue
from support.gateway import HELLO, Live, StartGateway, entry, live_fleet, words
from support.rogues import StartRogue

# fmt: off
AT_ONCE = (
    "refuse", "accept_close", "accept_rst", "garbage_banner", "close_after_request", "rst_after_request",
    "header_flood", "big_header", "bad_status_line", "html_200", "html_502", "json_error_200", "empty_stream",
    "empty_done", "done_load", "not_found_model", "runner_500", "oom_500", "unauthorized_401", "forbidden_403",
    "too_many_429", "busy_503", "redirect", "tls_port", "gzip_body", "giant_line", "nested_json", "wrong_model",
)
"""Moods that show themselves before the first content."""
SILENT = (
    "accept_silence", "hang_after_request", "slow_headers", "headers_then_stall", "endless_100", "endless_blank",
)
"""Moods that never come to their first content."""
CUT = (
    "bad_chunk", "length_short", "cut_clean_eof", "cut_no_terminator", "cut_mid_line", "cut_rst", "error_mid",
    "bad_json_mid", "done_false", "stall_mid", "invalid_utf8",
)
"""Moods that begin well."""
FINE = ("good", "think", "utf8_split", "stale_keepalive")
"""Moods that are answers, if only just."""
# fmt: on
IMPATIENT = {"connect": 1, "head": 0.5, "first_token": 0.5, "stall": 5, "write": 2, "budget": 6, "total": 20}


class Traps:
    """A gateway in front of a good server that holds the models "one" and "two", and of two bad ones (voice "b") that
    hold one of them each: whoever asks for that model gets the bad one first."""

    def __init__(self, live: Live, good: Rogue, one: Rogue, two: Rogue) -> None:
        self.live, self.good, self.bad = live, good, (one, two)


async def traps(start: StartGateway, rogue: StartRogue, mood: str, **settings: object) -> Traps:
    good, one, two = await rogue(["one", "two"]), await rogue(["one"], prefix="b"), await rogue(["two"], prefix="b")
    live = await start(good, one, two, **settings)
    live.prefer(one, "one")
    live.prefer(two, "two")
    one.mood = two.mood = mood
    return Traps(live, good, one, two)


@pytest.mark.parametrize("mood", AT_ONCE)
async def test_a_failure_before_the_first_content_is_invisible(start: StartGateway, rogue: StartRogue, mood: str):
    set_up = await traps(start, rogue, mood)
    told = await set_up.live.stream(model="one")
    assert (told.status, told.text, told.error, told.done) == (200, words(), None, True)
    answer = await set_up.live.chat(model="two")
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == words()
    for headers in (told.headers, answer.headers):
        assert headers["x-gateway-attempts"] == "2", "the bad server was not asked first"
    assert set_up.good.chats == 2
    for bad in set_up.bad:
        assert all(heard.path != "/elsewhere" for heard in bad.requests), "a redirect was followed"
    for row in await set_up.live.rows(2):
        assert (row["status"], row["outcome"], row["attempts"], row["tokens_output"]) == (200, "ok", 2, 10)
    assert set_up.live.in_flight == 0


@pytest.mark.parametrize("mood", SILENT)
async def test_a_server_that_stays_silent_gets_company_and_the_answer_is_exact(
    start: StartGateway, rogue: StartRogue, mood: str
):
    set_up = await traps(start, rogue, mood, timeouts=IMPATIENT)
    told = await set_up.live.stream(model="one")
    assert (told.status, told.text, told.error, told.done) == (200, words(), None, True)
    answer = await set_up.live.chat(model="two")
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == words()
    assert set_up.good.chats == 2
    for bad in set_up.bad:
        await bad.until(lambda s: s.in_flight == 0, within=1.0)
    assert set_up.live.in_flight == 0


@pytest.mark.parametrize("mood", CUT)
async def test_an_answer_that_breaks_is_asked_for_again_or_ends_in_one_typed_error(
    start: StartGateway, rogue: StartRogue, mood: str
):
    set_up = await traps(start, rogue, mood, timeouts={"stall": 1.0} if mood == "stall_mid" else {})
    told = await set_up.live.stream(model="one", headers={"X-Gateway-Continue": "never"})
    assert (told.status, told.done) == (200, False)
    assert told.error is not None
    assert (told.error["code"], told.error["retryable"]) == ("upstream_stream_lost", True)
    assert told.text == words({"done_false": 10, "invalid_utf8": 1}.get(mood, 3), prefix="b")
    if mood != "done_false":  # its ten words come in one piece
        assert told.error["delivered_tokens"] == len(told.text.split())
    assert set_up.good.chats == 0

    answer = await set_up.live.chat(model="two")
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == words()
    assert answer.json()["usage"]["completion_tokens"] == 10
    assert set_up.good.chats == 1

    lost, whole = await set_up.live.rows(2)
    assert (lost["status"], lost["outcome"], lost["error_code"]) == (502, "error", "upstream_stream_lost")
    assert lost["tokens_output"] == told.error["delivered_tokens"]
    assert (whole["status"], whole["outcome"], whole["attempts"], whole["tokens_output"]) == (200, "ok", 2, 10)
    assert set_up.live.in_flight == 0


@pytest.mark.parametrize("mood", FINE)
async def test_strange_but_whole_answers_are_passed_on_exactly(start: StartGateway, rogue: StartRogue, mood: str):
    live = await start(await rogue(mood=mood))
    expected = " w000 é€🙂" + words()[10:] if mood == "utf8_split" else words()
    for _ in range(2):
        told = await live.stream()
        assert (told.text, told.done) == (expected, True)
        answer = await live.chat()
        assert answer.json()["choices"][0]["message"]["content"] == expected


async def test_events_on_ollamas_path_are_read_or_asked_for_elsewhere(start: StartGateway, rogue: StartRogue):
    told = await (await traps(start, rogue, "sse_on_api_chat")).live.stream(model="one")
    assert told.done
    assert told.text in (words(prefix="b"), words())


@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_a_model_on_another_kind_of_server_is_a_twin(start: StartGateway, rogue: StartRogue, kind: str):
    bad, good = await rogue(prefix="b"), await rogue()
    other = "openai" if kind == "ollama" else "ollama"
    live = await start(entry(bad, kind=kind), entry(good, kind=other))
    live.prefer(bad)
    bad.mood = "runner_500"
    told = await live.stream()
    assert (told.text, told.done, told.headers["x-gateway-attempts"]) == (words(), True, "2")


async def test_the_next_model_of_an_exposure_answers_when_nobody_with_the_first_does(
    start: StartGateway, rogue: StartRogue
):
    first, second = await rogue(["big"], prefix="b"), await rogue(["small"])
    live = await start(first, second, models=[{"name": "smart", "backend": ["big", "small"]}])
    answer = await live.chat(model="smart")
    assert answer.json()["model"] == "big:latest"
    first.mood = "oom_500"
    answer = await live.chat(model="smart")
    assert (answer.status_code, answer.json()["model"]) == (200, "small:latest")
    assert answer.json()["choices"][0]["message"]["content"] == words()


async def test_a_resting_server_is_not_asked_again_at_once(start: StartGateway, rogue: StartRogue):
    set_up = await traps(start, rogue, "html_200")
    for _ in range(5):
        assert (await set_up.live.stream(model="one")).text == words()
    assert set_up.bad[0].chats == 1


@pytest.mark.parametrize("mood", ["refuse", "html_200", "runner_500", "busy_503", "not_found_model", "cut_rst"])
async def test_when_nobody_can_answer_the_error_is_typed_and_names_no_server(
    start: StartGateway, rogue: StartRogue, mood: str
):
    one, two = await rogue(), await rogue()
    live = await start(one, two)
    one.mood = two.mood = mood
    answer = await live.chat()
    assert answer.status_code in (502, 503)
    error = answer.json()["error"]
    assert error["code"] in ("upstream_error", "no_healthy_upstream")
    assert error["retryable"] is True
    assert answer.headers["x-should-retry"] == "false"
    assert int(answer.headers["retry-after"]) >= 1
    for secret in ("127.0.0.1", str(one.port), str(two.port), "ollama-", "http://", "Traceback", "nginx", "runner"):
        assert secret not in answer.text
        assert secret not in str(answer.headers)
    row = await live.row()
    assert (row["status"], row["outcome"], row["error_code"]) == (answer.status_code, "error", error["code"])
    assert row["attempts"] == 2


async def test_when_all_are_silent_the_request_ends_within_its_budget(start: StartGateway, rogue: StartRogue):
    one, two = await rogue(), await rogue()
    live = await start(one, two, timeouts={**IMPATIENT, "budget": 1.5, "total": 3})
    one.mood = two.mood = "accept_silence"
    began = live.gateway.clock.now()
    answer = await live.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    assert live.gateway.clock.now() - began < 6
    for server in (one, two):
        await server.until(lambda s: s.in_flight == 0, within=1.0)
    assert live.in_flight == 0


async def test_a_logical_model_that_nobody_holds_is_unavailable_not_unknown(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), models=[{"name": "smart", "backend": ["nobody-has-this"]}])
    answer = await live.chat(model="smart")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_healthy_upstream")
    assert (await live.row())["model"] == "smart"


async def test_a_server_that_is_switched_off_finishes_what_it_has_and_gets_nothing_new(
    start: StartGateway, rogue: StartRogue
):
    old, new = await rogue(rate=20, words=15, prefix="b"), await rogue()
    live = await start(new)
    added = {"name": "old", "url": old.url, "kind": "ollama", "trust": "own"}
    assert (await live.http.post("/admin/api/servers", json=added, headers=live.admin())).status_code == 201
    await live_fleet(live)
    live.prefer(old)
    stream = asyncio.create_task(live.stream())
    await old.until(lambda s: s.in_flight == 1)
    switched = await live.http.post("/admin/api/servers/old/disable", headers=live.admin())
    assert switched.status_code == 200, switched.text
    for _ in range(3):
        assert (await live.stream()).text == words()
    assert ((await stream).text, old.chats) == (words(15, "b"), 1)


async def test_a_server_is_never_asked_more_at_a_time_than_its_owner_allows(start: StartGateway, rogue: StartRogue):
    server = await rogue(rate=200)
    live = await start(entry(server, max_concurrency=2))
    asking = asyncio.gather(*(live.chat() for _ in range(12)))
    most = 0
    while not asking.done():
        most = max(most, server.in_flight, live.in_flight)
        await asyncio.sleep(0.005)
    assert [a.json()["choices"][0]["message"]["content"] for a in await asking] == [words()] * 12
    assert most == 2


async def test_a_client_may_give_a_request_less_time(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="hang_after_request")
    live = await start(server)
    answer = await live.chat(headers={"X-Request-Timeout": "0.3"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    await server.until(lambda s: s.in_flight == 0, within=1.0)


async def test_a_stream_has_no_more_time_than_a_request_has(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="endless")
    live = await start(server, timeouts={"total": 0.5})
    told = await live.stream()
    assert not told.done
    assert told.error is not None
    assert told.error["code"] == "upstream_stream_lost"
    await server.until(lambda s: s.in_flight == 0, within=1.0)


async def test_the_callers_own_mistake_is_not_carried_to_every_server(start: StartGateway, rogue: StartRogue):
    one, two = await rogue(), await rogue()
    live = await start(one, two)
    answer = await live.chat(messages=[*HELLO, {"role": "user", "content": [{"type": "video"}]}])
    assert answer.status_code == 400
    assert one.chats + two.chats == 0


async def test_a_callers_own_stop_string_may_come_first_and_nobody_is_blamed_for_it(
    start: StartGateway, rogue: StartRogue
):
    """A Rogue begins every word with a blank."""
    servers = [await rogue(), await rogue()]
    live = await start(*servers)
    for _ in range(4):
        answer = await live.chat("/v1/chat/completions", stop=[" "])
        assert answer.status_code == 200
        assert answer.json()["choices"][0] == {
            "index": 0, "message": {"role": "assistant", "content": "", "refusal": None}, "finish_reason": "stop",
            "logprobs": None,
        }  # fmt: skip
        told = await live.stream(stop=" ")
        assert (told.status, told.text, told.error, told.done) == (200, "", None, True)
    for server in servers:
        model = next(iter(live.state(server).models.values()))
        assert (model.rest.faults, model.rest.rests) == (0, 0)
    assert (await live.chat()).json()["choices"][0]["message"]["content"] == words()


async def test_one_callers_answers_of_nothing_put_no_server_out_for_others(start: StartGateway, rogue: StartRogue):
    servers = [await rogue(script=lambda body: [] if "nothing" in str(body) else [" w000"]) for _ in range(2)]
    live = await start(*servers)
    for _ in range(5):
        answer = await live.chat(messages=[{"role": "user", "content": "Say nothing."}])
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
    assert all(model.rest.rests == 0 for server in servers for model in live.state(server).models.values())
    assert {(await live.chat()).headers["x-gateway-attempts"] for _ in range(5)} == {"1"}
