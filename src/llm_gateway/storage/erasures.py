"""Erasing what is logged of a project or of one of its end users, for good (GDPR, article 17).

An erasure is a row that stays behind as a tombstone: records that are still in journals (of this process, another
one, another host) are compared with it when they are shipped, and do not arrive. It holds no personal data: of the
end user's tag only a hash. How many rows it took of each day is written in the transaction that deletes them, so that
rows + erased = roll-ups stays exact.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import ColumnElement, Table, delete, func, insert, literal, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.errors import NotFound
from llm_gateway.storage.columns import as_uuid, fit
from llm_gateway.storage.tables import attempt_log, erasure, payload, request_log

DAY: Final = 86_400
WINDOW: Final = 2_000
"""Rows looked at, and at most deleted, in one transaction."""
_LOCK: Final = 0x6C6C6D6765  # "llmge"
_c: Final = erasure.c


@dataclass(frozen=True, slots=True)
class Erasure:
    id: str
    project_id: str
    tag: bytes | None
    """`tag_of` the end user; None: everything of the project."""
    erased_at: float
    """Unix seconds. Requests that began later are none of its business."""
    done: bool
    rows: int
    """Deleted so far."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far an erasure is: in one table, behind a row."""

    table: int = 0
    after: tuple[float, str] | None = None


def tag_of(project_id: str, end_user: str) -> bytes:
    """SHA-256, so that the tombstone does not say whose it is."""
    return hashlib.sha256(f"{project_id}\0{fit(end_user, request_log.c.end_user)}".encode()).digest()


async def begin(s: AsyncSession, project_id: str, end_user: str | None, now: float) -> Erasure:
    """From its commit on nothing of it arrives any more. Waits for what is being shipped; `now` is Unix seconds."""
    if s.get_bind().dialect.name == "postgresql":
        await s.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    project_id = as_uuid(project_id, "project id")
    tag = None if end_user is None else tag_of(project_id, end_user)
    made = Erasure(str(uuid4()), project_id, tag, now, False, 0)
    values = {"id": made.id, "project_id": project_id, "tag": tag, "erased_at": now, "done": False}
    await s.execute(insert(erasure).values(**values, rows=0, days={}))
    return made


async def erased(s: AsyncSession, since: float) -> Callable[[Mapping[str, Any]], bool] | None:
    """Which records, from a time on (Unix seconds), must not arrive; None = all may. For the transaction that ships
    them: until it ends no erasure begins."""
    if s.get_bind().dialect.name == "postgresql":
        await s.execute(text("SELECT pg_advisory_xact_lock_shared(:lock)"), {"lock": _LOCK})
    rows = await s.execute(select(_c.project_id, _c.tag, _c.erased_at).where(_c.erased_at >= since))
    known: dict[tuple[str, bytes | None], float] = {}
    for project_id, tag, at in rows:
        known[project_id, tag] = max(at, known.get((project_id, tag), 0.0))
    if not known:
        return None

    def matches(row: Mapping[str, Any]) -> bool:
        project_id, end_user, began = row["project_id"], row.get("end_user"), row["timestamp"]
        if began <= known.get((project_id, None), -1.0):
            return True
        return end_user is not None and began <= known.get((project_id, tag_of(project_id, end_user)), -1.0)

    return matches


async def erase_window(s: AsyncSession, wanted: Erasure, place: Place) -> tuple[int, Place | None]:
    """Deletes what belongs to it among the next rows. Returns how many, and where to go on; None = nothing is left."""
    await s.execute(select(_c.id).where(_c.id == wanted.id).with_for_update())  # another one who is at it comes later
    table = (request_log, payload)[place.table]
    id = table.c.id if table is request_log else table.c.request_id
    found = (await s.execute(_window(table, id, wanted, place))).all()
    chosen = [row for row in found if wanted.tag in (None, row.end_user and tag_of(wanted.project_id, row.end_user))]
    if ids := [row.id for row in chosen]:
        await delete_requests(s, ids)
        if table is request_log:
            await _count(s, wanted.id, Counter(int(row.timestamp // DAY) * DAY for row in chosen))
    if len(found) == WINDOW:
        return len(ids), Place(place.table, (found[-1].timestamp, found[-1].id))
    return len(ids), Place(1) if table is request_log else None


async def delete_requests(s: AsyncSession, ids: list[str]) -> None:
    """With all that belongs to them. Some thousands at a time."""
    await s.execute(delete(payload).where(payload.c.request_id.in_(ids)))
    await s.execute(delete(attempt_log).where(attempt_log.c.request_id.in_(ids)))
    await s.execute(delete(request_log).where(request_log.c.id.in_(ids)))


async def carry_over(s: AsyncSession, erased: Iterable[Erasure]) -> None:
    """Into a restored database: what was erased since it was saved, to be erased again."""
    known = set((await s.execute(select(_c.id))).scalars())
    for one in erased:
        if one.id not in known:
            values = {"id": one.id, "project_id": one.project_id, "tag": one.tag, "erased_at": one.erased_at}
            await s.execute(insert(erasure).values(**values, done=False, rows=0, days={}))


async def finish(s: AsyncSession, id: str) -> None:
    await s.execute(update(erasure).where(_c.id == id).values(done=True))


async def get_erasure(s: AsyncSession, id: str) -> Erasure:
    """Raises NotFound."""
    row = (await s.execute(_select().where(_c.id == as_uuid(id, "id of an erasure")))).one_or_none()
    if row is None:
        raise NotFound(f"There is no erasure {id[:60]!r}.")
    return Erasure(*row)


async def list_erasures(s: AsyncSession, *, unfinished: bool = False, limit: int = 1000) -> list[Erasure]:
    """The latest first."""
    wanted = _select().order_by(_c.erased_at.desc()).limit(limit)
    rows = await s.execute(wanted.where(_c.done.is_(False)) if unfinished else wanted)
    return [Erasure(*row) for row in rows]


async def latest(s: AsyncSession) -> float:
    """When the newest one began, Unix seconds; 0 = there was none. Cheap enough to ask every minute."""
    return (await s.execute(select(func.max(_c.erased_at)))).scalar() or 0.0


async def forget_before(s: AsyncSession, time: float) -> None:
    """Tombstones that began before a time and are done: records as old as theirs are too old to be kept at all."""
    await s.execute(delete(erasure).where(_c.erased_at < time, _c.done.is_(True)))


async def erased_days(s: AsyncSession) -> dict[tuple[int, str], int]:
    """(beginning of a day in Unix seconds, project id) -> rows that were erased: the roll-ups still count them."""
    found: Counter[tuple[int, str]] = Counter()
    for project_id, days in await s.execute(select(_c.project_id, _c.days)):
        for day, rows in (days or {}).items():
            found[int(day), project_id] += rows
    return dict(found)


def _select() -> Any:
    return select(_c.id, _c.project_id, _c.tag, _c.erased_at, _c.done, _c.rows)


def _window(table: Table, id: ColumnElement[Any], wanted: Erasure, place: Place) -> Any:
    c = table.c
    rows = (
        select(id.label("id"), c.timestamp, c.end_user)
        .where(c.project_id == wanted.project_id, c.timestamp <= wanted.erased_at)
        .order_by(c.timestamp, id)
        .limit(WINDOW)
    )
    if place.after is None:
        return rows
    time, last = place.after
    return rows.where(tuple_(c.timestamp, id) > tuple_(literal(time, c.timestamp.type), literal(last, id.type)))


async def _count(s: AsyncSession, id: str, days: Counter[int]) -> None:
    counted = (await s.execute(select(_c.days).where(_c.id == id))).scalar_one() or {}
    for day, rows in days.items():
        counted[str(day)] = counted.get(str(day), 0) + rows
    await s.execute(update(erasure).where(_c.id == id).values(days=counted, rows=_c.rows + days.total()))
