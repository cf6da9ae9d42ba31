"""OpenAI's API: chat completions."""

from __future__ import annotations

from typing import Any, Final

from llm_gateway.web.surfaces.native import ANSWER
from llm_gateway.web.surfaces.route import MESSAGE, MODEL, SAMPLING, Route, body
from llm_gateway.wire.openai import CLIENT

_CHAT: Final[dict[str, Any]] = body(
    ["model", "messages"],
    {
        "model": MODEL,
        "messages": {"type": "array", "minItems": 1, "items": MESSAGE},
        **SAMPLING,
        "stream": {"type": "boolean", "default": False},
        "stream_options": {"type": "object", "properties": {"include_usage": {"type": "boolean"}}},
        "max_completion_tokens": {"type": "integer"},
        "tools": {"type": "array", "items": {"type": "object"}},
        "response_format": {"type": "object"},
        "user": {"type": "string", "description": "Your own user's tag, kept in the log."},
    },
    {"model": "law-assistant", "messages": [{"role": "user", "content": "Hola"}], "stream": True},
)

ROUTES: Final = (Route("/v1/chat/completions", CLIENT, "Chat as OpenAI's clients send it", _CHAT, ANSWER),)
