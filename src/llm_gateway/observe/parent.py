"""The trace that a client's request belongs to: its `traceparent` header, if it is one (W3C Trace Context).

It is read and never handed on: servers of strangers learn nothing of their callers' systems.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_HEADER: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


class Parent(NamedTuple):
    """All in lower-case hexadecimal."""

    trace: str
    span: str
    flags: str


def trace_of(header: str | None) -> Parent | None:
    """None for no header and for one that is none."""
    if header is None or (found := _HEADER.fullmatch(header)) is None:
        return None
    return Parent(found[1], found[2], found[3])
