"""What the admin routes share: access, input rules, and how values are shown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, overload

from fastapi import APIRouter, Depends
from fastapi.params import Depends as DependsOn
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession
from typing_extensions import TypedDict

from llm_gateway.access.policy import ApiKey, LimitName, Project
from llm_gateway.access.roles import Operator
from llm_gateway.errors import InvalidRequest
from llm_gateway.running import Running
from llm_gateway.service.budgets import budget_figures
from llm_gateway.storage import trail
from llm_gateway.storage.trail import Thing
from llm_gateway.storage.version import hold_version
from llm_gateway.web.auth import by_method, editor, owner, running_of
from llm_gateway.web.described import REFUSED, DescribedRouter, Time

_YEAR_9999 = datetime(9999, 1, 1, tzinfo=UTC).timestamp()

Live = Annotated[Running, Depends(running_of)]
EDITOR = Depends(editor)
"""Of a route that viewers may not even GET."""
OWNER = Depends(owner)
Limit = Annotated[int, Field(ge=1, le=2**31 - 1)] | None
Tokens = Annotated[int, Field(ge=1, le=2**53)] | None
Cost = Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)] | None


class Input(BaseModel):
    """A request body: unknown fields are errors, so that nothing is changed by accident."""

    model_config = ConfigDict(extra="forbid")


class Limited(Input):
    """What a project or a key may use (`access.policy.LIMITS`); absent or null: unlimited."""

    rate_limit_per_minute: Limit = None
    tokens_per_minute: Tokens = None
    max_concurrency: Limit = None
    daily_tokens: Tokens = None
    monthly_tokens: Tokens = None
    daily_cost: Cost = None
    monthly_cost: Cost = None


class LimitsView(TypedDict):
    """What a project or a key may use; null: unlimited. Costs in the unit of the prices."""

    rate_limit_per_minute: int | None
    tokens_per_minute: int | None
    max_concurrency: int | None
    daily_tokens: int | None
    monthly_tokens: int | None
    daily_cost: float | None
    monthly_cost: float | None


class LimitFigure(TypedDict):
    """One limit, and how much of it is used."""

    name: LimitName
    limit: float
    used: float
    reserved: Annotated[float, Field(description="By requests that run.")]
    resets_at: Annotated[Time | None, Field(description="null: it flows back all the time.")]


class LimitList(TypedDict):
    """The limits that there are."""

    data: list[LimitFigure]


def admin_router(topic: str, *more: DependsOn) -> APIRouter:
    """Routes under `/admin/api/{topic}`: viewers may GET, editors may do the rest. With `OWNER` they are for owners;
    so is a single route with `dependencies=[OWNER]`. Each says by its annotation what it answers; its function's name
    is its `operationId`."""
    prefix, needed = f"/admin/api/{topic}", [Depends(by_method), *more]
    return DescribedRouter(prefix=prefix, tags=["admin"], dependencies=needed, responses=REFUSED)


@asynccontextmanager
async def changing(running: Running) -> AsyncIterator[AsyncSession]:
    """One transaction that changes the configuration; this process uses the new one at once, others within 2 s.
    `noted` within it says who changed what. Nobody else changes any of it meanwhile: what is read first is what it was.
    """
    async with running.sessions.write() as s:
        await hold_version(s)
        yield s
    await running.refresh()


async def noted(
    s: AsyncSession,
    running: Running,
    by: Operator,
    action: str,
    thing: Thing | None = None,
    *,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    """Writes into the audit log, with the change itself, what `by` did. `before` and `after`: the object as the API
    shows it; what differs is kept."""
    await trail.note(s, by, running.gateway.clock.wall(), action, thing, before=before, after=after)


async def recorded(running: Running, by: Operator, action: str, thing: Thing | None = None) -> None:
    """Writes into the audit log what `by` is about to do, where that is no change of the database."""
    async with running.sessions.write() as s:
        await noted(s, running, by, action, thing)


@overload
def when(unix: float) -> str: ...
@overload
def when(unix: None) -> None: ...
@overload
def when(unix: float | None) -> str | None: ...
def when(unix: float | None) -> str | None:
    """Unix seconds as ISO 8601 in UTC."""
    if unix is None:
        return None
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def limits_of(running: Running, of: Project | ApiKey) -> LimitList:
    """Each limit that there is, with what is used and reserved of it."""
    figures = budget_figures(running.gateway, of)
    return {
        "data": [
            {
                "name": figure.name,
                "limit": figure.limit,
                "used": figure.used,
                "reserved": figure.reserved,
                "resets_at": when(figure.resets_at),
            }
            for figure in figures
        ]
    }


def limits_view(of: Project | ApiKey | Limited) -> LimitsView:
    return {
        "rate_limit_per_minute": of.rate_limit_per_minute,
        "tokens_per_minute": of.tokens_per_minute,
        "max_concurrency": of.max_concurrency,
        "daily_tokens": of.daily_tokens,
        "monthly_tokens": of.monthly_tokens,
        "daily_cost": of.daily_cost,
        "monthly_cost": of.monthly_cost,
    }


def moment(text: str | None, field: str) -> float | None:
    """ISO 8601 (with a zone; a date alone is midnight UTC) or Unix seconds -> Unix seconds. Raises InvalidRequest."""
    if text is None:
        return None
    try:
        unix = float(text)
    except ValueError:
        unix = _iso(text)
    if not 0 <= unix < _YEAR_9999:  # written so that NaN, which is neither, is refused as well
        raise InvalidRequest(
            f"`{field}` must be a time such as 2026-11-23T12:00:00Z or Unix seconds; you sent {text[:40]!r}.",
            param=field,
        )
    return unix


def _iso(text: str) -> float:
    """NaN for what is none."""
    try:
        parsed = datetime.fromisoformat(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return float("nan")
