"""What requests cost: the price of the name that was asked for, times the tokens that the client got."""

from __future__ import annotations

import csv
import io
from typing import Any

import openai
import pytest

from llm_gateway.ledger.bounds import FIRST_ALLOWANCE
from llm_gateway.wire.collect import MOST_MESSAGE_TOKENS, UNSEEN_TOKENS
from support.gateway import HELLO, KEY, Live, StartGateway, Wire, entry, words
from support.net import wait_until
from support.rogues import StartRogue

PRICE = {"input": 3.0, "output": 7.0}
PRICED = [{"name": "fast", "backend": ["recite"], "price": PRICE}]
IMPATIENT = {"connect": 1, "head": 0.5, "first_token": 0.5, "stall": 0.5, "write": 2, "budget": 3, "total": 20}
PATHS = ["/v1/chat/stream", "/v1/chat/completions", "/v1/messages", "/v1/responses", "/api/chat"]


def nanos(row: dict[str, Any]) -> int:
    """What the row's own tokens cost."""
    return int(row["tokens_input"] * 3_000 + row["tokens_output"] * 7_000)


async def priced(start: StartGateway, *servers: Any, **settings: Any) -> Live:
    return await start(*servers, models=PRICED, timeouts=IMPATIENT, **settings)


async def test_a_whole_answer_costs_its_tokens(start: StartGateway, rogue: StartRogue):
    live = await priced(start, await rogue())
    answer = (await live.chat("/v1/chat/completions", model="fast")).json()
    row = await live.row()
    assert (row["tokens_input"], row["tokens_output"]) == (
        answer["usage"]["prompt_tokens"],
        answer["usage"]["completion_tokens"],
    )
    assert row["tokens_output"] == 10
    assert row["cost_nanos"] == nanos(row) > 0
    assert not row["tokens_estimated"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_stream_costs_the_same_over_every_api(start: StartGateway, rogue: StartRogue, path: str):
    live = await priced(start, await rogue())
    more: dict[str, Any] = {"max_tokens": 100} if path == "/v1/messages" else {}
    if path == "/v1/responses":
        more = {"input": "Hello", "messages": None}
    answer = await live.chat(path, model="fast", stream=True, **more)
    assert answer.status_code == 200, answer.text
    row = await live.row()
    assert row["tokens_output"] == 10
    assert row["cost_nanos"] == nanos(row) > 70_000


async def test_an_answer_that_another_server_went_on_with_costs_what_arrived(start: StartGateway, rogue: StartRogue):
    bad, good = await rogue(mood="cut_rst"), await rogue()
    live = await priced(start, bad, good)
    live.prefer(bad)
    told = await live.stream(model="fast")
    row = await live.row()
    assert (told.status, row["continuations"], row["tokens_output"]) == (200, 1, 10)
    assert row["cost_nanos"] == nanos(row)


async def test_an_answer_that_broke_off_for_good_costs_what_arrived_and_is_an_estimate(
    start: StartGateway, rogue: StartRogue
):
    live = await priced(start, await rogue(mood="cut_rst", words=20, cut_after=5))
    told = await live.stream(model="fast")
    row = await live.row()
    assert (row["outcome"], row["error_code"]) == ("error", "upstream_stream_lost")
    assert row["tokens_output"] == len(told.text.split()) > 0
    assert row["tokens_estimated"]
    assert row["cost_nanos"] == nanos(row) > 0


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream"])
@pytest.mark.parametrize("limits", [{}, {"monthly_tokens": 10**9}], ids=["no limits", "a budget"])
async def test_what_a_server_claims_beyond_what_it_delivered_is_not_billed(
    start: StartGateway, rogue: StartRogue, path: str, limits: dict[str, int]
):
    """A token is a byte or more: so many are believed, and some for what is not shown."""
    live = await priced(start, await rogue(mood="overcounts"), project=limits)
    answer = await live.chat(path, model="fast")
    assert answer.status_code == 200
    row = await live.row()
    assert 10 <= row["tokens_output"] <= len(words()) + UNSEEN_TOKENS
    assert row["tokens_input"] <= len(HELLO[0]["content"]) + MOST_MESSAGE_TOKENS + FIRST_ALLOWANCE
    assert row["tokens_estimated"]
    assert row["cost_nanos"] == nanos(row)


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream"])
async def test_what_failed_before_the_first_word_costs_nothing(start: StartGateway, rogue: StartRogue, path: str):
    live = await priced(start, await rogue(mood="runner_500"))
    assert (await live.chat(path, model="fast")).status_code >= 500
    assert (await live.row())["cost_nanos"] == 0


async def test_a_client_that_leaves_pays_for_what_it_got(start: StartGateway, rogue: StartRogue):
    server = await rogue(words=1000, rate=100)
    live = await priced(start, server)
    async with Wire(live) as wire:
        await wire.send("/v1/chat/stream", model="fast")
        assert wire._reader is not None
        await wire._reader.readuntil(b" w009")
    row = await live.row()
    assert row["outcome"] == "client_closed"
    assert 10 <= row["tokens_output"] <= 100
    assert row["tokens_estimated"]
    assert row["cost_nanos"] == nanos(row) > 70_000


async def test_a_client_that_leaves_before_a_whole_answer_pays_nothing(start: StartGateway, rogue: StartRogue):
    server = await rogue(words=1000, rate=100)
    live = await priced(start, server)
    async with Wire(live) as wire:
        await wire.send("/v1/chat", model="fast")
        await server.until(lambda s: s.in_flight == 1)
    row = await live.row()
    assert (row["outcome"], row["tokens_output"], row["cost_nanos"]) == ("client_closed", 0, 0)


async def test_vectors_cost_their_prompts(start: StartGateway, rogue: StartRogue):
    live = await priced(start, entry(await rogue(), kind="openai"))
    async with openai.AsyncOpenAI(base_url=f"{live.base_url}/v1", api_key=KEY) as ai:
        made = await ai.embeddings.create(model="fast", input=["one", "two", "three"])
    row = await live.row()
    assert (row["tokens_input"], row["tokens_output"]) == (made.usage.prompt_tokens, 0)
    assert row["cost_nanos"] == nanos(row) > 0


async def test_where_a_server_counts_nothing_the_cost_is_of_an_estimate(start: StartGateway, rogue: StartRogue):
    live = await priced(start, await rogue(mood="no_metrics"))
    await live.stream(model="fast")
    row = await live.row()
    assert row["tokens_estimated"]
    assert row["tokens_output"] == 10
    assert row["cost_nanos"] == nanos(row) > 0


async def test_a_physical_name_costs_nothing_unless_a_model_of_that_name_has_a_price(
    start: StartGateway, rogue: StartRogue
):
    server = await rogue()
    live = await priced(start, server)
    assert (await live.chat(model="recite")).status_code == 200
    assert (await live.row())["cost_nanos"] == 0
    named = await start(server, models=[{"name": "recite", "backend": ["recite"], "price": PRICE}])
    assert (await named.chat(model="recite")).status_code == 200
    row = await named.row()
    assert row["cost_nanos"] == nanos(row) > 0


async def test_a_projects_own_model_has_its_own_price_or_none(start: StartGateway, rogue: StartRogue):
    server = await rogue()
    own = {"name": "fast", "backend": ["recite"], "price": {"input": 0.0, "output": 1.0}}
    live = await priced(start, server, project={"models": [own]})
    await live.chat(model="fast")
    assert (await live.row())["cost_nanos"] == 10_000
    free = await priced(start, server, project={"models": [{"name": "fast", "backend": ["recite"]}]})
    await free.chat(model="fast")
    assert (await free.row())["cost_nanos"] == 0


async def test_a_new_price_is_of_later_requests_only(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    body = {"name": "dear", "backend": ["recite"], "price": {"output": 1.0}}
    made = (await live.http.post("/admin/api/models", headers=live.admin(), json=body)).json()
    assert made["price"] == {"input": 0.0, "output": 1.0}
    await live.chat(model="dear")
    await live.http.patch(
        f"/admin/api/models/{made['id']}", headers=live.admin(), json={"backend": ["recite"], "price": {"output": 2.0}}
    )
    await live.chat(model="dear")
    assert [row["cost_nanos"] for row in await live.rows(2)] == [10_000, 20_000]


async def test_administrators_see_costs_in_the_unit_of_the_prices(start: StartGateway, rogue: StartRogue):
    live = await priced(start, await rogue())
    await live.chat(model="fast")
    row = await live.row()

    async def shown() -> Any:
        return (await live.http.get("/admin/api/requests", headers=live.admin())).json()["data"]

    (view,) = await wait_until(shown)
    assert view["cost"] == pytest.approx(row["cost_nanos"] / 1e9)
    assert "cost_nanos" not in view
    sheet = (await live.http.get("/admin/api/requests/export?format=csv", headers=live.admin())).text
    (line,) = csv.DictReader(io.StringIO(sheet))
    assert float(line["cost"]) == view["cost"]


async def test_clients_are_told_no_prices(start: StartGateway, rogue: StartRogue):
    live = await priced(start, await rogue())
    listed = await live.http.get("/v1/models")
    assert "fast" in listed.text
    assert "price" not in listed.text
