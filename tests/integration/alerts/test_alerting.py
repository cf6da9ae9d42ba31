"""Rules over a running gateway, from what happens to what a webhook hears. Each test looks when it wants to: nobody
waits for the next look."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llm_gateway.storage import records, rollups
from support.gateway import KEY, Live, StartGateway, gateway
from support.net import wait_until
from support.receivers import Receive, Receiver
from support.rogues import StartRogue


class Later:
    """The machine's clock, but for what is added to it by hand."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return time.monotonic() + self.ahead

    def wall(self) -> float:
        return time.time() + self.ahead


def watched(receiver: Receiver, *rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"alerts": {"webhooks": [{"name": "ops", "url": receiver.url}], "rules": list(rules), **more}}


async def used(live: Live, tokens: int, count: int = 1, **fields: Any) -> None:
    """Adds to the roll-ups that the project used so many tokens just now."""
    (key,) = live.gateway.snapshot.keys.values()
    row = {
        "project_id": key.project_id,
        "key_id": key.id,
        "timestamp": live.gateway.clock.wall(),
        "model": "recite:latest",
        "endpoint": "/v1/chat",
        "status": 200,
        "outcome": "ok",
        "latency_ms": 1.0,
        "tokens_input": tokens,
        "tokens_output": 0,
        "cost_nanos": 0,
        **fields,
    }
    rows = await records.ready([{**row, "id": str(live.gateway.ids())} for _ in range(count)])
    async with live.running.sessions.write() as s:
        await rollups.add(s, await rollups.summed(rows))


async def told(receiver: Receiver, live: Live) -> list[tuple[str, str, str]]:
    """What the webhook heard, once everything has arrived."""
    deliveries = live.running.alerts.courier.deliveries
    await wait_until(lambda: all(d.state == "delivered" for d in deliveries))
    return [(m.json["rule"], m.json["state"], m.json["subject"]) for m in receiver.heard]


async def test_a_budget_is_told_of_at_eighty_and_at_a_hundred_percent(
    start: StartGateway, rogue: StartRogue, receive: Receive
):
    receiver = await receive()
    live = await start(await rogue(), project={"daily_tokens": 1000}, **watched(receiver))
    look = live.running.alerts.look
    await used(live, 790)
    await look()
    assert await told(receiver, live) == []
    await used(live, 20)
    await look()
    await look()
    today = datetime.now(UTC).date().isoformat()
    subject = f"project tests daily_tokens {today}"
    assert await told(receiver, live) == [("budget_80", "firing", subject)]
    await used(live, 500)
    await look()
    assert (await told(receiver, live))[1:] == [("budget_100", "firing", subject)]
    assert receiver.heard[1].json["value"] == 1.31
    assert receiver.heard[1].json["gateway"]


async def test_real_requests_use_up_a_budget_of_costs(start: StartGateway, rogue: StartRogue, receive: Receive):
    receiver = await receive()
    models = [{"name": "dear", "backend": ["recite"], "price": {"output": 1e6}}]  # a token costs one
    live = await start(await rogue(words=5), models=models, project={"monthly_cost": 20.0}, **watched(receiver))
    for count, rules in ((1, []), (2, []), (3, []), (4, ["budget_80", "budget_100"])):
        assert (await live.chat(model="dear", max_tokens=5)).status_code == 200
        await live.rows(count)
        await live.running.alerts.look()
        assert [rule for rule, _, _ in await told(receiver, live)] == rules
    assert [message.json["value"] for message in receiver.heard] == [1.0, 1.0]
    assert (await live.chat(model="dear", max_tokens=5)).status_code == 429


async def test_a_budget_is_told_of_once_in_its_period_over_restarts(
    tmp_path: Path, rogue: StartRogue, receive: Receive, database_url: str
):
    receiver, server = await receive(), await rogue()
    for _ in range(3):
        settings = {"project": {"daily_cost": 2.0, "daily_tokens": 10**9}, **watched(receiver, repeat="1m")}
        async with gateway(tmp_path / "g", server, database_url=database_url, **settings) as live:
            await used(live, 0, cost_nanos=900_000_000)
            await live.running.alerts.look()
            live.gateway.clock = later = Later()
            later.ahead = 120.0 if datetime.now(UTC).hour < 23 else 0.0
            await live.running.alerts.look()
            await told(receiver, live)
    assert [message.json["rule"] for message in receiver.heard] == ["budget_80", "budget_100"]


async def test_what_had_not_arrived_when_a_process_ended_is_sent_by_the_next(
    tmp_path: Path, rogue: StartRogue, receive: Receive
):
    receiver, server = await receive(503), await rogue()
    settings = {"project": {"daily_tokens": 100}, **watched(receiver)}
    async with gateway(tmp_path / "g", server, **settings) as live:
        await used(live, 100)
        await live.running.alerts.look()
        await receiver.until(1)
    receiver.statuses = [200]
    receiver.heard.clear()
    async with gateway(tmp_path / "g", server, **settings) as live:
        await live.running.alerts.look()
        await live.running.alerts.look()
        heard = await told(receiver, live)
    assert [rule for rule, _, _ in heard] == ["budget_80", "budget_100"]


async def test_of_many_processes_that_look_at_once_one_tells(
    tmp_path: Path, rogue: StartRogue, receive: Receive, database_url: str
):
    receiver, server = await receive(), await rogue()
    settings = {"database_url": database_url, "project": {"monthly_tokens": 100}, **watched(receiver)}
    async with gateway(tmp_path / "a", server, **settings) as a, gateway(tmp_path / "b", server, **settings) as b:
        await used(a, 85)
        await asyncio.gather(*(live.running.alerts.look() for live in (a, b, a, b)))
        await told(receiver, a)
        heard = await told(receiver, b)
        assert [rule for rule, _, _ in heard] == ["budget_80"]
        for live in (a, b):
            (alert,) = (await live.http.get("/admin/api/alerts", headers=live.admin())).json()["data"]
            assert (alert["rule"], alert["state"], alert["value"]) == ("budget_80", "firing", 0.85)


async def test_one_who_is_not_the_leader_looks_only_at_itself(start: StartGateway, rogue: StartRogue, receive: Receive):
    receiver = await receive()
    live = await start(await rogue(), project={"daily_tokens": 100}, **watched(receiver))
    alerts = live.running.alerts
    alerts.here = replace(alerts.here, leader=lambda: False)
    await used(live, 200)
    live.gateway.ledger.dropped = 3
    await alerts.look()
    assert await told(receiver, live) == [("log_rows_dropped", "firing", alerts.here.process)]


async def test_rules_of_the_file_see_errors_latencies_and_costs(
    start: StartGateway, rogue: StartRogue, receive: Receive
):
    receiver = await receive()
    rules = [
        {"name": "failing", "when": "error_share > 10%", "each": "project"},
        {"name": "slow", "when": "latency_p95_ms > 5000", "model": "recite:latest", "severity": "info"},
        {"name": "dear", "when": "cost >= 1.5", "over": "1d"},
        {"name": "quiet", "when": "requests < 1", "for": "1h"},
    ]
    live = await start(await rogue(), **watched(receiver, *rules))
    await used(live, 0, 17, latency_ms=100_000.0)
    await used(live, 0, 3, latency_ms=100_000.0, status=503, outcome="error", cost_nanos=500_000_000)
    await live.running.alerts.look()
    assert sorted(await told(receiver, live)) == [
        ("dear", "firing", "gateway"),
        ("failing", "firing", "project tests"),
        ("slow", "firing", "model recite:latest"),
    ]
    assert {m.json["rule"]: m.json["severity"] for m in receiver.heard}["slow"] == "info"


async def test_a_model_without_a_server_is_down_after_two_minutes_and_over_when_it_is_back(
    start: StartGateway, rogue: StartRogue, receive: Receive
):
    receiver, server = await receive(), await rogue()
    models = [{"name": "fast", "backend": ["recite"]}]
    live = await start(server, models=models, **watched(receiver))
    look, live.gateway.clock = live.running.alerts.look, Later()
    later = live.gateway.clock
    await look()
    (state,) = live.fleet.servers.values()
    live.fleet.enable(state.spec.id, False)
    for _ in range(9):
        later.ahead += 15
        await look()
    assert await told(receiver, live) == [("model_down", "firing", "model fast")]
    live.fleet.enable(state.spec.id, True)
    for _ in range(9):
        later.ahead += 15
        await look()
    assert (await told(receiver, live))[1:] == [("model_down", "resolved", "model fast")]
    first, second = receiver.heard
    assert first.json["id"] == second.json["id"]
    assert second.json["resolved_at"] > second.json["started_at"]


async def test_a_database_that_is_away_is_told_of_and_what_was_told_is_not_told_again(
    start: StartGateway, rogue: StartRogue, receive: Receive
):
    receiver = await receive()
    live = await start(await rogue(), **watched(receiver))
    alerts, live.gateway.clock = live.running.alerts, Later()
    later = live.gateway.clock
    await alerts.look()
    with sqlite3.connect(live.running.settings.data_dir / "gateway.db") as db:
        db.execute("ALTER TABLE setting RENAME TO away")
    await wait_until(lambda: not live.running.database_ok)
    live.gateway.ledger.dropped = 1
    for _ in range(4):
        later.ahead += 15
        await alerts.look()
    firing = await told(receiver, live)
    assert sorted(rule for rule, _, _ in firing) == ["database_unavailable", "log_rows_dropped"]
    page = (await live.http.get("/admin/api/alerts", headers=live.admin())).json()
    assert {alert["rule"] for alert in page["data"]} == {"database_unavailable", "log_rows_dropped"}
    with sqlite3.connect(live.running.settings.data_dir / "gateway.db") as db:
        db.execute("ALTER TABLE away RENAME TO setting")
    await wait_until(lambda: live.running.database_ok)
    for _ in range(6):
        later.ahead += 15
        await alerts.look()
    assert (await told(receiver, live))[2:] == [("database_unavailable", "resolved", "database")]
    stored = await alerts.current()
    assert [alert.rule for alert in stored.alerts] == ["log_rows_dropped"]


async def test_the_file_is_read_again_with_its_rules_and_webhooks(
    start: StartGateway, rogue: StartRogue, receive: Receive, monkeypatch: pytest.MonkeyPatch
):
    receiver = await receive()
    off = {"rules": [{"name": "budget_80", "enabled": False}]}
    live = await start(await rogue(), project={"daily_tokens": 100}, alerts=off)
    await used(live, 85)
    await live.running.alerts.look()
    assert (await live.http.get("/admin/api/alerts", headers=live.admin())).json()["data"] == []
    file = live.running.loaded.config
    assert file is not None
    info = watched(receiver, {"name": "budget_80", "severity": "info"})
    file.write_text(json.dumps(json.loads(file.read_text()) | info))
    monkeypatch.setenv("LLM_TEST_KEY", KEY)  # which a reload looks up anew
    answer = await live.http.post("/admin/api/config/reload", headers=live.admin())
    assert answer.status_code == 200, answer.text
    await live.running.alerts.look()
    await receiver.until(1)
    assert (receiver.heard[0].json["rule"], receiver.heard[0].json["severity"]) == ("budget_80", "info")


async def test_the_page_of_alerts_shows_everything_but_secrets(
    start: StartGateway, rogue: StartRogue, receive: Receive
):
    receiver = await receive()
    hook = {"name": "ops", "url_env": "HOOK", "secret_env": "SECRET", "headers_env": {"X-Auth": "AUTH"}}
    environ = {"HOOK": receiver.url, "SECRET": "signing-secret-1", "AUTH": "hidden-header"}
    live = await start(await rogue(), project={"daily_tokens": 100}, environ=environ, alerts={"webhooks": [hook]})
    await used(live, 85)
    await live.running.alerts.look()
    await told(receiver, live)
    answer = await live.http.get("/admin/api/alerts", headers=live.admin())
    page = answer.json()
    (alert,) = page["data"]
    assert alert["condition"] == "budget_used >= 80 %"
    rule = next(rule for rule in page["rules"] if rule["name"] == "budget_80")
    assert rule["values"] == {alert["subject"]: 0.85}
    assert rule["built_in"]
    assert page["webhooks"] == [{"name": "ops", "format": "json", "signed": True, "rules": None}]
    (delivery,) = page["deliveries"]
    assert (delivery["state"], delivery["status"], delivery["alert_id"]) == ("delivered", 200, alert["id"])
    for secret in environ.values():
        assert secret not in answer.text
    assert (await live.http.get("/admin/api/alerts")).status_code == 401
    metrics = (await live.http.get("/metrics", headers=live.admin())).text
    assert 'llmgw_alerts_firing{rule="budget_80"} 1.0' in metrics
    assert 'llmgw_alerts_firing{rule="model_down"} 0.0' in metrics


async def test_a_webhook_can_be_tried(start: StartGateway, rogue: StartRogue, receive: Receive):
    good, bad = await receive(), await receive(503)
    hooks = [{"name": "good", "url": good.url}, {"name": "bad", "url": bad.url, "format": "slack"}]
    live = await start(await rogue(), alerts={"webhooks": hooks})

    async def attempt(body: dict[str, Any]) -> Any:
        return (await live.http.post("/admin/api/alerts/test", headers=live.admin(), json=body)).json()

    assert (await attempt({"webhook": "good"}))["state"] == "delivered"
    assert good.heard[0].json["rule"] == "test"
    failed = await attempt({"webhook": "bad"})
    assert (failed["state"], failed["status"], failed["error"]) == ("failed", 503, "status 503")
    assert "there are: good, bad" in (await attempt({}))["error"]["message"]
    assert "There is no webhook 'x'" in (await attempt({"webhook": "x"}))["error"]["message"]


@pytest.mark.parametrize("rows", [1, 3])
async def test_lost_rows_are_told_of_until_none_was_lost_for_ten_minutes(
    start: StartGateway, rogue: StartRogue, receive: Receive, rows: int
):
    receiver = await receive()
    live = await start(await rogue(), **watched(receiver))
    look, live.gateway.clock = live.running.alerts.look, Later()
    await look()
    live.gateway.ledger.dropped = rows
    for _ in range(60):
        live.gateway.clock.ahead += 15
        await look()
    assert [state for _, state, _ in await told(receiver, live)] == ["firing", "resolved"]
    assert receiver.heard[0].json["value"] == rows
