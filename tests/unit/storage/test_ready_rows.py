"""Many rows are looked at together: what is odd in one of them is still seen, and no other row changes for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from llm_gateway.storage.records import COLUMNS, ready

PROJECT = str(uuid4())
TIME = 1_790_035_200.25


def row(n: int, **fields: Any) -> dict[str, Any]:
    always = {"id": str(uuid4()), "project_id": PROJECT, "timestamp": TIME + n, "endpoint": "/v1/chat", "status": 200}
    more = {"model": f"m{n % 3}", "outcome": "ok", "latency_ms": 1.5 + n, "tokens_input": n, "correlation_id": f"c{n}"}
    return {**dict.fromkeys(COLUMNS), **always, **more, **fields}


@pytest.mark.parametrize(
    ("column", "given", "stored"),
    [
        ("id", UUID(int=7), str(UUID(int=7))),
        ("project_id", UUID(PROJECT), PROJECT),
        ("key_id", UUID(int=7), str(UUID(int=7))),
        ("timestamp", datetime(2026, 11, 23, 14, 5, 6, 789_012, tzinfo=UTC), 1_795_442_706_789_012),
        ("model", "x" * 301, "x" * 300),
        ("correlation_id", "x" * 257, "x" * 256),
        ("correlation_id", "grün", "grün"),
        ("correlation_id", "a\0b", "a\N{REPLACEMENT CHARACTER}b"),
        ("correlation_id", "\ud800", "?"),
        ("correlation_id", None, None),
        ("client_request_id", "a\0b", "a\N{REPLACEMENT CHARACTER}b"),
        ("stream", 1, True),
        ("stream", None, False),
        ("attempts", None, 0),
        ("attempts", True, 1),
        ("status", 2**40, 2**31 - 1),
        ("tokens_input", 2**80, 10**12),
        ("tokens_input", 7.9, 7),
        ("latency_ms", float("inf"), 1e10),
        ("latency_ms", -1, 0.0),
        ("ttft_ms", 3, 3.0),
    ],
)
async def test_one_odd_value_among_many_is_stored_as_if_it_came_alone(column: str, given: Any, stored: Any):
    rows = [row(n, stream=n % 2 == 0) for n in range(20)]
    odd = {**rows[7], column: given}
    alone, plain, found = await ready([odd]), await ready(rows), await ready([*rows[:7], odd, *rows[8:]])
    assert (found.columns[column][7], type(found.columns[column][7])) == (stored, type(stored))
    for name in COLUMNS:
        assert found.columns[name] == [*plain.columns[name][:7], *alone.columns[name], *plain.columns[name][8:]], name
