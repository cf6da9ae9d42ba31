"""Servers through the admin API: drained, changed, verified before they are added, and many at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llm_gateway.errors import FaultKind
from llm_gateway.fleet.facts import AttemptEnded, AttemptStarted, Warm
from support.gateway import Live, StartGateway, words
from support.net import free_port
from support.rogues import StartRogue

API = "/admin/api/servers"


async def sent(live: Live, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    answer = await live.http.request(method, f"{API}{path}", json=body, headers=live.admin())
    assert answer.status_code == status, answer.text
    return answer.json()


async def added(live: Live, url: str, **more: Any) -> dict[str, Any]:
    body = {"name": "box", "url": url, "kind": "ollama", "trust": "own", **more}
    return dict(await sent(live, "POST", "", body, 201))


async def test_what_runs_on_a_drained_server_ends_in_peace_and_nothing_new_is_sent_to_it(
    start: StartGateway, rogue: StartRogue
):
    server = await rogue(rate=20)
    live = await start(await rogue(["other"]))
    await added(live, server.url)
    await sent(live, "POST", "/box/probe")
    asking = asyncio.create_task(live.chat())
    await server.until(lambda s: s.in_flight == 1)
    drained = await sent(live, "POST", "/box/drain")
    assert (drained["state"], drained["enabled"], drained["draining"]) == ("disabled", False, True)
    assert drained["in_flight"] == 1
    assert (await live.chat()).status_code in (404, 503)
    assert (await asking).json()["choices"][0]["message"]["content"] == words()
    shown = await sent(live, "GET", "/box")
    assert (shown["state"], shown["draining"], shown["in_flight"]) == ("disabled", False, 0)
    assert server.chats == 1
    assert (await sent(live, "POST", "/box/enable"))["enabled"]


async def test_an_added_server_is_changed_and_keeps_its_id(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    other = await rogue()
    box = await added(live, other.url, max_concurrency=2)
    changed = await sent(live, "PATCH", "/box", {"name": "shelf", "trust": "partner"})
    assert (changed["id"], changed["name"], changed["trust"]) == (box["id"], "shelf", "partner")
    assert changed["max_concurrency"] == 2
    assert (await sent(live, "PATCH", "/shelf", {"max_concurrency": None}))["max_concurrency"] is None
    spec = live.fleet.servers[box["id"]].spec
    assert (spec.name, spec.trust, spec.max_concurrency) == ("shelf", "partner", None)


async def test_the_list_says_which_models_are_in_memory_and_which_are_out(start: StartGateway, rogue: StartRogue):
    server = await rogue(["a:1b", "b:1b", "c:1b"])
    live = await start(server)
    id, now = live.state(server).spec.id, live.gateway.clock.now()
    live.fleet.apply(Warm(id, now, ("a:1b", "b:1b")))
    live.fleet.apply(AttemptStarted(id, "b:1b", now))
    live.fleet.apply(AttemptEnded(id, "b:1b", now, FaultKind.OUT_OF_MEMORY, "as the test wants it"))
    (told,) = (await sent(live, "GET", ""))["data"]
    assert (told["models_warm"], told["models_out"]) == (["a:1b", "b:1b"], {"b:1b": "resting"})
    assert (told["models_resting"], told["models_quarantined"]) == (1, 0)


async def test_what_may_not_be_changed_is_not(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    await added(live, (await rogue()).url)
    (configured,) = [s.spec.name for s in live.fleet.servers.values() if s.spec.name != "box"]
    refused = await sent(live, "PATCH", f"/{configured}", {"name": "mine"}, 409)
    assert refused["error"]["code"] == "owned_by_config_file"
    assert "exists already" in (await sent(live, "PATCH", "/box", {"name": configured}, 409))["error"]["message"]
    for body in ({"name": None}, {"trust": "friend"}, {"url": "http://127.0.0.1:1"}, {"max_concurrency": 0}):
        assert (await sent(live, "PATCH", "/box", body, 400))["error"]["param"] == next(iter(body))
    await sent(live, "PATCH", "/nobody", {"name": "x"}, 404)


async def test_an_address_is_verified_and_nothing_of_it_is_kept(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    other = await rogue(["a:1b", "b:2b"])
    told = await sent(live, "POST", "/verify", {"url": other.url + "/", "kind": "ollama"})
    assert (told["ok"], told["url"], told["models"], told["model_count"]) == (True, other.url, ["a:1b", "b:2b"], 2)
    assert (told["version"], told["fault"], told["known_as"]) == (other.version, None, None)
    assert len(live.fleet.servers) == 1


async def test_a_known_address_is_told_by_its_name(start: StartGateway, rogue: StartRogue):
    server = await rogue()
    live = await start(server)
    told = await sent(live, "POST", "/verify", {"url": server.openai_url, "kind": "openai"})
    assert (told["ok"], told["known_as"]) == (True, None)
    told = await sent(live, "POST", "/verify", {"url": server.url, "kind": "ollama"})
    assert told["known_as"] == f"ollama-{server.port}"


async def test_an_address_that_does_not_answer_so_says_how(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    told = await sent(live, "POST", "/verify", {"url": f"http://127.0.0.1:{free_port()}", "kind": "ollama"})
    assert (told["ok"], told["fault"]) == (False, "refused")


@pytest.mark.parametrize("url", ["http://10.1.2.3:11434", "http://169.254.169.254/latest"])
async def test_addresses_behind_the_guard_are_never_asked(start: StartGateway, rogue: StartRogue, url: str):
    live = await start(await rogue())
    answer = await live.http.post(f"{API}/verify", json={"url": url, "kind": "ollama"}, headers=live.admin())
    refused = answer.json()
    if answer.status_code == 200:
        assert (refused["ok"], refused["fault"]) == (False, "not_permitted")
    else:
        assert refused["error"]["param"] == "url"


async def test_other_variables_are_not_sent_to_a_verified_address(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), environ={"AWS_SECRET": "s3cret"})
    body = {"url": (await rogue()).url, "kind": "ollama", "api_key_env": "AWS_SECRET"}
    assert (await sent(live, "POST", "/verify", body, 400))["error"]["param"] == "api_key_env"


async def test_many_are_changed_at_once_and_each_says_what_became_of_it(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    await added(live, (await rogue()).url)
    second = await added(live, f"http://127.0.0.1:{free_port()}", name="shelf")
    (configured,) = [s.spec.name for s in live.fleet.servers.values() if s.spec.name not in ("box", "shelf")]
    told = await sent(live, "POST", "/bulk", {"ids": ["box", second["id"], configured, "gone"], "action": "disable"})
    assert (told["ok"], told["failed"]) == (2, 2)
    assert [done["code"] for done in told["data"]] == [None, None, "owned_by_config_file", "not_found"]
    assert [done["state"] for done in told["data"][:2]] == ["disabled", "disabled"]
    told = await sent(live, "POST", "/bulk", {"ids": ["box", "shelf"], "action": "enable"})
    assert told["ok"] == 2
    told = await sent(live, "POST", "/bulk", {"ids": ["box", "shelf", "gone"], "action": "probe"})
    assert [(done["ok"], done["models"], done["code"]) for done in told["data"]] == [
        (True, 1, None),
        (False, None, "refused"),
        (False, None, "not_found"),
    ]


async def test_nonsense_is_refused(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    for ids, action in ((["a"], "burn"), ([], "probe"), (["a"] * 501, "probe"), ([""], "probe")):
        await sent(live, "POST", "/bulk", {"ids": ids, "action": action}, 400)
