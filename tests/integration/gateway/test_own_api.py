"""The gateway's own API, `POST /v1/chat` and `/v1/chat/stream`: its published examples, word for word."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from support.gateway import BOTH_WAYS, HELLO, Live, StartGateway, words
from support.rogues import StartRogue

pytestmark = BOTH_WAYS
EXAMPLE: dict[str, Any] = {
    "model": "law-assistant",
    "messages": [
        {"role": "system", "content": "You are a legal assistant."},
        {"role": "user", "content": "Summarise this contract in one sentence."},
    ],
    "temperature": 0.3,
    "max_tokens": 500,
    "metadata": {"project_context": "contract-review", "correlation_id": "abc-123"},
}
LAW = {
    "name": "law-assistant",
    "backend": ["llama3.3:70b"],
    "description": "Tuned for legal questions",
    "params": {"temperature": 0.2, "max_tokens": 6, "top_p": 0.9},
}


@pytest.fixture
async def live(start: StartGateway, rogue: StartRogue) -> Live:
    server = await rogue(["llama3.3:70b"])
    return await start(server, models=[LAW])


def is_uuid7(text: str) -> bool:
    return UUID(text).version == 7 and str(UUID(text)) == text


async def test_a_chat_is_answered_exactly_in_the_published_shape(live: Live):
    answer = await live.http.post("/v1/chat", json=EXAMPLE)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.content)
    body = answer.json()
    assert set(body) == {"id", "model", "object", "created", "choices", "usage"}
    assert is_uuid7(body["id"])
    assert body["model"] == "llama3.3:70b"
    assert body["object"] == "chat.completion"
    assert type(body["created"]) is int
    (choice,) = body["choices"]
    assert {"index", "message", "finish_reason"} <= set(choice)
    assert choice["index"] == 0
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == words()
    assert choice["finish_reason"] == "stop"
    usage = body["usage"]
    assert usage["completion_tokens"] == 10
    assert usage["prompt_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + 10


async def test_a_stream_is_chunks_of_which_the_last_has_reason_and_usage_and_then_done(live: Live):
    told = await live.stream(**EXAMPLE)
    assert told.status == 200
    assert told.headers["content-type"].startswith("text/event-stream")
    assert told.text == words()
    assert told.done
    assert {chunk["object"] for chunk in told.chunks} == {"chat.completion.chunk"}
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in told.chunks}) == 1
    *begin, last = told.chunks
    assert is_uuid7(last["id"])
    assert last["model"] == "llama3.3:70b"
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in begin)
    assert all(not chunk.get("usage") for chunk in begin)
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["completion_tokens"] == 10


async def test_a_stream_that_fails_after_it_began_ends_in_an_error_event_and_no_done(
    start: StartGateway, rogue: StartRogue
):
    live = await start(await rogue(mood="cut_rst", cut_after=4))
    told = await live.stream()
    assert told.status == 200
    assert told.text == words(4)
    assert not told.done
    assert told.finish_reason is None
    assert "event: error\ndata: {" in told.raw
    assert told.error is not None
    assert told.error["code"] == "upstream_stream_lost"
    assert told.error["delivered_tokens"] == 4
    assert told.error["retryable"] is True
    assert told.error["request_id"] == told.headers["x-request-id"]
    assert set(told.error) >= {"message", "type", "code", "param", "request_id", "retryable"}


async def test_defaults_of_a_logical_model_reach_the_server_where_the_request_is_silent(
    start: StartGateway, rogue: StartRogue
):
    server = await rogue(["llama3.3:70b"])
    live = await start(server, models=[LAW])
    silent = await live.chat(model="law-assistant")
    assert silent.json()["choices"][0]["finish_reason"] == "length"  # six tokens, as the defaults say
    assert server.chats_heard()[-1].json["options"] == {"temperature": 0.2, "num_predict": 6, "top_p": 0.9}

    null = await live.chat(model="law-assistant", temperature=None, max_tokens=None)
    assert null.status_code == 200
    assert server.chats_heard()[-1].json["options"] == {"temperature": 0.2, "num_predict": 6, "top_p": 0.9}


async def test_a_request_overrides_the_defaults_of_a_logical_model(start: StartGateway, rogue: StartRogue):
    server = await rogue(["llama3.3:70b"])
    live = await start(server, models=[LAW])
    answer = await live.chat(model="law-assistant", temperature=0.0, max_tokens=3)
    assert answer.json()["choices"][0]["message"]["content"] == words(3)
    assert server.chats_heard()[-1].json["options"] == {"temperature": 0.0, "num_predict": 3, "top_p": 0.9}


async def test_a_request_says_to_the_server_what_the_client_said_and_nothing_of_the_client(
    start: StartGateway, rogue: StartRogue
):
    server = await rogue(["llama3.3:70b"])
    live = await start(server, models=[LAW])
    await live.http.post("/v1/chat", json=EXAMPLE, headers={"X-Request-ID": "mine-7", "Cookie": "a=b"})
    (heard,) = server.chats_heard()
    assert heard.path == "/api/chat"
    assert heard.json["model"] == "llama3.3:70b"
    assert heard.json["stream"] is True  # also for a client that wants it whole
    assert [(m["role"], m["content"]) for m in heard.json["messages"]] == [
        (m["role"], m["content"]) for m in EXAMPLE["messages"]
    ]
    assert set(heard.headers) <= {
        *("host", "user-agent", "accept", "accept-encoding", "content-type", "content-length", "connection"),
    }
    told = json.dumps([heard.headers, heard.json])
    for secret in ("mine-7", "abc-123", "contract-review", live.project, "a-key-that"):
        assert secret not in told


async def test_what_a_client_says_about_a_request_is_found_again_in_the_log(live: Live):
    answer = await live.http.post("/v1/chat", json=EXAMPLE, headers={"X-Request-ID": "mine-7"})
    row = await live.row(correlation_id="abc-123")
    assert row["id"] == answer.headers["x-request-id"] == answer.json()["id"]
    assert row["client_request_id"] == "mine-7"
    assert row["project_context"] == "contract-review"
    assert row["model"] == "law-assistant"
    assert row["backend_model"] == "llama3.3:70b"
    assert row["endpoint"] == "/v1/chat"
    assert (row["status"], row["outcome"], row["stream"], row["attempts"]) == (200, "ok", False, 1)
    assert row["tokens_output"] == 10
    assert row["tokens_input"] == answer.json()["usage"]["prompt_tokens"]
    assert row["server_id"] == answer.headers["x-gateway-server"]
    assert 0 < row["ttft_ms"] <= row["latency_ms"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/chat", {"metadata": {"user_id": "ana"}}),
        ("/v1/chat/completions", {"user": "ana"}),
        ("/v1/chat/completions", {"metadata": {"user_id": "ana"}}),
    ],
)
async def test_the_end_user_is_found_again_in_the_log(live: Live, path: str, field: dict[str, Any]):
    assert (await live.chat(path, model="law-assistant", **field)).status_code == 200
    assert (await live.row(end_user="ana"))["status"] == 200


async def test_every_answer_has_an_id_of_ours_and_says_who_answered(live: Live):
    answer = await live.chat(model="law-assistant", headers={"X-Request-ID": "mine-7"})
    assert is_uuid7(answer.headers["x-request-id"])
    assert answer.headers["x-gateway-model"] == "llama3.3:70b"
    assert answer.headers["x-gateway-attempts"] == "1"
    assert answer.headers["x-gateway-tier"] == "own"
    assert answer.headers["x-gateway-server"] == next(iter(live.fleet.servers))
    assert "127.0.0.1" not in str(answer.headers)
    refused = await live.chat(model="unheard-of")
    assert is_uuid7(refused.headers["x-request-id"])
    assert refused.headers["x-request-id"] == refused.json()["error"]["request_id"]


async def test_a_model_that_is_not_exposed_is_refused_with_the_list_of_those_that_are(live: Live):
    refused = await live.chat(model="gpt-9")
    assert refused.status_code == 404
    error = refused.json()["error"]
    assert error["code"] == "model_not_found"
    assert "`law-assistant`" in error["message"]
    assert "`llama3.3:70b`" in error["message"]
    row = await live.row()
    assert (row["status"], row["outcome"], row["error_code"], row["model"]) == (
        404,
        "error",
        "model_not_found",
        "gpt-9",
    )


async def test_models_are_listed_logical_ones_first_in_a_shape_that_every_client_reads(live: Live):
    listed = (await live.http.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert [m["id"] for m in listed["data"]] == ["law-assistant", "llama3.3:70b"]
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == ("law-assistant", "llama3.3:70b", False)
    law = listed["data"][0]
    assert law["name"] == "law-assistant"
    assert law["backend_model"] == "llama3.3:70b"
    assert law["description"] == "Tuned for legal questions"
    assert law["default_params"] == {"temperature": 0.2, "max_tokens": 6, "top_p": 0.9}
    assert (law["object"], law["type"], law["status"], law["healthy_servers"]) == ("model", "model", "ready", 1)
    assert (await live.http.get("/v1/models/law-assistant")).json() == law
    missing = await live.http.get("/v1/models/gpt-9")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


async def test_a_list_of_models_that_has_not_changed_is_not_sent_again(start: StartGateway, rogue: StartRogue):
    good, dead = await rogue(["good"]), await rogue(["dead"])
    live = await start(good, dead)
    first = await live.http.get("/v1/models")
    again = await live.http.get("/v1/models", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    dead.mood = "refuse"
    assert (await live.chat(model="dead")).status_code == 503
    changed = await live.http.get("/v1/models", headers={"If-None-Match": first.headers["etag"]})
    assert {m["id"]: m["status"] for m in changed.json()["data"]} == {
        "good:latest": "ready",
        "dead:latest": "unavailable",
    }
    available = await live.http.get("/v1/models?available=true")
    assert [m["id"] for m in available.json()["data"]] == ["good:latest"]


async def test_health_needs_no_key(live: Live):
    answer = await live.http.get("/v1/health", headers={"X-API-Key": ""})
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    for path in ("/livez", "/readyz"):
        assert (await live.http.get(path)).status_code == 200


async def test_deep_health_asks_a_model_once_and_needs_a_key(start: StartGateway, rogue: StartRogue):
    server = await rogue()
    live = await start(server)
    without = await live.http.get("/v1/health?deep=true", headers={"X-API-Key": ""})
    assert without.status_code == 401
    for _ in range(3):
        deep = (await live.http.get("/v1/health?deep=true")).json()["deep"]
        assert (deep["status"], deep["model"]) == ("ok", "recite:latest")
    assert server.chats == 1


async def test_deep_health_asks_again_where_an_answer_broke(start: StartGateway, rogue: StartRogue):
    broken = [await rogue(mood="cut_rst", cut_after=2) for _ in range(3)]
    live = await start(*broken, await rogue())
    deep = (await live.http.get("/v1/health?deep=true")).json()["deep"]
    assert (deep["status"], deep["model"]) == ("ok", "recite:latest")


async def test_streams_that_end_at_their_token_limit_say_so(live: Live):
    told = await live.stream(model="llama3.3:70b", max_tokens=4, messages=HELLO)
    assert (told.text, told.finish_reason, told.done) == (words(4), "length", True)
