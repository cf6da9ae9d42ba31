from __future__ import annotations

from typing import Any

import pytest

from llm_gateway.clock import Ids
from llm_gateway.errors import InvalidRequest
from llm_gateway.storage import attempts
from llm_gateway.storage.sessions import Sessions

new_id = Ids()


def attempt(request_id: str, number: int = 1, **fields: Any) -> dict[str, Any]:
    """As `Entry.told` makes it."""
    return {
        "request_id": request_id,
        "number": number,
        "timestamp": 1_790_035_200.25,
        "server_id": "srv_0123456789",
        "backend_model": "llama3.3:70b",
        "tier": "own",
        "why": "first",
        "after": None,
        "outcome": "ok",
        "detail": None,
        "ttft_ms": 12.5,
        "duration_ms": 300.0,
        "tokens_output": 7,
        "tokens_wasted": 0,
        **fields,
    }


async def put(sessions: Sessions, *rows: dict[str, Any]) -> None:
    async with sessions.write() as s:
        await attempts.insert_rows(s, rows)


async def test_attempts_come_back_as_they_were_written_in_the_order_of_their_beginning(sessions: Sessions):
    id = str(new_id())
    first = attempt(id, outcome="cut", ttft_ms=None, detail="no end")
    second = attempt(id, 2, why="continuation", after="cut")
    await put(sessions, second, attempt(str(new_id())), first)
    async with sessions.read() as s:
        assert await attempts.of_request(s, id) == [first, second]


async def test_an_attempt_that_is_written_again_stays_as_it_is(sessions: Sessions):
    id = str(new_id())
    await put(sessions, attempt(id))
    await put(sessions, attempt(id, outcome="cut"), attempt(id, 2))
    async with sessions.read() as s:
        assert [one["outcome"] for one in await attempts.of_request(s, id)] == ["ok", "ok"]


async def test_texts_of_strangers_are_cut_to_their_column(sessions: Sessions):
    id = str(new_id())
    await put(sessions, attempt(id, backend_model="m" * 1000, detail="d\0" * 1000))
    async with sessions.read() as s:
        (one,) = await attempts.of_request(s, id)
    assert (len(one["backend_model"]), len(one["detail"])) == (300, 300)


async def test_a_request_without_any_has_none_and_an_id_that_is_none_is_refused(sessions: Sessions):
    await put(sessions)
    async with sessions.read() as s:
        assert await attempts.of_request(s, str(new_id())) == []
        with pytest.raises(InvalidRequest):
            await attempts.of_request(s, "x")
