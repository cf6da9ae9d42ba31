"""Conversations put into the words of each client dialect, for round trips, and read back from what servers are sent.

The writers say in a body what the neutral messages hold, as a careful client of that API would.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from llm_gateway.wire.neutral import Message

Body = dict[str, Any]

PNG = "iVBORw0KGgo="
"""The start of a PNG file in base64: enough for everybody who looks at the first bytes."""


def openai(messages: Sequence[Message]) -> Body:
    return {"model": "m", "messages": [_openai_message(message) for message in messages]}


def _openai_message(message: Message) -> Body:
    item: Body = {"role": message.role, "content": message.text}
    if message.images:
        urls = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{i}"}} for i in message.images]
        item["content"] = [{"type": "text", "text": message.text}, *urls]
    if message.tool_calls:
        item["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.thinking:
        item["reasoning"] = message.thinking
    if message.role == "tool":
        item |= {"tool_call_id": message.tool_call_id, "name": message.name}
    return item


def ollama(messages: Sequence[Message]) -> Body:
    return {"model": "m", "messages": [_ollama_message(message) for message in messages]}


def _ollama_message(message: Message) -> Body:
    item: Body = {"role": message.role, "content": message.text}
    if message.images:
        item["images"] = list(message.images)
    if message.thinking:
        item["thinking"] = message.thinking
    if message.tool_calls:
        item["tool_calls"] = [
            {"id": call.id, "function": {"name": call.name, "arguments": json.loads(call.arguments)}}
            for call in message.tool_calls
        ]
    if message.role == "tool":
        item |= {"tool_call_id": message.tool_call_id, "tool_name": message.name}
    return item


def anthropic(messages: Sequence[Message]) -> Body:
    body: Body = {"model": "m", "max_tokens": 100, "messages": []}
    system = [message.text for message in messages if message.role == "system"]
    if system:
        body["system"] = system[0]
    for message in messages:
        if message.role != "system":
            body["messages"].append(_anthropic_message(message))
    return body


def _anthropic_message(message: Message) -> Body:
    if message.role == "tool":
        block = {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.text}
        return {"role": "user", "content": [block]}
    blocks: list[Body] = []
    if message.thinking:
        blocks.append({"type": "thinking", "thinking": message.thinking, "signature": ""})
    if message.text:
        blocks.append({"type": "text", "text": message.text})
    blocks += [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": image}}
        for image in message.images
    ]
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
        for call in message.tool_calls
    ]
    return {"role": message.role, "content": blocks}


def responses(messages: Sequence[Message]) -> Body:
    items: list[Body] = []
    for message in messages:
        if message.role == "tool":
            items.append({"type": "function_call_output", "call_id": message.tool_call_id, "output": message.text})
            continue
        kind = "output_text" if message.role == "assistant" else "input_text"
        parts: list[Body] = [{"type": kind, "text": message.text}] if message.text else []
        parts += [{"type": "input_image", "image_url": f"data:image/png;base64,{i}"} for i in message.images]
        if parts:
            items.append({"type": "message", "role": message.role, "content": parts})
        for call in message.tool_calls:
            told = {"call_id": call.id, "name": call.name, "arguments": call.arguments}
            items.append({"type": "function_call", **told})
    return {"model": "m", "input": items}


WRITERS: dict[str, Callable[[Sequence[Message]], Body]] = {
    "native": openai,
    "openai": openai,
    "ollama": ollama,
    "anthropic": anthropic,
    "responses": responses,
}
"""By the names of `CLIENTS`."""

Kept = list[tuple[Any, ...]]


def kept(messages: Sequence[Message], *, thinking: bool) -> Kept:
    """What has to survive: who said what, with which pictures, calls and results."""
    return [
        (
            message.role,
            message.text,
            list(message.images),
            message.thinking if thinking else None,
            [(call.name, json.loads(call.arguments), call.id) for call in message.tool_calls],
            message.tool_call_id,
        )
        for message in messages
    ]


def sent_to_ollama(body: bytes) -> Kept:
    """The same, read from what an Ollama server is sent, without any reader of ours."""
    return [
        (
            item["role"],
            item["content"],
            item.get("images", []),
            item.get("thinking", ""),
            [(c["function"]["name"], c["function"]["arguments"], c.get("id")) for c in item.get("tool_calls", ())],
            item.get("tool_call_id"),
        )
        for item in json.loads(body)["messages"]
    ]


def sent_to_openai(body: bytes) -> Kept:
    """The same of a server of OpenAI's kind. Thoughts go there only with calls, so they are left out."""
    return [_openai_kept(item) for item in json.loads(body)["messages"]]


def _openai_kept(item: Body) -> tuple[Any, ...]:
    content, images = item["content"] or "", []
    if isinstance(content, list):
        images = [part["image_url"]["url"].partition(",")[2] for part in content if part["type"] == "image_url"]
        content = "".join(part["text"] for part in content if part["type"] == "text")
    calls = [
        (c["function"]["name"], json.loads(c["function"]["arguments"]), c["id"]) for c in item.get("tool_calls", ())
    ]
    return (item["role"], content, images, None, calls, item.get("tool_call_id"))


SENT: dict[str, Callable[[bytes], Kept]] = {"ollama": sent_to_ollama, "openai": sent_to_openai}
"""By the names of `SERVERS`."""
