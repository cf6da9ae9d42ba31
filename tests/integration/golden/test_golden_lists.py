"""What the gateway answers from memory, beside what the captured server answered: every model, every field, every
value but times, and but for what is named here.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from folded import plain
from replaying import LLAMA, OLLAMA, replaying

from llm_gateway.fleet.facts import Warm
from support.gateway import Live, StartGateway


@pytest.fixture
async def live(start: StartGateway) -> AsyncIterator[Live]:
    known = {name: OLLAMA[name] for name in ("version", "tags", "ps", "show")}
    async with replaying({e.path: (e.status, "application/json", e.body) for e in known.values()}) as url:
        live = await start({"name": "golden", "url": url, "kind": "ollama", "trust": "own"})
        (server,) = live.fleet.servers.values()
        names = tuple(model["name"] for model in json.loads(OLLAMA["ps"].body)["models"])
        live.fleet.apply(Warm(server.spec.id, live.gateway.clock.now(), names))  # only servers in use are asked
        yield live


def captured(name: str) -> Any:
    return plain(json.loads(OLLAMA[name].body))


async def test_the_door_says_the_same(live: Live) -> None:
    for method in ("GET", "HEAD"):
        answer = await live.http.request(method, "/")
        assert (answer.status_code, answer.headers["content-type"]) == (200, OLLAMA["root"].content_type)
        assert answer.text == (OLLAMA["root"].body if method == "GET" else "")


async def test_the_version_is_the_same_and_says_who_we_are(live: Live) -> None:
    told = (await live.http.get("/api/version")).json()
    assert told.pop("llm_gateway")
    assert told == captured("version")


async def test_the_list_is_the_same(live: Live) -> None:
    ours = {model["name"]: plain(model) for model in (await live.http.get("/api/tags")).json()["models"]}
    assert ours == {model["name"]: model for model in captured("tags")["models"]}


async def test_what_is_shown_of_a_model_is_true_and_has_nothing_of_its_server(live: Live) -> None:
    """★ modelfile and template are the server's own: they name paths of its disk, and its owner's prompts."""
    ours = plain((await live.http.post("/api/show", json=OLLAMA["show"].ask)).json())
    theirs = captured("show")
    for name in ("modelfile", "template", "parameters"):
        assert isinstance(ours.pop(name), str)
        theirs.pop(name)
    assert set(theirs) - set(ours) <= {"tensors", "license"}
    assert ours["capabilities"] == theirs["capabilities"]
    assert ours["model_info"].pop("general.basename") == "recite", "editors look for it"
    assert ours["model_info"].items() <= theirs["model_info"].items()
    assert ours["details"].keys() == theirs["details"].keys()
    listed = next(model for model in captured("tags")["models"] if model["name"] == "recite:latest")
    known = {name: value for name, value in listed["details"].items() if name in ours["details"]}
    assert ours["details"] == known, "as the list has them, which knows more than what is shown"


async def test_what_is_in_memory_is_the_same(live: Live) -> None:
    """How much of a model lies in a GPU's memory is not known. Details are those of the list."""
    ours = {model["name"]: plain(model) for model in (await live.http.get("/api/ps")).json()["models"]}
    theirs = {model["name"]: model for model in captured("ps")["models"]}
    assert set(ours) == set(theirs)
    for name, model in ours.items():
        assert set(theirs[name]) - set(model) == {"size_vram"}
        assert model["context_length"] == theirs[name]["context_length"]


async def test_models_as_openai_lists_them_are_the_same(live: Live) -> None:
    """Their owner is the gateway, and there is more to tell of each."""
    ours = (await live.http.get("/v1/models")).json()
    theirs = json.loads(OLLAMA["v1-models"].body)
    assert (ours["object"], {model["id"] for model in ours["data"]}) == (
        "list", {model["id"] for model in theirs["data"]},
    )  # fmt: skip
    fields = set(theirs["data"][0])
    assert all(fields <= set(model) and model["object"] == "model" for model in ours["data"])
    one = (await live.http.get("/v1/models/recite")).json()
    assert set(json.loads(OLLAMA["v1-model"].body)) <= set(one)
    assert one["id"] in ("recite", "recite:latest")


@pytest.mark.parametrize("name", ["method-not-allowed", "no-route"])
async def test_what_is_not_there_is_said_in_the_same_words(live: Live, name: str) -> None:
    exchange = OLLAMA[name]
    answer = await live.http.request(exchange.method, exchange.path)
    assert (answer.status_code, answer.text) == (exchange.status, exchange.body)
    assert answer.headers["content-type"].partition(";")[0] == exchange.content_type


async def test_llama_cpps_list_and_count_have_the_same_shape(start: StartGateway) -> None:
    listed, counted = LLAMA["v1-models"], LLAMA["count-tokens"]
    async with replaying({listed.path: (200, listed.content_type, listed.body)}) as url:
        live = await start({"name": "golden", "url": f"{url}/v1", "kind": "openai", "trust": "own"})
        (model,) = (await live.http.get("/v1/models")).json()["data"]
        assert (model["id"], model["context_length"]) == ("tool.gguf", 4096)
        told = (await live.http.post(counted.path, json={**counted.ask, "model": "tool.gguf"})).json()
    assert set(told) == {"input_tokens"}
    assert 0 < told["input_tokens"] <= 2 * json.loads(counted.body)["input_tokens"]


async def test_a_list_of_nothing_is_a_list(start: StartGateway) -> None:
    """★ Ollama says `"data": null`, over which libraries stumble."""
    async with replaying(
        {
            "/api/version": (200, "application/json", OLLAMA["version"].body),
            "/api/tags": (200, "application/json", '{"models":null}'),
        }
    ) as url:
        live = await start({"name": "golden", "url": url, "kind": "ollama", "trust": "own"})
        assert (await live.http.get("/v1/models")).json()["data"] == []
        assert (await live.http.get("/api/tags")).json() == {"models": []}
