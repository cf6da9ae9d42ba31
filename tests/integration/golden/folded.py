"""Answers of every kind, streamed or whole, folded into one value that can be compared: without ids, times and the
places where a text was cut.
"""

from __future__ import annotations

import json
from typing import Any

ANY = {
    "id",
    "created",
    "created_at",
    "completed_at",
    "system_fingerprint",
    "timings",
    "request_id",
    "call_id",
    "item_id",
    "total_duration",
    "load_duration",
    "prompt_eval_duration",
    "eval_duration",
    "modified_at",
    "expires_at",
}
"""Fields whose values nobody can expect to be equal."""


def plain(value: Any) -> Any:
    """Without those, and with arguments of calls as values."""
    if isinstance(value, dict):
        return {
            key: json.loads(item) if key == "arguments" and isinstance(item, str) else plain(item)
            for key, item in value.items()
            if key not in ANY
        }
    return [plain(item) for item in value] if isinstance(value, list) else value


def folded(path: str, content_type: str, body: str) -> Any:
    """Raises ValueError for what is no answer of that path."""
    if content_type.startswith("text/event-stream"):
        events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]
        if path == "/v1/messages":
            return plain(_message(events))
        if path == "/v1/responses":
            return plain(events[-1]["response"])
        return plain(_chunks(events))
    if content_type.startswith("application/x-ndjson"):
        return plain(_frames([json.loads(line) for line in body.splitlines()]))
    if content_type.startswith("application/json"):
        return plain(json.loads(body))
    return body


def _chunks(events: list[dict[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {**events[0], "choices": [{"index": 0}]}
    choice = whole["choices"][0]
    for event in events:
        whole["usage"] = event.get("usage") or whole.get("usage")
        for part in event["choices"]:
            choice["finish_reason"] = part["finish_reason"] or choice.get("finish_reason")
            if "text" in part:
                choice["text"] = choice.get("text", "") + part["text"]
                continue
            message = choice.setdefault("message", {"content": ""})
            for key, value in part["delta"].items():
                if key == "tool_calls":
                    _fragments(message.setdefault(key, []), value)
                elif isinstance(value, str) and key != "role":
                    message[key] = message.get(key, "") + value
                elif value is not None:
                    message[key] = value
    whole["object"] = whole["object"].removesuffix(".chunk")
    return whole


def _fragments(calls: list[dict[str, Any]], parts: list[dict[str, Any]]) -> None:
    for part in parts:
        if part["index"] == len(calls):
            calls.append({"type": "function", "function": {"name": part["function"]["name"], "arguments": ""}})
        calls[part["index"]]["function"]["arguments"] += part["function"].get("arguments", "")


def _frames(frames: list[dict[str, Any]]) -> dict[str, Any]:
    whole = dict(frames[-1])
    message: dict[str, Any] = {}
    for frame in frames:
        if "response" in frame:
            message["response"] = message.get("response", "") + frame["response"]
        for key, value in frame.get("message", {}).items():
            message[key] = value if key == "role" or key not in message else message[key] + value
    if "response" in message:
        return whole | message
    for index, call in enumerate(message.get("tool_calls", ())):
        call["function"]["index"] = index
    return whole | {"message": message}


def _message(events: list[dict[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {}
    for event in events:
        if event["type"] == "message_start":
            message = event["message"]
        elif event["type"] == "content_block_start":
            message["content"].append({**event["content_block"]})
            text = ""
        elif event["type"] == "content_block_delta":
            (value,) = (
                event["delta"][k] for k in ("text", "thinking", "partial_json", "signature") if k in event["delta"]
            )
            kind = event["delta"]["type"]
            block = message["content"][-1]
            if kind == "input_json_delta":
                text += value
                block["input"] = json.loads(text)
            elif kind != "signature_delta":
                block[block["type"]] += value
        elif event["type"] == "message_delta":
            message |= event["delta"]
            message["usage"] |= event["usage"]
    return message
