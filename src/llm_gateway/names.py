"""When two names mean the same physical model, and when a name is pinned to one digest."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

SHORTEST_PIN: Final = 12
"""Hexadecimal digits of a digest that a pin has at least: as many as Ollama's own lists show. Fewer would also make
pins of names that end in a date (`claude@20240620`)."""
_PIN: Final = re.compile(r"(?P<name>.+)@(?:sha256:)?(?P<digest>[0-9a-f]{12,64})", re.DOTALL)
_MEANT_AS_PIN: Final = re.compile(r"@(?:sha256[:-].*)?$", re.DOTALL)


class Pinned(NamedTuple):
    """A name and the digest that it is pinned to."""

    name: str
    digest: str | None
    """The first 12-64 hexadecimal digits, in lower case; None = any digest will do."""

    def fits(self, digest: str | None) -> bool:
        """May a model of this digest be asked? One that is not known fits no pin."""
        return self.digest is None or (digest is not None and digest.startswith(self.digest))


def pinned(name: str) -> Pinned:
    """`llama3.3:70b@sha256:a6eb4748fd29…` -> the name and the pin; `sha256:` may be left out."""
    if "@" in name and (found := _PIN.fullmatch(name.lower())):
        return Pinned(name.rpartition("@")[0], found["digest"])
    return Pinned(name, None)


def mistaken_pin(name: str) -> bool:
    """Does it look like a pinned name, and is none? Taken for a plain name, it would be held by nobody, for ever."""
    return pinned(name).digest is None and bool(_MEANT_AS_PIN.search(name.lower()))


def canonical(name: str) -> str:
    """The form in which names of physical models are compared: lower case, with a tag, and with its pin if it has one.

    Ollama reads a name without a tag as `…:latest` and ignores case (`llama3.2` is `Llama3.2:latest`). Only a colon
    behind the last slash begins a tag: `host:5000/llama3.2` has none. For comparing only, never for showing.
    """
    name = name.lower()
    if "@" in name:
        plain, digest = pinned(name)
        if digest is not None:
            return f"{canonical(plain)}@{digest}"
    return name if ":" in name[name.rfind("/") + 1 :] else f"{name}:latest"
