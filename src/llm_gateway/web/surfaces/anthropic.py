"""Anthropic's API: `POST /v1/messages` and `/v1/messages/count_tokens`, as Claude Code and the SDKs call them."""

from __future__ import annotations

from typing import Any, Final

from llm_gateway.service.count import count
from llm_gateway.web.surfaces.route import MODEL, Route, body
from llm_gateway.wire.anthropic import CLIENT, COUNT

_BLOCKS: Final[dict[str, Any]] = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}
_PROMPT: Final[dict[str, Any]] = {
    "model": MODEL,
    "system": _BLOCKS,
    "messages": {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "required": ["role", "content"],
            "properties": {"role": {"type": "string", "enum": ["user", "assistant"]}, "content": _BLOCKS},
        },
    },
    "tools": {"type": "array", "items": {"type": "object"}},
    "tool_choice": {"type": "object"},
    "thinking": {"type": "object", "properties": {"type": {"type": "string"}}},
    "output_config": {"type": "object", "properties": {"effort": {"type": "string"}, "format": {"type": "object"}}},
}
_HELLO: Final[dict[str, Any]] = {"model": "law-assistant", "messages": [{"role": "user", "content": "Hola"}]}
_MESSAGES: Final = body(
    ["model", "messages", "max_tokens"],
    {
        **_PROMPT,
        "max_tokens": {"type": "integer", "minimum": 1},
        "stream": {"type": "boolean", "default": False},
        "temperature": {"type": "number", "minimum": 0, "maximum": 1},
        "top_p": {"type": "number", "minimum": 0, "maximum": 1},
        "top_k": {"type": "integer", "minimum": 0},
        "stop_sequences": {"type": "array", "items": {"type": "string"}},
        "metadata": {
            "type": "object",
            "properties": {"user_id": {"type": "string", "description": "Your own user's tag, kept in the log."}},
        },
    },
    {**_HELLO, "max_tokens": 256},
)
_ANSWER: Final = {
    "id": "msg_019a2f6e7c1b7d3e9f000123456789ab",
    "type": "message",
    "role": "assistant",
    "model": "llama3.3:70b",
    "content": [{"type": "text", "text": "¡Hola!"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 3},
}

ROUTES: Final = (
    Route("/v1/messages", CLIENT, "Messages as Anthropic's clients send them", _MESSAGES, _ANSWER),
    Route(
        "/v1/messages/count_tokens",
        COUNT,
        "About how many tokens a prompt has",
        body(["model", "messages"], _PROMPT, _HELLO),
        {"input_tokens": 9},
        serve=count,
    ),
)
