"""A stream whose server breaks it off goes on with another server, word for word, or ends in one typed error."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llm_gateway.testing.catalogue import digest_of
from llm_gateway.testing.recital import recital
from llm_gateway.testing.rogue import Rogue
from support.gateway import HELLO, Live, StartGateway, Told, entry, words
from support.net import wait_until
from support.rogues import StartRogue

CUT = [
    *("bad_chunk", "length_short", "cut_clean_eof", "cut_no_terminator", "cut_mid_line", "cut_rst"),
    *("error_mid", "bad_json_mid", "stall_mid"),
]
IMPATIENT = {"connect": 1, "head": 0.5, "first_token": 0.5, "stall": 0.5, "write": 2, "budget": 6, "total": 20}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
OPENAI = "/v1/chat/completions"


async def broken(start: StartGateway, first: Rogue, *others: Rogue, kind: str = "ollama", **settings: Any) -> Live:
    """A gateway that asks `first` first, and the others in their order."""
    live = await start(*(entry(server, kind=kind) for server in (first, *others)), timeouts=IMPATIENT, **settings)
    live.prefer(first)
    return live


def whole(told: Told, *servers: str, count: int = 10) -> None:
    """The answer is complete and exact, and says who gave it."""
    assert (told.status, told.text, told.error, told.done) == (200, words(count), None, True)
    last = told.chunks[-1]
    assert last["continuations"] == len(last["servers"]) - 1 > 0
    assert last["servers"] == list(servers) or not servers


def lost(told: Told, text: str) -> None:
    """The answer ends in the typed error, after what was good of it."""
    assert (told.status, told.text, told.done) == (200, text, False)
    assert told.error is not None
    assert (told.error["code"], told.error["retryable"]) == ("upstream_stream_lost", True)
    assert told.error["delivered_tokens"] == len(text.split())


@pytest.mark.parametrize("mood", CUT)
async def test_a_broken_stream_goes_on_word_for_word(start: StartGateway, rogue: StartRogue, mood: str):
    bad, good = await rogue(mood=mood), await rogue()
    live = await broken(start, bad, good)
    told = await live.stream()
    whole(told, live.state(bad).spec.id, live.state(good).spec.id)
    assert told.chunks[-1]["usage"]["completion_tokens"] == 10
    row = await live.row()
    assert (row["status"], row["outcome"], row["attempts"], row["tokens_output"]) == (200, "ok", 2, 10)
    assert row["continuations"] == 1
    assert live.in_flight == 0


async def test_a_server_that_has_the_same_digest_under_another_name_goes_on(start: StartGateway, rogue: StartRogue):
    bad, namesake = await rogue(mood="cut_rst"), await rogue(["elsewhere"], digests={"elsewhere": digest_of("recite")})
    live = await broken(start, bad, namesake)
    whole(await live.stream(), live.state(bad).spec.id, live.state(namesake).spec.id)
    assert {heard.json["model"] for heard in namesake.chats_heard()} == {"elsewhere:latest"}


@pytest.mark.parametrize("renders", [True, False], ids=["renders", "old"])
@pytest.mark.parametrize("prefill", ["continue", "restart", "repeat", "reject"])
async def test_whatever_a_server_makes_of_a_partial_answer_no_word_is_doubled(
    start: StartGateway, rogue: StartRogue, prefill: Any, renders: bool
):
    bad, odd, good = await rogue(mood="cut_rst"), await rogue(prefill=prefill, renders=renders), await rogue()
    live = await broken(start, bad, odd, good)
    for _ in range(2):
        live.rank(bad, odd, good)  # the odd one is asked first for the rest
        whole(await live.stream())
    assert odd.chats > 0
    assert live.in_flight == 0


@pytest.mark.parametrize("prefill", ["continue", "restart", "repeat", "reject"])
async def test_openai_compatible_servers_of_our_own_are_probed_once(
    start: StartGateway, rogue: StartRogue, prefill: Any
):
    bad = await rogue(words=80, mood="cut_rst", prefill=prefill)
    odd = await rogue(words=80, prefill=prefill)
    live = await broken(start, bad, odd, kind="openai")
    if prefill == "continue":
        whole(await live.stream(OPENAI), count=80)
        assert odd.chats == 3, "two questions of the probe, then the answer"
        live.rank(bad, odd)
        whole(await live.stream(OPENAI), count=80)
        assert odd.chats == 4
    else:
        lost(await live.stream(OPENAI), words(3))
        assert odd.chats == 2
    assert live.in_flight == 0


async def test_a_stream_that_breaks_before_anything_is_known_of_its_server_waits_for_the_first_look(
    start: StartGateway, rogue: StartRogue
):
    servers = [await rogue(mood="cut_rst", quirks=["bare_tags"]), await rogue(quirks=["bare_tags"])]
    live = await broken(start, *servers)
    told = asyncio.create_task(live.stream())
    await wait_until(lambda: servers[0].chats == 1)
    for server in servers:
        server.quirks = []
        await live.running.prober.probe(live.state(server).spec.id)
    whole(await told)


async def test_without_anybody_who_can_go_on_it_is_one_typed_error(start: StartGateway, rogue: StartRogue):
    live = await broken(start, await rogue(mood="cut_rst"), await rogue(prefill="restart", renders=False, words=60))
    lost(await live.stream(), words(3))
    row = await live.row()
    assert (row["status"], row["outcome"], row["error_code"]) == (502, "error", "upstream_stream_lost")


@pytest.mark.parametrize(
    "asked",
    [{"tools": [TOOL]}, {"response_format": {"type": "json_object"}}, {"logprobs": True}],
    ids=["tools", "format", "logprobs"],
)
async def test_what_has_no_second_half_is_never_continued(start: StartGateway, rogue: StartRogue, asked: Any):
    good = await rogue()
    live = await broken(start, await rogue(mood="cut_rst"), good)
    lost(await live.stream(OPENAI, **asked), words(3))
    assert good.chats == 0


async def test_an_answer_that_the_caller_began_is_not_continued(start: StartGateway, rogue: StartRogue):
    good = await rogue()
    live = await broken(start, await rogue(mood="cut_rst"), good)
    lost(await live.stream(messages=[*HELLO, {"role": "assistant", "content": "Well:"}]), words(3))
    assert good.chats == 0


async def test_a_client_may_say_never(start: StartGateway, rogue: StartRogue):
    good = await rogue()
    live = await broken(start, await rogue(mood="cut_rst"), good)
    lost(await live.stream(headers={"X-Gateway-Continue": "never"}), words(3))
    assert good.chats == 0


@pytest.mark.parametrize("kind", ["digest", "trust"])
async def test_only_the_very_model_on_a_permitted_server_may_go_on(start: StartGateway, rogue: StartRogue, kind: str):
    bad = await rogue(mood="cut_rst")
    other = await rogue(digests={"recite": "ab" * 32} if kind == "digest" else None)
    live = await start(bad, entry(other, trust="own" if kind == "digest" else "public"), timeouts=IMPATIENT)
    live.prefer(bad)
    lost(await live.stream(), words(3))
    assert other.chats == 0


async def test_openai_compatible_strangers_are_nobodys_twins(start: StartGateway, rogue: StartRogue):
    bad, other = await rogue(mood="cut_rst"), await rogue()
    servers = [entry(server, kind="openai", trust="partner") for server in (bad, other)]
    live = await start(*servers, timeouts=IMPATIENT, project={"trust": ["partner"]})
    live.prefer(bad)
    lost(await live.stream(), words(3))
    assert other.chats == 0


async def test_the_limit_of_tokens_counts_both_halves(start: StartGateway, rogue: StartRogue):
    bad, good = await rogue(mood="cut_rst"), await rogue()
    told = await (await broken(start, bad, good)).stream(max_tokens=5)
    assert (told.text, told.finish_reason, told.done) == (words(5), "length", True)
    assert told.chunks[-1]["usage"]["completion_tokens"] == 5


async def test_a_limit_that_was_reached_needs_nobody_else(start: StartGateway, rogue: StartRogue):
    bad, good = await rogue(mood="cut_rst"), await rogue()
    told = await (await broken(start, bad, good)).stream(max_tokens=3)
    assert (told.text, told.finish_reason, told.done) == (words(3), "length", True)
    assert good.chats == 0


async def test_a_stop_string_is_found_across_the_seam(start: StartGateway, rogue: StartRogue):
    bad, good = await rogue(mood="cut_rst", words=3), await rogue()
    told = await (await broken(start, bad, good)).stream(stop=["w002 w003"])
    assert (told.text, told.finish_reason, told.done) == (words(3), "stop", True)
    assert told.chunks[-1]["continuations"] == 1


async def test_an_answer_that_lacks_only_its_end_ends_when_two_servers_say_so(start: StartGateway, rogue: StartRogue):
    servers = [await rogue(mood="cut_rst", cut_after=10), await rogue(), await rogue()]
    whole(await (await broken(start, *servers)).stream())


async def test_an_answer_is_not_over_because_a_single_server_says_so(start: StartGateway, rogue: StartRogue):
    bad, short = await rogue(mood="cut_rst", cut_after=5), await rogue(words=5)
    lost(await (await broken(start, bad, short)).stream(), words(10))


async def test_shown_thoughts_are_not_continued(start: StartGateway, rogue: StartRogue):
    good = await rogue()
    bad = await rogue(mood="think_forever")
    live = await broken(start, bad, good)

    stream = asyncio.create_task(live.stream())
    await wait_until(lambda: live.state(bad).models["recite:latest"].waits == 2)  # `prefer` brought the first
    bad.crash()
    told = await stream
    assert told.error is not None
    assert told.error["code"] == "upstream_stream_lost"
    assert good.chats == 0


@pytest.mark.parametrize("renders", [True, False], ids=["renders", "old"])
@pytest.mark.parametrize("begin", [["<think>", " hm", "\n</think>", "\n\n"], ["\n", "<thinking>hm</thinking>\n"]])
async def test_an_answer_after_a_thought_that_stood_in_its_text_goes_on(
    start: StartGateway, rogue: StartRogue, begin: list[str], renders: bool
):
    def says(_: object) -> list[str]:
        return [*begin, *recital(10)]

    bad = await rogue(mood="cut_rst", cut_after=len(begin) + 3, script=says)
    good = await rogue(script=says, renders=renders)
    live = await broken(start, bad, good)
    told = await live.stream()
    assert (told.text, told.done, told.error) == (words().lstrip(), True, None)
    assert told.chunks[-1]["continuations"] == 1
    said = "".join(says(None)[: len(begin) + 3])  # the prompt has the thought where its model wrote it
    assert (
        good.chats_heard()[-1].json.get("prompt") or good.chats_heard()[-1].json["messages"][-1]["content"]
    ).endswith(said)


async def test_an_answer_may_change_servers_several_times(start: StartGateway, rogue: StartRogue):
    servers = [await rogue(mood="cut_rst", cut_after=2) for _ in range(4)] + [await rogue()]
    live = await broken(start, *servers)
    live.rank(*servers)
    whole(await live.stream())


async def test_a_stream_that_is_far_too_slow_moves_to_a_faster_server(start: StartGateway, rogue: StartRogue):
    slow, fast = await rogue(rate=0.4), await rogue()
    live = await start(slow, fast, timeouts={"slow": 1.0})
    live.state(fast).models["recite:latest"].tokens_per_second = 50.0
    live.prefer(slow)
    whole(await live.stream(), live.state(slow).spec.id, live.state(fast).spec.id)
    await slow.until(lambda s: s.in_flight == 0, within=1.0)


async def test_a_slow_stream_stays_where_it_is_when_nobody_takes_it(start: StartGateway, rogue: StartRogue):
    slow, fast = await rogue(rate=0.4, words=3), await rogue(words=3, prefill="restart", renders=False)
    live = await start(slow, fast, timeouts={"slow": 1.0})
    live.state(fast).models["recite:latest"].tokens_per_second = 50.0
    live.prefer(slow)
    told = await live.stream()
    assert (told.text, told.done) == (words(3), True)
    assert "continuations" not in told.chunks[-1]
    assert fast.chats > 0


async def test_after_six_continuations_it_is_enough(start: StartGateway, rogue: StartRogue):
    servers = [await rogue(mood="cut_rst", words=90, cut_after=8) for _ in range(8)]
    told = await (await broken(start, *servers)).stream()
    lost(told, words(7 * 8))


async def test_a_whole_answer_is_continued_when_much_of_it_is_there(start: StartGateway, rogue: StartRogue):
    bad, good = await rogue(mood="cut_rst", words=100, cut_after=70), await rogue(words=100)
    live = await broken(start, bad, good)
    answer = await live.chat(max_tokens=100)
    assert answer.json()["choices"][0]["message"]["content"] == words(100)
    assert answer.json()["usage"]["completion_tokens"] == 100
    assert good.chats_heard()[-1].json["options"]["num_predict"] == 30
    row = await live.row()
    assert (row["outcome"], row["attempts"], row["tokens_output"]) == ("ok", 2, 100)


async def test_a_whole_answer_that_has_hardly_begun_is_asked_for_again(start: StartGateway, rogue: StartRogue):
    bad, good = await rogue(mood="cut_rst", words=100), await rogue(words=100)
    answer = await (await broken(start, bad, good)).chat(max_tokens=100)
    assert answer.json()["choices"][0]["message"]["content"] == words(100)
    assert good.chats_heard()[-1].json["options"]["num_predict"] == 100


async def test_a_whole_answer_that_reached_its_limit_needs_nobody_else(start: StartGateway, rogue: StartRogue):
    bad, good = await rogue(mood="cut_rst"), await rogue()
    answer = await (await broken(start, bad, good)).chat(max_tokens=3)
    choice = answer.json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (words(3), "length")
    assert good.chats == 0


@pytest.mark.parametrize("path", ["/v1/chat/stream", "/v1/chat"])
async def test_an_answer_to_half_a_prompt_is_no_good_one_for_having_all_its_tokens(
    start: StartGateway, rogue: StartRogue, path: str
):
    live = await broken(start, await rogue(mood="truncates_prompt"), await rogue(mood="truncates_prompt"))
    question = [{"role": "user", "content": "All of this matters. " * 1000}]
    if path == "/v1/chat":
        answer = await live.chat(messages=question, max_tokens=10)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
    else:
        lost(await live.stream(messages=question, max_tokens=10), words(10))
