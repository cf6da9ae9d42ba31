"""What real servers answered, our gateway answers: every captured exchange that our surfaces cover is asked again, with
the real server's own bytes behind the gateway.

Answers are equal up to ids, times, order and the places where a text was cut, and but for `IMPROVEMENTS`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from folded import folded
from replaying import COLD, LLAMA, LLAMA_COLD, OLLAMA, Answers, Exchange, as_stream, first_words, replaying

from llm_gateway.web.surfaces import ROUTES
from llm_gateway.web.surfaces.cold import ROUTERS
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
    "chat-schema": as_stream(OLLAMA["chat-schema"].body),
    "chat-prefill-closed-template": as_stream(OLLAMA["chat-prefill-closed-template"].body),
    "chat-prefill-open-template": as_stream(OLLAMA["chat-prefill-open-template"].body),
    "chat-load": "",
    "generate-stream": TWO,
    "generate-raw": as_stream(OLLAMA["generate-raw"].body),
    "generate-unload": "",
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

OPENAI: dict[str, Exchange] = {
    "v1-chat": LLAMA["v1-chat"],
    "v1-chat-stream-usage": LLAMA["v1-chat-stream-usage"],
    "v1-chat-logprobs": LLAMA["v1-chat-logprobs"],
    "v1-chat-tools": LLAMA["v1-chat-tools-stream"],
    "v1-chat-tools-stream": LLAMA["v1-chat-tools-stream"],
    "completions": LLAMA["completions"],
    "responses": LLAMA["v1-chat-stream-usage"],
    "messages": LLAMA["v1-chat-stream-usage"],
    "messages-stream": LLAMA["v1-chat-stream-usage"],
}
"""Exchange with llama.cpp -> what it sends the gateway for the same question."""

LLAMA_REFUSED: dict[str, tuple[int, str]] = {
    "v1-chat-nomsgs": (400, "invalid_request"),
    "bad-json": (400, "invalid_json"),
    "too-long": (400, "context_length_exceeded"),
    "two-assistants": (400, "invalid_request"),
    "embeddings-off": (400, "capability_missing"),  # llama.cpp says 501, which libraries would try again
}
"""Refusals of llama.cpp: our status and code. Its `code` is the status, ★ ours is a word that programs can test."""

REFUSED = {
    **dict.fromkeys(("chat-404", "generate-404", "embed-404", "show-404", "v1-chat-404", "messages-404"), 404),
    **dict.fromkeys(("chat-bad-json", "chat-bad-type", "v1-chat-nomsgs", "messages-nomax"), 400),
    **dict.fromkeys(("chat-empty-body", "show-nomodel"), 400),
    "v1-model-404": 404,
    "chat-tools-unsupported": 400,  # ★ and here it names models that can
    **dict.fromkeys(("chat-bad-option", "chat-bad-format"), 400),  # ★ the caller's mistakes: Ollama says 500
}
"""Refusals: the status, and the shape of the body with its type. The words are our own."""

NOT_COVERED = {
    "chat-debug-render": "a request of the gateway's own to servers, not offered to clients",
    "repeat-abort-stream": "★ a stream without an end is an error here: tests/wire/test_captured_answers.py",
    "repeat-abort": "★ a stream without an end is an error here: tests/wire/test_captured_answers.py",
    "v1-repeat-abort-stream": "★ a stream without an end is an error here: tests/wire/test_captured_answers.py",
    "truncated-prompt": "★ a prompt that was cut is an error here: tests/integration/faults/test_lies.py, row 27",
    "chat-think-unsupported": "★ thinking is a wish here, dropped with a note: test_capabilities.py",
    "count-tokens": "★ Ollama has no such path, the gateway answers: llama.cpp's of that name is replayed",
}

LLAMA_NOT_COVERED = {
    "health": "not a path of any client's API: the gateway has /v1/health, /livez and /readyz of its own",
    "no-route": "★ llama.cpp has no /api/tags, the gateway has",
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
    told = [*NATIVE, *REFUSED, *COLD, *NOT_COVERED]
    assert sorted(told) == sorted(OLLAMA), "each once"
    told = [*OPENAI, *LLAMA_REFUSED, *LLAMA_COLD, *LLAMA_NOT_COVERED]
    assert sorted(told) == sorted(LLAMA), "each once"


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
        body = exchange.ask if isinstance(exchange.ask, str) else json.dumps(exchange.ask) if exchange.ask else ""
        answer = await live.http.request(exchange.method, exchange.path, content=body)
    assert answer.status_code == REFUSED[name], answer.text
    assert exchange.status in (REFUSED[name], 500)
    ours, theirs = answer.json(), json.loads(exchange.body)
    assert set(theirs) <= set(ours)
    if isinstance(theirs["error"], str):
        assert isinstance(ours["error"], str)
    else:
        assert set(theirs["error"]) <= set(ours["error"])


def llama(*passed_on: Exchange) -> Answers:
    """The captured server, which answers so whatever it is asked."""
    listed = LLAMA["v1-models"]
    return {e.path: (e.status, e.content_type, e.body) for e in (listed, *passed_on)}


async def asked(start: StartGateway, exchange: Exchange, answers: Answers) -> httpx.Response:
    """llama.cpp asks for no model and takes any; the gateway wants one that there is."""
    async with replaying(answers) as url:
        live = await start({"name": "golden", "url": f"{url}/v1", "kind": "openai", "trust": "own"})
        if isinstance(exchange.ask, str):
            return await live.http.post(exchange.path, content=exchange.ask)
        return await live.http.post(exchange.path, json={**exchange.ask, "model": "tool.gguf"})


@pytest.mark.parametrize("name", OPENAI)
async def test_what_llama_cpp_answered_is_answered(start: StartGateway, name: str) -> None:
    """Its figures of time and cache are its own; its thoughts may stand in the text."""
    exchange = LLAMA[name]
    if reason := missing(exchange.path):
        pytest.skip(reason)
    answer = await asked(start, exchange, llama(OPENAI[name]))
    assert answer.status_code == exchange.status, answer.text
    ours = folded(exchange.path, answer.headers["content-type"], answer.text)
    theirs = folded(exchange.path, exchange.content_type, exchange.body)
    silent = {"usage": None} if name == "v1-chat-tools" else {}  # the captured stream tells no figures
    assert told(ours) | silent == told(theirs) | silent
    assert set(theirs) - set(ours) <= {"timings"}


@pytest.mark.parametrize("name", LLAMA_REFUSED)
async def test_what_llama_cpp_refused_is_refused(start: StartGateway, name: str) -> None:
    exchange = LLAMA[name]
    answer = await asked(start, exchange, llama(exchange))
    status, code = LLAMA_REFUSED[name]
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["type"] == "invalid_request_error"


def told(answer: dict[str, Any]) -> dict[str, Any]:
    """Words of thoughts and text, wherever they stand; calls, figures, why it ended."""
    (choice,) = answer.get("choices", [answer])
    message = choice.get("message", choice)
    parts = message.get("content") or [part for item in message.get("output", ()) for part in item["content"]]
    text = parts if isinstance(parts, str) else "".join(part["text"] for part in parts)
    said = message.get("text") if isinstance(message.get("text"), str) else text
    text = f"{message.get('reasoning') or ''} {said}"
    usage = answer.get("usage") or {}
    read = [usage.get(name, 0) for name in ("prompt_tokens", "input_tokens", "cache_read_input_tokens")]
    return {
        "words": text.replace("<think>", " ").replace("</think>", " ").split(),
        "calls": message.get("tool_calls"),
        "end": choice.get("finish_reason") or choice.get("stop_reason"),
        "usage": (sum(read), usage.get("completion_tokens", usage.get("output_tokens"))),
        "tokens": [item["token"] for item in (choice.get("logprobs") or {}).get("content", ())],
    }
