"""The wall clock jumps by an hour and by a day, both ways, while the gateway serves (libfaketime)."""

from __future__ import annotations

import asyncio
import glob
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from support.gateway import entry
from support.net import wait_until
from support.rogues import StartRogue
from support.served import KEY, Served, project, serve
from support.stored import contradictions

LIBRARIES = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
HOUR, DAY = 3600, 86_400
LIMIT = 40
ASK = {"model": "recite", "messages": [{"role": "user", "content": "hello"}]}

pytestmark = pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed")


class Wall:
    """The gateway's wall clock, `offset` seconds from ours. Its monotonic clock stays true."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.jump(0)

    def jump(self, offset: int) -> None:
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{offset:+d}\n")
        draft.replace(self._file)

    @property
    def environ(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": LIBRARIES[0],
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }


@contextmanager
def served(tmp_path: Path, wall: Wall, config: dict[str, object]) -> Iterator[Served]:
    with serve(tmp_path / "data", config=config, LLM_TEST_KEY=KEY, **wall.environ) as running:
        yield running


async def ready(http: httpx.AsyncClient) -> None:
    async def knows() -> bool:
        return "recite" in (await http.get("/v1/models")).text

    await wait_until(knows, 60)


async def asked(http: httpx.AsyncClient, **fields: object) -> httpx.Response:
    """Asks again while the machine, and with it the gateway, has too much else to do."""
    until = time.monotonic() + 60
    while True:
        answer = await http.post("/v1/chat/completions", json=ASK | fields)
        if '"overloaded"' not in answer.text or time.monotonic() > until:
            return answer
        await asyncio.sleep(0.2)


async def test_ids_stay_unique_and_ordered_and_every_request_is_answered(tmp_path: Path, rogue: StartRogue):
    wall = Wall(tmp_path / "wall")
    ids: list[UUID] = []
    with served(tmp_path, wall, project(servers=[entry(await rogue())])) as running:
        async with httpx.AsyncClient(
            base_url=running.url, headers={"x-api-key": KEY}, trust_env=False, timeout=60
        ) as http:
            await ready(http)
            for offset in (0, HOUR, -HOUR, DAY, -DAY, 0):
                wall.jump(offset)
                for n in range(10):
                    answer = await asked(http, stream=n % 2 == 0)
                    assert answer.status_code == 200, answer.text
                    if n % 2 == 0:
                        assert "[DONE]" in answer.text
                    ids.append(UUID(answer.headers["x-request-id"]))
            admin = {"x-admin-key": running.admin_token}

            async def all_are_there() -> bool:
                page = (await http.get("/admin/api/requests?limit=200", headers=admin)).json()["data"]
                return {UUID(row["request_id"]) for row in page} >= set(ids)

            await wait_until(all_are_there, 30)
            assert (await http.get("/v1/health")).json()["status"] == "ok"
    assert await contradictions(None, tmp_path / "data") == []
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)


async def test_a_jump_gives_no_project_more_or_fewer_requests(tmp_path: Path, rogue: StartRogue):
    wall = Wall(tmp_path / "wall")
    config = project(servers=[entry(await rogue())], rate_limit_per_minute=LIMIT)
    with served(tmp_path, wall, config) as running:
        async with httpx.AsyncClient(
            base_url=running.url, headers={"x-api-key": KEY}, trust_env=False, timeout=60
        ) as http:
            await ready(http)
            began = time.monotonic()
            statuses = []
            for n in range(2 * LIMIT):
                wall.jump((HOUR, -HOUR, DAY, -DAY)[n % 4])
                statuses.append((await asked(http)).status_code)
            seconds = time.monotonic() - began
    assert set(statuses) == {200, 429}
    assert LIMIT - 5 <= statuses.count(200) <= LIMIT + seconds * LIMIT / 60 + 1  # what was `overloaded` counts too


async def test_a_key_ends_with_the_wall_clock_a_minute_late(tmp_path: Path, rogue: StartRogue):
    wall = Wall(tmp_path / "wall")
    with served(tmp_path, wall, project(servers=[entry(await rogue())])) as running:
        async with httpx.AsyncClient(base_url=running.url, trust_env=False, timeout=60) as http:
            admin = {"x-admin-key": running.admin_token}
            until = time.time() + HOUR
            body = {"project": "tests", "name": "short", "expires_at": str(until)}
            made = await http.post("/admin/api/keys", json=body, headers=admin)
            if made.status_code != 201:  # a project of the file takes no keys of others
                await http.post("/admin/api/projects", json={"name": "other"}, headers=admin)
                made = await http.post("/admin/api/keys", json=body | {"project": "other"}, headers=admin)
            key = {"x-api-key": made.json()["key"]}
            for offset, status in ((0, 200), (HOUR + 20, 200), (HOUR + 200, 401), (0, 200), (-DAY, 200), (DAY, 401)):
                wall.jump(offset)
                assert (await http.get("/v1/models", headers=key)).status_code == status, offset


async def test_what_is_timed_is_not_the_wall_clocks(tmp_path: Path, rogue: StartRogue):
    """A stream that runs while the clock jumps neither ends early nor hangs, and its row has its true latency."""
    wall = Wall(tmp_path / "wall")
    slow = await rogue(words=40, rate=20.0)
    with served(tmp_path, wall, project(servers=[entry(slow)])) as running:
        async with httpx.AsyncClient(
            base_url=running.url, headers={"x-api-key": KEY}, trust_env=False, timeout=60
        ) as http:
            await ready(http)
            began = time.monotonic()
            task = asyncio.create_task(asked(http, stream=True))
            await wait_until(lambda: slow.chats_heard(), 10)
            for offset in (HOUR, -HOUR, DAY, -DAY):
                wall.jump(offset)
                await asyncio.sleep(0.2)
            answer = await task
            seconds = time.monotonic() - began
            assert "[DONE]" in answer.text
            admin = {"x-admin-key": running.admin_token}

            async def row() -> dict[str, object] | None:
                page = (await http.get("/admin/api/requests?limit=200", headers=admin)).json()["data"]
                found = [each for each in page if each["request_id"] == answer.headers["x-request-id"]]
                return found[0] if found else None

            found = await wait_until(row, 30)
            assert found is not None
            assert 1000 < float(str(found["latency_ms"])) <= seconds * 1000
