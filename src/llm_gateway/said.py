"""Sentences of the product's own: in English for people, and as a code and values for programs that say them in another
language. A leaf.

A sentence is written once, as a template; the text is made of it and the values, so that neither can tell what the
other does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

C = TypeVar("C", bound=str)
Value = str | int | float | tuple[str, ...]
"""A float is seconds. Names in a tuple stand there as in the sentence: between backticks where they are names."""
Template = str | tuple[str, str]
"""As `str.format` takes it; two: for a `count` of one, and for others. A tuple's format says how it is joined: `or`,
`then`, or nothing for commas."""

_JOINTS: Final = {"": ", ", "or": " or ", "then": ", then "}


@dataclass(frozen=True, slots=True)
class Said(Generic[C]):
    code: C
    """What programs test; none is ever given another meaning."""
    values: Mapping[str, Value]
    text: str


def say(templates: Mapping[C, Template], code: C, **values: Value) -> Said[C]:
    """The sentence of this code with these values."""
    template = templates[code]
    if not isinstance(template, str):
        template = template[values["count"] != 1]
    return Said(code, values, template.format_map({name: _shown(value) for name, value in values.items()}))


def joined(sentences: tuple[Said[C], ...]) -> str:
    return " ".join(said.text for said in sentences)


class _Names(tuple[str, ...]):
    def __format__(self, joint: str) -> str:
        return _JOINTS[joint].join(self)


def _shown(value: Value) -> object:
    match value:
        case tuple():
            return _Names(value)
        case float():
            return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"
    return value
