"""Limits on tokens, costs and keys through the whole gateway, in one process."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import httpx
import openai
import pytest

from support.gateway import HELLO, KEY, Live, StartGateway
from support.net import wait_until
from support.rogues import StartRogue

ASK: dict[str, Any] = {"model": "recite", "messages": HELLO}


async def used(live: Live, limit: str) -> dict[str, Any]:
    told = await live.http.get(f"/admin/api/projects/{live.project}/limits", headers=live.admin())
    return next(figure for figure in told.json()["data"] if figure["name"] == limit)


def refusal(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 429, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


async def settled(live: Live) -> None:
    """Until nothing is reserved any more."""
    await wait_until(lambda: not any(a.held_tokens for a in live.gateway.limits._accounts.values()))


async def test_a_budget_is_used_up_by_what_answers_have_used(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(words=10), project={"daily_tokens": 1000})
    first = await live.chat()
    tokens = first.json()["usage"]["total_tokens"]
    assert tokens > 10
    assert (await used(live, "daily_tokens"))["used"] == tokens
    assert f'"day";r={1000 - tokens};t=' in first.headers["ratelimit"]
    counts = [tokens]
    while (answer := await live.chat()).status_code == 200:
        counts.append(answer.json()["usage"]["total_tokens"])
    error = refusal(answer)
    assert error["code"] == "budget_exceeded"
    assert error["type"] == "insufficient_quota"
    assert error["retryable"] is False
    assert error["limited"]["name"] == "daily_tokens"
    assert answer.headers["x-should-retry"] == "false"
    assert "retry-after" not in answer.headers
    rows = await live.rows(len(counts))  # what was refused has none
    assert sum(row["tokens_input"] + row["tokens_output"] for row in rows) == sum(counts) <= 1000
    page = (await live.http.get("/metrics", headers=live.admin())).text
    assert 'llmgw_rate_limited_total{limit="daily_tokens",project="tests"} 1.0' in page
    assert "llmgw_inflight 0.0" in page


async def test_a_thousand_at_once_overspend_nothing_when_they_say_how_long_answers_may_be(
    start: StartGateway, rogue: StartRogue
):
    live = await start(await rogue(words=20), project={"monthly_tokens": 3000}, timeouts={"first_token": 60})
    answers = await asyncio.gather(*(live.chat(max_tokens=20) for _ in range(200)))
    codes = {refusal(a)["code"] for a in answers if a.status_code != 200}
    assert codes <= {"budget_exceeded", "budget_reserved"}
    await settled(live)
    while (answer := await live.chat(max_tokens=20)).status_code == 200:
        answers.append(answer)
    answered = [a for a in answers if a.status_code == 200]
    rows = await live.rows(len(answered))
    total = sum(row["tokens_input"] + row["tokens_output"] for row in rows)
    assert total <= 3000
    assert total >= 3000 - 200  # one reservation did not fit any more


async def test_costs_are_limited_by_the_price_of_a_model(start: StartGateway, rogue: StartRogue):
    live = await start(
        await rogue(words=10),
        models=[{"name": "dear", "backend": ["recite"], "price": {"input": 1_000_000, "output": 1_000_000}}],
        project={"daily_cost": 400},
    )
    first = await live.chat(model="dear", max_tokens=10)
    assert first.status_code == 200, first.text
    tokens = first.json()["usage"]["total_tokens"]
    assert (await used(live, "daily_cost"))["used"] == tokens
    while (answer := await live.chat(model="dear", max_tokens=10)).status_code == 200:
        tokens += answer.json()["usage"]["total_tokens"]
    assert refusal(answer)["limited"]["name"] == "daily_cost"
    assert (await live.chat(max_tokens=10)).status_code == 200  # without a price it costs nothing
    assert tokens <= 400


async def test_tokens_per_minute_are_told_in_headers_and_refused_with_a_time(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(words=10), project={"tokens_per_minute": 1000})
    first = await live.chat(max_tokens=500)
    left = int(first.headers["x-ratelimit-remaining-tokens"])
    assert 900 < left < 1000
    assert refusal(await live.chat(max_tokens=2000))["code"] == "token_rate_limit_exceeded"
    await live.chat(max_tokens=900)
    for _ in range(50):
        answer = await live.chat(max_tokens=950)
        if answer.status_code == 429:
            break
    assert float(answer.headers["retry-after-ms"]) > 0
    assert refusal(answer)["type"] == "tokens"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat", ASK, 200),
        ("/v1/chat/stream", ASK, 200),
        ("/v1/messages", ASK | {"max_tokens": 5, "stream": True}, 200),
        ("/api/chat", ASK, 200),
        ("/v1/embeddings", {"model": "recite", "input": "x"}, 200),
        ("/v1/chat/completions", ASK | {"model": "nobody-has-this"}, 404),
        ("/v1/responses", {"model": 7}, 400),
        ("/v1/chat", ASK | {"max_tokens": 8000}, 429),
    ],
)
async def test_every_answer_tells_how_the_project_stands(
    start: StartGateway, rogue: StartRogue, path: str, body: dict[str, object], status: int
):
    live = await start(await rogue(), project={"rate_limit_per_minute": 600, "monthly_tokens": 5000})
    answer = await live.http.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert "q=600;w=60" in answer.headers["ratelimit-policy"]
    assert '"rpm";r=599;' in answer.headers["ratelimit"]
    assert '"month";r=' in answer.headers["ratelimit"]
    assert answer.headers["x-ratelimit-remaining-requests"] == "599"


async def test_a_key_has_limits_of_its_own(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(words=10))
    body = {"project": live.project, "name": "small", "max_concurrency": 5, "daily_tokens": 1}
    made = (await live.http.post("/admin/api/keys", json=body, headers=live.admin())).json()
    answer = await live.chat(headers={"X-API-Key": made["key"]})
    assert "Key `small`" in refusal(answer)["message"]
    assert (await live.chat(headers={"X-API-Key": KEY})).status_code == 200
    told = await live.http.get(f"/admin/api/keys/{made['id']}/limits", headers=live.admin())
    assert [figure["name"] for figure in told.json()["data"]] == ["max_concurrency", "daily_tokens"]


async def test_vectors_use_up_budgets_too(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), project={"daily_tokens": 2000})
    asked = {"model": "recite", "input": "Some words."}
    answer = await live.http.post("/v1/embeddings", json=asked)
    assert answer.status_code == 200, answer.text
    assert (await used(live, "daily_tokens"))["used"] == answer.json()["usage"]["total_tokens"]


async def test_a_client_that_leaves_pays_for_what_it_got(start: StartGateway, rogue: StartRogue):
    server = await rogue(words=1000, rate=50.0)
    live = await start(server, project={"daily_tokens": 100_000})
    async with live.http.stream("POST", "/v1/chat/stream", json=ASK) as answer:
        async for _ in answer.aiter_lines():
            break
    await settled(live)
    row = await live.row()
    assert (await used(live, "daily_tokens"))["used"] == row["tokens_input"] + row["tokens_output"] > 0


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "ollama"])
async def test_clients_do_not_come_back_for_a_budget_that_is_used_up(
    start: StartGateway, rogue: StartRogue, dialect: str
):
    live = await start(await rogue(words=5), project={"monthly_tokens": 1})
    if dialect == "openai":
        with pytest.raises(openai.RateLimitError) as caught:
            await openai.AsyncOpenAI(base_url=f"{live.base_url}/v1", api_key=KEY).chat.completions.create(
                model="recite", messages=[{"role": "user", "content": "Hello"}]
            )
        assert caught.value.code == "budget_exceeded"
    elif dialect == "anthropic":
        with pytest.raises(anthropic.RateLimitError) as refused:
            await anthropic.AsyncAnthropic(base_url=live.base_url, api_key=KEY).messages.create(
                model="recite", max_tokens=10, messages=[{"role": "user", "content": "Hello"}]
            )
        assert refused.value.body["error"]["type"] == "rate_limit_error"  # type: ignore[index]
    else:
        answer = await live.http.post("/api/chat", json=ASK)
        assert answer.status_code == 429
        assert "1 tokens per month" in answer.json()["error"]
    page = (await live.http.get("/metrics", headers=live.admin())).text
    assert 'llmgw_rate_limited_total{limit="monthly_tokens",project="tests"} 1.0' in page
