"""How a caller stands against its limits, as headers of any answer tell it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from llm_gateway.access.accounts import Standing

Headers = list[tuple[bytes, bytes]]

POLICIES: Final = {"rpm": "requests", "tpm": "tokens", "day": "tokens", "month": "tokens"}
"""Names of policies, in the order of their headers -> what they count."""
_WINDOWS: Final = {"rpm": b";w=60", "tpm": b";w=60", "day": b";w=86400", "month": b""}  # months differ
_UNITS: Final = {"requests": b"", "tokens": b';qu="tokens"'}


def rate_headers(standings: Mapping[str, Standing]) -> Headers:
    """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11), one item for each policy, and
    OpenAI's `x-ratelimit-*`, which know of minutes only: nothing where there is no limit. By the names of POLICIES."""
    given = [(name, standings[name]) for name in POLICIES if name in standings]
    if not given:
        return []
    policies = [
        b'"%b";q=%d%b%b' % (name.encode(), s.limit, _UNITS[POLICIES[name]], _WINDOWS[name]) for name, s in given
    ]
    states = [b'"%b";r=%d;t=%d' % (name.encode(), s.remaining, math.ceil(s.reset)) for name, s in given]
    headers = [(b"ratelimit-policy", b", ".join(policies)), (b"ratelimit", b", ".join(states))]
    for name, kind in (("rpm", b"requests"), ("tpm", b"tokens")):
        if (s := standings.get(name)) is not None:
            headers += [
                (b"x-ratelimit-limit-" + kind, b"%d" % s.limit),
                (b"x-ratelimit-remaining-" + kind, b"%d" % s.remaining),
                (b"x-ratelimit-reset-" + kind, spell(s.reset).encode()),
            ]
    return headers


def retry_headers(seconds: float | None) -> Headers:
    """`Retry-After` in whole seconds, `retry-after-ms` for clients that know it; both rounded up."""
    if seconds is None:
        return []
    milliseconds = whole_milliseconds(seconds)
    return [
        (b"retry-after", b"%d" % math.ceil(milliseconds / 1000)),
        (b"retry-after-ms", b"%d" % milliseconds),
    ]


def spell(seconds: float) -> str:
    """A wait as OpenAI writes it, rounded up: `250ms`, `12s`, `6m0s`, `1h0m5s`."""
    milliseconds = whole_milliseconds(seconds)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, whole = divmod(math.ceil(milliseconds / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{whole}s"


def whole_milliseconds(seconds: float) -> int:
    """Rounded up, but not for the dust that floats leave behind a whole number."""
    return max(0, math.ceil(round(seconds * 1000, 6)))
