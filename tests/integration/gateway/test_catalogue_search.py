"""`GET /admin/api/catalogue`: the physical models of the fleet, searched in memory."""

from __future__ import annotations

import time
from typing import Any

import pytest

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet.facts import ListedModel, ProbeFailed, ServerSpec
from llm_gateway.service.catalogue import Wanted, search
from llm_gateway.testing.catalogue import digest_of
from support.gateway import Live, StartGateway, entry
from support.rogues import StartRogue

TWIN = digest_of("llama3.2:3b")


@pytest.fixture
async def live(start: StartGateway, rogue: StartRogue) -> Live:
    one = await rogue(["llama3.2:3b", "qwen2.5:32b"], capabilities=["completion", "tools"])
    two = await rogue(["llama3.2:3b", "mine:3b"], digests={"mine:3b": TWIN})
    three = await rogue(["nomic-embed:137m"], capabilities=["embedding"])
    models = [{"name": "fast", "backend": ["llama3.2:3b"]}]
    own = {"models": [{"name": "law", "backend": [f"llama3.2:3b@{TWIN[:12]}", "qwen2.5:32b"]}]}
    live = await start(one, two, entry(three, trust="public"), models=models, project=own)
    at = live.gateway.clock.now()
    live.fleet.apply(ProbeFailed(live.state(three).spec.id, at, FaultKind.REFUSED, again_in=60.0))
    return live


async def searched(live: Live, status: int = 200, **query: Any) -> Any:
    answer = await live.http.get("/admin/api/catalogue", params=query, headers=live.admin())
    assert answer.status_code == status, answer.text
    return answer.json()


async def names(live: Live, **query: Any) -> list[str]:
    return [model["name"] for model in (await searched(live, **query))["data"]]


async def test_all_that_is_known_of_each_model(live: Live):
    found = await searched(live)
    assert (found["matched"], found["total"]) == (4, 4)
    first = found["data"][0]
    assert (first["name"], first["family"], first["parameters"]) == ("llama3.2:3b", "llama3.2", 3_000_000_000)
    assert (first["quantization"], first["servers"], first["healthy_servers"]) == ("Q4_K_M", 2, 2)
    assert (first["digests"], first["twins"], first["trust"]) == ({TWIN: 2}, ["mine:3b"], ["own"])
    assert first["size_bytes"] > 0
    assert first["logical"] == [{"name": "fast", "project": None}, {"name": "law", "project": "tests"}]
    assert {"value": "Q4_K_M", "count": 4} in found["facets"]["quantization"]
    assert "tools" in {facet["value"] for facet in found["facets"]["capability"]}


async def test_each_filter_narrows(live: Live):
    assert await names(live, q="LLAMA 3b") == ["llama3.2:3b"]
    assert await names(live, family=["Qwen2.5", "nomic-embed"]) == ["qwen2.5:32b", "nomic-embed:137m"]
    assert await names(live, min_parameters="4b") == ["qwen2.5:32b"]
    assert await names(live, max_parameters=1_000_000_000) == ["nomic-embed:137m"]
    assert await names(live, capability=["tools"], q="qwen") == ["qwen2.5:32b"]
    assert await names(live, min_context=10**9) == []
    assert await names(live, quantization="q8_0") == []
    assert "nomic-embed:137m" not in await names(live, healthy=True)


async def test_the_rest_is_counted_where_the_limit_cuts(live: Live):
    found = await searched(live, limit=1)
    assert (len(found["data"]), found["matched"]) == (1, 4)


@pytest.mark.parametrize(
    "query",
    [{"min_parameters": "many"}, {"capability": "flying"}, {"limit": 0}, {"min_context": -1}, {"q": "x" * 201}],
    ids=str,
)
async def test_nonsense_is_named(live: Live, query: dict[str, Any]):
    assert (await searched(live, 400, **query))["error"]["param"].split(".")[0] == next(iter(query))


async def test_five_hundred_servers_are_searched_at_once(live: Live):
    models = tuple(ListedModel(f"model-{n}:7b", digest_of(str(n)), family=f"f{n % 9}") for n in range(20))
    live.fleet.describe(
        ServerSpec(
            f"srv_{n:010x}", f"s{n}", f"http://10.0.{n // 250}.{n % 250}:1", "ollama", Trust.PUBLIC, models=models
        )
        for n in range(500)
    )
    began = time.thread_time()
    found = search(live.gateway, Wanted(words=("7b",)), 100)
    took = time.thread_time() - began
    assert (found["matched"], found["data"][0]["servers"]) == (20, 500)
    assert took < 0.5, f"{took * 1000:.0f} ms"


async def test_each_physical_model_of_a_logical_name_says_how_many_healthy_servers_hold_it(live: Live):
    answer = await live.http.get("/admin/api/models", headers=live.admin())
    law = next(model for model in answer.json()["data"] if model["name"] == "law")
    assert (law["healthy_by_backend"], law["healthy_servers"]) == ([2, 1], 3)


async def test_sources_say_when_their_catalogue_was_read(live: Live):
    synced = (await live.http.post("/admin/api/sources/sync", headers=live.admin())).json()["data"]
    assert all(source["read_at"] is None for source in synced if not source["enabled"])
    assert "read_at" not in next(source for source in synced if source["name"] == "configured")
