"""API keys of projects: shown once when made, afterwards only recognisable."""

from __future__ import annotations

import secrets
from typing import Annotated, Literal

from fastapi import Query
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession
from typing_extensions import TypedDict

from llm_gateway.access.keys import make_key
from llm_gateway.access.policy import Owner
from llm_gateway.errors import Conflict
from llm_gateway.storage import keys, projects
from llm_gateway.storage.keys import StoredKey
from llm_gateway.storage.trail import Thing
from llm_gateway.web.admin.common import (
    Input,
    Limited,
    LimitList,
    LimitsView,
    Live,
    admin_router,
    changing,
    limits_of,
    limits_view,
    moment,
    noted,
    when,
)
from llm_gateway.web.auth import By
from llm_gateway.web.described import Time

router = admin_router("keys")
KEY_BYTES = 32
KeyState = Literal["active", "expired", "revoked"]


class NewKey(Limited):
    project: str = Field(description="Id or name.")
    name: Annotated[str, Field(min_length=1, max_length=100)] = "key"
    expires_at: str | None = Field(default=None, description="ISO 8601; absent: never.")


class KeyChanges(Limited):
    """Only the fields that are sent are changed; null takes a limit away."""


class Rotation(Input):
    overlap_seconds: Annotated[float, Field(ge=0, le=90 * 86_400)] = Field(
        default=86_400, description="How long the old key stays valid beside the new one."
    )
    expires_at: str | None = Field(default=None, description="Of the new key. ISO 8601; absent: never.")


class KeyView(LimitsView):
    """By `prefix` and `last4` people recognise it."""

    id: str
    project_id: str
    project: str | None
    name: str
    prefix: str
    last4: str
    state: KeyState
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Annotated[Time | None, Field(description="Within half a minute.")]
    owner: Annotated[Owner, Field(description="file: only the config file changes it.")]
    created_at: Time


class KeyList(TypedDict):
    data: list[KeyView]


class MadeKey(KeyView):
    key: Annotated[str, Field(description="The key itself, this once.")]


class RotatedKey(MadeKey):
    replaces: Annotated[str, Field(description="Id of the old key.")]
    old_key_ends_at: Time


@router.get("", summary="Keys of all projects, or of one")
async def list_keys(running: Live, project: Annotated[str | None, Query(description="Id or name.")] = None) -> KeyList:
    async with running.sessions.read() as s:
        of = (await projects.get_project(s, project)).id if project is not None else None
        found = await keys.list_keys(s, of)
        names = {p.id: p.name for p in await projects.list_projects(s)}
    wall = running.gateway.clock.wall()
    return {"data": [shown(k, names.get(k.project_id), wall) for k in found]}


@router.post("", status_code=201, summary="Make a key; the answer is the only sight of it")
async def create_key(running: Live, by: By, body: NewKey) -> MadeKey:
    expires = moment(body.expires_at, "expires_at")
    async with changing(running) as s:
        project = await projects.get_project(s, body.project)
        stored, text = await _made(s, project.id, body.name, expires, limits_view(body))
        view = shown(stored, project.name, running.gateway.clock.wall())
        await noted(s, running, by, "key.create", _thing(stored, project.name), after=view)
    return {**view, "key": text}


@router.get("/{key_id}/limits", summary="Its limits, and how much of them is used, as this process knows it")
async def get_key_limits(running: Live, key_id: str) -> LimitList:
    async with running.sessions.read() as s:
        found = await keys.get_key(s, key_id)
    return limits_of(running, running.gateway.snapshot.keys.get(found.hash, found))


@router.patch("/{key_id}", summary="Change what a key may use")
async def limit_key(running: Live, by: By, key_id: str, body: KeyChanges) -> KeyView:
    wall = running.gateway.clock.wall()
    async with changing(running) as s:
        before = await keys.get_key(s, key_id)
        key = await keys.limit_key(s, key_id, **body.model_dump(exclude_unset=True))
        name = (await projects.get_project(s, key.project_id)).name
        was, view = shown(before, name, wall), shown(key, name, wall)
        await noted(s, running, by, "key.update", _thing(key, name), before=was, after=view)
    return view


@router.post("/{key_id}/rotate", status_code=201, summary="A new key beside the old one, which ends after the overlap")
async def rotate_key(running: Live, by: By, key_id: str, body: Rotation | None = None) -> RotatedKey:
    wanted = body or Rotation()
    expires = moment(wanted.expires_at, "expires_at")
    wall = running.gateway.clock.wall()
    async with changing(running) as s:
        old = await keys.get_key(s, key_id)
        if old.revoked_at is not None:
            raise Conflict(f"Key {old.name!r} is revoked: make a new one instead.")
        project = await projects.get_project(s, old.project_id)
        ends = min(wall + wanted.overlap_seconds, old.expires_at or float("inf"))
        if ends > wall:
            await keys.expire_key(s, old.id, ends)
        else:  # at once, without the minute that expiry grants to clocks that differ
            await keys.revoke_key(s, old.id, wall)
        stored, text = await _made(s, project.id, old.name, expires, limits_view(old))
        view = shown(stored, project.name, wall)
        told = {**view, "replaces": old.id, "old_key_ends_at": when(ends)}
        await noted(s, running, by, "key.rotate", _thing(stored, project.name), after=told)
    return {**view, "key": text, "replaces": old.id, "old_key_ends_at": when(ends)}


@router.post("/{key_id}/revoke", summary="End a key now; effective everywhere within two seconds")
async def revoke_key(running: Live, by: By, key_id: str) -> KeyView:
    wall = running.gateway.clock.wall()
    async with changing(running) as s:
        before = await keys.get_key(s, key_id)
        key = await keys.revoke_key(s, key_id, wall)
        name = (await projects.get_project(s, key.project_id)).name
        was, view = shown(before, name, wall), shown(key, name, wall)
        await noted(s, running, by, "key.revoke", _thing(key, name), before=was, after=view)
    return view


async def _made(
    s: AsyncSession, project_id: str, name: str, expires: float | None, limits: LimitsView
) -> tuple[StoredKey, str]:
    """The key as it is kept, and the only sight of it."""
    made = make_key(secrets.token_bytes(KEY_BYTES))
    stored = await keys.add_key(
        s, project_id, name=name, hash=made.hash, prefix=made.prefix, last4=made.last4, expires_at=expires, **limits
    )
    return stored, made.text


def _thing(key: StoredKey, project: str) -> Thing:
    return Thing("key", key.id, f"{project}/{key.name}")


def shown(key: StoredKey, project: str | None, wall: float) -> KeyView:
    state: KeyState
    if key.revoked_at is not None:
        state = "revoked"
    elif key.expires_at is not None and key.expires_at <= wall:
        state = "expired"
    else:
        state = "active"
    return {
        "id": key.id,
        "project_id": key.project_id,
        "project": project,
        "name": key.name,
        "prefix": key.prefix,
        "last4": key.last4,
        "state": state,
        "expires_at": when(key.expires_at),
        "revoked_at": when(key.revoked_at),
        "last_used_at": when(key.last_used_at),
        "owner": key.owner,
        **limits_view(key),
        "created_at": when(key.created_at),
    }
