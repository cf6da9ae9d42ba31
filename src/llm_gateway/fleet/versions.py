"""Which versions of a model server give away what they were asked."""

from __future__ import annotations

import re
from typing import Final

MENDED: Final = (0, 17, 1)
"""Ollama before this sends its memory, prompts of others in it, to whoever asks (CVE-2026-7482)."""
_VERSION: Final = re.compile(r"v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?")


def leaks(kind: str, version: str | None) -> bool:
    """Is this a server that shows strangers what others asked? False where the version is unknown or none of a
    release (`0.0.0`)."""
    found = _VERSION.match(version or "")
    if kind != "ollama" or found is None:
        return False
    numbers = tuple(int(part or 0) for part in found.groups())
    return (0, 0, 0) < numbers < MENDED
