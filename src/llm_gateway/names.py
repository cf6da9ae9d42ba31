"""When two names mean the same physical model, and when a name is pinned to one digest."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

SHORTEST_PIN: Final = 12
"""Hexadecimal digits of a digest that a pin has at least: as many as Ollama's own lists show. Fewer would also make
pins of names that end in a date (`claude@20240620`)."""
LONGEST: Final = 512
"""Characters of a name that may be pinned, and whose forms are kept at hand. Longer ones are names of nothing."""
REMEMBERED: Final = 4096
"""Names whose forms are kept at hand."""
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
    if "@" in name and len(name) <= LONGEST and (found := _PIN.fullmatch(name.lower())):
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
    return _known_forms(name)[0] if len(name) <= LONGEST else _tagged(name.lower())


def unpinned(name: str) -> str:
    """The canonical form without the pin."""
    return _known_forms(name)[1] if len(name) <= LONGEST else _tagged(name.lower())


def _forms(name: str) -> tuple[str, str]:
    """Canonical, with the pin and without."""
    name = name.lower()
    if "@" in name:
        plain, digest = pinned(name)
        if digest is not None:
            plain = canonical(plain)
            return f"{plain}@{digest}", plain
    name = _tagged(name)
    return name, name


def _tagged(name: str) -> str:
    return name if ":" in name[name.rfind("/") + 1 :] else f"{name}:latest"


_known_forms: Final = lru_cache(REMEMBERED)(_forms)
