"""What is wrong in a configuration, where, and what would be right: one line for each mistake.

Mistakes are collected and reported together, whatever they come from. No message repeats a value that may be
a secret: pydantic's own texts, which quote their input, are replaced here by our sentences.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import ErrorDetails

EXIT_CONFIG: Final = 78
"""The exit code for a bad configuration (`EX_CONFIG` of BSD's sysexits)."""

Loc = tuple[int | str, ...]
"""The way to a value: keys and list indexes from the top."""


@dataclass(frozen=True, slots=True)
class Mistake:
    where: str
    """`gateway.yaml:12:5`, `environment LLM_GATEWAY_PORT`, `.env:3` or `--port`."""
    message: str
    hint: str = ""

    def __str__(self) -> str:
        line = f"{self.where}: {self.message}" + (f" {self.hint}" if self.hint else "")
        return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)  # one line, no escapes


class ConfigMistakes(Exception):
    """Everything that is wrong with a configuration; the service does not start with it."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__(self.render())

    def render(self) -> str:
        """One line for each mistake."""
        return "\n".join(map(str, self.mistakes))


def did_you_mean(name: str, known: Iterable[str], *, fold: Callable[[str], str] = str.lower) -> str:
    """The hint for an unknown name: the nearest known one, otherwise nothing."""
    by_folded = {fold(k): k for k in known}
    near = difflib.get_close_matches(fold(name), by_folded, n=1, cutoff=0.6)
    return f"Did you mean `{by_folded[near[0]]}`?" if near else ""


def field_name(loc: Loc) -> str:
    """The name by which a message calls a value: its last key, with the indexes after it."""
    name = ""
    for part in loc:
        name = part[:80] if isinstance(part, str) else f"{name}[{part}]"
    return name


def explain(error: ErrorDetails, root: type[BaseModel]) -> tuple[str, str]:
    """(message, hint) for one of pydantic's errors about `root`."""
    kind, loc, context = error["type"], error["loc"], error.get("ctx", {})
    name = f"`{field_name(loc)}`"
    if kind == "mistake":  # `settings.wrong`
        return f"{name} {_sentence(context['text'])}", context["hint"]
    if kind == "extra_forbidden":
        known = _keys_at(root, loc[:-1])
        hint = did_you_mean(str(loc[-1]), known) or f"Possible here: {', '.join(known)}."
        return f"unknown key {name}.", hint
    if kind == "missing":
        return f"{name} is missing.", _description(root, loc)
    if kind in ("enum", "literal_error"):
        choices = _choices(context)
        written = str(error["input"])[:40]
        return f"{name} must be {' or '.join(choices)}, not {written!r}.", did_you_mean(written, choices)
    return f"{name} {_sentence(_wanted(kind, context, error['input']))}", _hint(
        kind, error["input"], _description(root, loc)
    )


def model_at(root: type[BaseModel], loc: Loc) -> type[BaseModel] | None:
    """The model that describes the mapping at `loc`, None where there is none."""
    here: Any = root
    for part in loc:
        if isinstance(part, str):
            if part not in here.model_fields:
                return None
            here = model_in(here.model_fields[part].annotation)
        if here is None:
            return None
    return here  # type: ignore[no-any-return]  # annotations are Any until looked into


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as `tuple[Entry, ...]` or `Entry | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if (found := model_in(inner)) is not None:
            return found
    return None


def _keys_at(root: type[BaseModel], loc: Loc) -> Sequence[str]:
    model = model_at(root, loc)
    return list(model.model_fields) if model else []


def _description(root: type[BaseModel], loc: Loc) -> str:
    model = model_at(root, loc[:-1])
    field = model.model_fields.get(str(loc[-1])) if model else None
    return (field.description or "") if field else ""


def _choices(context: Mapping[str, Any]) -> list[str]:
    """Pydantic lists them as `'own', 'partner' or 'public'`."""
    return [part.strip().strip("'") for part in context["expected"].replace(" or ", ", ").split(",")]


_PLAIN: Final = {
    "string_type": "must be text",
    "string_sub_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "path_type": "must be a path",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "frozen_set_type": "must be a list",
    "dict_type": "must be a mapping of names to values",
    "model_type": "must be a mapping of names to values",
    "model_attributes_type": "must be a mapping of names to values",
}


def _wanted(kind: str, context: Mapping[str, Any], value: object) -> str:
    if kind in _PLAIN:
        return _PLAIN[kind] + _instead(value)
    match kind:
        case "greater_than_equal":
            return f"must be at least {context['ge']}, not {value}"
        case "greater_than":
            return f"must be more than {context['gt']:g}, not {value}"
        case "less_than_equal":
            return f"must be at most {context['le']}, not {value}"
        case "string_too_short" | "string_too_long" | "too_short" | "too_long":
            low, high = context.get("min_length"), context.get("max_length")
            one, many = ("character", "characters") if kind.startswith("string") else ("entry", "entries")
            count, bound = (low, "at least") if low is not None else (high, "at most")
            return f"must have {bound} {count} {one if count == 1 else many}"
    return "is not what belongs here"


def _instead(value: object) -> str:
    """What was written instead, by its kind only: the value itself may be a secret in the wrong place."""
    kinds: dict[type, str] = {
        bool: "true/false",
        int: "a number",
        float: "a fraction",
        list: "a list",
        dict: "a mapping",
    }
    kind = kinds.get(type(value))
    return f", not {kind}" if kind else ""


def _hint(kind: str, value: object, description: str) -> str:
    if kind in ("int_type", "float_type", "bool_type") and isinstance(value, str):
        return "Numbers and true/false stand without quotes."
    if kind == "string_type":
        return "Put it in quotes if it is meant as text."
    if kind == "greater_than_equal" and "absent: unlimited" in description:
        return "Leave it out for no limit."
    return ""


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else f"{text}."
