"""How each client is connected, filled in for this gateway: the recipes of `llm-gateway connect`, for pages."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Query, Request
from pydantic import Field
from typing_extensions import TypedDict

from llm_gateway.access.policy import Project, Trust
from llm_gateway.errors import InvalidRequest
from llm_gateway.recipes.recipe import CONTEXT, NO_KEY, NO_MODEL, Filling, ShownRecipe, base_of, shown
from llm_gateway.recipes.table import RECIPES
from llm_gateway.service.models import visible
from llm_gateway.storage import projects
from llm_gateway.web.admin.common import Live, admin_router

router = admin_router("recipes")
MOST: Final = 500
"""Models that are offered to choose from."""


class Offered(TypedDict):
    """A model that recipes may be filled with."""

    name: str
    context_length: int | None
    ready: Annotated[bool, Field(description="Does a healthy server hold it now?")]


class RecipeList(TypedDict):
    """Recipes, and what they are filled with."""

    data: list[ShownRecipe]
    base_url: str
    model: str
    context_length: Annotated[int | None, Field(description="Of the model, in tokens; null: not known.")]
    key: Annotated[str, Field(description="What stands where the key belongs: no recipe holds one.")]
    models: Annotated[list[Offered], Field(description=f"To choose from, the ready ones first; at most {MOST}.")]


@router.get("", summary="How each client is connected to this gateway")
async def list_recipes(
    request: Request,
    running: Live,
    project: Annotated[
        str | None, Query(description="Id or name: only what it may ask for is offered. Absent: everything.")
    ] = None,
    model: Annotated[
        str | None, Query(max_length=200, description="Absent: the first that a healthy server holds.")
    ] = None,
    address: Annotated[
        str | None,
        Query(
            max_length=300,
            description="Where clients reach the gateway. Absent: as this request did. `public_url` wins over both.",
        ),
    ] = None,
) -> RecipeList:
    gw = running.gateway
    of = Project(id="", name="", trust=frozenset(Trust))
    if project is not None:
        async with running.sessions.read() as s:
            of = await projects.get_project(s, project)
    offered: list[Offered] = [
        {"name": known["name"], "context_length": known["context_length"], "ready": known["status"] == "ready"}
        for known in visible(gw, of)
    ]
    offered.sort(key=lambda known: not known["ready"])
    chosen = model or (offered[0]["name"] if offered else NO_MODEL)
    context = next((known["context_length"] for known in offered if known["name"] == chosen), None)
    base = _base(running.settings.public_url or address or str(request.base_url))
    filling = Filling(base, chosen, context=context or CONTEXT)
    return {
        "data": [shown(recipe, filling) for recipe in RECIPES],
        "base_url": base,
        "model": chosen,
        "context_length": context,
        "key": NO_KEY,
        "models": offered[:MOST],
    }


def _base(url: str) -> str:
    """Raises InvalidRequest for what is no address."""
    base = base_of(url)
    if base is None:
        raise InvalidRequest(
            f"`address` must be one such as https://llm.example.org; you sent {url[:60]!r}.", param="address"
        )
    return base
