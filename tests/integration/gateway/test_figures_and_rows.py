"""What Prometheus counts is the sum of the rows of requests that ended since the process started."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from llm_gateway.storage import attempts, requests
from llm_gateway.testing.rogue import Rogue
from support.gateway import Live, StartGateway, entry
from support.net import wait_until
from support.rogues import StartRogue


class Page:
    """What a scraper reads."""

    def __init__(self, text: str) -> None:
        self.samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        return sum(s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items())

    def by(self, name: str, *labels: str) -> Counter[tuple[str, ...]]:
        """Label values -> sum."""
        found: Counter[tuple[str, ...]] = Counter()
        for sample in self.samples:
            if sample.name == name:
                found[tuple(sample.labels[label] for label in labels)] += int(sample.value)
        return +found


async def mixed(live: Live, bad: Rogue, good: Rogue) -> int:
    """Requests of all outcomes; how many."""
    await live.chat()
    await live.stream()
    await live.stream("/v1/chat/completions", stream_options={"include_usage": True})
    await live.http.post("/v1/embeddings", json={"model": "recite", "input": ["a", "b"]})
    await live.http.post("/v1/completions", json={"model": "recite", "prompt": "hello"})
    await live.http.post("/v1/chat", content=b"{no json")
    await live.chat(messages=[])
    await live.chat(model="no-such-model")
    live.rank(bad, good)
    bad.mood = "cut_rst"
    assert (await live.stream()).finish_reason is not None
    live.forgive(bad)
    live.rank(bad, good)
    bad.mood = "cuda_500"
    await live.chat()
    return 10


async def test_the_counters_are_the_sums_of_the_rows(start: StartGateway, rogue: StartRogue):
    bad, good = await rogue(words=30, cut_after=12), await rogue(words=30)
    price = {"input": 2.0, "output": 6.0}
    live = await start(bad, good, models=[{"name": "dear", "backend": ["recite"], "price": price}])
    count = await mixed(live, bad, good)
    await live.chat(model="dear")
    for server in (bad, good):
        live.forgive(server)
        server.mood = "hang_after_request"
    leaving = asyncio.create_task(live.chat())
    await wait_until(lambda: live.in_flight >= 1)
    leaving.cancel()
    await asyncio.wait((leaving,))
    await wait_until(lambda: live.in_flight == 0)
    for server in (bad, good):
        live.forgive(server)
        server.mood = "runner_500"
    assert (await live.chat()).status_code >= 500
    rows = await live.rows(count + 3)
    assert {row["outcome"] for row in rows} == {"ok", "error", "client_closed"}
    assert {row["status"] // 100 for row in rows} == {2, 4, 5}
    assert all(sum(row[name] for row in rows) > 0 for name in ("cost_nanos", "continuations", "failovers")), rows
    await agree(live, rows)


async def test_requests_that_are_shed_are_counted_as_their_rows_have_them(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="hang_after_request")
    live = await start(entry(server, max_concurrency=1))
    first = asyncio.create_task(live.chat())
    await server.until(lambda s: s.in_flight == 1)
    shed = await live.chat(headers={"X-Request-Timeout": "0.9"})
    assert shed.json()["error"]["code"] == "queue_timeout"
    first.cancel()
    await asyncio.wait((first,))
    rows = await live.rows(2)
    assert {row["outcome"] for row in rows} == {"shed", "client_closed"}
    page = await agree(live, rows)
    assert page.value("llmgw_shed_total") == 1


async def test_what_has_no_row_is_in_no_counter_of_requests(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    assert (await live.http.post("/v1/chat", json={}, headers={"X-API-Key": "wrong"})).status_code == 401
    await live.chat()
    page = await agree(live, await live.rows(1))
    assert page.value("llmgw_auth_failures_total") == 1


async def test_they_are_so_however_bad_the_fleet_is(start: StartGateway, rogue: StartRogue):
    moods = ("cut_rst", "cuda_500", "caller_400", "error_mid", "empty_done", "accept_rst", "stall_mid", "think_only")
    bad = [
        await rogue(words=30, cut_after=6, mix={"good": 0.4, **{mood: 0.6 / len(moods) for mood in moods}}, seed=seed)
        for seed in range(3)
    ]
    live = await start(*bad, await rogue(words=30), timeouts={"stall": 1.0, "budget": 5.0})
    form = {"response_format": {"type": "json_object"}}

    async def ask(n: int) -> None:
        await asyncio.sleep(0.02 * n)
        match n % 5:
            case 0:
                await live.stream()
            case 1:
                await live.chat("/v1/chat/completions")
            case 2:
                await live.chat("/v1/chat/completions", **form)
            case 3:
                await live.http.post("/v1/embeddings", json={"model": "recite", "input": "a"})
            case _:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.01 * (n % 7)):
                        await live.stream()

    await asyncio.gather(*(ask(n) for n in range(80)))
    await wait_until(lambda: live.in_flight == 0)
    await wait_until(lambda: live.gateway.ledger.waiting == 0)
    rows = await all_rows(live)
    assert len(rows) > 60
    assert sum(row["failovers"] for row in rows) > 0
    page = await agree(live, rows)
    for row in rows:
        assert row["failovers"] <= row["attempts"]
    assert page.value("llmgw_tokens_wasted_total") > 0


async def all_rows(live: Live) -> list[dict[str, Any]]:
    return [row async for row in requests.export(live.running.sessions)]


async def agree(live: Live, rows: list[dict[str, Any]]) -> Page:
    answer: httpx.Response = await live.http.get("/metrics", headers=live.admin())
    page = Page(answer.text)
    ended = Counter((row["endpoint"], f"{row['status'] // 100}xx") for row in rows)
    assert page.by("llmgw_requests_total", "endpoint", "status_class") == ended
    assert page.value("gen_ai_server_request_duration_seconds_count") == len(rows)
    assert page.value("llmgw_inflight") == 0
    assert page.value("llmgw_stream_resumed_total") == sum(row["continuations"] for row in rows)
    assert round(page.value("llmgw_cost_total") * 1e9) == sum(row["cost_nanos"] for row in rows)
    for kind in ("input", "output"):
        counted = page.value("gen_ai_client_token_usage_sum", gen_ai_token_type=kind)
        estimated = page.value("llmgw_tokens_estimated_total", gen_ai_token_type=kind)
        assert counted == sum(row[f"tokens_{kind}"] for row in rows if not row["tokens_estimated"])
        assert estimated == sum(row[f"tokens_{kind}"] for row in rows if row["tokens_estimated"])

    tries = []
    async with live.running.sessions.read() as s:
        for row in rows:
            found = await attempts.of_request(s, row["id"])
            assert len(found) == row["attempts"]
            assert sum(one["tokens_output"] for one in found) == row["tokens_output"]
            lost = [one for one in found if one["outcome"] not in ("ok", "cancelled") and not one["tokens_output"]]
            assert len(lost) == row["failovers"]
            tries += [(row, one) for one in found]
    outcomes = Counter((one["server_id"], one["outcome"]) for _, one in tries)
    assert page.by("llmgw_attempts_total", "server", "outcome") == outcomes
    assert page.value("gen_ai_client_operation_duration_seconds_count") == len(tries)
    moved = Counter((one["after"],) for _, one in tries if one["why"] == "failover")
    assert page.by("llmgw_failovers_total", "reason") == moved
    failed = [(row, one) for row, one in tries if one["outcome"] not in ("ok", "cancelled")]
    absorbed = Counter((one["outcome"],) for row, one in failed if row["outcome"] == "ok")
    assert page.by("llmgw_absorbed_errors_total", "fault") == absorbed
    assert page.value("llmgw_tokens_wasted_total") == sum(one["tokens_wasted"] for _, one in tries)
    return page
