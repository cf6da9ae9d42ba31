"""Guesses from many addresses: what they cost is bounded."""

from __future__ import annotations

import asyncio

import pytest

from llm_gateway.storage import trail
from llm_gateway.storage.trail import TrailFilters
from llm_gateway.web.logins import MOST_WRITTEN
from support.gateway import Live, StartGateway

SESSION = "/admin/api/session"


@pytest.fixture
async def live(start: StartGateway) -> Live:
    return await start(trusted_proxies=["127.0.0.1/32"])


async def test_guesses_from_many_addresses_do_not_fill_the_audit_log(live: Live):
    for n in range(MOST_WRITTEN + 20):
        headers = {"X-Forwarded-For": f"2001:db8:0:{n:x}::1"}
        answer = await live.http.post(SESSION, json={"link": "x" * 43}, headers=headers)
        assert answer.status_code == 401
    async with live.running.sessions.read() as s:
        rows, more = await trail.page(s, TrailFilters(action="login.failed"), limit=MOST_WRITTEN)
    assert len(rows) == MOST_WRITTEN
    assert more is None


async def test_passwords_are_looked_at_one_after_the_other_and_not_too_many_wait(live: Live):
    async def status(n: int) -> int:
        headers = {"X-Forwarded-For": f"2001:db8:0:{n:x}::1"}
        body = {"name": f"user{n}", "password": "wrong words of mine"}
        return (await live.http.post(SESSION, json=body, headers=headers)).status_code

    got = await asyncio.gather(*(status(n) for n in range(40)))
    assert set(got) == {401, 503}
    assert 1 <= got.count(503) <= 20
