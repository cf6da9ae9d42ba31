"""Exposures: logical names, for one project or shared by all.

The first backend is the column `backend_model`; the further ones, the default parameters and the description are in
`config`: `{"fallbacks": […], "params": {…}, "description": "…", "price": {"input": …, "output": …}}`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack
from uuid import uuid4

from sqlalchemy import ColumnElement, RowMapping, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.access.policy import Exposure, Owner, Price
from llm_gateway.errors import InvalidRequest, NotFound
from llm_gateway.storage.columns import as_uuid
from llm_gateway.storage.owners import guard
from llm_gateway.storage.projects import get_project
from llm_gateway.storage.sessions import unique
from llm_gateway.storage.tables import model_exposure
from llm_gateway.storage.version import bump_version


class ExposureChanges(TypedDict, total=False):
    logical_name: str
    backend: Sequence[str]
    description: str
    params: Mapping[str, Any]
    price: Price | None
    owner: Owner


async def create_exposure(
    s: AsyncSession,
    *,
    project_id: str | None,
    logical_name: str,
    backend: Sequence[str],
    description: str = "",
    params: Mapping[str, Any] | None = None,
    price: Price | None = None,
    owner: Owner = Owner.DATABASE,
) -> Exposure:
    """A name for `backend`, the physical models in order of preference. No project = shared by all. Raises NotFound
    for an unknown project, Conflict for a taken name, InvalidRequest without a model."""
    await bump_version(s)
    if project_id is not None:
        project_id = (await get_project(s, project_id)).id
    id = str(uuid4())
    async with unique(s, _taken(logical_name, project_id)):
        await s.execute(
            insert(model_exposure).values(
                id=id,
                project_id=project_id,
                logical_name=logical_name,
                **_targets(backend, description, params or {}, price),
                owner=owner,
                created_at=time.time(),
            )
        )
    return await get_exposure(s, id)


async def put_exposure(
    s: AsyncSession,
    *,
    project_id: str | None,
    logical_name: str,
    backend: Sequence[str],
    description: str = "",
    params: Mapping[str, Any] | None = None,
    price: Price | None = None,
    owner: Owner = Owner.DATABASE,
) -> Exposure:
    """Creates the name or replaces what it means, as `owner`. Raises OwnedByFile and what `create_exposure` does."""
    await bump_version(s)
    try:
        found = await find_exposure(s, project_id, logical_name)
    except NotFound:
        return await create_exposure(
            s,
            project_id=project_id,
            logical_name=logical_name,
            backend=backend,
            description=description,
            params=params,
            price=price,
            owner=owner,
        )
    return await update_exposure(
        s,
        found.id,
        by=owner,
        backend=backend,
        description=description,
        params=params or {},
        price=price,
        owner=owner,
    )


async def get_exposure(s: AsyncSession, id: str) -> Exposure:
    """Raises NotFound."""
    return await _one(s, model_exposure.c.id == as_uuid(id, "model id"), id)


async def find_exposure(s: AsyncSession, project_id: str | None, logical_name: str) -> Exposure:
    """By name, among the project's own or (None) the shared ones. Raises NotFound."""
    named = model_exposure.c.logical_name == logical_name
    return await _one(s, named & _within(project_id), logical_name)


async def list_exposures(s: AsyncSession, project_id: str | None = None) -> list[Exposure]:
    """Without a project: all there are. With one: its own and the shared ones. By name."""
    wanted = select(model_exposure).order_by(model_exposure.c.logical_name, model_exposure.c.created_at)
    if project_id is not None:
        wanted = wanted.where(or_(_within(project_id), _within(None)))
    return [_exposure(row) for row in (await s.execute(wanted)).mappings()]


async def update_exposure(
    s: AsyncSession, id: str, *, by: Owner = Owner.DATABASE, **changes: Unpack[ExposureChanges]
) -> Exposure:
    """Changes the named fields, nothing else. Raises NotFound, Conflict, OwnedByFile, InvalidRequest."""
    await bump_version(s)
    found = await get_exposure(s, id)
    guard(found.owner, by, f"Model {found.logical_name!r}")
    name = changes.get("logical_name", found.logical_name)
    values = _targets(
        changes.get("backend", found.backend),
        changes.get("description", found.description),
        changes.get("params", found.params),
        changes.get("price", found.price),
    )
    async with unique(s, _taken(name, found.project_id)):
        await s.execute(
            update(model_exposure)
            .where(model_exposure.c.id == found.id)
            .values(logical_name=name, owner=changes.get("owner", found.owner), **values)
        )
    return await get_exposure(s, found.id)


async def delete_exposure(s: AsyncSession, id: str, *, by: Owner = Owner.DATABASE) -> None:
    """Raises NotFound, OwnedByFile."""
    await bump_version(s)
    found = await get_exposure(s, id)
    guard(found.owner, by, f"Model {found.logical_name!r}")
    await s.execute(delete(model_exposure).where(model_exposure.c.id == found.id))


async def _one(s: AsyncSession, matches: ColumnElement[bool], asked: str) -> Exposure:
    row = (await s.execute(select(model_exposure).where(matches))).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no model {asked!r}.")
    return _exposure(row)


def _within(project_id: str | None) -> ColumnElement[bool]:
    if project_id is None:
        return model_exposure.c.project_id.is_(None)
    return model_exposure.c.project_id == as_uuid(project_id, "project id")


def _taken(logical_name: str, project_id: str | None) -> str:
    where = "among the shared models" if project_id is None else "in this project"
    return f"A model named {logical_name!r} exists already {where}."


def _targets(
    backend: Sequence[str], description: str, params: Mapping[str, Any], price: Price | None
) -> dict[str, Any]:
    if not backend:
        raise InvalidRequest("A model needs at least one backend.", param="backend")
    first, *further = backend
    return {
        "backend_model": first,
        "config": {"fallbacks": further, "params": dict(params), "description": description}
        | ({"price": {"input": price.input, "output": price.output}} if price is not None else {}),
    }


def _exposure(row: RowMapping) -> Exposure:
    config = row["config"]
    return Exposure(
        id=row["id"],
        project_id=row["project_id"],
        logical_name=row["logical_name"],
        backend=(row["backend_model"], *config.get("fallbacks", ())),
        description=config.get("description", ""),
        params=config.get("params", {}),
        price=Price(**config["price"]) if config.get("price") else None,
        owner=Owner(row["owner"]),
        created_at=row["created_at"],
    )
