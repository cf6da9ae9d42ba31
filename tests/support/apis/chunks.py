"""The gateway's own API and OpenAI's chat completions, which share `chat.completion` objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from support.apis.api import Api, Heard
from support.apis.wishes import FORM, HELLO, URL
from support.sse import told


def write(model: str, question: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": model, **question}


def write_stream(model: str, question: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": model, **question, "stream": True, "stream_options": {"include_usage": True}}


def read(answer: httpx.Response) -> Heard:
    value = answer.json()
    if answer.status_code != 200:
        return Heard(error=value["error"])
    choice = value["choices"][0]
    message = choice["message"]
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or ()]
    thinking = message.get("reasoning", "")
    return Heard(
        message["content"] or "", thinking, calls, choice["finish_reason"], None, True, usage(value.get("usage"))
    )


def read_stream(answer: httpx.Response) -> Heard:
    if answer.status_code != 200:
        return read(answer)
    stream = told(answer)
    deltas = [choice["delta"] for chunk in stream.chunks for choice in chunk["choices"]]
    calls: dict[int, tuple[str, str]] = {}
    for part in [part for delta in deltas for part in delta.get("tool_calls") or ()]:
        name, arguments = calls.get(part["index"], ("", ""))
        function = part["function"]
        calls[part["index"]] = (name + function.get("name", ""), arguments + function.get("arguments", ""))
    thinking = "".join(delta.get("reasoning") or "" for delta in deltas)
    reasons = [c["finish_reason"] for chunk in stream.chunks for c in chunk["choices"] if c["finish_reason"]]
    figures = [chunk["usage"] for chunk in stream.chunks if chunk.get("usage")]
    return Heard(
        stream.text,
        thinking,
        list(calls.values()),
        reasons[-1] if reasons else None,
        stream.error,
        stream.done,
        usage(figures[-1] if figures else None),
    )


def usage(value: Mapping[str, Any] | None) -> tuple[int, int] | None:
    return (value["prompt_tokens"], value["completion_tokens"]) if value else None


OPENAI_ASKS: Mapping[str, Mapping[str, Any]] = {
    "image": {"messages": [{"role": "user", "content": [
        {"type": "text", "text": "What"}, {"type": "image_url", "image_url": {"url": URL}},
        {"type": "text", "text": "is it?"}]}]},
    "form": {"response_format": {"type": "json_schema", "json_schema": FORM}},
    "think": {"reasoning_effort": "low"},
    "logprobs": {"logprobs": True, "top_logprobs": 2},
    "sampling": {"seed": 7, "stop": ["x"], "max_completion_tokens": 3, "max_tokens": 9},
    "keep": {"keep_alive": "10m"},
    "developer": {"messages": [{"role": "developer", "content": "Be brief."}, *HELLO]},
    "must": {"tool_choice": "required"},
    "none": {"tool_choice": "none"},
}  # fmt: skip

APIS = (
    Api("native", "/v1/chat", False, False, write, read),
    Api("native-stream", "/v1/chat/stream", True, False, write, read_stream),
    Api("openai", "/v1/chat/completions", False, True, write, read, OPENAI_ASKS),
    Api("openai-stream", "/v1/chat/completions", True, True, write_stream, read_stream),
)
