"""Routes whose answers are described by the type that they are annotated with, and sent as they are.

A `TypedDict` is made by code that mypy has compared with it. To have FastAPI compare the two again would cost a second
look at each value of a long list, would leave out what the type does not name, and would make an error of a row that an
older version wrote. So the type is for the API's description only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, NotRequired, get_type_hints

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, PlainSerializer, TypeAdapter, WrapValidator
from typing_extensions import TypedDict, is_typeddict

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""ISO 8601 in UTC, with milliseconds."""
REFERENCE: Final = "#/components/schemas/{model}"


class ErrorDetail(TypedDict):
    """What was wrong, for people and for programs; some errors say more in further fields."""

    message: str
    type: str
    code: Annotated[str, Field(description="What programs test.")]
    param: Annotated[str | None, Field(description="The field of the request that it is about.")]
    request_id: str | None
    retryable: Annotated[bool, Field(description="May the same request succeed later?")]
    retry_after: NotRequired[Annotated[float, Field(description="Seconds.")]]


class ErrorAnswer(TypedDict):
    """The body of every answer with a status of 400 or more."""

    error: ErrorDetail


REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    "default": {
        "description": "An error: `code` is what programs test.",
        "content": {"application/json": {"schema": {"$ref": REFERENCE.format(model="ErrorAnswer")}}},
    }
}
"""The `responses` of a router; `error_schemas` holds what it refers to. A `model` here would take a stream's content
type."""


def error_schemas() -> dict[str, Any]:
    """For the components of the API's description."""
    schema = TypeAdapter(ErrorAnswer).json_schema(ref_template=REFERENCE)
    return {**schema.pop("$defs"), "ErrorAnswer": schema}


class Lines(StreamingResponse):
    """A line of JSON for each object, while they are found."""

    media_type = "application/x-ndjson"


class DescribedRouter(APIRouter):
    """As FastAPI's, but what a route answers is not looked at again: its annotation describes it."""

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **how: Any) -> None:
        answer = get_type_hints(endpoint, include_extras=True).get("return")
        if is_typeddict(answer) or (isinstance(answer, type) and issubclass(answer, BaseModel)):
            how["response_model"] = Annotated[answer, _UNSEEN, _AS_IT_IS]
        super().add_api_route(path, endpoint, **how)


_UNSEEN: Final = WrapValidator(lambda answer, _: answer)
_AS_IT_IS: Final = PlainSerializer(lambda answer: answer)
"""Without a type of its own, for that would be what the description shows."""
