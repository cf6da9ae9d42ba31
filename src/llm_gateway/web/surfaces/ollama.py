"""Ollama's own API: chat and generate. `ollama_lists` has what else its clients ask."""

from __future__ import annotations

from typing import Any, Final

from llm_gateway.web.surfaces.route import MODEL, Route, body
from llm_gateway.wire import ollama as chat
from llm_gateway.wire import ollama_generate as generate

_SHARED: Final[dict[str, Any]] = {
    "model": MODEL,
    "stream": {"type": "boolean", "default": True, "description": "As NDJSON, a frame a line."},
    "format": {"description": '"json", or a JSON schema.', "oneOf": [{"type": "string"}, {"type": "object"}]},
    "options": {"type": "object", "description": "num_predict, temperature, top_p, top_k, seed, stop, num_ctx, …"},
    "think": {"oneOf": [{"type": "boolean"}, {"type": "string", "enum": ["low", "medium", "high", "max"]}]},
    "keep_alive": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "logprobs": {"type": "boolean"},
    "top_logprobs": {"type": "integer", "minimum": 0, "maximum": 20},
}
_IMAGES: Final[dict[str, Any]] = {"type": "array", "items": {"type": "string", "format": "byte"}}
_CHAT: Final = body(
    ["model"],
    {
        **_SHARED,
        "messages": {
            "type": "array",
            "description": "None at all: load the model, which the gateway leaves to its servers.",
            "items": {
                "type": "object",
                "required": ["role"],
                "properties": {
                    "role": {"type": "string", "enum": ["system", "user", "assistant", "tool"]},
                    "content": {"type": "string"},
                    "images": _IMAGES,
                    "thinking": {"type": "string"},
                    "tool_calls": {"type": "array", "items": {"type": "object"}},
                    "tool_name": {"type": "string"},
                    "tool_call_id": {"type": "string"},
                },
            },
        },
        "tools": {"type": "array", "items": {"type": "object"}},
    },
    {"model": "law-assistant", "messages": [{"role": "user", "content": "Hola"}], "stream": False},
)
_GENERATE: Final = body(
    ["model"],
    {
        **_SHARED,
        "prompt": {"type": "string"},
        "system": {"type": "string"},
        "suffix": {"type": "string"},
        "template": {"type": "string"},
        "raw": {"type": "boolean"},
        "context": {"type": "array", "items": {"type": "integer"}},
        "images": _IMAGES,
    },
    {"model": "law-assistant", "prompt": "Hola", "stream": False},
)
_FIGURES: Final = {
    "done": True,
    "done_reason": "stop",
    "total_duration": 638494401,
    "prompt_eval_count": 21,
    "prompt_eval_duration": 265800000,
    "eval_count": 3,
    "eval_duration": 372694401,
}
_BEGIN: Final = {"model": "law-assistant", "created_at": "2026-11-23T06:56:07.000000000Z"}

ROUTES: Final = (
    Route(
        "/api/chat",
        chat.CLIENT,
        "Chat as Ollama's clients send it",
        _CHAT,
        {**_BEGIN, "message": {"role": "assistant", "content": "Hola."}, **_FIGURES},
    ),
    Route(
        "/api/generate",
        generate.CLIENT,
        "Completion as Ollama's clients send it",
        _GENERATE,
        {**_BEGIN, "response": "Hola.", **_FIGURES},
    ),
)
