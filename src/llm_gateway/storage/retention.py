"""What is old is deleted: payloads, rows of the log with their attempts, rows of the audit log, roll-ups by the minute.
Those by hours and days stay, so that after a while there are fewer rows than the roll-ups say.

Each function deletes up to `limit` in its own short transaction and says how many: nothing is locked but what goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, func, literal_column, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.storage.erasures import delete_requests
from llm_gateway.storage.tables import audit_log, payload, request_log, usage_rollup

MINUTE: Final = 60
_LOCK: Final = 0x6C6C6D6772  # "llmgr"


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """Unix seconds before which things are too old."""

    payloads: float
    """Compared with when each expires."""
    requests: float
    minutes: float
    audit: float


async def claim(s: AsyncSession) -> bool:
    """Is nobody else at it? Holds until the transaction ends. On SQLite whoever writes is alone."""
    if s.get_bind().dialect.name != "postgresql":
        return True
    return bool((await s.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK})).scalar())


async def prune_payloads(s: AsyncSession, cutoffs: Cutoffs, limit: int) -> int:
    old = select(payload.c.request_id).where(_old_payloads(cutoffs)).order_by(payload.c.expires_at).limit(limit)
    return _count(await s.execute(delete(payload).where(payload.c.request_id.in_(old))))


async def prune_requests(s: AsyncSession, cutoffs: Cutoffs, limit: int) -> int:
    """With their attempts, and payloads that should have lived longer."""
    old = select(request_log.c.id).where(_old_requests(cutoffs)).order_by(request_log.c.timestamp).limit(limit)
    ids = list((await s.execute(old)).scalars())
    if ids:
        await delete_requests(s, ids)
    return len(ids)


async def prune_minutes(s: AsyncSession, cutoffs: Cutoffs, limit: int) -> int:
    if s.get_bind().dialect.name == "postgresql":  # by the places of the rows, for their key is long
        place: ColumnElement[Any] = literal_column("ctid")
        old = select(place).select_from(usage_rollup).where(_old_minutes(cutoffs)).limit(limit)
        wanted: ColumnElement[bool] = place == func.any(func.array(old.scalar_subquery()))
    else:
        key = usage_rollup.primary_key.columns
        wanted = tuple_(*key).in_(select(*key).where(_old_minutes(cutoffs)).limit(limit))
    return _count(await s.execute(delete(usage_rollup).where(wanted)))


async def prune_audit(s: AsyncSession, cutoffs: Cutoffs, limit: int) -> int:
    old = select(audit_log.c.id).where(_old_audit(cutoffs)).order_by(audit_log.c.timestamp).limit(limit)
    return _count(await s.execute(delete(audit_log).where(audit_log.c.id.in_(old))))


async def too_old(s: AsyncSession, cutoffs: Cutoffs) -> dict[str, int]:
    """How much would be deleted."""
    found = {}
    for name, table, condition in (
        ("payloads", payload, _old_payloads(cutoffs) | (payload.c.timestamp < cutoffs.requests)),
        ("requests", request_log, _old_requests(cutoffs)),
        ("minutes", usage_rollup, _old_minutes(cutoffs)),
        ("audit", audit_log, _old_audit(cutoffs)),
    ):
        found[name] = (await s.execute(select(func.count()).select_from(table).where(condition))).scalar_one()
    return found


def _old_payloads(cutoffs: Cutoffs) -> ColumnElement[bool]:
    return payload.c.expires_at < cutoffs.payloads


def _old_requests(cutoffs: Cutoffs) -> ColumnElement[bool]:
    return request_log.c.timestamp < cutoffs.requests


def _old_minutes(cutoffs: Cutoffs) -> ColumnElement[bool]:
    return (usage_rollup.c.seconds == MINUTE) & (usage_rollup.c.bucket < cutoffs.minutes)


def _old_audit(cutoffs: Cutoffs) -> ColumnElement[bool]:
    return audit_log.c.timestamp < cutoffs.audit


def _count(result: Any) -> int:
    return int(result.rowcount)
