"""Every attempt of a request is written down with it: who was asked, why, how it ended, what the client had of it."""

from __future__ import annotations

import asyncio
from typing import Any

from llm_gateway.storage import attempts
from support.gateway import Live, StartGateway, entry, words
from support.net import wait_until
from support.rogues import StartRogue


async def tries(live: Live, row: dict[str, Any]) -> list[dict[str, Any]]:
    """The kept attempts of a row, which agree with it."""
    async with live.running.sessions.read() as s:
        found = await attempts.of_request(s, row["id"])
    if found:
        assert [one["number"] for one in found] == list(range(1, row["attempts"] + 1))
        assert sum(one["tokens_output"] for one in found) == row["tokens_output"]
        failed = [one for one in found if one["outcome"] not in ("ok", "cancelled") and not one["tokens_output"]]
        assert len(failed) == row["failovers"]
    return found


def told(found: list[dict[str, Any]]) -> list[tuple[str, str | None, str]]:
    return [(one["why"], one["after"], one["outcome"]) for one in found]


async def test_an_answered_request_has_one_attempt_with_its_figures(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    await live.chat()
    row = await live.row()
    (one,) = await tries(live, row)
    assert (one["why"], one["after"], one["outcome"], one["detail"]) == ("first", None, "ok", None)
    assert (one["server_id"], one["backend_model"], one["tier"]) == (row["server_id"], "recite:latest", "own")
    assert 0 < one["ttft_ms"] <= one["duration_ms"] <= row["latency_ms"]
    assert one["tokens_output"] == row["tokens_output"] > 0
    assert one["tokens_wasted"] == 0
    assert row["timestamp"] <= one["timestamp"] < row["timestamp"] + 5


async def test_a_failed_attempt_is_followed_by_a_failover_that_says_after_what(start: StartGateway, rogue: StartRogue):
    bad, good = await rogue(mood="cuda_500"), await rogue()
    live = await start(bad, good)
    live.prefer(bad)
    await live.chat()
    row = await live.row()
    found = await tries(live, row)
    assert told(found) == [("first", None, "out_of_memory"), ("failover", "out_of_memory", "ok")]
    assert row["failovers"] == 1


async def test_a_request_that_nobody_answers_has_all_its_attempts(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(mood="cuda_500"), await rogue(mood="cuda_500"))
    assert (await live.chat()).status_code == 502
    row = await live.row()
    found = await tries(live, row)
    assert {one["outcome"] for one in found} == {"out_of_memory"}
    assert row["failovers"] == row["attempts"] == len(found)


async def test_a_continued_stream_says_who_gave_how_many_tokens(start: StartGateway, rogue: StartRogue):
    cut, good = await rogue(mood="cut_rst", cut_after=12, words=30), await rogue(words=30)
    live = await start(cut, good)
    live.prefer(cut)
    answer = await live.stream()
    assert answer.text == words(30)
    row = await live.row()
    found = await tries(live, row)
    assert told(found) == [("first", None, "cut"), ("continuation", "cut", "ok")]
    assert (row["continuations"], row["failovers"]) == (1, 0)
    assert all(one["tokens_output"] > 0 and one["tokens_wasted"] == 0 for one in found)


async def test_a_stream_that_breaks_twice_says_what_each_server_gave(start: StartGateway, rogue: StartRogue):
    first, second = await rogue(words=40, cut_after=12), await rogue(words=40, cut_after=9)
    good = await rogue(words=40)
    live = await start(first, second, good)
    live.rank(first, second, good)
    first.mood = second.mood = "cut_rst"
    assert (await live.stream()).text == words(40)
    row = await live.row()
    found = await tries(live, row)
    spoke = [one for one in found if one["tokens_output"]]
    assert [one["outcome"] for one in spoke] == ["cut", "cut", "ok"]
    assert [one["why"] for one in found] == ["first"] + ["continuation"] * (len(found) - 1)


async def test_a_whole_answer_that_broke_gave_nothing_and_another_one_is_asked(start: StartGateway, rogue: StartRogue):
    cut, good = await rogue(words=30, cut_after=12), await rogue(words=30)
    live = await start(cut, good)
    live.prefer(cut)
    cut.mood = "cut_rst"
    assert (await live.chat()).status_code == 200
    row = await live.row()
    found = await tries(live, row)
    assert told(found) == [("first", None, "cut"), ("failover", "cut", "ok")]
    assert (found[0]["tokens_output"], found[0]["tokens_wasted"], row["failovers"]) == (0, 12, 1)


async def test_a_server_that_was_wrong_about_the_request_is_blamed_in_its_attempt(
    start: StartGateway, rogue: StartRogue
):
    wrong, good = await rogue(mood="caller_400"), await rogue()
    live = await start(entry(wrong, trust="public"), entry(good, trust="public"), project={"trust": ["public"]})
    live.prefer(wrong)
    assert (await live.chat()).status_code == 200
    (first, second) = await tries(live, await live.row())
    assert (first["outcome"], second["why"], second["after"]) == ("server_error", "failover", "caller")
    assert first["detail"] == "refused what another server answered: 400 …"


async def test_the_loser_of_a_race_is_cancelled_and_in_the_log(start: StartGateway, rogue: StartRogue):
    slow, fast = await rogue(mood="hang_after_request"), await rogue()
    live = await start(slow, fast)
    live.prefer(slow)
    await live.chat()
    found = await tries(live, await live.row())
    assert told(found) == [("first", None, "cancelled"), ("race", None, "ok")]


async def test_a_client_that_leaves_leaves_a_cancelled_attempt(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(mood="hang_after_request"))
    asked = asyncio.create_task(live.chat())
    await wait_until(lambda: live.in_flight == 1)
    asked.cancel()
    await asyncio.wait((asked,))
    row = await live.row()
    (one,) = await tries(live, row)
    assert (row["outcome"], one["outcome"], one["ttft_ms"]) == ("client_closed", "cancelled", None)


async def test_an_embedding_has_its_attempts_too(start: StartGateway, rogue: StartRogue):
    bad, good = await rogue(mood="cuda_500"), await rogue()
    live = await start(bad, good)
    live.prefer(bad)
    answer = await live.http.post("/v1/embeddings", json={"model": "recite", "input": "hello"})
    assert answer.status_code == 200
    found = await tries(live, await live.row())
    assert told(found) == [("first", None, "out_of_memory"), ("failover", "out_of_memory", "ok")]


async def test_an_answer_of_another_form_is_followed_by_a_second_try(start: StartGateway, rogue: StartRogue):
    wrong, right = await rogue(), await rogue(script=lambda _: ['{"a": 1}'])
    live = await start(wrong, right)
    live.prefer(wrong)
    answer = await live.chat("/v1/chat/completions", response_format={"type": "json_object"})
    assert answer.json()["choices"][0]["message"]["content"] == '{"a": 1}'
    row = await live.row()
    found = await tries(live, row)
    assert told(found) == [("first", None, "server_error"), ("second_try", "incapable", "ok")]
    assert found[0]["tokens_output"] == 0 < found[0]["tokens_wasted"]


async def test_what_a_server_says_of_its_failure_is_not_kept(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(mood="cuda_500"))
    await live.chat()
    (one,) = await tries(live, await live.row())
    assert one["detail"].startswith("500 ")
    assert "'" not in one["detail"]


async def test_one_attempt_is_kept_by_share_and_several_always(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), attempt_rows=1e-9)
    await live.chat()
    assert await tries(live, await live.row()) == []
    bad, good = await rogue(mood="cuda_500"), await rogue()
    live = await start(bad, good, attempt_rows=1e-9)
    live.prefer(bad)
    await live.chat()
    assert len(await tries(live, await live.row())) == 2


async def test_none_are_kept_where_the_share_is_0(start: StartGateway, rogue: StartRogue):
    bad, good = await rogue(mood="cuda_500"), await rogue()
    live = await start(bad, good, attempt_rows=0)
    live.prefer(bad)
    await live.chat()
    row = await live.row()
    assert row["attempts"] == 2
    assert await tries(live, row) == []


async def test_the_admin_api_shows_the_attempts_of_a_request_with_names_of_servers(
    start: StartGateway, rogue: StartRogue
):
    server = await rogue()
    live = await start(server)
    await live.chat()
    row = await live.row()
    shown = (await live.http.get(f"/admin/api/requests/{row['id']}", headers=live.admin())).json()
    assert shown["attempt_count"] == 1
    (one,) = shown["attempts"]
    assert (one["server"], one["server_id"]) == (f"ollama-{server.port}", row["server_id"])
    assert (one["number"], one["why"], one["outcome"]) == (1, "first", "ok")
