"""Does a value fit a JSON schema? As much of it as tools use, in bounded time.

The schema is a caller's and the value a model server's, so neither is trusted: steps and depth are counted, and what
is not judged within the bounds, or not known here, fits. Known (JSON Schema 2020-12 names): `type`, `enum`, `const`,
`properties`, `required`, `additionalProperties`, `items`, `anyOf`, `oneOf` (as `anyOf`), `allOf`, local `$ref`; and
OpenAPI's `nullable`. Patterns are not: a regular expression may take for ever.
"""

from __future__ import annotations

from typing import Final

from llm_gateway.wire.decoding import BadJson, decode_json
from llm_gateway.wire.neutral import Json

MAX_STEPS: Final = 20_000
"""Pairs of a value and a schema that are compared."""
LIGHT: Final = 10
"""Entries of a list, or characters of a reference, that are looked through as quickly as one step is done."""
LIGHT_TEXT: Final = 4096
"""Characters of two texts that are compared as quickly."""
_LISTS: Final = ("enum", "required", "type", "$ref")
MAX_DEPTH: Final = 64
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}


class Patience:
    """Steps that are left, for all that is judged of one answer."""

    __slots__ = ("left",)

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self.left = steps

    def take(self, steps: int) -> None:
        """Raises _Enough when there are no more."""
        self.left -= steps
        if self.left < 0:
            raise _Enough


class _Enough(Exception):
    """What has not been judged by now fits."""


def misfit(value: Json, schema: Json, patience: Patience | None = None) -> str | None:
    """Where and how `value` does not fit, in a few words without the value itself; None when it fits."""
    return _Judge(schema, patience or Patience()).says(value, schema)


def mended(fields: dict[str, Json], schema: Json, patience: Patience | None = None) -> dict[str, Json]:
    """`fields` with what models commonly get wrong put right where nothing is lost by it: a value written as text
    (`"2"`, `"[1]"`) where the schema wants the value, and null for a property that may be left out."""
    known = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(known, dict):
        return fields
    required = {name for name in _list(schema.get("required")) if isinstance(name, str)}
    judge = _Judge(schema, patience or Patience())
    right = dict(fields)
    for name, value in fields.items():
        if name not in known or judge.says(value, known[name]) is None:
            continue
        if value is None and name not in required:
            del right[name]
        elif isinstance(value, str):
            try:
                meant = decode_json(value.encode())
            except BadJson:
                continue
            if judge.says(meant, known[name]) is None:
                right[name] = meant
    return right


class _Judge:
    def __init__(self, root: Json, patience: Patience) -> None:
        self._root = root
        self._patience = patience

    def says(self, value: Json, schema: Json) -> str | None:
        try:
            return self.misfit(value, schema, "", MAX_DEPTH)
        except _Enough:
            return None

    def misfit(self, value: Json, schema: Json, path: str, depth: int) -> str | None:
        """Raises _Enough."""
        self._patience.take(1)
        if schema is False:
            return f"{path or 'the value'} is not allowed"
        if not isinstance(schema, dict) or depth <= 0:
            return None
        self._patience.take(sum(map(_length, (schema.get(name) for name in _LISTS))) // LIGHT)
        if value is None and schema.get("nullable") is True:
            return None
        if not _of_type(value, schema.get("type")):
            return f"{path or 'the value'} is of another type"
        if isinstance(allowed := schema.get("enum"), list) and not any(self._same(value, one) for one in allowed):
            return f"{path or 'the value'} is none of its enum"
        if "const" in schema and not self._same(value, schema["const"]):
            return f"{path or 'the value'} is not its const"
        return (
            self._combined(value, schema, path, depth - 1)
            or (self._object(value, schema, path, depth - 1) if isinstance(value, dict) else None)
            or (self._array(value, schema, path, depth - 1) if isinstance(value, list) else None)
        )

    def _combined(self, value: Json, schema: dict[str, Json], path: str, depth: int) -> str | None:
        if isinstance(ref := schema.get("$ref"), str) and (wrong := self.misfit(value, self._at(ref), path, depth)):
            return wrong
        for part in _list(schema.get("allOf")):
            if wrong := self.misfit(value, part, path, depth):
                return wrong
        for name in ("anyOf", "oneOf"):
            ways = _list(schema.get(name))
            if ways and all(self.misfit(value, way, path, depth) for way in ways):
                return f"{path or 'the value'} fits none of {name}"
        return None

    def _object(self, value: dict[str, Json], schema: dict[str, Json], path: str, depth: int) -> str | None:
        for name in _list(schema.get("required")):
            if isinstance(name, str) and name not in value:
                return f"{_below(path, name)} is missing"
        known = schema.get("properties")
        known = known if isinstance(known, dict) else {}
        # patterns are not judged, so what they might allow is not refused
        others = True if "patternProperties" in schema else schema.get("additionalProperties", True)
        for name, item in value.items():
            if wrong := self.misfit(item, known.get(name, others), _below(path, name), depth):
                return wrong
        return None

    def _array(self, value: list[Json], schema: dict[str, Json], path: str, depth: int) -> str | None:
        if "prefixItems" in schema:
            return None
        items = schema.get("items", True)
        if items is True:
            return None
        for n, item in enumerate(value):
            if wrong := self.misfit(item, items, f"{path}[{n}]", depth):
                return wrong
        return None

    def _same(self, one: Json, other: Json) -> bool:
        """Equal, and true is not 1. Raises _Enough."""
        if isinstance(one, bool) is not isinstance(other, bool):
            return False
        if isinstance(one, str | list | dict) and type(one) is type(other) and len(one) == len(other):
            self._patience.take(_weight(one))
        return bool(one == other)

    def _at(self, ref: str) -> Json:
        """The schema behind `#/…`; one that fits everything for any other address."""
        if ref != "#" and not ref.startswith("#/"):
            return True
        found = self._root
        for step in ref.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or name not in found:
                return True
            found = found[name]
        return found


def _of_type(value: Json, wanted: Json) -> bool:
    """Names that JSON Schema does not know ("any", "float") allow everything."""
    names = wanted if isinstance(wanted, list) else [wanted]
    for name in names:
        types = _TYPES.get(name) if isinstance(name, str) else None
        if types is None:
            return True
        if isinstance(value, bool):
            if name == "boolean":
                return True
        elif isinstance(value, types) or (name == "integer" and isinstance(value, float) and value.is_integer()):
            return True
    return not names


def _weight(value: Json) -> int:
    """Steps that it takes at most to compare it with another one."""
    entries, characters = 0, 0
    below = [value]
    while below and entries < LIGHT * MAX_STEPS:
        one = below.pop()
        entries += 1
        if isinstance(one, str):
            characters += len(one)
        elif isinstance(one, list):
            below += one
        elif isinstance(one, dict):
            below += one.values()
    return entries // LIGHT + characters // LIGHT_TEXT


def _length(value: Json) -> int:
    return len(value) if isinstance(value, list | str) else 0


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _below(path: str, name: str) -> str:
    return f"{path}.{name[:40]}" if path else name[:40]
