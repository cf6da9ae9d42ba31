"""kill -9 loses no row: what was answered is found, what was under way is closed as crashed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from support.gateway import entry
from support.net import wait_until
from support.rogues import StartRogue
from support.served import KEY, project, serve

ASK = {"model": "recite", "messages": [{"role": "user", "content": "hello"}]}


async def rows_of(url: str, token: str) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as admin:
        page = await admin.get("/admin/api/requests?limit=200", headers={"x-admin-key": token})
        return list(page.json()["data"])


async def test_after_kill_9_every_answered_request_has_its_row_and_every_open_one_is_closed_as_crashed(
    tmp_path: Path, rogue: StartRogue
):
    server = await rogue()
    hanging = ["slow-1", "slow-2", "slow-3"]  # one each: of a model that is not known yet, one request finds out
    slow = await rogue(models=hanging, mood="hang_after_request")
    config = project(servers=[entry(server), entry(slow)])
    answered: list[str] = []
    with serve(tmp_path, config=config, LLM_TEST_KEY=KEY) as first:
        async with httpx.AsyncClient(base_url=first.url, headers={"x-api-key": KEY}, trust_env=False) as http:

            async def both_are_known() -> bool:
                listed = (await http.get("/v1/models")).text
                return "slow-3" in listed and "recite" in listed

            await wait_until(both_are_known, 10)
            open_ones = [asyncio.create_task(http.post("/v1/chat", json=ASK | {"model": name})) for name in hanging]
            await wait_until(lambda: len(slow.chats_heard()) == 3, 10)
            for _ in range(40):
                answer = await http.post("/v1/chat", json=ASK)
                assert answer.status_code == 200, answer.text
                answered.append(answer.headers["x-request-id"])
            first.process.kill()
            await asyncio.gather(*open_ones, return_exceptions=True)
        first.process.wait(10)
    (tmp_path / "runtime.json").unlink()  # a killed process leaves it; the next start writes its own
    with serve(tmp_path, config=config, LLM_TEST_KEY=KEY) as second:

        async def all_are_there() -> bool:
            return len(await rows_of(second.url, second.admin_token)) == 43

        await wait_until(all_are_there, 5)
        rows = await rows_of(second.url, second.admin_token)
    outcomes = {row["request_id"]: row["outcome"] for row in rows}
    assert [outcomes[id] for id in answered] == ["ok"] * 40
    crashed = [row for row in rows if row["outcome"] == "gateway_crashed"]
    assert {(row["model"], row["error_code"]) for row in crashed} == {
        (f"{name}:latest", "gateway_crashed") for name in hanging
    }
    assert not any(path.is_dir() for path in (tmp_path / "journal").iterdir())
