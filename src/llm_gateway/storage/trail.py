"""The audit log: who changed what, from where, and what it was before. Written in the transaction of the change, so
there is neither a change without its row nor a row without its change.

Rows are added and, when they are old, deleted; none is ever changed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import uuid4

from sqlalchemy import ColumnElement, Select, exists, func, insert, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.access.roles import Operator
from llm_gateway.storage.columns import fit, storable
from llm_gateway.storage.requests import Cursor
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.tables import admin_user, audit_log

SIGNED_IN: Final = "login.ok"
"""The action of whoever came in."""
LINKED: Final = "link.create"
"""The action of whoever made a link."""
MAX_PAGE: Final = 200
LONGEST: Final = 2_000
"""Characters of JSON that a value may have; of a longer one only its length is kept."""

_c: Final = audit_log.c


class Thing(NamedTuple):
    """What was changed."""

    type: str
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class TrailFilters:
    """What rows must be; None = anything. Times are Unix seconds, `since` within, `until` without."""

    who: str | None = None
    action: str | None = None
    """A whole one, or what stands before the dot: `project` finds `project.update`."""
    object_type: str | None = None
    object: str | None = None
    """Its id or name."""
    since: float | None = None
    until: float | None = None


async def note(
    s: AsyncSession,
    by: Operator,
    at: float,
    action: str,
    thing: Thing | None = None,
    *,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
    nobody: bool = False,
) -> None:
    """Adds a row. Of `before` and `after` only what differs is kept; one of them may be None (made, deleted). Callers
    keep secrets out of both. `nobody`: they were not let in, so the role is not theirs."""
    if before is not None and after is not None:
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        before, after = ({name: one[name] for name in names if name in one} for one in (before, after))
    await s.execute(
        insert(audit_log).values(
            id=str(uuid4()),
            timestamp=at,
            who=fit(by.name, _c.who),
            role=None if nobody else by.role,
            how=by.how,
            address=fit(by.address, _c.address) if by.address is not None else None,
            action=fit(action, _c.action),
            object_type=fit(thing.type, _c.object_type) if thing else None,
            object_id=fit(thing.id, _c.object_id) if thing and thing.id is not None else None,
            object_name=fit(thing.name, _c.object_name) if thing and thing.name is not None else None,
            before=_bounded(before),
            after=_bounded(after),
        )
    )


async def page(
    s: AsyncSession, filters: TrailFilters, *, before: Cursor | None = None, limit: int = 50
) -> tuple[list[dict[str, Any]], Cursor | None]:
    """Up to `limit` rows, newest first, and the cursor of the next page, None on the last one. One query."""
    wanted = _matching(filters).order_by(_c.timestamp.desc(), _c.id.desc()).limit(limit + 1)
    if before is not None:
        wanted = wanted.where(tuple_(_c.timestamp, _c.id) < _place(before))
    return _cut([dict(row) for row in (await s.execute(wanted)).mappings()], limit)


async def export(sessions: Sessions, filters: TrailFilters) -> AsyncIterator[dict[str, Any]]:
    """Every matching row, oldest first, as `requests.export` does it: a bounded number in memory, each block in a
    transaction of its own."""
    after: Cursor | None = None
    while True:
        wanted = _matching(filters).order_by(_c.timestamp, _c.id).limit(MAX_PAGE + 1)
        if after is not None:
            wanted = wanted.where(tuple_(_c.timestamp, _c.id) > _place(after))
        async with sessions.read() as s:
            rows, after = _cut([dict(row) for row in (await s.execute(wanted)).mappings()], MAX_PAGE)
        for row in rows:
            yield row
        if after is None:
            return


async def anybody_was_let_in(s: AsyncSession) -> bool:
    """Is there a user, has anybody signed in before, or been given a link to?"""
    users, others = exists(select(admin_user.c.id)), exists(select(_c.id).where(_c.action.in_((SIGNED_IN, LINKED))))
    return bool((await s.execute(select(or_(users, others)))).scalar())


def _matching(filters: TrailFilters) -> Select[Any]:
    wanted = select(audit_log)
    if filters.who is not None:
        wanted = wanted.where(_c.who == fit(filters.who, _c.who))
    if filters.action is not None:
        action = fit(filters.action, _c.action)
        wanted = wanted.where(or_(_c.action == action, func.substr(_c.action, 1, len(action) + 1) == f"{action}."))
    if filters.object_type is not None:
        wanted = wanted.where(_c.object_type == fit(filters.object_type, _c.object_type))
    if filters.object is not None:
        text = filters.object
        wanted = wanted.where(or_(_c.object_id == fit(text, _c.object_id), _c.object_name == fit(text, _c.object_name)))
    if filters.since is not None:
        wanted = wanted.where(_c.timestamp >= filters.since)
    if filters.until is not None:
        wanted = wanted.where(_c.timestamp < filters.until)
    return wanted


def _place(cursor: Cursor) -> ColumnElement[Any]:
    return tuple_(literal(cursor.timestamp, _c.timestamp.type), literal(cursor.id, _c.id.type))


def _cut(rows: list[dict[str, Any]], limit: int) -> tuple[list[dict[str, Any]], Cursor | None]:
    """The first `limit` rows, and the last of them where there are more."""
    more = len(rows) > limit
    rows = rows[:limit]
    return rows, Cursor(rows[-1]["timestamp"], rows[-1]["id"]) if more else None


def _bounded(values: Mapping[str, object] | None) -> dict[str, Any] | None:
    return {name: _fitting(value) for name, value in values.items()} if values is not None else None


def _fitting(value: Any) -> Any:
    """The value as plain JSON that both databases can hold; of any other only its length."""
    if isinstance(value, frozenset | set):
        value = sorted(value)
    text = json.dumps(value, ensure_ascii=False, default=str)
    if len(text) > LONGEST or "\\u0000" in text or storable(text) != text:
        return f"({len(text)} characters)"
    return json.loads(text)
