"""Objects -> JSON bytes that every known client can cut into lines."""

from __future__ import annotations

from typing import Final

import msgspec

from llm_gateway.wire.neutral import Json

_encode: Final = msgspec.json.Encoder().encode


def encode(value: Json) -> bytes:
    """Compact JSON. U+2028, U+2029 and U+0085 are escaped: httpx's `iter_lines` takes them for line ends and
    clients built on it break in the middle of a frame."""
    raw = _encode(value)
    # outside of strings JSON is ASCII, so the three can only stand where an escape is allowed
    return raw if raw.isascii() else _escaped(raw)


def encode_text(text: str) -> bytes:
    """As `encode`, for the one thing that is encoded for every token: `isascii` of a str costs nothing."""
    return _encode(text) if text.isascii() else _escaped(_encode(text))


def _escaped(raw: bytes) -> bytes:
    return (
        raw.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029").replace(b"\xc2\x85", b"\\u0085")
    )
