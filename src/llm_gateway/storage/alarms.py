"""What alerts need of the database: the alerts themselves, in one row of `setting`, and how much of
each budget is used.

All processes keep one book of alerts. Whoever changes it holds its row until the transaction ends, so of many that see
the same at the same time only one writes it down, and only that one tells.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, Literal

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.storage.tables import setting
from llm_gateway.storage.usage import usage

ALERTS: Final = "alerts"
"""The row of `setting`."""
MOST_GROUPS: Final = 5_000
"""Projects or keys that are looked at; of more, those with most requests."""

Period = Literal["daily", "monthly"]
Owner = Literal["project", "key"]

_ROW: Final = select(setting.c.value).where(setting.c.key == ALERTS)


async def get_book(s: AsyncSession) -> Any:
    """The alerts as they were kept last; None before the first time."""
    return (await s.execute(_ROW)).scalar_one_or_none()


async def hold_book(s: AsyncSession) -> Any:
    """The same, and nobody else changes them until this transaction ends."""
    insert = postgresql.insert if s.get_bind().dialect.name == "postgresql" else sqlite.insert
    await s.execute(insert(setting).values(key=ALERTS, value={}).on_conflict_do_nothing())
    return (await s.execute(_ROW.with_for_update())).scalar_one()


async def keep_book(s: AsyncSession, book: Any) -> None:
    """`book`: plain JSON values. After `hold_book`, in its transaction."""
    await s.execute(update(setting).where(setting.c.key == ALERTS).values(value=book))


async def spent(s: AsyncSession, wanted: Iterable[tuple[Period, Owner]], now: float) -> dict[str, dict[str, float]]:
    """Id of a project or key -> what it used, by the names of its budgets (`daily_tokens`, `monthly_cost`, …). Whoever
    used nothing is not there. `now`: Unix seconds; days and months are UTC's."""
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    began = {"daily": today.timestamp(), "monthly": today.replace(day=1).timestamp()}
    found: dict[str, dict[str, float]] = {}
    for period, owner in wanted:
        for row in await usage(s, since=began[period], until=now, by=(owner,), top=MOST_GROUPS):
            amounts = found.setdefault(str(row.group[0]), {})
            amounts[f"{period}_tokens"] = row.tokens_input + row.tokens_output
            amounts[f"{period}_cost"] = row.cost_nanos / 1e9
    return found
