"""The API's description: the hot routes are served before FastAPI, so their pages are written here."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

from llm_gateway import errors as e
from llm_gateway.web.cookies import NAME
from llm_gateway.web.described import Lines, error_schemas
from llm_gateway.web.errors import EXAMPLE_ID
from llm_gateway.web.surfaces import ROUTES
from llm_gateway.web.surfaces.route import Route

DESCRIPTION: Final = """\
One key, one fleet, honest answers: chat with models on servers that vanish, hang, lie and cut.

Send your project's key as `X-API-Key`, `Authorization: Bearer …` or `api-key`. Errors are
`{"error": {"message", "type", "code", "param", "request_id", "retryable"}}`; `code` is what programs test.
"""
TAGS: Final = [
    {"name": "chat", "description": "Ask a model."},
    {"name": "embeddings", "description": "Texts as vectors."},
    {"name": "models", "description": "What your key may call."},
    {"name": "usage", "description": "What your project has used."},
    {"name": "health", "description": "For people, load balancers and Prometheus."},
    {"name": "admin", "description": "Everything the command line can do. Needs the admin token, or a session."},
]

SESSION: Final = "From `POST /admin/api/session`. What changes something needs the header `X-CSRF-Token` besides."
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


def with_hot_routes(schema: dict[str, Any], public_url: str | None) -> dict[str, Any]:
    """The cold routes' schema with the hot ones, the ways to authenticate, and the public address."""
    whole = deepcopy(schema)
    for methods in whole["paths"].values():
        for operation in methods.values():
            _by_lines(operation)
    for route in ROUTES:
        whole["paths"][route.path] = {"post": _operation(route)}
    components = whole.setdefault("components", {})
    components["schemas"] = dict(sorted((components.get("schemas", {}) | error_schemas()).items()))
    components["securitySchemes"] = {
        "projectKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "adminSession": {"type": "apiKey", "in": "cookie", "name": NAME, "description": SESSION},
        "bearer": {"type": "http", "scheme": "bearer", "description": "Project key, or admin token on /admin/api."},
    }
    whole["security"] = [{"projectKey": []}, {"bearer": []}]
    if public_url:
        whole["servers"] = [{"url": public_url}]
    whole["paths"] = dict(sorted(whole["paths"].items()))
    return whole


def _by_lines(operation: dict[str, Any]) -> None:
    """To FastAPI every stream is a text, also one whose lines have a type: that would be both at once."""
    lines = operation["responses"].get("200", {}).get("content", {}).get(Lines.media_type, {}).get("schema", {})
    if "$ref" in lines:
        lines.pop("type", None)


def _operation(route: Route) -> dict[str, Any]:
    schema = {"type": "string"} if route.streams else {"type": "object"}
    content = {route.media: {"schema": schema, "example": route.answer}}
    answers: dict[str, Any] = {"200": {"description": "The answer.", "content": content}}
    for error, message in _ERRORS.items():
        shown = route.dialect.error_body(error(message), EXAMPLE_ID)
        content = {"application/json": {"example": shown}}
        answers.setdefault(str(error.status), {"description": error.code, "content": content})
    return {
        "tags": [route.tag],
        "summary": route.summary,
        "operationId": "post" + route.path.replace("/", "_"),
        "requestBody": {"required": True, "content": {"application/json": {"schema": route.body}}},
        "responses": answers,
    }
