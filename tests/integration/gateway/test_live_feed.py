"""Pages that stay open are told what happens, from memory: nothing is asked of the database for them."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from llm_gateway.web.admin.feed import BEHIND, BEHIND_BYTES, HEARTBEAT, READERS, Feed, Reader
from llm_gateway.web.signed_in import SignedIn
from support.feeds import FEED, Page, page
from support.gateway import ADMIN_TOKEN, HELLO, KEY, Live, StartGateway, gateway
from support.net import wait_until
from support.rogues import StartRogue
from support.served import project, serve

PASSWORD = "seven unlikely green words"


async def logged(live: Live, count: int) -> list[dict[str, Any]]:
    await live.rows(count)
    answer = await live.http.get("/admin/api/requests", headers=live.admin())
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows[::-1]


async def test_a_request_is_told_when_it_ends_as_the_log_shows_it(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    async with page(live) as open:
        hello = await open.until("hello")
        assert (hello["requests"], hello["resumed"], hello["servers"]) == ([], False, {"healthy": 1})
        assert hello["in_flight"]["total"] == 0
        await live.chat()
        told = await open.until("request")
    assert open.told[-1][2] == told["request_id"]
    assert [told] == await logged(live, 1)


async def test_what_is_in_flight_is_told_when_it_changes(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="hang_after_request")
    live = await start(server)
    async with page(live) as open:
        asking = asyncio.create_task(live.chat())
        listed = await open.until("inflight")
        while not listed["data"]:  # the first list may have been made before the request came
            listed = await open.until("inflight")
        while listed["data"][0]["phase"] != "first_token":
            listed = await open.until("inflight")
        id = listed["data"][0]["request_id"]
        assert (await live.http.post(f"/admin/api/live/{id}/cancel", headers=live.admin())).status_code == 200
        ended = await open.until("request")
        assert (ended["request_id"], ended["error_code"]) == (id, "cancelled_by_operator")
        assert (await open.until("inflight"))["total"] == 0
    await asking


async def test_a_server_that_goes_is_told(start: StartGateway, rogue: StartRogue):
    server = await rogue()
    live = await start(server)
    changes = live.running.timeline.changes
    await wait_until(lambda: bool(changes) and changes[-1].spell.state == "healthy", 5.0)
    spec = live.state(server).spec
    async with page(live) as open:
        server.crash()
        await live.chat()
        told = await open.until("server")
        while told["state"] != "resting":
            told = await open.until("server")
        assert told["reason"]
    assert (told["id"], told["name"], told["before"]) == (spec.id, spec.name, "healthy")


async def test_who_comes_again_is_told_what_was_missed(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    async with page(live) as open:
        await live.chat()
        await open.until("request")
        last = open.told[-1][2]
    for _ in range(3):
        await live.chat()
    rows = await logged(live, 4)
    async with page(live, last) as again:
        hello = await again.until("hello")
    assert hello["resumed"] is True
    assert hello["requests"] == rows[1:]
    async with page(live, "an-id-of-another-process") as other:
        hello = await other.until("hello")
    assert (hello["resumed"], hello["requests"]) == (False, rows)
    assert other.told[-1][2] == rows[-1]["request_id"]


async def test_more_rows_at_once_than_are_kept_are_told_by_a_new_greeting(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    await live.chat()
    async with page(live) as open:
        await open.until("hello")
        row = live.gateway.ended[-1]
        live.gateway.ended.extend({**row} for _ in range(live.gateway.ended.maxlen or 0))
        hello = await open.until("hello")
        assert len(hello["requests"]) == live.gateway.ended.maxlen
        await live.chat()
        told = await open.until("request")
        assert told["request_id"] != row["id"]


async def test_an_open_page_asks_nothing_of_the_database(tmp_path: Path, rogue: StartRogue):
    async with gateway(tmp_path, await rogue()) as live, page(live) as open:
        await open.until("hello")
        await live.chat()
        await live.rows(1)
        statements: list[str] = []
        engine = live.running.sessions.engine.sync_engine
        event.listen(engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
        for _ in range(3):
            await live.http.post("/v1/chat", json={"model": "no-such-model", "messages": HELLO})
            await open.until("request")
        assert not [s for s in statements if s.lstrip().upper().startswith("SELECT") and "request_log" in s]


async def test_whoever_is_signed_out_is_let_go_and_others_stay(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    users = "/admin/api/users"
    for name in ("ann", "bob"):
        body = {"name": name, "role": "viewer", "password": PASSWORD}
        assert (await live.http.post(users, json=body, headers=live.admin())).status_code == 201
    async with AsyncExitStack() as stack:
        pages: dict[str, Page] = {"token": await stack.enter_async_context(page(live))}
        for name in ("ann", "bob"):
            http = await stack.enter_async_context(httpx.AsyncClient(base_url=live.base_url, trust_env=False))
            answer = await http.post("/admin/api/session", json={"name": name, "password": PASSWORD})
            assert answer.status_code == 201
            pages[name] = Page(await stack.enter_async_context(http.stream("GET", FEED)))
        for opened in pages.values():
            await opened.until("hello")
        gone = await live.http.patch(f"{users}/ann", json={"is_active": False}, headers=live.admin())
        assert gone.status_code == 200
        assert await pages["ann"].until("end") == {"reason": "signed_out"}
        await live.chat()
        for name in ("bob", "token"):
            await pages[name].until("request")
            assert "end" not in [told for told, _, _ in pages[name].told]


async def test_whoever_is_signed_out_is_let_go_also_when_the_database_goes_away_meanwhile(start: StartGateway):
    live = await start()
    body = {"name": "ann", "role": "viewer", "password": PASSWORD}
    assert (await live.http.post("/admin/api/users", json=body, headers=live.admin())).status_code == 201
    async with httpx.AsyncClient(base_url=live.base_url, trust_env=False) as http:
        answer = await http.post("/admin/api/session", json={"name": "ann", "password": PASSWORD})
        (cookie,) = answer.cookies.values()
    signed_in = SignedIn(live.running)
    session = await signed_in.look(cookie)
    assert session is not None
    assert session.user_id is not None
    reader = Feed(live.running, signed_in).open(None, cookie)
    live.running.sessions.ready = False  # as while the database is away
    signed_in.forget_user(session.user_id)
    told = b""
    async with asyncio.timeout(10):
        while data := await reader.next():
            told += data
    assert told.endswith(b'event: end\ndata: {"reason":"signed_out"}\n\n')


async def test_only_so_many_follow_at_once(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    async with AsyncExitStack() as stack:
        pages = [await stack.enter_async_context(page(live)) for _ in range(READERS)]
        for opened in pages:
            await opened.until("hello")
        async with live.http.stream("GET", FEED, headers=live.admin()) as answer:
            assert (answer.status_code, json.loads(await answer.aread())["error"]["code"]) == (503, "overloaded")

    async def is_free() -> bool:
        async with live.http.stream("GET", FEED, headers=live.admin()) as answer:
            return answer.status_code == 200

    await wait_until(is_free, 5.0)


async def test_a_reader_that_does_not_keep_up_is_let_go():
    for message in (b"x", b"x" * (BEHIND_BYTES // 10)):
        reader = Reader()
        for _ in range(BEHIND + 1):
            reader.tell(message)
        assert reader.ended
        assert await reader.next() == b'event: end\ndata: {"reason":"slow"}\n\n'
        assert await reader.next() == b""


async def test_a_silence_is_broken_by_a_comment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("llm_gateway.web.admin.feed.SILENCE", 0.01)
    assert await Reader().next() == HEARTBEAT


async def test_a_process_that_drains_ends_its_readers_at_once(tmp_path: Path, rogue: StartRogue):
    server = await rogue()
    content = project(servers=[{"name": "one", "url": server.url, "kind": "ollama", "trust": "own"}])
    content["admin_token"] = ADMIN_TOKEN
    running = serve(tmp_path / "data", config=content, LLM_TEST_KEY=KEY)
    served = await asyncio.to_thread(running.__enter__)
    try:
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        client = httpx.AsyncClient(base_url=served.url, headers=headers, trust_env=False, timeout=20)
        async with client as http, http.stream("GET", FEED) as answer:
            open = Page(answer)
            await open.until("hello")
            served.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(2):
                assert await open.until("end") == {"reason": "draining"}
        assert await asyncio.to_thread(served.process.wait, 20) == 0
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def test_nobody_but_the_administrator_follows(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    assert (await live.http.get(FEED)).status_code == 401
