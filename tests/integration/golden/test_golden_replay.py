"""What real servers answered, our gateway answers: every captured exchange that our surfaces cover is asked again, with
the real server's own bytes behind the gateway.

Answers are equal up to ids, times, order and the places where a text was cut, and but for `IMPROVEMENTS`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from folded import folded
from replaying import LLAMA, OLLAMA, Answers, Exchange, as_stream, first_words, replaying

from llm_gateway.web.surfaces import ROUTERS, ROUTES
from support.gateway import StartGateway

PATHS = {route.path for route in ROUTES} | {getattr(route, "path", "") for router in ROUTERS for route in router.routes}
TWO = first_words(OLLAMA["chat-stream"].body, 2)
TOOLS = OLLAMA["chat-think-tools-stream"].body
TERSE_TOOLS = TOOLS.replace('"prompt_eval_count":327', '"prompt_eval_count":326')
"""For the questions whose tools have no descriptions."""

NATIVE: dict[str, str] = {
    "chat-stream": OLLAMA["chat-stream"].body,
    "chat": OLLAMA["chat-stream"].body,
    "chat-stop": as_stream(OLLAMA["chat-stop"].body),
    "chat-logprobs": as_stream(OLLAMA["chat-logprobs"].body),
    "chat-think-tools": TOOLS,
    "chat-think-tools-stream": TOOLS,
    "generate-stream": TWO,
    "v1-chat": TWO,
    "v1-chat-stream-usage": TWO,
    "v1-chat-tools": TOOLS,
    "v1-chat-tools-stream": TOOLS,
    "v1-completions": TWO,
    "v1-completions-stream-usage": TWO,
    "v1-responses": TWO,
    "v1-responses-tools-stream": TERSE_TOOLS,
    "messages": TWO,
    "messages-tools-stream": TERSE_TOOLS,
}
"""Exchange with Ollama -> what its `/api/chat` sends for the same question."""

OPENAI: dict[str, str] = {
    "v1-chat-tools": LLAMA["v1-chat-tools-stream"].body,
    "v1-chat-tools-stream": LLAMA["v1-chat-tools-stream"].body,
}
"""Exchange with llama.cpp -> its stream for the same question."""

REFUSED = {
    **dict.fromkeys(("chat-404", "generate-404", "embed-404", "show-404", "v1-chat-404", "messages-404"), 404),
    **dict.fromkeys(("chat-bad-json", "chat-bad-type", "v1-chat-nomsgs", "messages-nomax"), 400),
    "v1-model-404": 404,
}
"""Refusals: the status, and the shape of the body with its type. The words are our own."""

NOT_COVERED = {
    "chat-debug-render": "a request of the gateway's own to servers, not offered to clients",
    "chat-load": "no question: the gateway loads and unloads no models for its clients",
    "generate-unload": "no question: the gateway loads and unloads no models for its clients",
    "chat-empty-body": "its dialect's own tests have it",
    "show-nomodel": "its dialect's own tests have it",
    "chat-prefill-closed-template": "what a server makes of a partial answer: tests of continuation",
    "chat-prefill-open-template": "what a server makes of a partial answer: tests of continuation",
    "generate-raw": "raw prompts of clients: tests of completions",
    "chat-schema": "the captured server recites against the schema: tests of formats",
    "repeat-abort-stream": "★ a stream without an end is an error here: tests/wire/test_captured_answers.py",
    "repeat-abort": "★ a stream without an end is an error here: tests/wire/test_captured_answers.py",
    "v1-repeat-abort-stream": "★ a stream without an end is an error here: tests/wire/test_captured_answers.py",
    "truncated-prompt": "★ a prompt that was cut is an error here: tests of the window",
    "chat-tools-unsupported": "★ it names models that can: tests of capabilities",
    "chat-think-unsupported": "★ thinking is a wish here: dropped with a note",
    "chat-bad-option": "★ 400 here, 500 there: tests of the dialect",
    "chat-bad-format": "★ 400 here, 500 there: tests of the dialect",
    "count-tokens": "★ Ollama has no such path, the gateway answers",
    "root": "cold paths, whose facts are the fleet's and not one server's: tests of the surface",
    "version": "cold paths, whose facts are the fleet's and not one server's: tests of the surface",
    "tags": "cold paths, whose facts are the fleet's and not one server's: tests of the surface",
    "show": "cold paths, whose facts are the fleet's and not one server's: tests of the surface",
    "ps": "cold paths, whose facts are the fleet's and not one server's: tests of the surface",
    "v1-models": "cold paths, whose facts are the fleet's and not one server's: tests of the surface",
    "v1-model": "cold paths, whose facts are the fleet's and not one server's: tests of the surface",
    "method-not-allowed": "frame of the web application: tests of routes",
    "no-route": "frame of the web application: tests of routes",
}

Difference = Callable[[dict[str, Any]], None]
"""Changes a folded recorded answer into the one that is expected."""


def physical_model(answer: dict[str, Any]) -> None:
    answer["model"] = f"{answer['model']}:latest"


def required_nulls(answer: dict[str, Any]) -> None:
    for choice in answer["choices"]:
        choice.setdefault("logprobs", None)
        choice["message"].setdefault("refusal", None)


def calls_without_index(answer: dict[str, Any]) -> None:
    for choice in answer["choices"]:
        for call in choice["message"].get("tool_calls") or ():
            call.pop("index", None)


def stop_sequence(answer: dict[str, Any]) -> None:
    answer["stop_sequence"] = None


def cache_figures(answer: dict[str, Any]) -> None:
    answer["usage"] |= {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "service_tier": "standard"}


def signatures(answer: dict[str, Any]) -> None:
    for block in answer["content"]:
        if block["type"] == "thinking":
            block["signature"] = ""


def null_logprobs(answer: dict[str, Any]) -> None:
    answer["choices"][0]["logprobs"] = None


def no_context(answer: dict[str, Any]) -> None:
    answer.pop("context", None)


def nothing_claimed(answer: dict[str, Any]) -> None:
    answer |= {"temperature": None, "top_p": None}


def thoughts_in_the_clear(answer: dict[str, Any]) -> None:
    for item in answer["output"]:
        item.pop("encrypted_content", None)


def text_before_calls(answer: dict[str, Any]) -> None:
    answer["output"].sort(key=lambda item: ("reasoning", "message", "function_call").index(item["type"]))


def responses_usage(answer: dict[str, Any]) -> None:
    thoughts = sum(item["type"] == "reasoning" for item in answer["output"])
    answer["usage"]["input_tokens_details"]["cache_write_tokens"] = 0
    answer["usage"]["output_tokens_details"]["reasoning_tokens"] = 12 if thoughts else 0


def incomplete(answer: dict[str, Any]) -> None:
    answer["status"] = answer["output"][0]["status"] = "incomplete"
    answer["incomplete_details"] = {"reason": "max_output_tokens"}


IMPROVEMENTS: dict[str, list[tuple[str, Difference]]] = {
    "/v1/chat/completions": [
        ("★ the physical model that answered is named, not the alias that was asked for", physical_model),
        ("calls carry `index` only in streams, as OpenAI has it", calls_without_index),
    ],
    "/v1/chat/completions whole": [
        ("★ `logprobs` and `refusal` are there as null: OpenAI's own description requires them", required_nulls),
    ],
    "/v1/messages": [
        ("★ the physical model that answered is named, not the alias that was asked for", physical_model),
        ("★ `stop_sequence` is there as null", stop_sequence),
        ("★ `usage` has every figure that Anthropic's own has", cache_figures),
        ("★ thoughts have the signature that the SDK requires, an empty one", signatures),
    ],
    "/v1/completions": [
        ("★ the physical model that answered is named, not the alias that was asked for", physical_model),
    ],
    "/v1/completions whole": [
        ("★ `logprobs` is there as null: OpenAI's own description requires it", null_logprobs),
    ],
    "/api/generate": [
        ("`context` is left out: it is deprecated, and tokens of one model for one server", no_context),
    ],
    "/v1/responses": [
        ("★ the physical model that answered is named, not the alias that was asked for", physical_model),
        ("★ no temperature and top_p are claimed that nobody set", nothing_claimed),
        ("★ thoughts are told once, in the clear", thoughts_in_the_clear),
        ("order: the text stands before the calls, as it was said", text_before_calls),
        ("★ tokens of thoughts are told", responses_usage),
    ],
}
"""Every allowed difference, by path; those of whole answers only apart."""
BY_NAME: dict[str, list[tuple[str, Difference]]] = {
    "v1-responses": [("★ an answer that met its limit is incomplete; Ollama says completed", incomplete)],
}


OPTIONAL = {"user", "prompt_cache_key", "safety_identifier"}
"""Of responses: an absent one and null say the same."""


def missing(path: str) -> str | None:
    return None if path in PATHS else f"the gateway has no {path} here"


def expected(exchange: Exchange) -> Any:
    answer = copy.deepcopy(folded(exchange.path, exchange.content_type, exchange.body))
    whole = "" if exchange.content_type.startswith("text/event-stream") else " whole"
    differences = [*IMPROVEMENTS.get(exchange.path, ()), *BY_NAME.get(exchange.name, ())]
    if whole:
        differences += IMPROVEMENTS.get(exchange.path + whole, [])
    for _, difference in differences:
        difference(answer)
    return answer


def ollama(stream: str) -> Answers:
    """The captured server, which says `stream` to every conversation and goes on with every prompt as it did."""
    known = {name: OLLAMA[name] for name in ("version", "tags", "ps", "show")}
    answers = {e.path: (e.status, "application/json", e.body) for e in known.values()}
    return answers | dict.fromkeys(("/api/chat", "/api/generate"), (200, "application/x-ndjson", stream))


def test_every_exchange_is_replayed_or_says_why_not() -> None:
    assert set(NATIVE) | set(REFUSED) | set(NOT_COVERED) == set(OLLAMA)
    assert not (set(NATIVE) | set(REFUSED)) & set(NOT_COVERED)


@pytest.mark.parametrize("name", NATIVE)
async def test_what_ollama_answered_is_answered(start: StartGateway, name: str) -> None:
    exchange = OLLAMA[name]
    if reason := missing(exchange.path):
        pytest.skip(reason)
    async with replaying(ollama(NATIVE[name])) as url:
        live = await start({"name": "golden", "url": url, "kind": "ollama", "trust": "own"})
        answer = await live.http.post(exchange.path, json=exchange.ask)
    assert answer.status_code == exchange.status, answer.text
    assert answer.headers["content-type"].partition(";")[0] == exchange.content_type.partition(";")[0]
    ours = folded(exchange.path, answer.headers["content-type"], answer.text)
    assert {name: value for name, value in ours.items() if name not in OPTIONAL} == {
        name: value for name, value in expected(exchange).items() if name not in OPTIONAL
    }


@pytest.mark.parametrize("name", REFUSED)
async def test_what_ollama_refused_is_refused_in_the_same_shape(start: StartGateway, name: str) -> None:
    exchange = OLLAMA[name]
    path = "/v1/models/{model_id:path}" if exchange.path.startswith("/v1/models/") else exchange.path
    if reason := missing(path):
        pytest.skip(reason)
    async with replaying(ollama("")) as url:
        live = await start({"name": "golden", "url": url, "kind": "ollama", "trust": "own"})
        body = exchange.ask if isinstance(exchange.ask, str) else json.dumps(exchange.ask)
        answer = await live.http.request(exchange.method, exchange.path, content=body)
    assert answer.status_code == exchange.status == REFUSED[name], answer.text
    ours, theirs = answer.json(), json.loads(exchange.body)
    assert set(theirs) <= set(ours)
    if isinstance(theirs["error"], str):
        assert isinstance(ours["error"], str)
    else:
        assert set(theirs["error"]) <= set(ours["error"])


@pytest.mark.parametrize("name", OPENAI)
async def test_what_llama_cpp_answered_is_answered(start: StartGateway, name: str) -> None:
    """llama.cpp asks for no model and tells figures of its cache; its thoughts may stand in the text."""
    exchange = LLAMA[name]
    answers = {
        "/v1/models": (200, "application/json", LLAMA["v1-models"].body),
        "/v1/chat/completions": (200, "text/event-stream", OPENAI[name]),
    }
    async with replaying(answers) as url:
        live = await start({"name": "golden", "url": f"{url}/v1", "kind": "openai", "trust": "own"})
        usage = {"stream_options": {"include_usage": True}} if exchange.ask.get("stream") else {}
        answer = await live.http.post(exchange.path, json={"model": "tool.gguf", **usage, **exchange.ask})
    ours = folded(exchange.path, answer.headers["content-type"], answer.text)["choices"][0]
    theirs = folded(exchange.path, exchange.content_type, exchange.body)["choices"][0]
    assert answer.status_code == exchange.status
    assert ours["finish_reason"] == theirs["finish_reason"]
    assert ours["message"]["tool_calls"] == theirs["message"]["tool_calls"]
    assert said(ours["message"]) == said(theirs["message"])


def said(message: dict[str, Any]) -> list[str]:
    """Words of thoughts and text, wherever they stand."""
    text = (message.get("reasoning") or "") + " " + (message["content"] or "")
    return text.replace("<think>", " ").replace("</think>", " ").split()
