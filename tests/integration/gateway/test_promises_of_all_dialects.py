"""What every dialect promises alike: headers of refusals, codes, odd labels and fields, and every feature that reaches
the server whatever words it was asked for in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_gateway.web.surfaces import ROUTES
from support.apis import APIS, Api
from support.apis.wishes import HEARD
from support.gateway import HELLO, MODEL, StartGateway, words
from support.rogues import StartRogue

EVERY = {route.path: route.body["example"] | {"model": MODEL} for route in ROUTES}
"""Each hot path with a body that it answers."""


def error_of(told: dict[str, Any]) -> dict[str, Any]:
    """With its code and message, wherever the dialect puts them."""
    return told["error"] if isinstance(told["error"], dict) else {**told, "message": told["error"]}


# ---- what goes wrong ----


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
async def test_a_refused_rate_says_when_to_come_back(start: StartGateway, rogue: StartRogue, api: Api):
    live = await start(await rogue(), project={"rate_limit_per_minute": 1})
    body = api.write(MODEL, {"messages": HELLO})
    assert (await live.http.post(api.path, json=body)).status_code == 200
    refused = await live.http.post(api.path, json=body)
    assert (refused.status_code, error_of(refused.json())["code"]) == (429, "rate_limit_exceeded")
    wait = int(refused.headers["retry-after-ms"])
    assert 50_000 < wait <= 60_000
    assert (int(refused.headers["retry-after"]) - 1) * 1000 < wait <= int(refused.headers["retry-after"]) * 1000
    assert "x-should-retry" not in refused.headers, "waiting helps"
    assert refused.headers["request-id"] == refused.headers["x-request-id"]
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
async def test_when_everything_was_tried_libraries_are_told_not_to_try_again(
    start: StartGateway, rogue: StartRogue, api: Api
):
    server = await rogue()
    live = await start(server)
    server.mood = "refuse"
    failed = await live.http.post(api.path, json=api.write(MODEL, {"messages": HELLO}))
    error = error_of(failed.json())
    assert (failed.status_code, error["code"], error["retryable"]) == (503, "no_healthy_upstream", True)
    assert failed.headers["x-should-retry"] == "false"
    assert failed.headers["request-id"] == failed.headers["x-request-id"]
    assert int(failed.headers["retry-after-ms"]) > 0
    assert int(failed.headers["retry-after"]) > 0


@pytest.mark.parametrize("path", EVERY)
async def test_the_common_refusals_have_openais_codes_on_every_path(start: StartGateway, rogue: StartRogue, path: str):
    live = await start(await rogue())
    asks = {
        "invalid_api_key": (401, {"json": EVERY[path], "headers": {"X-API-Key": "llmgw_wrong"}}),
        "model_not_found": (404, {"json": EVERY[path] | {"model": "gpt-9"}}),
        "invalid_json": (400, {"content": b"{"}),
    }
    for code, (status, ask) in asks.items():
        answer = await live.http.post(path, **ask)
        assert (answer.status_code, error_of(answer.json())["code"]) == (status, code)
        assert error_of(answer.json())["message"]
        assert answer.headers["request-id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "head", [{}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}]
)
@pytest.mark.parametrize("path", [*EVERY, "/api/show"])
async def test_json_is_read_whatever_it_is_called_and_whatever_else_it_holds(
    start: StartGateway, rogue: StartRogue, path: str, head: dict[str, str]
):
    live = await start(await rogue())
    body = {**EVERY.get(path, {"model": MODEL}), "some_new_field": {"of": ["tomorrow"]}, "another": None}
    answer = await live.http.post(path, content=json.dumps(body), headers=head)
    assert answer.status_code == 200, answer.text


async def test_every_answer_is_numbered_under_both_names(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    for path in (
        "/v1/models",
        "/v1/models/nobody",
        "/api/tags",
        "/api/version",
        "/",
        "/api/nope",
        "/nope",
        "/v1/health",
    ):
        answer = await live.http.get(path)
        assert answer.headers["request-id"] == answer.headers["x-request-id"], path
    refused = await live.http.post("/v1/messages", json={}, headers={f"X-{n}": "x" * 8000 for n in range(5)})
    assert (refused.status_code, refused.json()["error"]["code"]) == (431, "headers_too_large")
    assert refused.headers["request-id"] == refused.headers["x-request-id"]


@pytest.mark.parametrize(
    ("path", "field"),
    [("/v1/chat/completions", "n"), ("/v1/completions", "n"), ("/v1/completions", "best_of")],
)
async def test_more_than_one_answer_is_an_unsupported_parameter(
    start: StartGateway, rogue: StartRogue, path: str, field: str
):
    live = await start(await rogue())
    refused = await live.http.post(path, json=EVERY[path] | {field: 2})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (400, "unsupported_parameter", field)


# ---- what reaches the server ----

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("get_weather", "get_time")
]


def asking(*wishes: str) -> list[Any]:
    """Each API with each of these wishes that it has."""
    return [pytest.param(api, wish, id=f"{api.name}-{wish}") for api in APIS for wish in wishes if wish in api.asks]


@pytest.mark.parametrize(("api", "wish"), asking(*HEARD))
async def test_a_wish_reaches_the_server_in_whatever_words(start: StartGateway, rogue: StartRogue, api: Api, wish: str):
    server = await rogue(script=lambda _: ['{"answer": 42}'])
    live = await start(server)
    answer = await live.http.post(api.path, json=api.write(MODEL, {"messages": HELLO}) | api.asks[wish])
    assert answer.status_code == 200, answer.text
    heard = server.chats_heard()[-1].json
    assert {key: heard.get(key) for key in HEARD[wish]} == HEARD[wish]


@pytest.mark.parametrize(("api", "wish"), asking("sampling"))
async def test_only_what_was_set_reaches_the_server(start: StartGateway, rogue: StartRogue, api: Api, wish: str):
    server = await rogue()
    live = await start(server)
    answer = await live.http.post(api.path, json=api.write(MODEL, {"messages": HELLO}) | api.asks[wish])
    assert answer.status_code == 200, answer.text
    heard = server.chats_heard()[-1].json
    options = heard.get("options", heard)
    assert options["stop"] == ["x"]
    assert (options.get("num_predict") or options["max_tokens"]) == 3
    assert options.get("seed") == (7 if "seed" in str(api.asks[wish]) else None)
    assert not {"temperature", "top_p"} & set(options), "the model's own hold"


@pytest.mark.parametrize("api", [api for api in APIS if api.takes_tools], ids=lambda api: api.name)
async def test_several_calls_at_once_arrive_over_each(start: StartGateway, rogue: StartRogue, api: Api):
    live = await start(await rogue(mood="parallel_tools"))
    heard = api.read(await live.http.post(api.path, json=api.write(MODEL, {"messages": HELLO, "tools": TOOLS})))
    assert [(name, json.loads(text)) for name, text in heard.calls] == [
        (tool["function"]["name"], {"city": "Boston", "days": 2}) for tool in TOOLS
    ]
    assert (heard.thinking, heard.text, heard.finish) == (" Both.", " Let me look", "tool_calls")


@pytest.mark.parametrize(("api", "wish"), asking("must"))
async def test_a_tool_that_must_be_called_is_asked_for_and_it_is_said_that_nobody_is_forced(
    start: StartGateway, rogue: StartRogue, api: Api, wish: str
):
    server = await rogue(mood="tools")
    live = await start(server)
    question = api.write(MODEL, {"messages": HELLO, "tools": TOOLS, "max_tokens": 99})
    answer = await live.http.post(api.path, json=question | api.asks[wish])
    assert api.read(answer).finish == "tool_calls"
    assert answer.headers["x-gateway-notes"] == "tool_choice=best_effort"
    assert len(server.chats_heard()[-1].json["tools"]) == 2
    server.mood = "good"
    answer = await live.http.post(api.path, json=question | api.asks["none"])
    assert api.read(answer).text == words()
    assert "tools" not in server.chats_heard()[-1].json


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
async def test_a_single_token_of_a_model_that_thinks_in_its_text_is_an_answer(
    start: StartGateway, rogue: StartRogue, api: Api
):
    """Programs ask for one to see whether a model is there."""
    live = await start(await rogue(script=lambda _: ["<think>", "Hm", "</think>", "Yes"]))
    answer = await live.http.post(api.path, json=api.write(MODEL, {"messages": HELLO, "max_tokens": 1}))
    heard = api.read(answer)
    assert (answer.status_code, heard.text, heard.finish, heard.complete) == (200, "", "length", True)
