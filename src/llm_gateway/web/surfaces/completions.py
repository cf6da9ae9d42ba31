"""OpenAI's older completions: `POST /v1/completions`."""

from __future__ import annotations

from typing import Any, Final

from llm_gateway.web.surfaces.route import MODEL, SAMPLING, Route, body
from llm_gateway.wire.completions import CLIENT

_BODY: Final[dict[str, Any]] = body(
    ["model", "prompt"],
    {
        "model": MODEL,
        "prompt": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": 1}]},
        "suffix": {"type": "string", "description": "What comes after the gap that is to be filled."},
        **SAMPLING,
        "max_tokens": {"type": "integer", "minimum": 0, "description": "0 is as not set."},
        "echo": {"type": "boolean", "default": False, "description": "Put the prompt before the answer's text."},
        "logprobs": {"type": "integer", "minimum": 0, "maximum": 20},
        "stream": {"type": "boolean", "default": False},
        "stream_options": {"type": "object", "properties": {"include_usage": {"type": "boolean"}}},
        "user": {"type": "string", "description": "Your own user's tag, kept in the log."},
    },
    {"model": "law-assistant", "prompt": "The parties agree", "max_tokens": 64},
)
_ANSWER: Final = {
    "id": "cmpl-019a2f6e-7c1b-7d3e-9f00-0123456789ab",
    "object": "text_completion",
    "created": 1763900000,
    "model": "llama3.3:70b",
    "choices": [{"text": " that clause 4 …", "index": 0, "logprobs": None, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21},
}

ROUTES: Final = (Route("/v1/completions", CLIENT, "Complete a prompt as OpenAI's clients send it", _BODY, _ANSWER),)
