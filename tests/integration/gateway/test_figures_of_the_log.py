"""The figures of the admin API are those of the rows, and those that Prometheus reads."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from llm_gateway.storage.audit import audit
from support.gateway import Live, StartGateway
from support.rogues import StartRogue


async def figures(live: Live, path: str = "", **query: Any) -> Any:
    answer = await live.http.get(f"/admin/api/stats{path}", params=query, headers=live.admin())
    assert answer.status_code == 200, answer.text
    return answer.json()


async def counted(live: Live) -> dict[tuple[str, str], int]:
    """(endpoint, status class) -> requests, as Prometheus reads them."""
    page = (await live.http.get("/metrics", headers=live.admin())).text
    found: dict[tuple[str, str], int] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == "llmgw_requests_total":
                key = sample.labels["endpoint"], sample.labels["status_class"]
                found[key] = found.get(key, 0) + int(sample.value)
    return found


async def ask(live: Live) -> None:
    """Six requests: three models that there are not, and one that somebody streams."""
    await live.chat()
    await live.chat("/v1/chat/completions")
    await live.stream()
    for name in ("none", "nobody", "nothing"):
        assert (await live.chat(model=name)).status_code == 404
    await live.rows(6)


async def test_rows_figures_and_prometheus_say_the_same(
    start: StartGateway, rogue: StartRogue, database_url: str, tmp_path: Path
):
    live = await start(await rogue(), database_url=database_url)
    await ask(live)
    rows = (await figures(live, by="endpoint,status_class"))["data"]
    assert {(row["endpoint"], f"{row['status_class']}xx"): row["requests"] for row in rows} == await counted(live)
    async with live.running.sessions.read() as s:
        assert await audit(s) == []


async def test_figures_have_names_costs_and_percentiles(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    await ask(live)
    found = await figures(live, by="project,key,model", bucket="hour")
    assert found["bucket"] == "hour"
    named = {row["model"]: row for row in found["data"]}
    assert set(named) == {"recite:latest", None}
    row = named["recite:latest"]
    assert (row["project"], row["requests"], row["errors"], row["cost"], row["key_id"] is None) == (
        live.project,
        3,
        0,
        0.0,
        False,
    )
    assert row["latency_ms_p50"] <= row["latency_ms_p95"] <= row["latency_ms_p99"]
    assert (named[None]["requests"], named[None]["errors"], named[None]["ttft_ms_avg"]) == (3, 3, None)
    (top,) = (await figures(live, by="error_code", top=1, status_class=4))["data"]
    assert (top["error_code"], top["requests"]) == ("model_not_found", 3)


async def test_an_overview_compares_with_the_time_before_and_says_who_made_most_of_it(
    start: StartGateway, rogue: StartRogue, database_url: str
):
    live = await start(await rogue(), database_url=database_url)
    await ask(live)
    found = await figures(live, "/overview")
    now, top = found["current"], found["top"]
    assert (now["requests"], now["errors"], now["ok"], now["client_errors"], now["server_errors"]) == (6, 3, 3, 3, 0)
    assert now["tokens_per_s"] > 0
    assert (found["previous"]["requests"], found["previous"]["latency_ms_p95"]) == (0, None)
    assert (sum(point["ok"] for point in found["series"]), found["previous_series"]) == (3, None)
    assert [(row["project"], row["requests"]) for row in top["projects"]] == [(live.project, 6)]
    assert {row["model"]: row["requests"] for row in top["models"]} == {"recite:latest": 3, None: 3}
    assert [(row["error_code"], row["requests"]) for row in top["errors"]] == [("model_not_found", 3)]
    assert {row["tier"]: row["requests"] for row in top["tiers"]} == {"own": 3, None: 3}

    later = live.gateway.clock.wall() + 120
    shifted = await figures(live, "/overview", since=later, until=later + 3_600, compare=True)
    assert (shifted["current"]["requests"], shifted["previous"]["requests"]) == (0, 6)
    assert (shifted["step_s"], shifted["top"]["projects"], len(shifted["previous_series"])) == (60, [], 1)


async def test_figures_by_the_hour_of_the_week_are_those_of_now(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    await ask(live)
    rows = (await figures(live, by="hour_of_week,status_class"))["data"]
    now = datetime.fromtimestamp(live.gateway.clock.wall(), UTC)
    assert (now.weekday() * 24 + now.hour - rows[-1]["hour_of_week"]) % 168 in (0, 1)  # it may have struck meanwhile
    assert sum(row["requests"] for row in rows) == 6
    assert {row["status_class"] for row in rows} == {2, 4}
    for wrong in ({"bucket": "hour"}, {"since": "2020-01-01"}):
        query = {"by": "hour_of_week", **wrong}
        answer = await live.http.get("/admin/api/stats", params=query, headers=live.admin())
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(wrong)))


async def test_the_largest_groups_are_those_with_most_of_what_is_asked_for(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    await ask(live)
    await live.chat(model="another")
    await live.rows(7)
    for order, status_class in (("requests", 4), ("errors", 4), ("tokens", 2), ("tokens_output", 2)):
        for bucket in (None, "hour"):
            query = {} if bucket is None else {"bucket": bucket}
            rows = (await figures(live, by="status_class", top=1, order=order, **query))["data"]
            assert {row["status_class"] for row in rows} == {status_class}, order


async def test_what_figures_are_not_kept_by_is_refused_and_not_left_out(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    for query in ({"end_user": "ana"}, {"server_id": "x"}, {"by": "server"}, {"project": "nope"}, {"key_id": "x"}):
        answer = await live.http.get("/admin/api/stats", params=httpx.QueryParams(query), headers=live.admin())
        assert answer.status_code in (400, 404), (query, answer.text)
