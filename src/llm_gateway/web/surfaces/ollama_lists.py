"""Ollama's own API besides chat: the lists, and a word on what only a server's owner may do.

The lists are answered from memory. `/` and `/api/version` need no key: clients ask them whether anybody is there.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import RedirectResponse

from llm_gateway import __version__
from llm_gateway.access.policy import Caller
from llm_gateway.errors import Forbidden
from llm_gateway.service import ollama
from llm_gateway.web.auth import project_caller
from llm_gateway.wire.ollama import read_name
from llm_gateway.wire.ollama_frames import CONTENT_TYPE

router = APIRouter(tags=["models"])
Of = Annotated[Caller, Depends(project_caller)]


@router.head("/", include_in_schema=False)
@router.get("/", include_in_schema=False)
async def root(request: Request) -> Response:
    """How Ollama's clients see that it is there. People with a browser are led to the dashboard."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(request.scope.get("root_path", "").rstrip("/") + "/admin/", 307)
    return Response("Ollama is running", media_type="text/plain")


@router.head("/api/version", include_in_schema=False)
@router.get("/api/version", summary="The version of Ollama's API that is spoken here")
async def ollama_version() -> Response:
    """`llm_gateway` is the gateway's own."""
    return _json({"version": ollama.VERSION, "llm_gateway": __version__})


@router.head("/api/tags", include_in_schema=False)
@router.get("/api/tags", summary="The models this key may use, as Ollama lists them")
async def ollama_tags(request: Request, caller: Of) -> Response:
    """Logical names first, then physical ones."""
    return _json({"models": ollama.tags(request.app.state.gateway, caller.project)})


@router.get("/api/ps", summary="Which of them are in some server's memory")
async def ollama_ps(request: Request, caller: Of) -> Response:
    """As far as is known: no server is asked for it."""
    return _json({"models": ollama.loaded(request.app.state.gateway, caller.project)})


@router.post("/api/show", summary="One model, as Ollama shows it")
async def ollama_show(request: Request, caller: Of) -> Response:
    """`{"model": NAME}`: context length, capabilities, default parameters."""
    asked = read_name(await request.body())
    return _json(ollama.show(request.app.state.gateway, caller.project, asked))


_MODELS: Final = (
    "Models are pulled, made and removed by the owners of the servers behind this gateway. "
    "Use one that GET /api/tags lists, or ask an administrator of the gateway for another one."
)
_ACCOUNT: Final = (
    "The gateway has no account at ollama.com to sign in to or out of: your project's key is all it needs."
)
BLOCKED: Final = {
    **dict.fromkeys(("/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete"), _MODELS),
    "/api/blobs/{digest:path}": _MODELS,
    **dict.fromkeys(("/api/me", "/api/signin", "/api/signout"), _ACCOUNT),
}
"""What Ollama has and the gateway has not, and why."""


def _block(path: str, why: str) -> None:
    async def refuse(_caller: Of) -> Response:
        raise Forbidden(f"{path.partition('/{')[0]} is not open to clients of the gateway. {why}")

    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    router.add_api_route(path, refuse, methods=methods, include_in_schema=False)


for _path, _why in BLOCKED.items():
    _block(_path, _why)


def _json(value: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(value), media_type=CONTENT_TYPE)
