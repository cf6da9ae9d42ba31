"""Errors of the cold routes in the gateway's own shape, whoever raised them."""

from __future__ import annotations

from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from llm_gateway.access.standing import retry_headers
from llm_gateway.errors import GatewayError, InternalError, InvalidRequest, MethodNotAllowed, NotFound
from llm_gateway.gateway import Gateway
from llm_gateway.ledger.entry import CLIENT_CLOSED
from llm_gateway.web.asgi import shape_of
from llm_gateway.web.keyed import PREFIX
from llm_gateway.wire import anthropic, ollama_frames
from llm_gateway.wire.dialect import WriteError

EXAMPLE_ID: Final = "019a2f6e-7c1b-7d3e-9f00-0123456789ab"
"""A request id for the OpenAPI pages."""
PLAIN: Final = {404: ollama_frames.NO_PAGE, 405: ollama_frames.WRONG_METHOD}
"""What is said, as plain text, of paths and methods below `/api/` that are none."""

log = structlog.get_logger(__name__)


def install(app: FastAPI) -> None:
    app.add_exception_handler(GatewayError, _gateway_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected)


def render(request: Request, error: GatewayError) -> JSONResponse:
    gateway: Gateway = request.app.state.gateway
    identity = str(gateway.ids())
    headers = {"x-request-id": identity, "request-id": identity}
    for name, value in (*error.headers, *retry_headers(error.retry_after)):
        headers[name.decode()] = value.decode()
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(_shape(request)(error, identity), error.status, headers)


def _shape(request: Request) -> WriteError:
    path = _path(request)
    if path.startswith("/v1/models") and "anthropic-version" in request.headers:
        return anthropic.error_body
    return shape_of(path)


def _path(request: Request) -> str:
    return request.url.path.removeprefix(request.scope.get("root_path", ""))


async def _gateway_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, GatewayError)
    return render(request, error)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems: list[str] = []
    first = None
    for problem in error.errors()[:10]:
        where = ".".join(str(part) for part in problem["loc"] if part not in ("body", "query", "path"))
        first = first or where
        problems.append(f"`{where}`: {problem['msg']}" if where else str(problem["msg"]))
    return render(request, InvalidRequest("; ".join(problems) + ".", param=first or None))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code in PLAIN and _path(request).startswith("/api/"):
        return PlainTextResponse(PLAIN[error.status_code], error.status_code, error.headers)
    known: GatewayError
    if isinstance(error.__cause__, GatewayError):  # raised as FastAPI read the body, which it calls a mistake in it
        known = error.__cause__
    elif error.status_code == 405:
        known = MethodNotAllowed(f"{request.url.path} does not take {request.method}.")
    elif error.status_code == 404:
        where = "that address" if _path(request).startswith(PREFIX) else request.url.path  # a second key in it
        known = NotFound(f"There is nothing at {where}. The API is described at /docs.")
    else:
        known = InvalidRequest(str(error.detail))
    answer = render(request, known)
    for name, value in (error.headers or {}).items():
        answer.headers[name] = value
    return answer


async def _gone(request: Request, error: Exception) -> Response:
    """The client left before its body was complete: nobody hears this, and nothing is wrong here."""
    return Response(status_code=CLIENT_CLOSED)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("request_failed", path=request.url.path, exc_info=error)
    return render(request, InternalError("Something went wrong inside the gateway; it has been logged."))
