"""Rules of alerts that operators keep here; the config file's are its own, and built-in ones are in the program.

What a rule says is plain JSON by the names of the config file's entries: who reads it (`config.watched`) checks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from sqlalchemy import RowMapping, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.errors import Conflict, NotFound
from llm_gateway.storage.tables import alert_rule
from llm_gateway.storage.version import bump_version

MOST: Final = 100
"""Rules: each of them is looked at every few seconds."""


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rule as it is kept."""

    name: str
    fields: Mapping[str, Any]
    """Without `name` and `enabled`."""
    enabled: bool
    created_at: float
    """Unix seconds, as `updated_at`."""
    updated_at: float


async def list_rules(s: AsyncSession) -> list[StoredRule]:
    """All of them, by name."""
    rows = await s.execute(select(alert_rule).order_by(alert_rule.c.name))
    return [_rule(row) for row in rows.mappings()]


async def find_rule(s: AsyncSession, name: str) -> StoredRule | None:
    """The one of this name; None: none is kept."""
    row = (await s.execute(select(alert_rule).where(alert_rule.c.name == name))).mappings().first()
    return None if row is None else _rule(row)


async def create_rule(s: AsyncSession, name: str, said: Mapping[str, Any], *, enabled: bool, now: float) -> None:
    """Raises Conflict for a name that is taken, and where there are too many."""
    await bump_version(s)
    if (await s.execute(select(alert_rule.c.name).where(alert_rule.c.name == name))).first() is not None:
        raise Conflict(f"A rule named {name!r} exists already.")
    count = (await s.execute(select(func.count()).select_from(alert_rule))).scalar_one()
    if count >= MOST:
        raise Conflict(f"There are {count} rules already, and no more may be.")
    values = {"fields": dict(said), "enabled": enabled, "created_at": now, "updated_at": now}
    await s.execute(insert(alert_rule).values(name=name, **values))


async def change_rule(s: AsyncSession, name: str, said: Mapping[str, Any], *, enabled: bool, now: float) -> None:
    """Raises NotFound."""
    await bump_version(s)
    values = {"fields": dict(said), "enabled": enabled, "updated_at": now}
    done = update(alert_rule).where(alert_rule.c.name == name).values(values).returning(alert_rule.c.name)
    if (await s.execute(done)).first() is None:
        raise NotFound(f"There is no rule {name!r} here.")


async def delete_rule(s: AsyncSession, name: str) -> None:
    """Raises NotFound."""
    await bump_version(s)
    gone = delete(alert_rule).where(alert_rule.c.name == name).returning(alert_rule.c.name)
    if (await s.execute(gone)).first() is None:
        raise NotFound(f"There is no rule {name!r} here.")


def _rule(row: RowMapping) -> StoredRule:
    return StoredRule(**{field.name: row[field.name] for field in fields(StoredRule)})
