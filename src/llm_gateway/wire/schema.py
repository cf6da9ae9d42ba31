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


def misfit(value: Json, schema: Json) -> str | None:
    """Where and how `value` does not fit, in a few words without the value itself; None when it fits."""
    return _Judge(schema).misfit(value, schema, "", MAX_DEPTH)


def mended(fields: dict[str, Json], schema: Json) -> dict[str, Json]:
    """`fields` with what models commonly get wrong put right where nothing is lost by it: a value written as text
    (`"2"`, `"[1]"`) where the schema wants the value, and null for a property that may be left out."""
    known = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(known, dict):
        return fields
    required = {name for name in _list(schema.get("required")) if isinstance(name, str)}
    judge = _Judge(schema)
    right = dict(fields)
    for name, value in fields.items():
        if name not in known or judge.misfit(value, known[name], "", MAX_DEPTH) is None:
            continue
        if value is None and name not in required:
            del right[name]
        elif isinstance(value, str):
            try:
                meant = decode_json(value.encode())
            except BadJson:
                continue
            if judge.misfit(meant, known[name], "", MAX_DEPTH) is None:
                right[name] = meant
    return right


class _Judge:
    def __init__(self, root: Json) -> None:
        self._root = root
        self._steps = MAX_STEPS

    def misfit(self, value: Json, schema: Json, path: str, depth: int) -> str | None:
        self._steps -= 1
        if schema is False:
            return f"{path or 'the value'} is not allowed"
        if not isinstance(schema, dict) or depth <= 0:
            return None
        self._steps -= sum(map(_length, (schema.get(name) for name in _LISTS))) // LIGHT
        if self._steps < 0:
            return None
        if value is None and schema.get("nullable") is True:
            return None
        if not _of_type(value, schema.get("type")):
            return f"{path or 'the value'} is of another type"
        if isinstance(allowed := schema.get("enum"), list) and not any(_same(value, one) for one in allowed):
            return f"{path or 'the value'} is none of its enum"
        if "const" in schema and not _same(value, schema["const"]):
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


def _same(one: Json, other: Json) -> bool:
    """Equal, and true is not 1."""
    return isinstance(one, bool) is isinstance(other, bool) and one == other


def _length(value: Json) -> int:
    return len(value) if isinstance(value, list | str) else 0


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _below(path: str, name: str) -> str:
    return f"{path}.{name[:40]}" if path else name[:40]
