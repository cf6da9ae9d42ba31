"""`GatewayError` -> the error object of a dialect.

One renderer per shape: OpenAI and the gateway's own API share the first.
"""

from __future__ import annotations

from llm_gateway.errors import GatewayError
from llm_gateway.wire.neutral import Json


def error_body(error: GatewayError, request_id: str | None) -> dict[str, Json]:
    """`{"error": {message, type, code, param, request_id, retryable, retry_after?, …details}}`. Programs test `code`;
    `details` never replace a field of the contract."""
    body: dict[str, Json] = {
        "message": error.message,
        "type": error.type,
        "code": error.code,
        "param": error.param,
        "request_id": request_id,
        "retryable": error.retryable,
    }
    if error.retry_after is not None:
        body["retry_after"] = error.retry_after
    return {"error": with_details(body, error)}


def with_details(body: dict[str, Json], error: GatewayError) -> dict[str, Json]:
    """The sentence and the code first, for people who read a body as it came."""
    return {**body, **{name: value for name, value in error.details.items() if name not in body}}
