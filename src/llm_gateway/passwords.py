"""Passwords of admin users: which are good enough, and how they are kept.

Kept as argon2id with the parameters of RFC 9106 §4 for little memory (64 MiB, three passes). Hashing takes about a
tenth of a second of a whole core: callers do it in a thread, one at a time.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST: Final = 15
LONGEST: Final = 200
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
"""A user's."""
NOBODYS: Final = "$argon2id$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
"""The hash of no password, to compare with where there is no user: it takes as long as a real one."""
_KINDS: Final = 6
"""Different characters that a password has at least."""
_RUNS: Final = ("1234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm", "qwertzuiopasdfghjklyxcvbnm")
_COMMON: Final = frozenset(
    {
        "1q2w3e4r5t6y7u8i9o0p", "administrator123", "adminadminadmin1", "changemechangeme", "changeme12345678",
        "correcthorsebatterystaple", "defaultpassword", "iloveyou12345678", "letmeinletmein12", "llm-gateway-admin",
        "llmgatewayadmin1", "mypassword123456", "newpassword12345", "p@ssw0rdp@ssw0rd", "password12345678",
        "password1234567890", "passwordpassword1", "qwerty1234567890", "qwertyuiop123456", "supersecretpassword",
        "thisisapassword", "thisismypassword", "welcome123456789", "yourpasswordhere", "contraseña123456",
        "micontraseña1234", "administrador123", "cambiameporfavor",
    }
)  # fmt: skip


def weakness(password: str, name: str = "") -> str | None:
    """What is wrong with a password, as it goes on after "must"; None: nothing. `name` is its user's."""
    if len(password) < SHORTEST:
        return f"have at least {SHORTEST} characters"
    if len(password) > LONGEST:
        return f"have at most {LONGEST} characters"
    folded = password.casefold()
    long = len(folded)
    repeated = any((folded[:n] * long)[:long] == folded for n in range(1, long // 2 + 1))
    run = any(folded in way * 9 for line in _RUNS for way in (line, line[::-1]))
    if folded in _COMMON or len(set(folded)) < _KINDS or repeated or run:
        return "not be one that is guessed at first: take several words that have nothing to do with each other"
    if name and len(folded.replace(name.casefold(), "")) < SHORTEST // 2:
        return "be more than the user's name"
    return None


def hashed(password: str) -> str:
    """As it is kept: parameters, salt and hash. Takes its time."""
    return _hasher().hash(_bytes(password))


def matches(kept: str | None, password: str) -> bool:
    """Is it this password? Takes the same time where nothing is kept. False for a hash that is none."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(kept or NOBODYS, _bytes(password)) and kept is not None
    except (VerificationError, InvalidHashError):
        return False


def outdated(kept: str) -> bool:
    """Was it hashed with other parameters than today's?"""
    return _hasher().check_needs_rehash(kept)


def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher  # only here: most processes never see a password
    from argon2.profiles import RFC_9106_LOW_MEMORY

    return PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)


def _bytes(password: str) -> bytes:
    """The same for each way to type it (NIST SP 800-63B §3.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode(errors="surrogatepass")
