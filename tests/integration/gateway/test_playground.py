"""An operator chats as a project: the gateway's own chat, with that project's limits, permissions and log."""

from __future__ import annotations

import json

import pytest

from llm_gateway.access.identify import acting
from llm_gateway.errors import NotFound
from support.gateway import ADMIN_TOKEN, BOTH_WAYS, HELLO, MODEL, Live, StartGateway, entry, words
from support.net import wait_until
from support.rogues import StartRogue
from support.served import KEY
from support.sse import Told, told

PATH = "/admin/api/playground/chat"


async def play(live: Live, **body: object) -> Told:
    sent = {"project": live.project, "model": MODEL, "messages": HELLO, **body}
    return told(await live.http.post(PATH, json=sent, headers=operator(live)))


def operator(live: Live) -> dict[str, str]:
    """And no project's key."""
    return live.admin() | {"X-API-Key": ""}


@BOTH_WAYS
async def test_it_streams_what_a_client_of_the_project_would_get(start: StartGateway, rogue: StartRogue):
    server = await rogue()
    live = await start(server)
    heard = await play(live, temperature=0.25, metadata={"correlation_id": "c-1"})
    assert (heard.status, heard.text, heard.done) == (200, words(), True)
    assert heard.chunks[-1]["usage"]["completion_tokens"] == 10
    assert heard.headers["x-gateway-server"] == live.state(server).spec.id
    assert heard.headers["x-gateway-model"] == "recite:latest"
    assert heard.headers["x-gateway-attempts"] == "1"
    assert "up;dur=" in heard.headers["server-timing"]
    row = await live.row()
    (project,) = live.gateway.snapshot.projects
    assert (row["id"], row["project_id"], row["key_id"]) == (heard.headers["x-request-id"], project, None)
    assert (row["endpoint"], row["status"], row["stream"], row["tokens_output"]) == ("playground", 200, True, 10)


async def test_a_project_is_named_by_its_id_too_and_the_answer_may_be_whole(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    (project,) = live.gateway.snapshot.projects
    sent = {"project": project, "model": MODEL, "messages": HELLO, "stream": False}
    answer = await live.http.post(PATH, json=sent, headers=operator(live))
    assert answer.json()["choices"][0]["message"]["content"] == words()


async def test_the_projects_limits_hold(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), project={"rate_limit_per_minute": 2})
    assert (await live.chat()).status_code == 200
    assert (await play(live)).status == 200
    refused = await play(live)
    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    assert (await live.chat()).status_code == 429


async def test_the_projects_trust_holds(start: StartGateway, rogue: StartRogue):
    server = await rogue()
    live = await start(entry(server, trust="public"))
    refused = await play(live)
    assert (refused.status, refused.error["code"]) == (403, "no_permitted_upstream")
    assert server.chats == 0


async def test_a_logical_name_of_the_project_is_known(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), project={"models": [{"name": "mine", "backend": [MODEL]}]})
    assert (await play(live, model="mine")).text == words()
    unknown = await play(live, model="nope")
    assert (unknown.status, unknown.error["code"]) == (404, "model_not_found")


async def test_mistakes_are_told_as_to_clients(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    for body, param in (({"messages": "Hello"}, "messages"), ({"model": None}, "model"), ({"temperature": 9}, None)):
        refused = await play(live, **body)
        assert refused.status == 400, body
        assert param is None or refused.error["param"] == param
    assert (await play(live, project="nobody")).status == 404
    assert (await play(live, project=7)).status == 400


async def test_a_disabled_project_is_refused(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    made = await live.http.post("/admin/api/projects", json={"name": "asleep"}, headers=live.admin())
    path = f"/admin/api/projects/{made.json()['id']}"
    await live.http.patch(path, json={"is_active": False}, headers=live.admin())
    assert (await play(live, project="asleep")).status == 403


async def test_payloads_are_kept_where_the_project_keeps_them(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), project={"store_payloads": True})
    heard = await play(live)
    path = f"/admin/api/requests/{heard.headers['x-request-id']}/payload"

    async def kept() -> bool:
        return (await live.http.get(path, headers=live.admin())).status_code == 200

    await wait_until(kept, 10)


async def test_an_operator_who_hangs_up_frees_the_server(start: StartGateway, rogue: StartRogue):
    server = await rogue(words=1000, rate=100)
    live = await start(server)
    sent = {"project": live.project, "model": MODEL, "messages": HELLO}
    async with live.http.stream("POST", PATH, json=sent, headers=operator(live)) as answer:
        async for line in answer.aiter_lines():
            if "w005" in line:
                break
    await server.until(lambda s: s.in_flight == 0 and s.aborted == 1, within=2.0)
    row = await live.row()
    assert (row["outcome"], row["status"], row["endpoint"]) == ("client_closed", 200, "playground")


async def test_a_stream_that_breaks_ends_in_an_error_event(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(mood="cut_rst"))
    heard = await play(live)
    assert heard.error is not None
    assert not heard.done
    assert (await live.row())["outcome"] == "error"


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/completions", "/v1/messages", "/api/chat"])
async def test_the_client_api_knows_no_such_way_in(start: StartGateway, rogue: StartRogue, path: str):
    """Neither the admin token nor any field or header makes a caller of somebody without a key."""
    server = await rogue()
    live = await start(server)
    (project,) = live.gateway.snapshot.projects
    body = {"model": MODEL, "messages": HELLO, "max_tokens": 5, "project": live.project, "caller": project}
    headers = {"X-API-Key": "", "X-Project": project, "X-Caller": project}
    for more in ({}, {"Authorization": f"Bearer {ADMIN_TOKEN}"}, {"X-Admin-Key": ADMIN_TOKEN}):
        answer = await live.http.post(path, json=body, headers=headers | more)
        assert answer.status_code == 401, (path, more)
    assert server.chats == 0


async def test_a_projects_key_does_not_open_the_playground(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    sent = {"project": live.project, "model": MODEL, "messages": HELLO}
    answer = await live.http.post(PATH, content=json.dumps(sent), headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 401


async def test_many_chats_leave_nothing_behind_but_their_rows(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(words=1))
    await play(live)
    limits = live.gateway.limits
    before = len(limits), len(limits._holders)
    for _ in range(5):
        await play(live)
    assert (len(limits), len(limits._holders)) == before
    assert {row["endpoint"] for row in await live.rows(6)} == {"playground"}


async def test_acting_as_nobody_is_refused(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    with pytest.raises(NotFound):
        acting(live.gateway.snapshot, "")
