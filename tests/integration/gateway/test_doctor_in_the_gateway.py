"""`GET /admin/api/doctor`: the checks of the command, made by the gateway itself."""

from __future__ import annotations

from typing import Any

from llm_gateway.errors import FaultKind
from llm_gateway.fleet.facts import ProbeFailed
from llm_gateway.web.admin import doctor
from support.gateway import Live, StartGateway
from support.rogues import StartRogue


async def examined(live: Live) -> Any:
    answer = await live.http.get("/admin/api/doctor", headers=live.admin())
    assert answer.status_code == 200, answer.text
    told = answer.json()
    return told | {"by_name": {check["name"]: check for check in told["data"]}}


async def test_a_healthy_installation(start: StartGateway, rogue: StartRogue):
    told = await examined(await start(await rogue()))
    assert told["ok"], told["data"]
    assert {"data directory", "admin token", "database", "fleet", "request log", "alerts"} <= set(told["by_name"])
    assert told["by_name"]["database"]["state"] == "ok"
    assert "1 healthy" in told["by_name"]["fleet"]["text"]


async def test_a_fleet_that_is_gone_is_an_error_with_a_remedy(start: StartGateway, rogue: StartRogue):
    server = await rogue()
    live = await start(server)
    live.fleet.apply(
        ProbeFailed(live.state(server).spec.id, live.gateway.clock.now(), FaultKind.REFUSED, again_in=90.0)
    )
    told = await examined(live)
    assert not told["ok"]
    assert (told["by_name"]["fleet"]["state"], bool(told["by_name"]["fleet"]["fix"])) == ("error", True)


async def test_a_database_that_is_away(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    await live.running.sessions.engine.dispose()
    file = live.running.settings.data_dir / "gateway.db"
    file.rename(file.with_suffix(".away"))
    file.mkdir()
    told = await examined(live)
    assert (told["ok"], told["by_name"]["database"]["state"]) == (False, "error")
    assert "fleet" in told["by_name"]


async def test_it_never_takes_longer_than_promised(start: StartGateway, rogue: StartRogue, monkeypatch: Any):
    monkeypatch.setattr(doctor, "SECONDS", 0.0)
    told = await examined(await start(await rogue()))
    assert [check["name"] for check in told["data"]] == ["doctor"]
