"""What projects and keys have used of their budgets, by the roll-ups: one query."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.access.periods import DAY, Periods
from llm_gateway.storage.tables import usage_rollup

_c: Final = usage_rollup.c


class Used(NamedTuple):
    """Of a key."""

    project_id: str
    key_id: str
    day_tokens: int
    day_nanos: int
    month_tokens: int
    month_nanos: int


async def used(s: AsyncSession, at: Periods, projects: Collection[str]) -> list[Used]:
    """In the day and month of `at`, of each key of these projects that has used anything."""
    tokens = _c.tokens_input + _c.tokens_output
    today = _c.bucket == at.day
    found = await s.execute(
        select(
            _c.project_id,
            _c.key_id,
            func.coalesce(func.sum(tokens).filter(today), 0),
            func.coalesce(func.sum(_c.cost_nanos).filter(today), 0),
            func.sum(tokens),
            func.sum(_c.cost_nanos),
        )
        .where(_c.project_id.in_(projects), _c.seconds == DAY, _c.detail == 1)  # the others are the same once more
        .where(_c.bucket >= at.month, _c.bucket < at.month_end)
        .group_by(_c.project_id, _c.key_id)
    )
    return [Used(str(p), str(k), *(int(figure) for figure in figures)) for p, k, *figures in found]
