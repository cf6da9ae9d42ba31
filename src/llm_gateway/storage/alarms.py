"""What alerts need of the database: the alerts themselves, in one row of `setting`, and sums over the roll-ups.

All processes keep one book of alerts. Whoever changes it holds its row until the transaction ends, so of many that see
the same at the same time only one writes it down, and only that one tells.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.storage.tables import LATENCY_BOUNDS, setting, usage_rollup

ALERTS: Final = "alerts"
"""The row of `setting`."""
MOST_GROUPS: Final = 5_000
"""Pairs of project and model that are looked at; of more, those with most requests."""
_BY_MINUTES: Final = 2 * 3600.0
"""Seconds up to which a window is summed up by minutes; longer ones by hours."""

_c: Final = usage_rollup.c
_ROW: Final = select(setting.c.value).where(setting.c.key == ALERTS)
_SUMS: Final = ("requests", "errors", "tokens_input", "tokens_output", "cost_nanos")
_LATENCY: Final = tuple(f"latency_{n}" for n in range(len(LATENCY_BOUNDS) + 1))
_TTFT: Final = tuple(f"ttft_{n}" for n in range(len(LATENCY_BOUNDS) + 1))


@dataclass(frozen=True, slots=True)
class Sums:
    """What a project asked of a model within a time."""

    project_id: str
    model: str
    requests: int
    errors: int
    tokens: int
    cost_nanos: int
    latency: tuple[int, ...]
    """Requests by `LATENCY_BOUNDS`, and beyond the last one; so is `ttft`. Empty where they were not asked for."""
    ttft: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Used:
    """What a key used since the day and since the month began."""

    project_id: str
    key_id: str
    daily_tokens: int
    daily_cost_nanos: int
    monthly_tokens: int
    monthly_cost_nanos: int


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


async def sums(s: AsyncSession, now: float, over: float, *, timed: bool) -> list[Sums]:
    """By project and model, of the last `over` seconds, brought up to whole minutes (or hours, of more than two).
    `timed`: with the histograms, which are most of the work."""
    seconds = 60 if over <= _BY_MINUTES else 3_600
    since = (now - over) // seconds * seconds
    wanted = [*_SUMS, *_LATENCY, *_TTFT] if timed else _SUMS
    rows = await s.execute(
        select(_c.project_id, _c.model, *(func.sum(_c[name]) for name in wanted))
        .where(_c.seconds == seconds, _c.bucket >= since)
        .group_by(_c.project_id, _c.model)
        .order_by(func.sum(_c.requests).desc())
        .limit(MOST_GROUPS)
    )
    found = []
    for project_id, model, *figures in rows:
        numbers = [int(figure) for figure in figures]
        requests, errors, tokens_input, tokens_output, cost = numbers[: len(_SUMS)]
        histograms = numbers[len(_SUMS) :]
        latency, ttft = tuple(histograms[: len(_LATENCY)]), tuple(histograms[len(_LATENCY) :])
        found.append(Sums(project_id, model, requests, errors, tokens_input + tokens_output, cost, latency, ttft))
    return found


async def used(s: AsyncSession, projects: Iterable[str], *, day: float, month: float) -> list[Used]:
    """By key, of these projects. `day`, `month`: Unix seconds at which they began, UTC."""
    today = case((_c.bucket >= day, 1), else_=0)
    tokens = _c.tokens_input + _c.tokens_output
    rows = await s.execute(
        select(
            _c.project_id,
            _c.key_id,
            func.sum(tokens * today),
            func.sum(_c.cost_nanos * today),
            func.sum(tokens),
            func.sum(_c.cost_nanos),
        )
        .where(_c.seconds == 86_400, _c.bucket >= month, _c.project_id.in_(list(projects)))
        .group_by(_c.project_id, _c.key_id)
    )
    return [Used(project, key, *(int(figure) for figure in figures)) for project, key, *figures in rows]
