"""OpenAI's Responses API: `POST /v1/responses`, without a memory."""

from __future__ import annotations

from typing import Any, Final

from llm_gateway.web.surfaces.route import MODEL, SAMPLING, Route, body
from llm_gateway.wire.responses import CLIENT

_BODY: Final[dict[str, Any]] = body(
    ["model", "input"],
    {
        "model": MODEL,
        "input": {
            "oneOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"type": "object"}}],
            "description": "The whole conversation: nothing is kept, so `previous_response_id` is refused.",
        },
        "instructions": {"type": "string"},
        "stream": {"type": "boolean", "default": False},
        "max_output_tokens": {"type": "integer", "minimum": 1},
        "temperature": SAMPLING["temperature"],
        "top_p": SAMPLING["top_p"],
        "tools": {"type": "array", "items": {"type": "object"}},
        "tool_choice": {"oneOf": [{"type": "string", "enum": ["none", "auto", "required"]}, {"type": "object"}]},
        "text": {"type": "object", "properties": {"format": {"type": "object"}}},
        "reasoning": {"type": "object", "properties": {"effort": {"type": "string"}}},
        "include": {"type": "array", "items": {"type": "string"}},
    },
    {"model": "law-assistant", "instructions": "You are a legal assistant.", "input": "Summarise clause 4."},
)
_ANSWER: Final = {
    "id": "resp_019a2f6e7c1b7d3e9f000123456789ab",
    "object": "response",
    "created_at": 1763900000,
    "model": "llama3.3:70b",
    "status": "completed",
    "output": [
        {
            "id": "msg_019a2f6e7c1b7d3e9f000123456789ab_0",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Clause 4 says …", "annotations": [], "logprobs": []}],
        }
    ],
    "usage": {"input_tokens": 21, "output_tokens": 12, "total_tokens": 33},
}

ROUTES: Final = (Route("/v1/responses", CLIENT, "Responses as OpenAI's clients send them", _BODY, _ANSWER),)
