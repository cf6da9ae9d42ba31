"""Notes: what a caller asked for and did not get, in a few words for programs and people.

A note is `field=what became of it`, or `format_invalid`. They go out as the header `X-Gateway-Notes` and into the
request's row; the words after `=` are the ones below, and nothing of a caller's text is ever in a note.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from llm_gateway.wire.neutral import Json
from llm_gateway.wire.params import PARAMS

Fate = Literal["dropped", "best_effort", "estimated", "clamped"]
"""dropped: had no effect. best_effort: asked of the model, which cannot be forced. estimated: our own count. clamped:
brought within what is allowed here."""
FORMAT_INVALID: Final = "format_invalid"
"""The answer is no JSON, or does not fit the schema, and nobody gave a better one."""
MOST: Final = 24
"""Notes of one answer."""


_UNKNOWN: Final = {
    kind: frozenset(name for name, spec in PARAMS.items() if getattr(spec, kind) is None)
    for kind in ("ollama", "openai")
}


def note(field: str, fate: Fate) -> str:
    return f"{field}={fate}"


def told(notes: Iterable[str]) -> str:
    """The header's value and the row's text: each note once, in order."""
    return ", ".join(list(dict.fromkeys(notes))[:MOST])


def dropped_params(kind: Literal["ollama", "openai"], params: Mapping[str, Json]) -> list[str]:
    """Of the neutral parameters, those that servers of this kind have no name for."""
    unknown = _UNKNOWN[kind]
    return [note(name, "dropped") for name in params if name in unknown] if unknown else []
