from __future__ import annotations

from dataclasses import replace

import pytest

from llm_gateway.access.policy import Owner, Trust
from llm_gateway.errors import Conflict, InvalidRequest, NotFound, OwnedByFile
from llm_gateway.fleet.facts import ListedModel, ServerSpec
from llm_gateway.storage import servers
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.snapshot import current_version

LAB = ServerSpec(id="", name="lab", url="http://127.0.0.1:11434", kind="ollama", trust=Trust.OWN, api_key="sk-secret")
ATTIC = ServerSpec(id="", name="attic", url="http://127.0.0.1:8001/v1", kind="openai", trust=Trust.PUBLIC, country="ES")


async def test_a_server_keeps_its_opaque_id_for_good(sessions: Sessions):
    async with sessions.write() as s:
        lab, attic = await servers.sync(s, "catalogue", [LAB, ATTIC], 1000.0)
    assert lab.id != attic.id
    assert lab == replace(LAB, id=lab.id, source="catalogue")
    assert lab.id.startswith("srv_")
    async with sessions.write() as s:
        assert await servers.sync(s, "catalogue", [ATTIC], 2000.0) == [attic]
    async with sessions.write() as s:
        back, _ = await servers.sync(s, "catalogue", [replace(LAB, name="renamed"), ATTIC], 3000.0)
        assert back.id == lab.id
        stored = await servers.get_server(s, lab.id)
    assert (stored.name, stored.first_seen, stored.last_seen) == ("renamed", 1000.0, 3000.0)


async def test_the_same_address_of_two_sources_is_two_servers(sessions: Sessions):
    async with sessions.write() as s:
        (one,) = await servers.sync(s, "catalogue", [LAB], 1.0)
        (two,) = await servers.sync(s, "configured", [LAB], 1.0)
    assert one.id != two.id


async def test_a_source_that_lists_oddly_is_still_read(sessions: Sessions):
    odd = replace(LAB, name="x\0" * 500, country="y" * 500)
    async with sessions.write() as s:
        found = await servers.sync(s, "catalogue", [odd, ATTIC, replace(LAB, name="the same again")], 1.0)
        assert [spec.url for spec in found] == [LAB.url, ATTIC.url]
        assert await servers.sync(s, "catalogue", [odd, ATTIC], 2.0) == found
        assert await current_version(s) == 2


async def test_a_server_that_its_source_forgot_stays_and_is_not_listed(sessions: Sessions):
    async with sessions.write() as s:
        await servers.sync(s, "catalogue", [LAB, ATTIC], 1.0)
        await servers.sync(s, "configured", [replace(LAB, name="mine")], 1.0)
        await servers.sync(s, "catalogue", [ATTIC], 2.0)
        assert [server.name for server in await servers.list_servers(s)] == ["attic", "mine"]
        assert [server.name for server in await servers.list_servers(s, source="catalogue")] == ["attic"]
        assert [(x.name, x.listed) for x in await servers.list_servers(s, all=True)] == [
            ("attic", True),
            ("lab", False),
            ("mine", True),
        ]
        await servers.sync(s, "catalogue", [], 3.0)
        assert await servers.list_servers(s, source="catalogue") == []


async def test_nothing_secret_is_kept_of_a_server(sessions: Sessions):
    async with sessions.write() as s:
        (lab,) = await servers.sync(s, "configured", [LAB], 1.0)
        assert lab.api_key == "sk-secret"
        assert "sk-secret" not in repr(await servers.get_server(s, lab.id))


async def test_the_version_moves_only_when_the_servers_did(sessions: Sessions):
    async with sessions.write() as s:
        versions = []
        for specs in ([LAB], [LAB], [replace(LAB, trust=Trust.PARTNER)], [], []):
            await servers.sync(s, "catalogue", specs, 1.0)
            versions.append(await current_version(s))
    assert versions == [2, 2, 3, 4, 4]


async def test_an_admins_switch_outlives_the_next_reading_of_the_catalogue(sessions: Sessions):
    async with sessions.write() as s:
        (lab,) = await servers.sync(s, "catalogue", [LAB], 1.0)
        before = await current_version(s)
        assert not (await servers.set_enabled(s, "lab", False)).enabled
        assert await current_version(s) == before + 1
        (again,) = await servers.sync(s, "catalogue", [LAB], 2.0)
        assert (again.id, again.enabled) == (lab.id, False)
        assert (await servers.set_enabled(s, lab.id, True)).enabled


async def test_the_config_file_has_the_say_over_its_servers(sessions: Sessions):
    async with sessions.write() as s:
        await servers.sync(s, "configured", [LAB], 1.0)
        assert (await servers.get_server(s, "lab")).owner is Owner.FILE
        for forbidden in (servers.set_enabled(s, "lab", False), servers.remove(s, "lab")):
            with pytest.raises(OwnedByFile):
                await forbidden
        (off,) = await servers.sync(s, "configured", [replace(LAB, enabled=False)], 2.0)
    assert not off.enabled


async def test_an_admin_adds_a_server_and_takes_it_away(sessions: Sessions):
    async with sessions.write() as s:
        before = await current_version(s)
        made = await servers.add(
            s, name="box", url="http://10.0.0.1:11434", kind="ollama", trust=Trust.OWN, now=5.0, api_key_env="BOX_KEY"
        )
        assert await current_version(s) == before + 1
        assert (made.source, made.api_key_env, made.enabled, made.listed) == ("admin", "BOX_KEY", True, True)
        assert made.spec("sk-1").api_key == "sk-1"
        for name, url in (("box", "http://10.0.0.2"), ("other", "http://10.0.0.1:11434")):
            with pytest.raises(Conflict, match="exists already"):
                await servers.add(s, name=name, url=url, kind="ollama", trust=Trust.OWN, now=6.0)
        assert not (await servers.remove(s, "box")).listed
        with pytest.raises(NotFound):
            await servers.remove(s, "box")
        again = await servers.add(s, name="b", url=made.url, kind="openai", trust=Trust.PARTNER, now=7.0)
        assert (again.id, again.kind, again.api_key_env) == (made.id, "openai", None)


async def test_a_catalogues_server_can_be_switched_but_not_taken_away(sessions: Sessions):
    async with sessions.write() as s:
        await servers.sync(s, "catalogue", [LAB], 1.0)
        with pytest.raises(Conflict, match="disable it instead"):
            await servers.remove(s, "lab")


async def test_a_name_that_several_servers_have_asks_for_the_id(sessions: Sessions):
    async with sessions.write() as s:
        (one,) = await servers.sync(s, "catalogue", [LAB], 1.0)
        (two,) = await servers.sync(s, "other", [LAB], 1.0)
        with pytest.raises(Conflict, match=one.id):
            await servers.set_enabled(s, "lab", False)
        assert (await servers.get_server(s, two.id)).source == "other"
        with pytest.raises(NotFound):
            await servers.get_server(s, "nobody")
        with pytest.raises(InvalidRequest):
            await servers.get_server(s, "x" * 1000)


async def test_the_models_that_a_server_listed_last_are_remembered(sessions: Sessions):
    full = ListedModel(
        name="llama3.2:3b",
        digest="a" * 64,
        family="llama",
        parameter_size="3.2B",
        quantization="Q4_K_M",
        context_length=131_072,
        size=2_019_393_189,
        capabilities=("completion", "tools"),
        tokens_per_second=12.5,
    )
    async with sessions.write() as s:
        (lab,) = await servers.sync(s, "catalogue", [LAB], 1.0)
        version = await current_version(s)
        await servers.remember_models(s, lab.id, [full, ListedModel("b")], 10.0)
        assert (await servers.get_server(s, lab.id)).models == (ListedModel("b"), full)
        await servers.remember_models(s, lab.id, [full], 20.0)
        assert (await servers.list_servers(s))[0].models == (full,)
        await servers.remember_models(s, lab.id, [], 30.0)
        assert (await servers.get_server(s, lab.id)).models == ()
        assert await current_version(s) == version
        with pytest.raises(NotFound):
            await servers.remember_models(s, "srv_none", [full], 40.0)


async def test_what_a_stranger_calls_its_models_never_stops_the_write(sessions: Sessions):
    odd = [ListedModel("x" * 1000), ListedModel("a\0b", digest="\ud800", family="\0"), ListedModel("a\0b")]
    async with sessions.write() as s:
        (lab,) = await servers.sync(s, "catalogue", [LAB], 1.0)
        await servers.remember_models(s, lab.id, odd, 10.0)
        names = [model.name for model in (await servers.get_server(s, lab.id)).models]
    assert names == ["a\N{REPLACEMENT CHARACTER}b", "x" * 300]


async def test_an_admin_changes_what_he_added_and_nothing_else(sessions: Sessions):
    async with sessions.write() as s:
        made = await servers.add(s, name="box", url="http://10.0.0.1:1", kind="ollama", trust=Trust.OWN, now=5.0)
        await servers.sync(s, "catalogue", [LAB], 1.0)
        before = await current_version(s)
        changed = await servers.change(s, "box", name="shelf", trust=Trust.PARTNER, max_concurrency=3)
        assert await current_version(s) == before + 1
        assert (changed.id, changed.name, changed.trust, changed.max_concurrency) == (made.id, "shelf", "partner", 3)
        assert (await servers.change(s, made.id, max_concurrency=None)).max_concurrency is None
        assert (await servers.change(s, made.id)).name == "shelf"
        with pytest.raises(Conflict, match="comes from the source"):
            await servers.change(s, "lab", name="mine")
        with pytest.raises(Conflict, match="exists already"):
            await servers.change(s, "shelf", name="lab")
        with pytest.raises(NotFound):
            await servers.change(s, "nobody", name="x")
