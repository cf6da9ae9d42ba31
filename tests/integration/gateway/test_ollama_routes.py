"""The cold side of Ollama's API, beside what a real Ollama 0.33 answered: shapes, HEAD, plain-text refusals, keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.gateway import HELLO, Live, StartGateway, entry
from support.net import wait_until
from support.rogues import StartRogue

CASES = Path(__file__).parents[2] / "wire" / "cases"
NO_KEY = {"X-API-Key": ""}
ALL_VERBS = ("pull", "push", "create", "copy", "delete", "blobs/sha256:0abc", "me", "signin", "signout")


def captured(name: str, folder: str = "ollama_clients") -> Any:
    response = json.loads((CASES / folder / f"{name}.json").read_text())["response"]
    return json.loads(response["body"]) if response["body"].startswith("{") else response["body"]


@pytest.fixture
async def live(start: StartGateway, rogue: StartRogue) -> Live:
    return await start(await rogue(), models=[{"name": "law", "backend": ["recite"]}])


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/plain", ""])
async def test_who_asks_whether_anybody_is_there_hears_ollamas_words(live: Live, accept: str):
    answer = await live.http.get("/", headers={**NO_KEY, "Accept": accept})
    assert (answer.status_code, answer.text) == (200, captured("root"))
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


async def test_a_browser_at_the_door_is_led_to_the_dashboard(live: Live):
    browser = {**NO_KEY, "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    answer = await live.http.get("/", headers=browser)
    assert (answer.status_code, answer.headers["location"]) == (307, "/admin/")
    page = await live.http.get("/admin/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")


async def test_heads_are_answered_where_ollama_does(live: Live):
    for path in ("/", "/api/version", "/api/tags"):
        head, get = await live.http.head(path), await live.http.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(get.content))
        assert head.headers["content-type"] == get.headers["content-type"]


async def test_lists_have_every_field_of_ollamas_own(live: Live):
    version = (await live.http.get("/api/version", headers=NO_KEY)).json()
    assert captured("version").items() <= version.items()
    await live.chat("/api/chat", stream=False)
    for name, path, folder in (("tags", "/api/tags", "lists"), ("ps", "/api/ps", "ollama_clients")):
        mine, theirs = (await live.http.get(path)).json()["models"][0], captured(name, folder)["models"][0]
        assert set(theirs) - set(mine) <= {"size_vram"}
        assert {k: type(v) for k, v in mine.items()} == {k: type(theirs[k]) for k in mine}
        missing = set(theirs["details"]) - set(mine["details"])
        assert missing <= {"embedding_length"}, "no server's list tells it"
    shown = (await live.http.post("/api/show", json={"model": "law"})).json()
    theirs = captured("show")
    assert set(theirs) - set(shown) <= {"tensors"}
    assert {k: type(v) for k, v in shown.items()} == {k: type(theirs[k]) for k in shown}
    assert shown["details"].keys() == theirs["details"].keys()


async def test_lists_of_models_of_which_little_is_known_are_complete_enough(start: StartGateway, rogue: StartRogue):
    live = await start(entry(await rogue(), kind="openai"))
    (model,) = (await live.http.get("/api/tags")).json()["models"]
    assert len(model["digest"]) == 64, "Ollama's program cuts it after twelve"
    assert model["size"] == 0
    assert model["details"]["families"] == []
    shown = (await live.http.post("/api/show", json={"name": "recite"})).json()
    assert shown["capabilities"] == ["completion"]
    assert shown["model_info"]["general.architecture"] == "unknown"


async def test_a_project_sees_its_own_models_and_nothing_of_others(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(["a:1", "b:1"]), project={"allowed_models": ["a:1"]})
    await live.chat("/api/chat", model="a:1", stream=False)
    for path in ("/api/tags", "/api/ps"):
        assert [model["name"] for model in (await live.http.get(path)).json()["models"]] == ["a:1"]
    assert (await live.http.post("/api/show", json={"model": "b:1"})).status_code == 404


async def test_what_strangers_say_of_a_model_is_not_told_to_those_who_may_not_ask_them(
    start: StartGateway, rogue: StartRogue
):
    """Not even where our own server says nothing."""
    ours = await rogue(["a:1"], quirks=("silent_tags", "silent_show"))
    liar = await rogue(["a:1"], context_length=77_777, capabilities=("completion", "vision"))
    live = await start(entry(liar, trust="public"), ours, project={"trust": ["own"]})
    await wait_until(lambda: all(m.abilities.has for m in live.state(liar).models.values()))
    for answer in (
        await live.http.post("/api/show", json={"model": "a:1"}),
        await live.http.get("/api/tags"),
        await live.http.get("/v1/models"),
        await live.http.get("/v1/models/a:1"),
    ):
        assert answer.status_code == 200
        assert "77777" not in answer.text
        assert "vision" not in answer.text


async def test_a_server_that_rests_has_nothing_in_memory_that_counts(start: StartGateway, rogue: StartRogue):
    server = await rogue()
    live = await start(server)
    await live.chat("/api/chat", stream=False)
    assert (await live.http.get("/api/ps")).json()["models"]
    server.mood = "refuse"
    for _ in range(3):
        await live.chat("/api/chat", stream=False)
    assert (await live.http.get("/api/ps")).json() == {"models": []}


@pytest.mark.parametrize("verb", ALL_VERBS)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "HEAD", "PUT"])
async def test_owners_verbs_are_forbidden_with_a_reason(live: Live, verb: str, method: str):
    answer = await live.http.request(method, f"/api/{verb}", json={"model": "x"})
    assert answer.status_code == 403
    if method != "HEAD":
        told = answer.json()
        assert told["error"].startswith(f"/api/{verb.partition('/')[0]} is not open to clients")
        assert (told["code"], told["retryable"]) == ("forbidden", False)
        assert told["request_id"] == answer.headers["x-request-id"]
    assert (await live.http.request(method, f"/api/{verb}", headers=NO_KEY)).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/api/chat", 405, "405 method not allowed"),
        ("DELETE", "/api/generate", 405, "405 method not allowed"),
        ("POST", "/api/tags", 405, "405 method not allowed"),
        ("GET", "/api/show", 405, "405 method not allowed"),
        ("GET", "/api/nope", 404, "404 page not found"),
        ("POST", "/api/chat/", 404, "404 page not found"),
        ("GET", "/api/", 404, "404 page not found"),
    ],
)
async def test_what_is_not_there_is_said_in_plain_text(live: Live, method: str, path: str, status: int, text: str):
    answer = await live.http.request(method, path, headers=NO_KEY)
    assert (answer.status_code, answer.text) == (status, text)
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/api/tags", "/api/ps", "/api/show", "/api/chat", "/api/generate"])
async def test_without_a_key_nothing_is_told(live: Live, path: str):
    method = "GET" if path in ("/api/tags", "/api/ps") else "POST"
    answer = await live.http.request(method, path, json={"model": "recite", "messages": HELLO}, headers=NO_KEY)
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("application/json")
    assert (answer.json()["code"], "X-API-Key" in answer.json()["error"]) == ("invalid_api_key", True)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model":7}', b"{}", b'{"model":""}'])
async def test_a_body_that_asks_about_no_model_is_a_bad_request(live: Live, body: bytes):
    for path in ("/api/show", "/api/chat", "/api/generate"):
        answer = await live.http.post(path, content=body)
        assert answer.status_code == 400, path
        assert isinstance(answer.json()["error"], str)


async def test_a_model_that_only_forbidden_servers_hold_is_refused(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), project={"trust": ["partner"]})
    answer = await live.http.post("/api/show", json={"model": "recite"})
    assert (answer.status_code, answer.json()["code"]) == (403, "no_permitted_upstream")
    assert (await live.http.get("/api/tags")).json() == {"models": []}
