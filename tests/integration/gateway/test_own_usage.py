"""What a project's key learns about the project's use, and that it learns nothing about anybody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llm_gateway.testing.rogue import Rogue
from support.gateway import MODEL, Live, gateway
from support.net import wait_until
from support.served import KEY

OTHER = "a-key-of-the-other-project"
PROJECTS = [
    {
        "name": "legal",
        "trust": ["own"],
        "daily_tokens": 100_000,
        "keys": [{"name": "one", "value_env": "LLM_TEST_KEY", "rate_limit_per_minute": 600}],
    },
    {"name": "sales", "trust": ["own"], "keys": [{"name": "two", "value_env": "OTHER_KEY"}]},
]
LEGAL, SALES = {"X-API-Key": KEY}, {"X-API-Key": OTHER}


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    """Three requests of legal, one of them failed, and one of sales have been logged."""
    environ = {"OTHER_KEY": OTHER}
    async with Rogue() as server, gateway(tmp_path, server, projects=PROJECTS, environ=environ) as live:
        for headers, model in ((LEGAL, MODEL), (LEGAL, MODEL), (LEGAL, "nothing"), (SALES, MODEL)):
            await live.chat(headers=headers, model=model)
        await live.rows(4)
        yield live


async def test_a_project_learns_what_it_used(live: Live):
    told = (await live.http.get("/v1/usage", headers=LEGAL)).json()
    assert (told["object"], told["project"]) == ("usage", "legal")
    assert (told["total"]["requests"], told["total"]["errors"]) == (3, 1)
    assert [(row["model"], row["requests"], row["errors"]) for row in told["by_model"]] == [
        ("recite:latest", 2, 0),
        (None, 1, 1),
    ]
    assert sum(row["tokens_output"] for row in told["by_day"]) == told["total"]["tokens_output"] > 0
    assert told["limits"] == {"project": {"daily_tokens": 100_000}, "key": {"rate_limit_per_minute": 600}}


async def test_nobody_elses_figures_are_in_reach(live: Live):
    for attempt in ("", "?project=legal", "?project_id=*", "?by=project", "?key_id=x"):
        told = (await live.http.get(f"/v1/usage{attempt}", headers=SALES)).json()
        assert (told["project"], told["total"]["requests"]) == ("sales", 1), attempt
        assert "legal" not in str(told)


async def test_the_span_may_be_chosen_within_reason(live: Live):
    told = (await live.http.get("/v1/usage?since=2024-01-01&until=2024-02-01", headers=LEGAL)).json()
    assert (told["since"], told["until"]) == ("2024-01-01T00:00:00.000Z", "2024-02-01T00:00:00.000Z")
    assert (told["total"]["requests"], told["by_day"], told["by_model"]) == (0, [], [])
    for query, param in (("since=soon", "since"), ("since=2020-01-01", "until"), ("since=9&until=8", "until")):
        answer = await live.http.get(f"/v1/usage?{query}", headers=LEGAL)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    "path",
    [
        *("/admin/api/requests", "/admin/api/requests/tail", "/admin/api/requests/export", "/admin/api/stats"),
        *("/admin/api/stats/overview", "/admin/api/requests/019a2f6e-7c1b-7d3e-9f00-0123456789ab", "/metrics"),
    ],
)
async def test_a_projects_key_opens_neither_the_log_nor_the_figures_of_all(live: Live, path: str):
    for headers in (LEGAL, {"Authorization": f"Bearer {KEY}"}, {"X-Admin-Key": KEY}):
        answer = await live.http.get(path, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_without_a_key_there_are_no_figures(live: Live):
    del live.http.headers["x-api-key"]
    assert (await live.http.get("/v1/usage")).status_code == 401
    assert (await live.http.get("/v1/usage", headers={"X-API-Key": "wrong"})).status_code == 401
    assert (await live.http.get("/v1/usage", headers=live.admin())).status_code == 401


# the administrator's side


async def test_what_arrives_is_followed_page_by_page(live: Live):
    async def look(**query: object) -> dict[str, object]:
        answer = await live.http.get("/admin/api/requests/tail", params=query, headers=live.admin())  # type: ignore[arg-type]
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    mark = await look()
    assert (mark["data"], mark["more"]) == ([], False)
    sent = [(await live.chat()).headers["x-request-id"] for _ in range(3)]
    await live.rows(7)
    first = await look(cursor=mark["next_cursor"], limit=2)
    rest = await look(cursor=first["next_cursor"], limit=2)
    assert (first["more"], rest["more"]) == (True, False)
    assert [row["request_id"] for row in (*first["data"], *rest["data"])] == sent  # type: ignore[misc]
    for cursor in ("x", "", "AAAA"):
        answer = await live.http.get("/admin/api/requests/tail", params={"cursor": cursor}, headers=live.admin())
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "cursor")


async def test_a_follower_sees_a_request_when_it_has_ended(live: Live):
    mark = (await live.http.get("/admin/api/requests/tail", headers=live.admin())).json()["next_cursor"]
    sent = (await live.chat()).headers["x-request-id"]

    async def arrived() -> bool:
        query = {"cursor": mark, "limit": 10}
        answer = await live.http.get("/admin/api/requests/tail", params=query, headers=live.admin())
        return [row["request_id"] for row in answer.json()["data"]] == [sent]

    await wait_until(arrived, 10.0)
