"""Nothing can be set through the admin API but what a model of its input names (mass assignment)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from llm_gateway.web.admin import ADMIN_ROUTERS
from llm_gateway.web.admin.common import Input

NEVER = ("id", "project_id", "owner", "hash", "prefix", "last4", "created_at", "revoked_at", "last_used_at", "version")
"""What the gateway itself says of its objects."""
READS = {"GET", "HEAD", "OPTIONS"}


def routes() -> list[APIRoute]:
    return [route for router in ADMIN_ROUTERS for route in router.routes if isinstance(route, APIRoute)]


def bodies() -> dict[str, type[BaseModel]]:
    """Models of bodies by what takes them."""
    found = {}
    for route in routes():
        for param in route.dependant.body_params:
            annotation: Any = param.field_info.annotation
            for kind in (annotation, *getattr(annotation, "__args__", ())):
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    found[f"{min(route.methods)} {route.path}"] = kind
    return found


def within(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model and those that its fields hold."""
    yield model
    for field in model.model_fields.values():
        annotation: Any = field.annotation
        for kind in (annotation, *getattr(annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from within(kind)


def test_every_body_is_an_explicit_model() -> None:
    untyped = [
        f"{route.path}: {param.name}"
        for route in routes()
        if not route.methods <= READS
        for param in route.dependant.body_params
        if not any(
            isinstance(kind, type) and issubclass(kind, Input)
            for kind in (param.field_info.annotation, *getattr(param.field_info.annotation, "__args__", ()))
        )
    ]
    assert not untyped
    assert len(bodies()) >= 8, "the walk over the routes finds none"


@pytest.mark.parametrize("name", bodies())
def test_unknown_fields_are_refused_at_every_depth(name: str) -> None:
    for model in within(bodies()[name]):
        assert model.model_config.get("extra") == "forbid", model
        with pytest.raises(ValidationError) as caught:
            model.model_validate({"no_such_field": 1})
        assert ("no_such_field",) in [error["loc"] for error in caught.value.errors()]


@pytest.mark.parametrize("name", bodies())
@pytest.mark.parametrize("field", NEVER)
def test_what_the_gateway_says_of_its_objects_cannot_be_set(name: str, field: str) -> None:
    model = bodies()[name]
    assert field not in model.model_fields
    assert field not in [each.alias for each in model.model_fields.values()]
