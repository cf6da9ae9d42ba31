"""OpenAI's older completions: the last question is the prompt, and nothing else of a conversation is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from support.apis.api import Api, Heard
from support.apis.chunks import usage


def write(model: str, question: Mapping[str, Any]) -> dict[str, Any]:
    messages = question["messages"]
    prompt = next(message["content"] for message in reversed(messages) if message["role"] == "user")
    return {"model": model, "prompt": prompt, **{k: v for k, v in question.items() if k != "messages"}}


def write_stream(model: str, question: Mapping[str, Any]) -> dict[str, Any]:
    return {**write(model, question), "stream": True, "stream_options": {"include_usage": True}}


def read(answer: httpx.Response) -> Heard:
    value = answer.json()
    if answer.status_code != 200:
        return Heard(error=value["error"])
    (choice,) = value["choices"]
    figures = usage(value["usage"])
    return Heard(choice["text"], choice.get("reasoning", ""), [], choice["finish_reason"], None, True, figures)


def read_stream(answer: httpx.Response) -> Heard:
    if answer.status_code != 200:
        return read(answer)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.text.endswith("\n\n")
    events = [event for event in answer.text[:-2].split("\n\n") if not event.startswith(":")]
    assert all(event.startswith("data: ") and "\n" not in event for event in events), answer.text
    done = events[-1] == "data: [DONE]"
    values = [json.loads(event[6:]) for event in (events[:-1] if done else events)]
    error = values.pop()["error"] if values and "error" in values[-1] else None
    choices = [choice for value in values for choice in value["choices"]]
    reasons = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    figures = [value["usage"] for value in values if value["usage"]]
    return Heard(
        "".join(choice["text"] for choice in choices),
        "".join(choice.get("reasoning", "") for choice in choices),
        [],
        reasons[-1] if reasons else None,
        error,
        done,
        usage(figures[-1] if figures else None),
    )


ASKS: Mapping[str, Mapping[str, Any]] = {
    "logprobs": {"logprobs": 2},
    "sampling": {"seed": 7, "stop": "x", "max_tokens": 3},
    "keep": {"keep_alive": "10m"},
}

APIS = (
    Api("completions", "/v1/completions", False, False, write, read, ASKS),
    Api("completions-stream", "/v1/completions", True, False, write_stream, read_stream),
)
