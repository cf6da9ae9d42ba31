"""The recipes that pages show: for the address that clients use, with models that the project may ask for."""

from __future__ import annotations

from typing import Any

import pytest

from llm_gateway.recipes.recipe import NO_KEY, NO_MODEL
from support.gateway import KEY, MODEL, Live, StartGateway, entry
from support.rogues import StartRogue

LISTED = f"{MODEL}:latest"


async def recipes(live: Live, **query: str) -> dict[str, Any]:
    answer = await live.http.get("/admin/api/recipes", params=query, headers=live.admin())
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_they_are_filled_with_the_address_of_whoever_asks_and_hold_no_key(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    found = await recipes(live, address="https://llm.example.org/v1/")
    curl = found["data"][0]["parts"][1]["text"]
    assert "https://llm.example.org/v1/chat/completions" in curl
    assert (found["model"], found["key"]) == (LISTED, NO_KEY)
    assert LISTED in curl
    assert NO_KEY in curl
    assert KEY not in str(found)


async def test_the_address_that_the_operator_says_is_public_wins(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), public_url="https://public.example.org/llm")
    assert (await recipes(live, address="http://10.0.0.1:8000"))["base_url"] == "https://public.example.org/llm"


async def test_only_models_that_the_project_may_ask_for_are_offered(start: StartGateway, rogue: StartRogue):
    live = await start(entry(await rogue(), trust="public"), project={"trust": ["own"]})
    assert [offered["name"] for offered in (await recipes(live))["models"]] == [LISTED]
    found = await recipes(live, project=live.project)
    assert (found["models"], found["model"]) == ([], NO_MODEL)


@pytest.mark.parametrize("address", ["nowhere", "ftp://x", "http://a b", "http://x/?q=1", "http://x:99999"])
async def test_what_is_no_address_is_refused_by_name(start: StartGateway, rogue: StartRogue, address: str):
    live = await start(await rogue())
    answer = await live.http.get("/admin/api/recipes", params={"address": address}, headers=live.admin())
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "address")
