"""A new installation says how far it has come, and what to do where it does not go on; servers show their day."""

from __future__ import annotations

from typing import Any

from support.gateway import Live, StartGateway
from support.net import closed_port, wait_until
from support.rogues import StartRogue


async def steps(live: Live) -> dict[str, Any]:
    answer = await live.http.get("/admin/api/onboarding", headers=live.admin())
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def states(found: dict[str, Any]) -> list[str]:
    return [step["state"] for step in found.values() if isinstance(step, dict)]


async def test_each_step_is_done_once_a_request_was_answered(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    found = await steps(live)
    assert states(found) == ["done", "done", "done", "done", "active"]
    assert found["fleet"] | {"hint": None} == found["fleet"] | {"total": 1, "probed": 1, "healthy": 1, "hint": None}
    assert found["first_request"]["hint"]
    answer = await live.chat()
    found = await steps(live)
    assert (found["done"], found["first_request"]["request_id"]) == (True, answer.headers["x-request-id"])


async def test_a_first_request_that_failed_says_why_and_what_to_do(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    assert (await live.chat(headers={"X-API-Key": "none"})).status_code == 401
    first = (await steps(live))["first_request"]
    assert (first["state"], first["error_code"]) == ("failed", "invalid_api_key")
    assert (await live.chat(model="no-such-model")).status_code == 404
    first = (await steps(live))["first_request"]
    assert (first["state"], first["status"], first["error_code"]) == ("failed", 404, "model_not_found")
    assert "/v1/models" in first["hint"]


async def test_a_fleet_that_does_not_answer_is_named(start: StartGateway):
    with closed_port() as port:
        dead = {"name": "dead", "url": f"http://127.0.0.1:{port}", "kind": "ollama", "trust": "own"}
        live = await start(dead)
        found = await steps(live)
    assert states(found) == ["done", "failed", "done", "done", "waiting"]
    assert found["fleet"]["cause"] == "None of the 1 servers answers."


async def test_without_a_server_the_catalogue_is_what_fails(start: StartGateway):
    live = await start()
    await wait_until(lambda: live.running.prepared.is_set())
    found = await steps(live)
    assert states(found) == ["failed", "waiting", "done", "done", "waiting"]
    assert "servers add" in found["catalogue"]["hint"]


async def test_a_day_of_a_server_is_shown_in_full_and_as_a_lane(start: StartGateway, rogue: StartRogue):
    server = await rogue()
    live = await start(server)
    name = live.state(server).spec.name

    async def spells() -> list[dict[str, Any]]:
        answer = await live.http.get(f"/admin/api/servers/{name}/timeline", headers=live.admin())
        assert answer.status_code == 200, answer.text
        assert answer.json()["since"] == (answer.json()["data"] or [{"from": None}])[0]["from"]
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    async def shown(state: str) -> bool:
        found = await spells()
        return bool(found) and found[-1]["state"] == state

    await wait_until(lambda: shown("healthy"), 5.0, every=0.1)
    server.crash()
    await live.chat()
    await wait_until(lambda: shown("resting"), 5.0, every=0.1)
    healthy, resting = (await spells())[-2:]
    assert (healthy["state"], healthy["until"], resting["until"]) == ("healthy", resting["from"], None)
    assert resting["reason"].startswith("re")  # refused, or reset
    lanes = (await live.http.get("/admin/api/servers/timeline?hours=1", headers=live.admin())).json()
    (lane,) = lanes["data"]
    assert lane["states"].endswith("r")
    assert lanes["since"] is not None
    assert (await live.http.get("/admin/api/servers/none/timeline", headers=live.admin())).status_code == 404
