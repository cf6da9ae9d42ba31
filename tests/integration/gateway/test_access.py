"""Who may ask, and how much: keys, projects, limits, through the whole gateway."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

import httpx
import pytest

from llm_gateway.access.keys import make_key
from llm_gateway.storage import keys, projects
from llm_gateway.storage.engine import open_engine
from llm_gateway.storage.sessions import Sessions
from support.gateway import HELLO, KEY, Live, StartGateway, Wire, words
from support.net import wait_until
from support.rogues import StartRogue

ASK: dict[str, Any] = {"model": "recite", "messages": HELLO}


async def new_key(live: Live, name: str = "other", seed: int = 1, **fields: Any) -> tuple[str, str]:
    """A key of the only project, made by the administrator. Returns its id and its text."""
    body = {"project": live.project, "name": name, **fields}
    made = await live.http.post("/admin/api/keys", json=body, headers=live.admin())
    assert made.status_code == 201, made.text
    return made.json()["id"], made.json()["key"]


async def asks(live: Live, key: str) -> httpx.Response:
    return await live.http.post("/v1/chat", json=ASK, headers={"X-API-Key": key})


@pytest.mark.parametrize(
    "headers",
    [{"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}, {"api-key": KEY}],
)
async def test_a_key_is_accepted_in_every_usual_header(start: StartGateway, rogue: StartRogue, headers: dict[str, str]):
    live = await start(await rogue())
    async with httpx.AsyncClient(base_url=live.base_url) as plain:
        assert (await plain.post("/v1/chat", json=ASK, headers=headers)).status_code == 200
        assert (await plain.get("/v1/models", headers=headers)).status_code == 200


async def test_unknown_revoked_and_expired_keys_are_refused_in_the_same_words(start: StartGateway, rogue: StartRogue):
    server = await rogue()
    live = await start(server)
    revoked_id, revoked = await new_key(live, "revoked")
    await live.http.post(f"/admin/api/keys/{revoked_id}/revoke", headers=live.admin())
    _, expired = await new_key(live, "expired", expires_at="2020-01-01T00:00:00Z")
    said: set[str] = set()
    for key in (make_key(b"x" * 32).text, revoked, expired, "short", "ü" * 30):
        for path in ("/v1/chat", "/v1/chat/stream", "/v1/chat/completions"):
            answer = await live.http.post(path, json=ASK, headers={"X-API-Key": key.encode()})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            error = answer.json()["error"]
            assert error.pop("request_id") == answer.headers["x-request-id"]
            said.add(repr(sorted(error.items())))
    assert len(said) == 1
    assert "invalid_api_key" in said.pop()
    assert server.chats == 0
    assert (await live.chat()).status_code == 200
    assert len(await live.rows(1)) == 1  # refused keys are counted, not logged


async def test_a_disabled_project_is_told_so(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), projects=[{"name": "filler"}])
    made = await live.http.post("/admin/api/projects", json={"name": "made"}, headers=live.admin())
    project = made.json()
    key = (await live.http.post("/admin/api/keys", json={"project": "made"}, headers=live.admin())).json()["key"]
    assert (await asks(live, key)).status_code == 200
    changed = await live.http.patch(
        f"/admin/api/projects/{project['id']}", json={"is_active": False}, headers=live.admin()
    )
    assert changed.status_code == 200, changed.text
    refused = await asks(live, key)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "project_disabled")
    page = (await live.http.get("/metrics", headers=live.admin())).text
    assert "llmgw_auth_failures_total 1.0" in page  # it leaves no row


async def test_a_key_that_another_process_revokes_is_refused_within_two_seconds(
    database_url: str, start: StartGateway, rogue: StartRogue
):
    live = await start(await rogue(), database_url=database_url)
    key_id, key = await new_key(live)
    assert (await asks(live, key)).status_code == 200
    engine = open_engine(database_url, data_dir=live.running.settings.data_dir)
    try:
        async with Sessions(engine).write() as s:
            await keys.revoke_key(s, key_id, time.time())
        began = time.monotonic()

        async def refused() -> bool:
            return (await asks(live, key)).status_code == 401

        await wait_until(refused, 5.0)
        assert time.monotonic() - began < 2.0
    finally:
        await engine.dispose()


async def test_a_project_that_another_process_makes_is_served_within_two_seconds(
    database_url: str, start: StartGateway, rogue: StartRogue
):
    live = await start(await rogue(), database_url=database_url)
    key = make_key(b"k" * 32)
    engine = open_engine(database_url, data_dir=live.running.settings.data_dir)
    try:
        async with Sessions(engine).write() as s:
            made = await projects.create_project(s, name="from elsewhere")
            await keys.add_key(s, made.id, name="k", hash=key.hash, prefix=key.prefix, last4=key.last4)
    finally:
        await engine.dispose()

    async def served() -> bool:
        return (await asks(live, key.text)).status_code == 200

    await wait_until(served, 2.0)


async def test_rotation_keeps_both_keys_for_the_overlap_and_none_without(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    for overlap, status in ((3600, 200), (0, 401)):
        key_id, old = await new_key(live, f"rotated {overlap}")
        rotated = await live.http.post(
            f"/admin/api/keys/{key_id}/rotate", json={"overlap_seconds": overlap}, headers=live.admin()
        )
        assert rotated.status_code == 201, rotated.text
        new = rotated.json()["key"]
        assert new != old
        assert (await asks(live, new)).status_code == 200
        assert (await asks(live, old)).status_code == status


async def test_the_twenty_first_wrong_key_of_a_minute_is_told_to_wait_and_a_right_one_passes(
    start: StartGateway, rogue: StartRogue
):
    live = await start(await rogue())
    statuses = [(await asks(live, f"llmgw_guess-{n}")).status_code for n in range(22)]
    assert statuses == [401] * 20 + [429] * 2
    late = await asks(live, "llmgw_guess-again")
    assert late.json()["error"]["code"] == "too_many_failed_keys"
    assert 0 < int(late.headers["retry-after"]) <= 60
    assert (await live.chat()).status_code == 200


async def test_a_project_may_run_so_many_requests_at_a_time(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="hang_after_request")
    live = await start(server, project={"max_concurrency": 3}, timeouts={"total": 3})
    running = [asyncio.create_task(live.chat()) for _ in range(3)]
    (project_id,) = live.gateway.snapshot.projects
    await wait_until(lambda: live.gateway.limits.running(project_id) == 3)
    refused = await live.chat()
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "concurrency_limit_exceeded")
    assert int(refused.headers["retry-after"]) >= 1
    server.crash()
    for task in running:
        assert (await task).status_code in (429, 502, 503, 504)  # one at a time is asked of an unknown server
    server.mood = "good"
    assert (await live.chat()).status_code in (200, 503)
    await live.rows(4)


async def test_a_burst_far_beyond_the_rate_limit_passes_exactly_the_limit(start: StartGateway, rogue: StartRogue):
    limit, count, at_once = 60, 600, 50
    server = await rogue()
    live = await start(server, project={"rate_limit_per_minute": limit})

    async def ask() -> list[httpx.Response]:
        async with Wire(live) as wire:
            return [await wire.ask() for _ in range(count // at_once)]

    began = time.monotonic()
    answers = [a for some in await asyncio.gather(*(ask() for _ in range(at_once))) for a in some]
    elapsed = time.monotonic() - began
    passed = [a for a in answers if a.status_code == 200]
    refused = [a for a in answers if a.status_code == 429]
    assert len(passed) + len(refused) == count
    assert limit <= len(passed) <= limit + math.ceil(elapsed * limit / 60)
    assert all(a.json()["choices"][0]["message"]["content"] == words() for a in passed)
    assert server.chats == len(passed)
    for answer in refused:
        error = answer.json()["error"]
        assert error["code"] == "rate_limit_exceeded"
        wait = int(answer.headers["retry-after-ms"]) / 1000
        assert 0 < wait <= 60 / limit
        assert int(answer.headers["retry-after"]) == math.ceil(wait)
        assert answer.headers["x-ratelimit-limit-requests"] == str(limit)
        assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    await asyncio.sleep(int(refused[-1].headers["retry-after"]))
    assert (await live.chat()).status_code == 200
    await live.rows(len(passed) + 1)  # refused ones are counted, not logged


async def test_limits_are_told_before_they_are_reached(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), project={"rate_limit_per_minute": 10})
    answer = await live.chat()
    assert answer.headers["x-ratelimit-limit-requests"] == "10"
    assert answer.headers["x-ratelimit-remaining-requests"] == "9"
    assert answer.headers["x-ratelimit-reset-requests"].endswith("s")
    told = await live.stream()
    assert told.headers["x-ratelimit-remaining-requests"] == "8"


async def test_only_listed_models_are_reached_and_others_do_not_exist(start: StartGateway, rogue: StartRogue):
    server = await rogue(["a:1", "b:1"])
    live = await start(
        server,
        models=[{"name": "smart", "backend": ["b:1"]}],
        project={"allowed_models": ["smart", "a:1"]},
    )
    listed = (await live.http.get("/v1/models")).json()["data"]
    assert [m["id"] for m in listed] == ["smart", "a:1"]
    assert (await live.chat(model="smart")).json()["model"] == "b:1"
    assert (await live.chat(model="a:1")).status_code == 200
    forbidden = await live.chat(model="b:1")
    unheard_of = await live.chat(model="c:1")
    for answer in (forbidden, unheard_of):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    said = [a.json()["error"]["message"] for a in (forbidden, unheard_of)]
    assert said[0].replace("b:1", "c:1") == said[1]


async def test_a_projects_own_name_wins_over_a_shared_one_and_is_nobody_elses(start: StartGateway, rogue: StartRogue):
    server = await rogue(["a:1", "b:1"])
    other = "another-key-that-the-config-names"
    live = await start(
        server,
        models=[{"name": "fast", "backend": ["a:1"]}],
        projects=[
            {
                "name": "one",
                "keys": [{"name": "k", "value_env": "LLM_TEST_KEY"}],
                "models": [{"name": "fast", "backend": ["b:1"]}, {"name": "mine", "backend": ["a:1"]}],
            },
            {"name": "two", "keys": [{"name": "k", "value_env": "OTHER_KEY"}]},
        ],
        environ={"OTHER_KEY": other},
    )
    assert (await live.chat(model="fast")).json()["model"] == "b:1"
    assert (await live.chat(model="fast", headers={"X-API-Key": other})).json()["model"] == "a:1"
    assert (await live.chat(model="mine")).status_code == 200
    assert (await live.chat(model="mine", headers={"X-API-Key": other})).status_code == 404
