"""Rules that operators keep in the database, beside built-in ones and the config file's, which are read-only."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_gateway.config.load import load
from llm_gateway.storage import alert_rules
from llm_gateway.storage.alert_rules import StoredRule
from support.gateway import Live, StartGateway
from support.net import wait_until
from support.receivers import Receive
from support.rogues import StartRogue

API = "/admin/api/alerts/rules"
BUSY = {"name": "busy", "when": "requests >= 1", "severity": "info"}


async def sent(live: Live, method: str, path: str = "", body: Any = None, status: int = 200) -> Any:
    answer = await live.http.request(method, API + path, json=body, headers=live.admin())
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def rules(live: Live) -> dict[str, Any]:
    return {row["name"]: row for row in (await sent(live, "GET"))["data"]}


async def test_a_rule_is_made_and_tells_and_is_taken_away(
    start: StartGateway, rogue: StartRogue, receive: Receive, database_url: str
):
    receiver = await receive()
    hooks = {"webhooks": [{"name": "ops", "url": receiver.url}]}
    live = await start(await rogue(), database_url=database_url, alerts=hooks)
    made = await sent(live, "POST", body={**BUSY, "over": "2m", "for": 0}, status=201)
    assert (made["owner"], made["enabled"], made["condition"]) == ("database", True, "requests >= 1 requests")
    assert (made["over_s"], made["for_s"], made["severity"]) == (120, 0, "info")
    assert made["created_at"].endswith("Z")
    assert (await live.chat()).status_code == 200
    await live.rows(1)
    tried = await sent(live, "POST", "/busy/test")
    assert (tried["known"], tried["holds"], tried["data"][0]["value"]) == (True, True, 1)
    assert receiver.heard == []
    await live.running.alerts.look()
    await wait_until(lambda: len(receiver.heard) == 1)
    assert receiver.heard[0].json["rule"] == "busy"
    assert (await rules(live))["busy"]["firing"] == 1
    assert (await sent(live, "PATCH", "/busy", {"enabled": False}))["enabled"] is False
    assert "busy" not in {rule.name for rule in live.running.alerts.plan.rules}
    assert (await sent(live, "PATCH", "/busy", {"enabled": True, "when": "errors > 9"}))["metric"] == "errors"
    changed = await sent(live, "PATCH", "/busy", {"over": None, "each": "project"})
    assert (changed["over_s"], changed["each"], changed["said"]["when"]) == (300, "project", "errors > 9")
    await sent(live, "DELETE", "/busy", status=204)
    assert "busy" not in await rules(live)
    await sent(live, "DELETE", "/busy", status=404)


async def test_what_the_config_file_says_is_read_only(start: StartGateway, rogue: StartRogue):
    mine = [{"name": "failing", "when": "errors > 5"}, {"name": "key_expires", "enabled": False}]
    live = await start(await rogue(), alerts={"rules": mine})
    known = await rules(live)
    assert (known["failing"]["owner"], known["key_expires"]["owner"]) == ("file", "file")
    assert (known["key_expires"]["enabled"], known["key_expires"]["changes_built_in"]) == (False, True)
    for method, path, body in (
        ("POST", "", {"name": "failing", "when": "errors > 1"}),
        ("PATCH", "/failing", {"enabled": False}),
        ("PATCH", "/key_expires", {"enabled": True}),
        ("DELETE", "/failing", None),
    ):
        refused = await sent(live, method, path, body, 409)
        assert refused["error"]["code"] == "owned_by_config_file", (method, path)


async def test_a_built_in_rule_is_changed_paused_and_as_it_was_again(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    before = (await rules(live))["model_down"]
    assert (before["owner"], before["said"]) == ("built_in", {})
    await sent(live, "DELETE", "/model_down", status=409)
    changed = await sent(live, "PATCH", "/model_down", {"for": "10m"})
    assert (changed["owner"], changed["for_s"], changed["changes_built_in"]) == ("database", 600, True)
    await sent(live, "PATCH", "/model_down", {"enabled": False})
    assert "model_down" not in {rule.name for rule in live.running.alerts.plan.rules}
    await sent(live, "DELETE", "/model_down", status=204)
    assert (await rules(live))["model_down"] == before


async def test_the_file_read_again_wins_over_what_is_kept_here(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    await sent(live, "POST", body=BUSY, status=201)
    file = live.running.loaded.config
    assert file is not None
    content = json.loads(file.read_text()) | {"alerts": {"rules": [{"name": "busy", "when": "errors > 3"}]}}
    file.write_text(json.dumps(content))
    live.running.latest = load({}, environ=dict(live.running.loaded.environ), cwd=file.parent, config=file)
    await live.running.refresh()
    busy = (await rules(live))["busy"]
    assert (busy["owner"], busy["metric"]) == ("file", "errors")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": "x", "when": "nonsense > 5"}, "when"),
        ({"name": "x"}, "name"),
        ({"name": "X y", "when": "errors > 5"}, "name"),
        ({"name": "x", "when": "errors > 5", "over": "2s"}, "over"),
        ({"name": "x", "when": "errors > 5", "over": "soon"}, "over"),
        ({"name": "x", "when": "disk_free_share < 5%", "project": "legal"}, "name"),
        ({"name": "x", "when": "errors > 5", "each": "key"}, "each"),
        ({"name": "x", "when": "errors > 5", "webhook": "http://a"}, "webhook"),
    ],
    ids=str,
)
async def test_nonsense_is_named(start: StartGateway, rogue: StartRogue, body: dict[str, Any], param: str):
    live = await start(await rogue())
    assert (await sent(live, "POST", body=body, status=400))["error"]["param"] == param


async def test_of_a_webhooks_address_only_the_host_is_shown(start: StartGateway, rogue: StartRogue, receive: Receive):
    receiver = await receive()
    live = await start(await rogue(), alerts={"webhooks": [{"name": "ops", "url": f"{receiver.url}/s3cret-path"}]})
    told = await sent(live, "GET")
    assert told["webhooks"] == [{"name": "ops", "host": "127.0.0.1", "format": "json", "signed": False, "rules": None}]
    assert "s3cret" not in str(told)
    assert {"name": "error_share", "unit": "share"}.items() <= told["metrics"][2].items()


async def test_another_process_hears_of_it(start: StartGateway, rogue: StartRogue, postgresql_url: str):
    server = await rogue()
    one = await start(server, database_url=postgresql_url)
    other = await start(server, database_url=postgresql_url)
    await sent(one, "POST", body=BUSY, status=201)
    await wait_until(lambda: "busy" in {rule.name for rule in other.running.alerts.plan.rules}, 10)


async def test_a_name_is_taken_once_and_there_is_an_end(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    await sent(live, "POST", body=BUSY, status=201)
    await sent(live, "POST", body=BUSY, status=409)
    async with live.running.sessions.write() as s:
        for n in range(alert_rules.MOST - 1):
            await alert_rules.create_rule(s, f"r{n}", {"when": "errors > 5"}, enabled=True, now=1.0)
    assert "no more" in (await sent(live, "POST", body={**BUSY, "name": "x"}, status=409))["error"]["message"]


async def test_what_another_version_wrote_is_left_out(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    live.running.alert_rules = [StoredRule("odd", {"when": "future > 5"}, True, 1.0, 1.0)]
    assert "odd" not in await rules(live)
