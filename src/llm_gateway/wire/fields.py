"""Fields of a client's JSON, read one by one: null counts as not set, a wrong type is named by its path."""

from __future__ import annotations

from typing import Any, TypeVar

from llm_gateway.errors import InvalidRequest
from llm_gateway.wire.neutral import Json
from llm_gateway.wire.params import named

T = TypeVar("T")

_WANTED: dict[type, str] = {str: "a string", bool: "true or false", dict: "an object", list: "a list"}


def join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def optional(obj: dict[str, Json], key: str, kind: type[T], path: str = "") -> T | None:
    """The field if it is set. Raises InvalidRequest when it is of another type."""
    value = obj.get(key)
    if value is None or type(value) is kind:
        return value
    raise wrong_type(join(path, key), _WANTED[kind], value)


def required(obj: dict[str, Json], key: str, kind: type[T], path: str = "") -> T:
    """The field. Raises InvalidRequest when it is missing, null or of another type."""
    value = optional(obj, key, kind, path)
    if value is None:
        field = join(path, key)
        raise InvalidRequest(f"`{field}` is required: {_WANTED[kind]}.", param=field)
    return value


def short_text(obj: dict[str, Json], key: str, limit: int, path: str = "") -> str | None:
    """A text for people or logs, of at most `limit` characters."""
    value = optional(obj, key, str, path)
    if value is not None and len(value) > limit:
        field = join(path, key)
        raise InvalidRequest(f"`{field}` has {len(value)} characters; at most {limit} are kept.", param=field)
    return value


def at_most(limit: int, items: list[Json], path: str) -> None:
    """Raises InvalidRequest when a list is longer than we are willing to read."""
    if len(items) > limit:
        raise InvalidRequest(f"`{path}` has {len(items):,} entries; at most {limit:,} are accepted.", param=path)


def as_object(value: Json, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)
    return value


def wrong_type(path: str, wanted: str, value: Json) -> InvalidRequest:
    return InvalidRequest(f"`{path}` must be {wanted}, not {named(value)}.", param=path)
