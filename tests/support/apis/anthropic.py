"""Anthropic's messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from support.apis.api import Api, Heard
from support.apis.wishes import PIXEL, SCHEMA

PLENTY = 1_000_000
"""Of tokens, where a question sets no limit: this API wants one."""
FINISHES = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls", "refusal": "content_filter"}


def write(model: str, question: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "max_tokens": PLENTY, **question}
    if systems := [message["content"] for message in body["messages"] if message["role"] == "system"]:
        body["system"] = "\n".join(systems)
        body["messages"] = [message for message in body["messages"] if message["role"] != "system"]
    if stop := body.pop("stop", None):
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if tools := body.pop("tools", None):
        functions = [tool["function"] for tool in tools]
        body["tools"] = [
            {"name": f["name"], "input_schema": f["parameters"], "description": f.get("description", "")}
            for f in functions
        ]
    return body


def write_stream(model: str, question: Mapping[str, Any]) -> dict[str, Any]:
    return {**write(model, question), "stream": True}


def read(answer: httpx.Response) -> Heard:
    value = answer.json()
    if answer.status_code != 200:
        return Heard(error=error(value))
    assert (value["type"], value["role"]) == ("message", "assistant"), value
    return heard(value["content"], value["stop_reason"], value["usage"], complete=True)


def read_stream(answer: httpx.Response) -> Heard:
    if answer.status_code != 200:
        return read(answer)
    blocks, stop_reason, usage, wrong, ended = follow(answer.text)
    told = heard(blocks, stop_reason, usage, complete=ended)
    return Heard(told.text, told.thinking, told.calls, told.finish, wrong, ended, told.usage if stop_reason else None)


def follow(raw: str) -> tuple[list[dict[str, Any]], str | None, dict[str, Any], dict[str, Any] | None, bool]:
    """A stream, as strictly as the protocol is: blocks, stop reason, usage, error, and whether it came to its end."""
    assert raw.endswith("\n\n"), raw[-200:]
    blocks: list[dict[str, Any]] = []
    stop_reason, usage, wrong, started, opened, ended = None, dict[str, Any](), None, False, False, False
    for event in raw[:-2].split("\n\n"):
        assert not ended, "an event after message_stop"
        assert wrong is None, "an event after the error"
        name, data = event.split("\n")
        value = json.loads(data.removeprefix("data: "))
        assert name == f"event: {value['type']}", event
        match value["type"]:
            case "ping":
                pass
            case "error":
                wrong = error(value)
            case "message_start":
                assert not started, event
                assert value["message"]["stop_reason"] is None, event
                started, usage = True, value["message"]["usage"]
            case "content_block_start":
                assert started, event
                assert (opened, value["index"]) == (False, len(blocks)), event
                blocks.append({**value["content_block"], "json": ""})
                opened = True
            case "content_block_delta":
                assert (opened, value["index"]) == (True, len(blocks) - 1), event
                _fill(blocks[-1], value["delta"])
            case "content_block_stop":
                assert (opened, value["index"]) == (True, len(blocks) - 1), event
                opened = False
            case "message_delta":
                assert (started, opened, stop_reason) == (True, False, None), event
                stop_reason, usage = value["delta"]["stop_reason"], {**usage, **value["usage"]}
            case "message_stop":
                assert stop_reason, event
                ended = True
            case _:
                raise AssertionError(f"an unknown event: {event}")
    return blocks, stop_reason, usage, wrong, ended


def _fill(block: dict[str, Any], delta: dict[str, Any]) -> None:
    kinds = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "thinking"}
    assert kinds.get(delta["type"], "tool_use") == block["type"], delta
    if delta["type"] == "input_json_delta":
        block["json"] += delta["partial_json"]
    elif delta["type"] == "signature_delta":
        block["signature"] = delta["signature"]
    else:
        block[block["type"]] += delta[block["type"]]


def heard(content: list[dict[str, Any]], stop_reason: str | None, usage: dict[str, Any], *, complete: bool) -> Heard:
    text = "".join(block["text"] for block in content if block["type"] == "text")
    thinking = "".join(block["thinking"] for block in content if block["type"] == "thinking")
    calls = [
        (block["name"], block.get("json") or json.dumps(block["input"]))
        for block in content
        if block["type"] == "tool_use"
    ]
    finish = FINISHES[stop_reason] if stop_reason else None
    figures = (usage["input_tokens"], usage["output_tokens"]) if usage else None
    return Heard(text, thinking, calls, finish, None, complete, figures)


def error(value: dict[str, Any]) -> dict[str, Any]:
    assert value["type"] == "error", value
    return {**value["error"], "request_id": value["request_id"]}


ASKS: Mapping[str, Mapping[str, Any]] = {
    "image": {"messages": [{"role": "user", "content": [
        {"type": "text", "text": "What"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        {"type": "text", "text": "is it?"}]}]},
    "form": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    "think": {"output_config": {"effort": "low"}},
    "sampling": {"stop_sequences": ["x"], "max_tokens": 3},
    "developer": {"system": [{"type": "text", "text": "Be brief."}]},
    "must": {"tool_choice": {"type": "any"}},
    "none": {"tool_choice": {"type": "none"}},
}  # fmt: skip

APIS = (
    Api("anthropic", "/v1/messages", False, True, write, read, ASKS),
    Api("anthropic-stream", "/v1/messages", True, True, write_stream, read_stream),
)
