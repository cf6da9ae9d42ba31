"""What a recipe is, and how it is filled.

Templates name what is filled in between guillemets: `«BASE/v1»` becomes the quoted text of the language that the part
is written in, so that no model name and no key can break out of its place. `«#CONTEXT»` is a number, `«json:MODEL»` a
string of JSON inside another language.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from typing_extensions import TypedDict

KEY_VARIABLE: Final = "LLM_GATEWAY_KEY"
"""Holds the key for clients whose files can name a variable, and for `connect` itself."""
NO_KEY: Final = "YOUR_KEY"
NO_MODEL: Final = "YOUR_MODEL"
CONTEXT: Final = 32_768
"""Tokens that are written down where a client must be told and nothing is known: what coding tools ask for."""

Language = Literal["sh", "python", "js", "json", "toml", "yaml", "text"]


@dataclass(frozen=True, slots=True)
class Filling:
    """What goes into a recipe."""

    base: str
    """Address of the gateway without a path of an API, such as http://127.0.0.1:8000."""
    model: str = NO_MODEL
    key: str | None = None
    """None: whoever reads it puts in their own."""
    context: int = CONTEXT
    """Tokens that the model takes."""


@dataclass(frozen=True, slots=True)
class Part:
    """One thing to do: a sentence, and what is pasted."""

    says: str
    language: Language
    template: str
    runs: bool = False
    """Can it be run as it is, after the parts before it?"""


@dataclass(frozen=True, slots=True)
class File:
    """The client's own file, as `connect --write` makes or extends it."""

    path: str
    """Below the home directory with `~/`, else below the current directory."""
    format: Literal["json", "toml", "yaml"]
    template: str
    then: str
    """What is left to do once it is written."""
    keyed: str | None = None
    """What is added (at the same place) when a key is given and the file cannot name a variable."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One client."""

    name: str
    title: str
    endpoints: tuple[str, ...]
    """Paths of the gateway that it asks."""
    parts: tuple[Part, ...]
    settings: str
    """The short answer: what is set to what. A template of text."""
    needs: tuple[str, ...] = ()
    """What it wants of a model or of the user, and what does not work."""
    context: int = 0
    """Tokens of context below which it is of little use; 0: it does not mind."""
    packages: tuple[str, ...] = ()
    """Python modules that its parts import."""
    file: File | None = None


_PLACES: Final = re.compile(r"«(#|json:)?([^»]*)»")
_NAMES: Final = re.compile(r"BASE|MODEL|KEY|CONTEXT")


def fill(template: str, language: Language, filling: Filling) -> str:
    """The template with everything in its place, quoted as the language demands."""
    values = {
        "BASE": filling.base,
        "MODEL": filling.model,
        "KEY": filling.key if filling.key is not None else NO_KEY,
        "CONTEXT": str(filling.context),
    }

    def place(found: re.Match[str]) -> str:
        text = _NAMES.sub(lambda name: values[name[0]], found[2])
        if found[1] == "#":
            return text
        return QUOTE["json" if found[1] else language](text)

    return _PLACES.sub(place, template)


def _literal(text: str) -> str:
    """A string of JSON, which YAML, TOML, Python and JavaScript read as the same text. DEL is escaped for TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


QUOTE: Final[Mapping[Language, Callable[[str], str]]] = {
    "sh": shlex.quote,
    "python": _literal,
    "js": _literal,
    "json": _literal,
    "toml": _literal,
    "yaml": _literal,
    "text": _plain,
}


def script(recipe: Recipe, filling: Filling, interpreters: Mapping[Language, str]) -> str:
    """The parts that can be run, as one text for a POSIX shell; `interpreters` say by which commands (words of the
    shell) the others than `sh` are run: they get the program on stdin."""
    lines = []
    for part in recipe.parts:
        if not part.runs:
            continue
        text = fill(part.template, part.language, filling)
        if part.language == "sh":
            lines.append(text)
        else:
            lines += [f"{interpreters[part.language]} <<'END_OF_PART'", text, "END_OF_PART"]
    return "\n".join(lines) + "\n"


def base_of(url: str) -> str | None:
    """The address to fill recipes with, of one that people pasted: they add the path of an API, which recipes add
    themselves. None: it is no address."""
    url = re.sub(r"/(v1|api)?/?$", "", url.strip())
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    return None if not valid or parts.query or parts.fragment or not url.isprintable() or " " in url else url


class ShownPart(TypedDict):
    """One thing to do: a sentence, and what is pasted."""

    says: str
    language: Language
    text: str


class ShownFile(TypedDict):
    """The client's own file, which `llm-gateway connect CLIENT --write` writes."""

    path: str
    format: str
    text: str
    then: str


class ShownRecipe(TypedDict):
    """How one client is connected."""

    client: str
    title: str
    base_url: str
    model: str
    endpoints: list[str]
    needs: list[str]
    context: int
    parts: list[ShownPart]
    file: ShownFile | None


def shown(recipe: Recipe, filling: Filling) -> ShownRecipe:
    """The filled recipe for programs."""
    file = recipe.file
    return {
        "client": recipe.name,
        "title": recipe.title,
        "base_url": filling.base,
        "model": filling.model,
        "endpoints": list(recipe.endpoints),
        "needs": list(recipe.needs),
        "context": recipe.context,
        "parts": [
            {"says": p.says, "language": p.language, "text": fill(p.template, p.language, filling)}
            for p in recipe.parts
        ],
        "file": None
        if file is None
        else {"path": file.path, "format": file.format, "text": file_text(file, filling), "then": file.then},
    }


def file_text(file: File, filling: Filling) -> str:
    """What the client's file has to hold."""
    template = file.template
    if file.keyed is not None:
        template = template.replace("«+»", file.keyed if filling.key is not None else "")
    return fill(template, file.format, filling)


def holds_key(file: File, filling: Filling) -> bool:
    return filling.key is not None and file.keyed is not None
