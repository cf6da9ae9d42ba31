"""`GET /v1/models` and `/v1/models/{id}`: one shape that the seed's, OpenAI's and Anthropic's clients all read."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Depends, Query, Request, Response
from typing_extensions import TypedDict

from llm_gateway.access.policy import Caller
from llm_gateway.service import models
from llm_gateway.web.auth import project_caller
from llm_gateway.web.described import REFUSED, DescribedRouter
from llm_gateway.wire import anthropic

router = DescribedRouter(tags=["models"], responses=REFUSED)


class CallableModelList(TypedDict):
    """Where the header `anthropic-version` says whose client asks, some fields are Anthropic's."""

    object: Literal["list"]
    has_more: Literal[False]
    first_id: str | None
    last_id: str | None
    data: list[models.CallableModel]


@router.get("/v1/models", summary="The models this key may use", response_model=CallableModelList)
async def list_callable_models(
    request: Request,
    caller: Annotated[Caller, Depends(project_caller)],
    available: Annotated[bool, Query(description="Only models that a healthy server holds now.")] = False,
) -> Response:
    """Logical names first, then physical ones. Always answered from memory, whatever the servers do."""
    entries = models.visible(request.app.state.gateway, caller.project)
    if available:
        entries = [e for e in entries if e["status"] == "ready"]
    ids = [e["id"] for e in entries]
    body = {
        "object": "list",
        "has_more": False,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "data": [_shaped(request, e) for e in entries],
    }
    return _json(request, body)


@router.get("/v1/models/{model_id:path}", summary="One model", response_model=models.CallableModel)
async def get_callable_model(
    request: Request, model_id: str, caller: Annotated[Caller, Depends(project_caller)]
) -> Response:
    """404 when the project may not use it, as when it does not exist."""
    return _json(request, _shaped(request, models.one(request.app.state.gateway, caller.project, model_id)))


def _shaped(request: Request, entry: models.CallableModel) -> dict[str, Any]:
    """Two fields mean something else to Anthropic's clients, which say who they are."""
    shown = dict(entry)
    return anthropic.model_info(shown) if "anthropic-version" in request.headers else shown


def _json(request: Request, body: dict[str, Any]) -> Response:
    content = msgspec.json.encode(body)
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"etag": etag})
    return Response(
        content, media_type="application/json", headers={"etag": etag, "cache-control": "private, no-cache"}
    )
