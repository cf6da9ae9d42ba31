"""Keys of projects: how one is made, and all that is kept of it.

A key of ours is `llmgw_`, 32 random characters and 6 characters of checksum, in the manner of GitHub's tokens: a
scanner that finds such a text in a leak can tell offline that it is a key. Nothing else depends on the form;
`identify` looks up the hash of whatever was presented.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Final, NamedTuple

MARK: Final = "llmgw_"
BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRET: Final = 32
"""Random characters of a key: 190 bits."""
CHECK: Final = 6
RANDOM_BYTES: Final = 32
"""How many random bytes `make_key` wants: 256 bits brought to 190 leave no measurable bias."""


class Key(NamedTuple):
    """A key at the only moment when its text is known."""

    text: str
    """Shown once, stored nowhere."""
    hash: bytes
    prefix: str
    """With `last4`, what people recognise the key by."""
    last4: str

    def __repr__(self) -> str:
        return f"Key({self.prefix}…{self.last4})"


def make_key(random: bytes) -> Key:
    """A new key out of at least `RANDOM_BYTES` bytes of a cryptographic source; equal bytes give an equal key."""
    if len(random) < RANDOM_BYTES:
        raise ValueError(f"a key needs {RANDOM_BYTES} random bytes, not {len(random)}")
    secret = _base62(int.from_bytes(random, "big"), SECRET)
    return read_key(MARK + secret + _checksum(secret))


def read_key(text: str) -> Key:
    """What is kept of a key that somebody chose: of a foreign form only the first three characters are shown."""
    return Key(text, hash_key(text), text[: len(MARK) + 3] if looks_like_key(text) else text[:3], text[-4:])


def hash_key(text: str) -> bytes:
    """SHA-256, 32 bytes. A fast hash is right for secrets of 112 bits and more (OWASP ASVS 6.5.2)."""
    return hashlib.sha256(text.encode()).digest()


def looks_like_key(text: str) -> bool:
    """Has `text` the form and checksum of a key that this gateway makes? For scanners; says nothing of validity."""
    secret = text[len(MARK) : -CHECK]
    return (
        len(text) == len(MARK) + SECRET + CHECK
        and text.startswith(MARK)
        and all(c in BASE62 for c in secret)
        and text[-CHECK:] == _checksum(secret)
    )


def _checksum(secret: str) -> str:
    return _base62(zlib.crc32(secret.encode()), CHECK)


def _base62(number: int, length: int) -> str:
    """The last `length` digits of a number, the highest first."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(BASE62[digit])
    return "".join(reversed(digits))
