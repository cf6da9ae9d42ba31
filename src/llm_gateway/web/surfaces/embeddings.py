"""Vectors: OpenAI's `POST /v1/embeddings`, Ollama's `POST /api/embed` and `/api/embeddings`."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from llm_gateway.service.embed import embed
from llm_gateway.web.surfaces.route import MODEL, Route, body
from llm_gateway.wire import embeddings, ollama, openai

_TEXTS: Final[dict[str, Any]] = {
    "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": embeddings.MOST_INPUTS}]
}
_DIMENSIONS: Final[dict[str, Any]] = {"type": "integer", "minimum": 1}
_OPENAI: Final = body(
    ["model", "input"],
    {
        "model": MODEL,
        "input": _TEXTS,
        "encoding_format": {"type": "string", "enum": ["float", "base64"], "default": "float"},
        "dimensions": _DIMENSIONS,
        "user": {"type": "string", "description": "Your own user's tag, kept in the log."},
    },
    {"model": "nomic-embed-text", "input": ["The parties agree", "that clause 4"]},
)
_OLLAMA: Final = body(
    ["model", "input"],
    {"model": MODEL, "input": _TEXTS, "truncate": {"type": "boolean"}, "dimensions": _DIMENSIONS},
    {"model": "nomic-embed-text", "input": "The parties agree"},
)
_OLLAMA_OLD: Final = body(
    ["model", "prompt"],
    {"model": MODEL, "prompt": {"type": "string"}},
    {"model": "nomic-embed-text", "prompt": "The parties agree"},
)
_ANSWER: Final = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}],
    "model": "nomic-embed-text:latest",
    "usage": {"prompt_tokens": 5, "total_tokens": 5},
}
_ANSWER_OLLAMA: Final = {"model": "nomic-embed-text", "embeddings": [[0.6, 0.8]], "prompt_eval_count": 5}

ROUTES: Final = (
    Route(
        "/v1/embeddings",
        openai.CLIENT,
        "Vectors as OpenAI's clients ask for them",
        _OPENAI,
        _ANSWER,
        serve=partial(embed, spelling=embeddings.OPENAI),
        tag="embeddings",
    ),
    Route(
        "/api/embed",
        ollama.CLIENT,
        "Vectors as Ollama's clients ask for them",
        _OLLAMA,
        _ANSWER_OLLAMA,
        serve=partial(embed, spelling=embeddings.OLLAMA),
        tag="embeddings",
    ),
    Route(
        "/api/embeddings",
        ollama.CLIENT,
        "A vector as Ollama's older clients ask for it",
        _OLLAMA_OLD,
        {"embedding": [0.6, 0.8]},
        serve=partial(embed, spelling=embeddings.OLLAMA_OLD),
        tag="embeddings",
    ),
)
