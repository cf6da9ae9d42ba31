"""Ollama's chat and generate. A generation knows no conversation: it gets the system's words and the user's last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from support.apis.api import Api, Heard
from support.apis.wishes import PIXEL, SCHEMA, SEEN

_OPTIONS = {"max_tokens": "num_predict", "temperature": "temperature", "stop": "stop"}


def write(model: str, question: Mapping[str, Any]) -> dict[str, Any]:
    return write_stream(model, question) | {"stream": False}


def write_stream(model: str, question: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "messages": question["messages"], **_options(question)}
    return body | {"tools": question.get("tools", [])}  # as the official client does


def write_prompt(model: str, question: Mapping[str, Any]) -> dict[str, Any]:
    return write_prompt_stream(model, question) | {"stream": False}


def write_prompt_stream(model: str, question: Mapping[str, Any]) -> dict[str, Any]:
    said = {message["role"]: message["content"] for message in question["messages"]}
    body: dict[str, Any] = {"model": model, "prompt": said["user"], **_options(question)}
    return body | ({"system": said["system"]} if "system" in said else {})


def read(answer: httpx.Response) -> Heard:
    value = answer.json()
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    return _heard([value]) if answer.status_code == 200 else Heard(error=_error(value))


def read_stream(answer: httpx.Response) -> Heard:
    if answer.status_code != 200:
        return read(answer)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.text.endswith("\n"), answer.text[-200:]
    return _heard([json.loads(line) for line in answer.text.splitlines()])  # an empty line is an error, as for the SDK


def _heard(frames: list[dict[str, Any]]) -> Heard:
    *_, last = frames
    assert not any(frame.get("done") or "error" in frame for frame in frames[:-1]), "a frame after the last"
    said = [frame.get("message", frame) for frame in frames]
    calls = [call["function"] for part in said for call in part.get("tool_calls", ())]
    done = last.get("done") is True
    finish = last["done_reason"] if done else None
    return Heard(
        "".join(part.get("content", part.get("response", "")) for part in said),
        "".join(part.get("thinking", "") for part in said),
        [(call["name"], json.dumps(call["arguments"], separators=(",", ":"))) for call in calls],
        "tool_calls" if calls and finish == "stop" else finish,
        _error(last) if "error" in last else None,
        done,
        (last["prompt_eval_count"], last["eval_count"]) if "eval_count" in last else None,
    )


def _error(value: dict[str, Any]) -> dict[str, Any]:
    assert isinstance(value["error"], str)
    return {**value, "message": value["error"]}


def _options(question: Mapping[str, Any]) -> dict[str, Any]:
    return {"options": {name: question[key] for key, name in _OPTIONS.items() if key in question}}


ASKS: Mapping[str, Mapping[str, Any]] = {
    "form": {"format": SCHEMA},
    "think": {"think": "low"},
    "logprobs": {"logprobs": True, "top_logprobs": 2},
    "sampling": {"options": {"seed": 7, "stop": ["x"], "num_predict": 3}},
    "keep": {"keep_alive": "10m"},
}
IN_A_CHAT = {"image": {"messages": [{"role": "user", "content": SEEN, "images": [PIXEL]}]}}
IN_A_PROMPT = {"image": {"prompt": SEEN, "images": [PIXEL]}, "developer": {"system": "Be brief."}}

APIS = (
    Api("ollama-chat", "/api/chat", False, True, write, read, {**ASKS, **IN_A_CHAT}),
    Api("ollama-chat-stream", "/api/chat", True, True, write_stream, read_stream),
    Api("ollama-generate", "/api/generate", False, False, write_prompt, read, {**ASKS, **IN_A_PROMPT}),
    Api("ollama-generate-stream", "/api/generate", True, False, write_prompt_stream, read_stream),
)
