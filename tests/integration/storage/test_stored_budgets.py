"""What projects and keys have used of their budgets, by the roll-ups."""

from __future__ import annotations

from uuid import uuid4

from llm_gateway.access.periods import periods
from llm_gateway.clock import Ids
from llm_gateway.ledger.journal import Position
from llm_gateway.ledger.shipper import Batch
from llm_gateway.ledger.store import DatabaseStore
from llm_gateway.storage.budgets import Used, used
from llm_gateway.storage.sessions import Sessions

NOON = 1_790_035_200 + 43_200
DAY = 86_400
new_id = Ids()


def row(project: str, key: str, at: float) -> dict[str, object]:
    """7 tokens in, 3 out."""
    return {
        "id": str(new_id()),
        "project_id": project,
        "key_id": key,
        "timestamp": at,
        "endpoint": "/v1/chat",
        "model": "fast",
        "status": 200,
        "outcome": "ok",
        "latency_ms": 5.0,
        "tokens_input": 7,
        "tokens_output": 3,
        "cost_nanos": 100,
    }


async def test_what_was_used_is_what_the_rows_say(sessions: Sessions):
    project, other, key = (str(uuid4()) for _ in range(3))
    rows = [row(project, key, NOON), row(project, key, NOON), row(project, key, NOON - DAY), row(other, key, NOON)]
    await DatabaseStore(sessions).ship("j", Batch(rows, [], []), Position(1, 1))
    async with sessions.read() as s:
        found = await used(s, periods(NOON), {project})
    assert found == [Used(project, key, day_tokens=20, day_nanos=200, month_tokens=30, month_nanos=300)]
