"""A config file in the database, on SQLite and on PostgreSQL."""

import asyncio

import pytest
from example_config import EXAMPLE, LEGAL_KEY

from llm_gateway.access.identify import identify
from llm_gateway.access.keys import hash_key
from llm_gateway.access.policy import Owner, Trust
from llm_gateway.config.apply import apply
from llm_gateway.errors import Conflict, InvalidKey, OwnedByFile, ProjectDisabled
from llm_gateway.storage import exposures, keys, projects, servers
from llm_gateway.storage.engine import open_engine
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.snapshot import current_version, load_snapshot

NOW = 1_800_000_000.0
SERVERS_GONE = EXAMPLE[: EXAMPLE.index("servers:")] + EXAMPLE[EXAMPLE.index("models:") :]


@pytest.fixture
async def sessions(database_url, tmp_path):
    engine = open_engine(database_url, data_dir=tmp_path)
    yield Sessions(engine)
    await engine.dispose()


@pytest.fixture
def applied(sessions, loading):
    """Loads a file and applies it; returns the changes."""

    async def run(text=EXAMPLE, **environ):
        loaded = loading(text, **{"VLLM_KEY": "key-of-vllm", "LEGAL_KEY": LEGAL_KEY, **environ})
        async with sessions.write() as s:
            return await apply(loaded.document, s, environ=loaded.environ, now=NOW)

    return run


async def snapshot(sessions):
    async with sessions.read() as s:
        return await load_snapshot(s)


async def test_the_example_is_in_the_database_afterwards(applied, sessions):
    changes = await applied()
    assert changes.created == [
        "project legal",
        "key legal/ci",
        "model fast",
        "model legal/law-assistant",
        "server lab",
        "server vllm",
    ]
    assert not changes.updated
    assert not changes.removed
    async with sessions.read() as s:
        legal = await projects.get_project(s, "legal")
        assert (legal.owner, legal.is_active, legal.rate_limit_per_minute) == (Owner.FILE, True, 600)
        assert (legal.trust, legal.monthly_tokens) == ({Trust.OWN, Trust.PARTNER}, 50_000_000)
        assert legal.allowed_models == {"law-assistant", "llama3.2:3b"}
        law = await exposures.find_exposure(s, legal.id, "law-assistant")
        assert law.backend == ("llama3.3:70b", "qwen2.5:32b")
        assert law.params == {"temperature": 0.2, "max_tokens": 1500}
        vllm = await servers.get_server(s, "vllm")
        assert (vllm.owner, vllm.url, vllm.api_key_env) == (Owner.FILE, "http://127.0.0.1:8001/v1", "VLLM_KEY")


async def test_the_key_of_the_file_identifies_its_project(applied, sessions):
    await applied()
    caller = identify(await snapshot(sessions), LEGAL_KEY, NOW)
    assert (caller.project.name, caller.key.name, caller.key.owner) == ("legal", "ci", Owner.FILE)
    assert (caller.key.prefix, caller.key.last4) == ("a-k", "0001")


async def test_a_key_given_by_its_hash_works_as_well(applied, sessions):
    await applied(f"projects: [{{name: p, keys: [{{name: k, sha256: {hash_key('x' * 20).hex()}}}]}}]")
    assert identify(await snapshot(sessions), "x" * 20, NOW).project.name == "p"


async def test_applying_the_same_file_again_changes_nothing(applied, sessions):
    await applied()
    before = await snapshot(sessions)
    changes = await applied()
    assert not changes
    assert await snapshot(sessions) == before


async def test_the_servers_come_back_with_ids_and_keys_for_the_fleet(applied):
    first, again = await applied(), await applied()
    assert [(spec.name, spec.api_key) for spec in first.servers] == [("lab", None), ("vllm", "key-of-vllm")]
    assert [spec.id for spec in first.servers] == [spec.id for spec in again.servers]
    assert all(spec.id for spec in first.servers)
    assert "key-of-vllm" not in repr(first)


async def test_only_what_changed_is_updated(applied, sessions):
    await applied()
    text = EXAMPLE.replace("temperature: 0.2", "temperature: 0.3").replace("rate_limit_per_minute: 600", "")
    changes = await applied(text.replace("max_concurrency: 4", "max_concurrency: 8"))
    assert changes.updated == ["project legal", "model legal/law-assistant", "server lab"]
    assert not changes.created
    assert not changes.removed
    async with sessions.read() as s:
        assert (await projects.get_project(s, "legal")).rate_limit_per_minute is None
        assert (await servers.get_server(s, "lab")).max_concurrency == 8


async def test_a_new_value_of_a_key_replaces_the_old_one(applied, sessions):
    await applied()
    changes = await applied(LEGAL_KEY="another-key-of-the-team-2")
    assert (changes.created, changes.removed) == (["key legal/ci"], ["key legal/ci (revoked)"])
    now = await snapshot(sessions)
    assert identify(now, "another-key-of-the-team-2", NOW).project.name == "legal"
    with pytest.raises(InvalidKey):
        identify(now, LEGAL_KEY, NOW)


async def test_what_vanishes_from_the_file_is_taken_away(applied, sessions):
    await applied()
    changes = await applied("port: 8000")
    assert sorted(changes.removed) == [
        "key legal/ci (revoked)",
        "model fast",
        "model law-assistant",
        "project legal (disabled; the database keeps it)",
        "server lab",
        "server vllm",
    ]
    async with sessions.read() as s:
        legal = await projects.get_project(s, "legal")
        assert (legal.owner, legal.is_active) == (Owner.DATABASE, False)
        assert await exposures.list_exposures(s) == []
        assert await servers.list_servers(s) == []
    assert not await applied("port: 8000")


async def test_what_comes_back_comes_back_with_its_ids_and_keys(applied, sessions):
    await applied()
    before = await snapshot(sessions)
    await applied("port: 8000")
    await applied()
    after = await snapshot(sessions)
    assert after.projects == before.projects
    assert after.keys == before.keys
    assert identify(after, LEGAL_KEY, NOW).project.name == "legal"


async def test_a_project_of_the_same_name_becomes_the_files(applied, sessions):
    async with sessions.write() as s:
        mine = await projects.create_project(s, name="legal", description="by hand", is_active=False)
        await exposures.create_exposure(s, project_id=mine.id, logical_name="law-assistant", backend=["old"])
        await exposures.create_exposure(s, project_id=mine.id, logical_name="by-hand", backend=["old"])
        await keys.add_key(s, mine.id, name="by hand", hash=hash_key("h" * 20), prefix="", last4="")
    changes = await applied()
    assert {"project legal", "model legal/law-assistant"} <= set(changes.updated)
    now = await snapshot(sessions)
    assert identify(now, LEGAL_KEY, NOW).project.id == mine.id
    assert identify(now, "h" * 20, NOW).project.owner is Owner.FILE
    async with sessions.read() as s:
        assert (await exposures.find_exposure(s, mine.id, "by-hand")).owner is Owner.DATABASE
    assert not await applied()


async def test_objects_of_the_file_are_read_only_for_others(applied, sessions):
    await applied()
    async with sessions.write() as s:
        legal = await projects.get_project(s, "legal")
        [key] = await keys.list_keys(s, legal.id)
        with pytest.raises(OwnedByFile):
            await projects.update_project(s, legal.id, description="x")
        with pytest.raises(OwnedByFile):
            await keys.revoke_key(s, key.id, NOW)
        with pytest.raises(OwnedByFile):
            await servers.set_enabled(s, "lab", False)


async def test_a_renamed_project_keeps_its_keys(applied, sessions):
    await applied()
    changes = await applied(EXAMPLE.replace("name: legal", "name: law"))
    assert "key law/ci" in changes.updated
    now = await snapshot(sessions)
    assert identify(now, LEGAL_KEY, NOW).project.name == "law"


async def test_a_key_that_an_administrator_revoked_stays_revoked(applied, sessions):
    async with sessions.write() as s:
        mine = await projects.create_project(s, name="legal")
        leaked = await keys.add_key(s, mine.id, name="leaked", hash=hash_key(LEGAL_KEY), prefix="", last4="")
        await keys.revoke_key(s, leaked.id, NOW - 1)
    with pytest.raises(Conflict, match="key legal/ci was revoked by an administrator"):
        await applied()
    with pytest.raises(InvalidKey):
        identify(await snapshot(sessions), LEGAL_KEY, NOW)


async def test_a_key_of_another_project_is_not_taken_and_nothing_is_half_written(applied, sessions):
    async with sessions.write() as s:
        other = await projects.create_project(s, name="other")
        await keys.add_key(s, other.id, name="k", hash=hash_key(LEGAL_KEY), prefix="", last4="")
    before = await snapshot(sessions)
    with pytest.raises(Conflict, match="is the same as other/k") as caught:
        await applied()
    assert LEGAL_KEY not in str(caught.value)
    assert await snapshot(sessions) == before


async def test_a_project_that_is_disabled_by_its_vanishing_says_so_to_other_keys(applied, sessions):
    await applied()
    async with sessions.write() as s:
        legal = await projects.get_project(s, "legal")
        await keys.add_key(s, legal.id, name="by hand", hash=hash_key("h" * 20), prefix="", last4="")
    await applied("port: 8000")
    with pytest.raises(ProjectDisabled):
        identify(await snapshot(sessions), "h" * 20, NOW)


async def test_a_server_that_an_administrator_added_gives_way_to_the_files(applied, sessions):
    async with sessions.write() as s:
        await servers.add(s, name="lab", url="http://10.9.8.7:11434", kind="ollama", trust=Trust.PARTNER, now=NOW)
    changes = await applied()
    assert "server lab (of an administrator)" in changes.removed
    async with sessions.read() as s:
        assert (await servers.get_server(s, "lab")).trust is Trust.OWN
        assert len(await servers.list_servers(s)) == 2


async def test_two_services_that_start_with_the_same_file_do_it_one_after_the_other(applied):
    changes = await asyncio.gather(applied(), applied())
    assert sorted(len(each.created) for each in changes) == [0, 6]


async def test_servers_alone_may_vanish(applied, sessions):
    await applied()
    changes = await applied(SERVERS_GONE)
    assert changes.removed == ["server lab", "server vllm"]
    async with sessions.read() as s:
        version = await current_version(s)
    assert not await applied(SERVERS_GONE)
    async with sessions.read() as s:
        assert await current_version(s) == version
