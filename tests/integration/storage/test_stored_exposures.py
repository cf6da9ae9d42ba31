from __future__ import annotations

from itertools import pairwise
from uuid import uuid4

import pytest

from llm_gateway.access.policy import Exposure, Owner
from llm_gateway.errors import Conflict, InvalidRequest, NotFound, OwnedByFile
from llm_gateway.storage import exposures, keys, projects
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.snapshot import current_version, load_snapshot


async def test_a_logical_name_comes_back_with_its_models_in_order(sessions: Sessions):
    async with sessions.write() as s:
        project = await projects.create_project(s, name="legal")
        made = await exposures.create_exposure(
            s,
            project_id=project.id,
            logical_name="law-assistant",
            backend=["llama3.3:70b", "qwen2.5:32b", "a"],
            description="Tuned for legal questions",
            params={"temperature": 0.2, "max_tokens": 1500, "stop": ["§"]},
        )
        assert await exposures.get_exposure(s, made.id) == made
        assert await exposures.find_exposure(s, project.id, "law-assistant") == made
    assert made == Exposure(
        id=made.id,
        project_id=project.id,
        logical_name="law-assistant",
        backend=("llama3.3:70b", "qwen2.5:32b", "a"),
        description="Tuned for legal questions",
        params={"temperature": 0.2, "max_tokens": 1500, "stop": ["§"]},
        created_at=made.created_at,
    )


@pytest.mark.parametrize("shared", [True, False])
async def test_a_name_is_taken_once_in_a_project_and_once_among_the_shared(sessions: Sessions, shared: bool):
    async with sessions.write() as s:
        project = await projects.create_project(s, name="legal")
        for scope in (project.id, None):
            await exposures.create_exposure(s, project_id=scope, logical_name="fast", backend=["m"])
        scope = None if shared else project.id
        other = await exposures.create_exposure(s, project_id=scope, logical_name="slow", backend=["m"])
        with pytest.raises(Conflict, match="'fast' exists already"):
            await exposures.create_exposure(s, project_id=scope, logical_name="fast", backend=["m"])
        with pytest.raises(Conflict, match="'fast' exists already"):
            await exposures.update_exposure(s, other.id, logical_name="fast")


async def test_putting_a_name_makes_it_or_changes_what_it_means(sessions: Sessions):
    async with sessions.write() as s:
        first = await exposures.put_exposure(
            s, project_id=None, logical_name="fast", backend=["a"], params={"temperature": 0.7}, owner=Owner.FILE
        )
        second = await exposures.put_exposure(s, project_id=None, logical_name="fast", backend=["b"], owner=Owner.FILE)
        assert (second.id, second.backend, second.params) == (first.id, ("b",), {})
        with pytest.raises(OwnedByFile):
            await exposures.put_exposure(s, project_id=None, logical_name="fast", backend=["c"])
        with pytest.raises(OwnedByFile):
            await exposures.delete_exposure(s, first.id)
        await exposures.delete_exposure(s, first.id, by=Owner.FILE)
        with pytest.raises(NotFound):
            await exposures.find_exposure(s, None, "fast")


async def test_a_change_touches_only_what_it_names(sessions: Sessions):
    async with sessions.write() as s:
        made = await exposures.create_exposure(
            s, project_id=None, logical_name="fast", backend=["a", "b"], params={"temperature": 0.7}
        )
        changed = await exposures.update_exposure(s, made.id, description="Quick answers")
    assert (changed.backend, changed.params, changed.description) == (("a", "b"), {"temperature": 0.7}, "Quick answers")


async def test_a_name_without_a_model_or_a_project_is_refused(sessions: Sessions):
    async with sessions.write() as s:
        with pytest.raises(InvalidRequest, match="backend"):
            await exposures.create_exposure(s, project_id=None, logical_name="fast", backend=[])
        with pytest.raises(NotFound):
            await exposures.create_exposure(s, project_id=str(uuid4()), logical_name="fast", backend=["m"])


async def test_a_project_sees_its_own_names_and_the_shared_ones(sessions: Sessions):
    async with sessions.write() as s:
        legal = await projects.create_project(s, name="legal")
        sales = await projects.create_project(s, name="sales")
        for scope, name in ((legal.id, "law"), (sales.id, "pitch"), (None, "fast")):
            await exposures.create_exposure(s, project_id=scope, logical_name=name, backend=["m"])
        assert [e.logical_name for e in await exposures.list_exposures(s, legal.id)] == ["fast", "law"]
        assert [e.logical_name for e in await exposures.list_exposures(s)] == ["fast", "law", "pitch"]


async def test_the_snapshot_holds_the_configuration_as_the_hot_path_asks_for_it(sessions: Sessions):
    async with sessions.write() as s:
        project = await projects.create_project(s, name="legal")
        key = await keys.add_key(s, project.id, name="ci", hash=bytes(32), prefix="llmgw_", last4="abcd")
        own = await exposures.create_exposure(s, project_id=project.id, logical_name="fast", backend=["m"])
        shared = await exposures.create_exposure(s, project_id=None, logical_name="fast", backend=["n"])
    async with sessions.read() as s:
        snapshot = await load_snapshot(s)
        assert snapshot.version == await current_version(s)
    assert snapshot.keys == {bytes(32): key}
    assert snapshot.projects == {project.id: project}
    assert snapshot.exposures == {(project.id, "fast"): own, (None, "fast"): shared}


async def test_every_change_raises_the_version(sessions: Sessions):
    async with sessions.write() as s:
        seen = [await current_version(s)]

        async def changed() -> None:
            seen.append(await current_version(s))

        project = await projects.create_project(s, name="legal")
        await changed()
        await projects.update_project(s, project.id, is_active=False)
        await changed()
        key = await keys.add_key(s, project.id, name="ci", hash=bytes(32), prefix="llmgw_", last4="abcd")
        await changed()
        await keys.expire_key(s, key.id, 5.0)
        await changed()
        await keys.revoke_key(s, key.id, 5.0)
        await changed()
        exposure = await exposures.create_exposure(s, project_id=None, logical_name="fast", backend=["m"])
        await changed()
        await exposures.update_exposure(s, exposure.id, backend=["n"])
        await changed()
        await exposures.delete_exposure(s, exposure.id)
        await changed()
        await projects.delete_project(s, project.id)
        await changed()
    assert all(later > earlier for earlier, later in pairwise(seen))
