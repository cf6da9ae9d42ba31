from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.access.policy import DEFAULT_TRUST, Owner, Project, Trust
from llm_gateway.errors import Conflict, InvalidRequest, NotFound, OwnedByFile
from llm_gateway.storage import exposures, keys, projects
from llm_gateway.storage.keys import StoredKey
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.snapshot import current_version, load_snapshot

HASH = bytes(range(32))


async def key(s: AsyncSession, project: Project, hash: bytes = HASH, **fields: object) -> StoredKey:
    return await keys.add_key(s, project.id, name="ci", hash=hash, prefix="llmgw_k3J", last4="9xYz", **fields)


async def test_a_project_comes_back_as_it_was_made(sessions: Sessions):
    async with sessions.write() as s:
        made = await projects.create_project(
            s,
            name="legal",
            description="Contract review",
            trust=[Trust.OWN, Trust.PUBLIC],
            public_tools=True,
            rate_limit_per_minute=600,
            tokens_per_minute=200_000,
            monthly_tokens=50_000_000_000,
            max_concurrency=50,
            allowed_models=["b", "a", "a"],
            owner=Owner.FILE,
        )
    assert made == Project(
        id=made.id,
        name="legal",
        description="Contract review",
        trust=frozenset({Trust.OWN, Trust.PUBLIC}),
        public_tools=True,
        rate_limit_per_minute=600,
        tokens_per_minute=200_000,
        monthly_tokens=50_000_000_000,
        max_concurrency=50,
        allowed_models=frozenset({"a", "b"}),
        owner=Owner.FILE,
        created_at=made.created_at,
    )
    async with sessions.read() as s:
        assert await projects.get_project(s, made.id) == await projects.get_project(s, "legal") == made


async def test_a_plain_project_has_no_limits_and_no_strangers(sessions: Sessions):
    async with sessions.write() as s:
        made = await projects.create_project(s, name="legal", allowed_models=[])
    assert made == Project(id=made.id, name="legal", trust=DEFAULT_TRUST, created_at=made.created_at)


async def test_a_project_name_is_taken_once(sessions: Sessions):
    async with sessions.write() as s:
        await projects.create_project(s, name="legal")
        other = await projects.create_project(s, name="sales")
        with pytest.raises(Conflict, match=r"^A project named 'legal' exists already\.$"):
            await projects.create_project(s, name="legal")
        with pytest.raises(Conflict, match=r"^A project named 'legal' exists already\.$"):
            await projects.update_project(s, other.id, name="legal")


@pytest.mark.parametrize("name", ["", "x" * 101, "a\0b", "\ud800"])
async def test_a_name_that_cannot_be_kept_is_refused(sessions: Sessions, name: str):
    with pytest.raises(InvalidRequest, match="project name"):
        async with sessions.write() as s:
            await projects.create_project(s, name=name)


async def test_a_change_touches_only_what_it_names(sessions: Sessions):
    async with sessions.write() as s:
        made = await projects.create_project(s, name="legal", max_concurrency=5, rate_limit_per_minute=60)
        changed = await projects.update_project(s, made.id, is_active=False, max_concurrency=None)
    assert (changed.is_active, changed.max_concurrency, changed.rate_limit_per_minute) == (False, None, 60)
    assert (changed.name, changed.created_at) == (made.name, made.created_at)


async def test_what_is_not_there_is_not_found(sessions: Sessions):
    async with sessions.write() as s:
        for missing in ("legal", str(uuid4())):
            with pytest.raises(NotFound, match=missing):
                await projects.get_project(s, missing)
        with pytest.raises(NotFound):
            await projects.update_project(s, str(uuid4()), name="x")
        with pytest.raises(NotFound):
            await keys.add_key(s, str(uuid4()), name="ci", hash=HASH, prefix="", last4="")
        with pytest.raises(NotFound):
            await keys.get_key(s, str(uuid4()))


async def test_a_project_named_like_the_id_of_another_does_not_hide_it(sessions: Sessions):
    async with sessions.write() as s:
        first = await projects.create_project(s, name="legal")
        await projects.create_project(s, name=first.id)
        assert await projects.get_project(s, first.id) == first


async def test_a_project_goes_with_its_keys_and_names(sessions: Sessions):
    async with sessions.write() as s:
        made = await projects.create_project(s, name="legal")
        await key(s, made)
        await exposures.create_exposure(s, project_id=made.id, logical_name="law", backend=["m"])
        await projects.delete_project(s, made.id)
    async with sessions.read() as s:
        left = await load_snapshot(s)
    assert (left.projects, left.keys, left.exposures) == ({}, {}, {})


async def test_what_the_config_file_owns_only_the_config_file_changes(sessions: Sessions):
    async with sessions.write() as s:
        made = await projects.create_project(s, name="legal", owner=Owner.FILE)
        filed = await key(s, made, owner=Owner.FILE)
        for forbidden in (
            projects.update_project(s, made.id, name="x"),
            projects.delete_project(s, made.id),
            keys.revoke_key(s, filed.id, 1.0),
            keys.expire_key(s, filed.id, 1.0),
        ):
            with pytest.raises(OwnedByFile, match="config file"):
                await forbidden
        assert (await projects.update_project(s, made.id, by=Owner.FILE, name="x")).name == "x"
        assert (await keys.revoke_key(s, filed.id, 1.0, by=Owner.FILE)).revoked_at == 1.0


async def test_a_key_lives_expires_and_is_revoked_once(sessions: Sessions):
    async with sessions.write() as s:
        made = await projects.create_project(s, name="legal")
        first = await key(s, made, expires_at=1_800_000_000.25)
        assert first.expires_at == 1_800_000_000.25
        assert first.hash == HASH
        assert (await keys.expire_key(s, first.id, None)).expires_at is None
        assert (await keys.revoke_key(s, first.id, 1_790_000_000.5)).revoked_at == 1_790_000_000.5
        assert (await keys.revoke_key(s, first.id, 1_790_000_999.0)).revoked_at == 1_790_000_000.5


async def test_a_key_is_used_once_and_only_by_its_project(sessions: Sessions):
    async with sessions.write() as s:
        legal = await projects.create_project(s, name="legal")
        sales = await projects.create_project(s, name="sales")
        made = await key(s, legal)
        second = await key(s, sales, hash=bytes(32))
        with pytest.raises(Conflict):
            await key(s, sales)
        assert await keys.get_key(s, made.id, project_id=legal.id) == made
        with pytest.raises(NotFound):
            await keys.get_key(s, made.id, project_id=sales.id)
        assert await keys.list_keys(s, legal.id) == [made]
        assert await keys.list_keys(s) == [made, second]


async def test_the_last_use_of_keys_is_noted_and_never_goes_back(sessions: Sessions):
    async with sessions.write() as s:
        made = await projects.create_project(s, name="legal")
        first, second = await key(s, made), await key(s, made, hash=bytes(32))
        version = await current_version(s)
        await keys.touch(s, {first.id: 1000.5, second.id: 2000.0, str(uuid4()): 1.0})
        await keys.touch(s, {first.id: 999.0})
        await keys.touch(s, {})
        assert [k.last_used_at for k in await keys.list_keys(s)] == [1000.5, 2000.0]
        assert await current_version(s) == version
