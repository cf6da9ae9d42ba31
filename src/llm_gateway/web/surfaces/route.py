"""What a hot route is: its path, who answers it, in which dialect, and what the API's description says of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from llm_gateway.gateway import Gateway
from llm_gateway.service.call import Call
from llm_gateway.service.chat import chat
from llm_gateway.wire.dialect import ClientDialect

Serve = Callable[[Gateway, Call], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Route:
    """`POST path`. The rest of the description is JSON Schema and examples for `/openapi.json`."""

    path: str
    dialect: ClientDialect
    summary: str
    body: dict[str, Any]
    """JSON Schema of the request, with an `example`."""
    answer: Any
    """An example of a whole answer, or the text of a stream where the path says that it streams."""
    streams: bool | None = None
    """Does the path say that the answer streams? None: the body does."""
    serve: Serve = chat
    tag: str = "chat"

    @property
    def media(self) -> str:
        return "text/event-stream" if self.streams else "application/json"


MESSAGE: dict[str, Any] = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {
        "role": {"type": "string", "enum": ["system", "user", "assistant", "tool"]},
        "content": {"type": "string"},
    },
}
SAMPLING: dict[str, Any] = {
    "temperature": {"type": "number", "minimum": 0, "maximum": 2},
    "max_tokens": {"type": "integer", "minimum": 1},
    "top_p": {"type": "number", "minimum": 0, "maximum": 1},
    "seed": {"type": "integer"},
    "stop": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
}
MODEL: dict[str, Any] = {"type": "string", "description": "A logical or physical name of `GET /v1/models`."}


def body(required: list[str], properties: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema of a request; unknown fields are ignored."""
    return {"type": "object", "required": required, "properties": properties, "example": example}
