"""`POST /admin/api/models/test`: one short question as a project, and what came of it."""

from __future__ import annotations

from typing import Any

from support.gateway import MODEL, Live, StartGateway, words
from support.rogues import StartRogue


async def tried(live: Live, status: int = 200, **body: Any) -> Any:
    answer = await live.http.post("/admin/api/models/test", json={"model": MODEL, **body}, headers=live.admin())
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_a_model_that_answers(start: StartGateway, rogue: StartRogue):
    server = await rogue(rate=200)
    live = await start(server)
    told = await tried(live)
    assert (told["ok"], told["answer"], told["error"]) == (True, words(), None)
    assert (told["model"], told["server"]) == ("recite:latest", live.state(server).spec.id)
    assert (told["server_name"], told["project"], told["attempts"]) == (f"ollama-{server.port}", "tests", 1)
    assert 0 < told["ttft_ms"] <= told["latency_ms"]
    assert 100 < told["tokens_per_second"] < 300
    row = await live.row()
    assert (row["id"], row["endpoint"], row["key_id"]) == (told["request_id"], "models_test", None)
    assert (row["status"], row["outcome"], row["tokens_output"]) == (200, "ok", 10)


async def test_a_long_answer_is_cut(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(words=300))
    assert len((await tried(live))["answer"]) == 200


async def test_a_model_whose_servers_fail(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(mood="runner_500"))
    told = await tried(live)
    assert (told["ok"], told["answer"], told["server"]) == (False, "", None)
    assert told["error"]["code"].startswith("upstream_")
    assert (await live.row())["outcome"] == "error"


async def test_a_stream_that_breaks_is_no_success(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(mood="cut_rst"))
    told = await tried(live)
    assert (told["ok"], told["error"]["code"]) == (False, "upstream_stream_lost")


async def test_a_name_that_there_is_not(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    assert (await tried(live, model="nope"))["error"]["code"] == "model_not_found"


async def test_which_project_has_to_be_said_where_there_are_several(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    await live.http.post("/admin/api/projects", json={"name": "second"}, headers=live.admin())
    assert "second, tests" in (await tried(live, status=400))["error"]["message"]
    assert (await tried(live, project="tests"))["ok"]
    await tried(live, status=404, project="third")
