"""The configuration written as a file, and what another file would change."""

from __future__ import annotations

import json
from typing import Any

import yaml

from support.gateway import Live, StartGateway, entry
from support.rogues import StartRogue
from support.served import project


async def diff(live: Live, text: str, status: int = 200) -> Any:
    answer = await live.http.post("/admin/api/config/diff", json={"yaml": text}, headers=live.admin())
    assert answer.status_code == status, answer.text
    return answer.json()


def in_force(live: Live) -> dict[str, Any]:
    assert live.running.loaded.config is not None
    return dict(json.loads(live.running.loaded.config.read_text()))


def changes(told: Any) -> set[tuple[str, str]]:
    return {(row["change"], row["what"]) for row in told["data"]}


async def test_the_export_is_a_file_that_would_change_nothing_but_the_owner(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    await live.http.post("/admin/api/projects", json={"name": "legal"}, headers=live.admin())
    made = await live.http.post("/admin/api/keys", json={"project": "legal", "name": "ci"}, headers=live.admin())
    told = (await live.http.get("/admin/api/config/export", headers=live.admin())).json()
    objects = yaml.safe_load(told["yaml"])
    assert {each["name"] for each in objects["projects"]} == {"legal", "tests"}
    assert made.json()["key"] not in told["yaml"]
    assert told["left_out"] == []
    told = await diff(live, told["yaml"])
    assert {what for _, what in changes(told)} == {"project legal", "key legal/ci"}


async def test_the_file_in_force_makes_no_difference(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    told = await diff(live, json.dumps(in_force(live)))
    assert (told["data"], told["file"]) == ([], str(live.running.loaded.config))


async def test_another_file_is_compared_and_nothing_of_it_is_applied(start: StartGateway, rogue: StartRogue):
    server = await rogue()
    live = await start(server, models=[{"name": "old", "backend": ["a"]}])
    version = live.gateway.snapshot.version
    draft = in_force(live) | {"max_tokens": 4000}
    draft["models"] = [{"name": "new", "backend": ["a"]}]
    draft["servers"] = [
        entry(server, max_concurrency=3),
        {**entry(server), "name": "two", "url": "http://127.0.0.1:8999"},
    ]
    draft["alerts"] = {"rules": [{"name": "failing", "when": "errors > 5"}, {"name": "model_down", "for": "9m"}]}
    told = await diff(live, yaml.safe_dump(draft))
    assert changes(told) == {
        ("created", "model new"),
        ("removed", "model old"),
        ("updated", f"server ollama-{server.port}"),
        ("created", "server two"),
        ("created", "alert rule failing"),
        ("updated", "alert rule model_down"),
        ("setting", "max_tokens"),
    }
    setting = next(row for row in told["data"] if row["change"] == "setting")
    assert (setting["then"], setting["now"]) == (4000, live.running.settings.max_tokens)
    models = (await live.http.get("/admin/api/models", headers=live.admin())).json()["data"]
    assert [model["name"] for model in models] == ["old"]
    assert live.gateway.snapshot.version == version


async def test_all_mistakes_are_told_with_their_places(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    refused = await diff(live, "port: many\nprojetcs: []\nservers:\n  - {name: x}\n", 400)
    message = refused["error"]["message"]
    assert refused["error"]["param"] == "yaml"
    assert "yaml:1:7" in message
    assert "`projetcs`" in message
    assert "yaml:4:5" in message
    await diff(live, "a: [1", 400)
    await diff(live, "x" * 900_001, 400)


async def test_secrets_are_told_of_and_not_shown(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    told = await diff(live, json.dumps(in_force(live) | {"admin_token": "another-token-for-operators"}))
    assert changes(told) == {("setting", "admin_token")}
    assert "another-token" not in json.dumps(told)


async def test_without_a_file_nothing_is_removed(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    more = project(servers=[], name="more")["projects"]
    told = await diff(live, yaml.safe_dump({"projects": more}))
    assert ("created", "project more") in changes(told)
