"""What the version of a model server tells: which one is older, and who gives away what it was asked."""

from __future__ import annotations

import re
from typing import Final

MENDED: Final = (0, 17, 1)
"""Ollama before this sends its memory, prompts of others in it, to whoever asks (CVE-2026-7482)."""
_VERSION: Final = re.compile(r"v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?")


def leaks(kind: str, version: str | None) -> bool:
    """Is this a server that shows strangers what others asked? False where the version is unknown or none of a
    release (`0.0.0`)."""
    return kind == "ollama" and (0, 0, 0) < numbers(version) < MENDED


def numbers(version: str | None) -> tuple[int, ...]:
    """To be compared; zeros where the version is unknown or none of a release."""
    found = _VERSION.match(version or "")
    return tuple(int(part or 0) for part in found.groups()) if found else (0, 0, 0)
