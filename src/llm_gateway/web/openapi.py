"""The API's description: the hot routes are served before FastAPI, so their pages are written here."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

from llm_gateway import errors as e
from llm_gateway.web.errors import example
from llm_gateway.web.surfaces import SURFACES

DESCRIPTION: Final = """\
One key, one fleet, honest answers: chat with models on servers that vanish, hang, lie and cut.

Send your project's key as `X-API-Key`, `Authorization: Bearer …` or `api-key`. Errors are
`{"error": {"message", "type", "code", "param", "request_id", "retryable"}}`; `code` is what programs test.
"""
TAGS: Final = [
    {"name": "chat", "description": "Ask a model."},
    {"name": "models", "description": "What your key may call."},
    {"name": "health", "description": "For people, load balancers and Prometheus."},
    {"name": "admin", "description": "Everything the command line can do. Needs the admin token."},
]

_MESSAGE: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {
        "role": {"type": "string", "enum": ["system", "user", "assistant", "tool"]},
        "content": {"type": "string"},
    },
}
_SAMPLING: Final[dict[str, Any]] = {
    "temperature": {"type": "number", "minimum": 0, "maximum": 2},
    "max_tokens": {"type": "integer", "minimum": 1},
    "top_p": {"type": "number", "minimum": 0, "maximum": 1},
    "seed": {"type": "integer"},
    "stop": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
}
_CHAT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["model", "messages"],
    "properties": {
        "model": {"type": "string", "description": "A logical or physical name of `GET /v1/models`."},
        "messages": {"type": "array", "minItems": 1, "items": _MESSAGE},
        **_SAMPLING,
        "metadata": {
            "type": "object",
            "description": "Stored with the log row.",
            "properties": {"project_context": {"type": "string"}, "correlation_id": {"type": "string"}},
        },
    },
    "example": {
        "model": "law-assistant",
        "messages": [
            {"role": "system", "content": "You are a legal assistant."},
            {"role": "user", "content": "Summarise clause 4."},
        ],
        "temperature": 0.2,
        "max_tokens": 512,
        "metadata": {"project_context": "contracts", "correlation_id": "c-42"},
    },
}
_ANSWER: Final[dict[str, Any]] = {
    "id": "019a2f6e-7c1b-7d3e-9f00-0123456789ab",
    "model": "llama3.3:70b",
    "object": "chat.completion",
    "created": 1763900000,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Clause 4 says …"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 21, "completion_tokens": 12, "total_tokens": 33},
}
_OPENAI: Final[dict[str, Any]] = deepcopy(_CHAT)
_OPENAI["properties"] |= {
    "stream": {"type": "boolean", "default": False},
    "stream_options": {"type": "object", "properties": {"include_usage": {"type": "boolean"}}},
    "max_completion_tokens": {"type": "integer"},
    "tools": {"type": "array", "items": {"type": "object"}},
    "response_format": {"type": "object"},
    "user": {"type": "string", "description": "Your own user's tag, kept in the log."},
}
_OPENAI["example"] = {"model": "law-assistant", "messages": [{"role": "user", "content": "Hola"}], "stream": True}

_ERRORS: Final = {
    e.InvalidRequest: "`messages` must not be empty.",
    e.InvalidKey: "The API key is missing or not valid.",
    e.NoPermittedUpstream: "Only public servers hold this model, and this project may not use them.",
    e.ModelNotFound: "There is no model `x` for this project. It may use: law-assistant.",
    e.BodyTooLarge: "The request's body is too large.",
    e.RateLimited: "This project may send 60 requests a minute.",
    e.UpstreamFailed: "Every model server that holds this model failed.",
    e.NoHealthyUpstream: "No healthy server holds this model right now.",
    e.UpstreamTimeout: "No model server answered in time.",
}
_SUMMARIES: Final = {
    "/v1/chat": ("Chat, whole answer", _CHAT, "application/json"),
    "/v1/chat/stream": ("Chat, streamed (SSE)", _CHAT, "text/event-stream"),
    "/v1/chat/completions": ("Chat as OpenAI's clients send it", _OPENAI, "application/json"),
}


def with_hot_routes(schema: dict[str, Any], public_url: str | None) -> dict[str, Any]:
    """The cold routes' schema with the hot ones, the ways to authenticate, and the public address."""
    whole = deepcopy(schema)
    for path, _, _ in SURFACES:
        whole["paths"][path] = {"post": _operation(path)}
    components = whole.setdefault("components", {})
    components["securitySchemes"] = {
        "projectKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "bearer": {"type": "http", "scheme": "bearer", "description": "Project key, or admin token on /admin/api."},
    }
    whole["security"] = [{"projectKey": []}, {"bearer": []}]
    if public_url:
        whole["servers"] = [{"url": public_url}]
    whole["paths"] = dict(sorted(whole["paths"].items()))
    return whole


def _operation(path: str) -> dict[str, Any]:
    summary, body, media = _SUMMARIES[path]
    answers: dict[str, Any] = {"200": {"description": "The answer.", "content": {media: _answer(media)}}}
    for error, message in _ERRORS.items():
        content = {"application/json": {"example": example(error, message)}}
        answers.setdefault(str(error.status), {"description": error.code, "content": content})
    return {
        "tags": ["chat"],
        "summary": summary,
        "operationId": "post" + path.replace("/", "_"),
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": answers,
    }


def _answer(media: str) -> dict[str, Any]:
    if media == "application/json":
        return {"schema": {"type": "object"}, "example": _ANSWER}
    frames = (
        'data: {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Clause"}}]}'
        "\n\n…\n\ndata: [DONE]\n\n"
    )
    return {"schema": {"type": "string"}, "example": frames}
