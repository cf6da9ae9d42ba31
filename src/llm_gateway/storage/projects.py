"""Projects: who shares the gateway, with what limits."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, TypedDict, Unpack
from uuid import UUID, uuid4

from sqlalchemy import RowMapping, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.access.patterns import check_patterns
from llm_gateway.access.policy import DEFAULT_TRUST, LIMITS, Owner, Project, Trust
from llm_gateway.errors import NotFound
from llm_gateway.storage.owners import guard
from llm_gateway.storage.sessions import unique
from llm_gateway.storage.tables import project
from llm_gateway.storage.version import bump_version


class ProjectFields(TypedDict, total=False):
    """What can be said of a project besides its name. None = unlimited; no `allowed_models` = all it may reach."""

    description: str
    is_active: bool
    trust: Iterable[Trust]
    public_tools: bool
    rate_limit_per_minute: int | None
    tokens_per_minute: int | None
    max_concurrency: int | None
    daily_tokens: int | None
    monthly_tokens: int | None
    daily_cost: float | None
    monthly_cost: float | None
    store_payloads: bool
    payload_days: int | None
    redact: Iterable[str]
    allowed_models: Iterable[str] | None
    owner: Owner


class ProjectChanges(ProjectFields, total=False):
    name: str


async def create_project(s: AsyncSession, *, name: str, **fields: Unpack[ProjectFields]) -> Project:
    """Raises Conflict when the name is taken."""
    defaults: ProjectFields = {
        "description": "",
        "is_active": True,
        "trust": DEFAULT_TRUST,
        "public_tools": False,
        "store_payloads": False,
        "owner": Owner.DATABASE,
    }
    id = str(uuid4())
    values = _columns({**defaults, **fields, "name": name})
    await bump_version(s)
    async with unique(s, f"A project named {name!r} exists already."):
        await s.execute(insert(project).values(id=id, created_at=time.time(), **values))
    return await get_project(s, id)


async def get_project(s: AsyncSession, id_or_name: str) -> Project:
    """By id, else by name. Raises NotFound."""
    matches = project.c.name == id_or_name
    id = _uuid(id_or_name)
    if id:
        matches = or_(project.c.id == id, matches)
    # A project may be named like another one's id: then the id wins.
    rows = (await s.execute(select(project).where(matches))).mappings().all()
    row = next((row for row in rows if row["id"] == id), rows[0] if rows else None)
    if row is None:
        raise NotFound(f"There is no project {id_or_name!r}.")
    return _project(row)


async def list_projects(s: AsyncSession) -> list[Project]:
    """All of them, by name."""
    rows = await s.execute(select(project).order_by(project.c.name))
    return [_project(row) for row in rows.mappings()]


async def update_project(
    s: AsyncSession, id: str, *, by: Owner = Owner.DATABASE, **changes: Unpack[ProjectChanges]
) -> Project:
    """Changes the named fields, nothing else. Raises NotFound, Conflict for a taken name, OwnedByFile (`by` says who
    is asking; passing `owner` as well hands the project over)."""
    await bump_version(s)
    found = await get_project(s, id)
    guard(found.owner, by, f"Project {found.name!r}")
    values = _columns(changes)
    if values:
        async with unique(s, f"A project named {changes.get('name')!r} exists already."):
            await s.execute(update(project).where(project.c.id == found.id).values(values))
    return await get_project(s, found.id)


async def delete_project(s: AsyncSession, id: str, *, by: Owner = Owner.DATABASE) -> None:
    """With its keys and model names; its log rows stay. Raises NotFound, OwnedByFile."""
    await bump_version(s)
    found = await get_project(s, id)
    guard(found.owner, by, f"Project {found.name!r}")
    await s.execute(delete(project).where(project.c.id == found.id))


def _columns(fields: ProjectChanges) -> dict[str, Any]:
    values: dict[str, Any] = dict(fields)
    if "trust" in fields:
        values["trust"] = sorted(fields["trust"])
    if "allowed_models" in fields:
        values["allowed_models"] = sorted(set(fields["allowed_models"] or ())) or None
    if "redact" in fields:
        values["redact"] = list(fields["redact"]) or None
        check_patterns(values["redact"] or ())
    return values


def _project(row: RowMapping) -> Project:
    allowed = row["allowed_models"]
    return Project(
        id=row["id"],
        name=row["name"],
        description=row["description"],
        is_active=row["is_active"],
        trust=frozenset(Trust(name) for name in row["trust"]),
        public_tools=row["public_tools"],
        store_payloads=row["store_payloads"],
        payload_days=row["payload_days"],
        redact=tuple(row["redact"] or ()),
        **{name: row[name] for name in LIMITS},
        allowed_models=frozenset(allowed) if allowed else None,
        owner=Owner(row["owner"]),
        created_at=row["created_at"],
    )


def _uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None
