"""Figures over the roll-ups: who used what, when, how fast, at what cost. One query each.

Groups and filters are the dimensions of `usage_rollup`; what cannot be answered from those is a question to the log
(`storage.requests`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy.ext.asyncio import AsyncSession

Bucket = Literal["minute", "hour", "day"]
Dimension = Literal["project", "key", "model", "backend_model", "tier", "endpoint", "status_class", "error_code"]

BUCKETS: Final[dict[Bucket, int]] = {"minute": 60, "hour": 3_600, "day": 86_400}
"""Seconds. Buckets begin at whole minutes, hours and days of UTC."""


@dataclass(frozen=True, slots=True)
class UsageFilters:
    """What requests must be; None = anything, '' = that there was none (no model answered, …)."""

    project_id: str | None = None
    key_id: str | None = None
    model: str | None = None
    backend_model: str | None = None
    tier: str | None = None
    endpoint: str | None = None
    status_class: int | None = None
    error_code: str | None = None


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One group."""

    bucket: float | None
    """Its beginning, Unix seconds; None = not asked for."""
    group: tuple[str | int, ...]
    """The values of the dimensions, in the order in which they were asked for; a project and a key by id."""
    requests: int
    errors: int
    tokens_input: int
    tokens_output: int
    tokens_estimated: int
    attempts: int
    failovers: int
    saved: int
    continuations: int
    cost_nanos: int
    latency_us: int
    ttft_us: int
    ttft_count: int
    latency: tuple[int, ...]
    """Requests by `tables.LATENCY_BOUNDS`, and beyond the last one."""
    ttft: tuple[int, ...]

    def latency_ms(self, share: float) -> float | None:
        """An estimate of a percentile (0.95) from the buckets; None without requests. So is `ttft_ms`."""
        raise NotImplementedError

    def ttft_ms(self, share: float) -> float | None:
        raise NotImplementedError


async def usage(
    s: AsyncSession,
    *,
    since: float,
    until: float,
    by: Sequence[Dimension] = (),
    bucket: Bucket | None = None,
    filters: UsageFilters | None = None,
    top: int | None = None,
) -> list[UsageRow]:
    """Sums of what began at `since` <= time < `until` (Unix seconds), both brought to whole minutes, hours or days:
    the coarsest that fit the bucket asked for and the ends. In the order of buckets and groups, or with `top` only the
    groups with most requests, these first. Raises InvalidRequest when there would be more than 10,000 rows."""
    raise NotImplementedError
