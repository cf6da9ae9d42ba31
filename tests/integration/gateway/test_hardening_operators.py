"""What the operator's side relies on: readiness, the admin token, and work that strangers cannot inflate."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llm_gateway.errors import ModelNotFound
from llm_gateway.fleet.facts import Listed, ListedModel
from llm_gateway.service import health
from llm_gateway.service.models import healthy_servers
from llm_gateway.web.auth import is_admin
from support.gateway import ADMIN_TOKEN, Live, StartGateway
from support.rogues import StartRogue


@pytest.fixture
async def live(start: StartGateway, rogue: StartRogue) -> Live:
    return await start(await rogue(["a", "b"]), await rogue(["b", "c"]), await rogue(["d"]))


async def test_a_database_that_is_away_takes_no_replica_out_of_service(live: Live):
    """It is the same one for all of them, and requests do without it."""
    live.running.database_ok = False  # as the watch found it; it looks again within a second
    ready = await live.http.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert ready.json()["checks"] == {"accepting": True, "configuration": True, "database": False}
    assert health.report(live.gateway, database_ok=False, configuration="snapshot")["status"] == "degraded"


async def test_a_gateway_that_ends_takes_itself_out_of_service(live: Live):
    live.gateway.draining = True
    ready = await live.http.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["accepting"]) == (503, False)


async def test_no_token_at_all_is_nobodys(live: Live):
    live.running.admin_token = ""
    assert not is_admin(live.running, "")
    for headers in ({}, {"X-Admin-Key": ""}, {"Authorization": "Bearer"}):
        assert (await live.http.get("/admin/api/projects", headers=headers)).status_code == 401


async def test_the_token_is_in_no_text_about_the_gateway(live: Live):
    assert ADMIN_TOKEN not in repr(live.running)


async def test_prometheus_may_come_under_a_containers_name_and_an_administrator_may_not(live: Live):
    headers = {**live.admin(), "Host": "gateway:8000"}
    assert (await live.http.get("/metrics", headers=headers)).status_code == 200
    assert (await live.http.get("/metrics", headers={"Host": "gateway:8000"})).status_code == 401
    assert (await live.http.get("/admin/api/projects", headers=headers)).status_code == 403


async def test_all_models_are_counted_at_once_as_they_are_one_by_one(live: Live):
    now = live.gateway.clock.now()
    model = next(s.models["d:latest"] for s in live.fleet.servers.values() if "d:latest" in s.models)
    model.rest.until = now + 60
    for trust in (health.ADMIN_TRUST, frozenset[health.Trust]()):
        counts = healthy_servers(live.gateway, trust, now)
        one_by_one = {name: live.fleet.healthy(name, trust, now) for name, _ in live.fleet.names()}
        assert {name: counts[name] for name in one_by_one} == one_by_one
    report = health.report(live.gateway, database_ok=True, configuration="database")
    assert report["models"] == {"total": 4, "with_healthy_servers": 3}


async def test_the_list_of_models_is_made_anew_only_when_something_of_it_has_changed(live: Live):
    gateway = live.gateway
    (project,) = gateway.snapshot.projects.values()

    def names() -> list[str]:
        return [v.name for v in gateway.visible(project)]

    first = gateway.visible(project)
    assert (await live.chat(model="nobody-has-this")).status_code == 404
    assert gateway.visible(project) is first
    server = next(s for s in live.fleet.servers.values() if "a:latest" in s.models)
    live.fleet.apply(Listed(server.spec.id, gateway.clock.now(), (ListedModel("new:latest"),), None))
    assert names() == ["b:latest", "c:latest", "d:latest", "new:latest"]
    gateway.snapshot = replace(gateway.snapshot, version=gateway.snapshot.version + 1)
    assert gateway.visible(project) is not first
    narrow = replace(project, allowed_models=frozenset({"c"}))
    assert [v.name for v in gateway.visible(narrow)] == ["c:latest"]
    assert names() == ["b:latest", "c:latest", "d:latest", "new:latest"]


async def test_many_projects_do_not_fill_the_memory_with_lists(live: Live):
    (project,) = live.gateway.snapshot.projects.values()
    for n in range(100):
        assert live.gateway.visible(replace(project, id=str(n)))
    assert len(live.gateway._lists) <= 32


async def test_what_a_name_means_is_found_out_anew_only_when_something_of_it_has_changed(live: Live):
    gateway = live.gateway
    (project,) = gateway.snapshot.projects.values()
    first = gateway.resolve(project, "B")
    assert gateway.resolve(project, "B") is first
    narrow = replace(project, allowed_models=frozenset({"c"}))  # the same project in a configuration that is to come
    with pytest.raises(ModelNotFound):
        gateway.resolve(narrow, "B")
    assert gateway.resolve(project, "B") is first
    gateway.snapshot = replace(gateway.snapshot, version=gateway.snapshot.version + 1)
    assert gateway.resolve(project, "B") is not first
    for server in live.fleet.servers.values():
        if "b:latest" in server.models:
            live.fleet.apply(Listed(server.spec.id, gateway.clock.now(), (ListedModel("new:latest"),), None))
    with pytest.raises(ModelNotFound):
        gateway.resolve(project, "B")


async def test_many_projects_do_not_fill_the_memory_with_what_names_mean(live: Live):
    (project,) = live.gateway.snapshot.projects.values()
    for n in range(2000):
        assert live.gateway.resolve(replace(project, id=str(n)), "b").logical == "b:latest"
    assert len(live.gateway._targets) <= 1024
