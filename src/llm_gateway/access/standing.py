"""How a caller stands against its limits, as headers of any answer tell it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from llm_gateway.access.accounts import Standing

Headers = list[tuple[bytes, bytes]]

POLICIES: Final = {"rpm": "requests", "tpm": "tokens", "day": "tokens", "month": "tokens"}
"""Names of policies, in the order of their headers -> what they count."""
MINUTES: Final = {"rpm": b"requests", "tpm": b"tokens"}
"""The policies that OpenAI's headers know, and their names there."""
DUST: Final = 5e-7
"""Milliseconds that are none: what is left of sums of floats."""
SHAPES: Final = 1024
"""Combinations of limits whose lines are kept ready."""
_WINDOWS: Final = {"rpm": b";w=60", "tpm": b";w=60", "day": b";w=86400", "month": b""}  # months differ
_UNITS: Final = {"requests": b"", "tokens": b';qu="tokens"'}


def rate_lines(standings: Mapping[str, Standing]) -> bytes:
    """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11), one item for each policy, and
    OpenAI's `x-ratelimit-*`, which know of minutes only, as they stand in an answer's head: nothing where there is no
    limit. By the names of POLICIES."""
    if not standings:
        return b""
    shape: list[tuple[str, int]] = []
    states: list[int] = []
    minutes: list[int | bytes] = []
    for name in POLICIES:
        if (standing := standings.get(name)) is not None:
            limit, remaining, reset = standing
            shape.append((name, limit))
            states += (remaining, math.ceil(reset))
            if name in MINUTES:
                minutes += (remaining, spelled(whole_milliseconds(reset)))
    return template_of(tuple(shape)) % (*states, *minutes)


def rate_headers(standings: Mapping[str, Standing]) -> Headers:
    """`rate_lines` by name and value."""
    return headers_of(rate_lines(standings))


@lru_cache(SHAPES)
def template_of(shape: tuple[tuple[str, int], ...]) -> bytes:
    """The lines for such limits, with places for what is left of them."""
    policies = [b'"%b";q=%d%b%b' % (n.encode(), limit, _UNITS[POLICIES[n]], _WINDOWS[n]) for n, limit in shape]
    states = [b'"%b";r=%%d;t=%%d' % name.encode() for name, _ in shape]
    lines = b"ratelimit-policy: %b\r\nratelimit: %b\r\n" % (b", ".join(policies), b", ".join(states))
    for name, limit in shape:
        if (kind := MINUTES.get(name)) is not None:
            lines += (b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: %%d\r\nx-ratelimit-reset-%b: %%b\r\n") % (
                kind,
                limit,
                kind,
                kind,
            )
    return lines


def lines_of(headers: Headers) -> bytes:
    """As they stand in a head."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def headers_of(lines: bytes) -> Headers:
    """The other way round."""
    pairs = (line.partition(b": ") for line in lines.split(b"\r\n")[:-1])
    return [(name, value) for name, _, value in pairs]


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
    return spelled(whole_milliseconds(seconds)).decode()


@lru_cache(SHAPES)
def spelled(milliseconds: int) -> bytes:
    """The same of whole milliseconds, as it stands in a head."""
    if 0 < milliseconds < 1000:
        return b"%dms" % milliseconds
    minutes, whole = divmod(math.ceil(milliseconds / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return (b"%dh" % hours if hours else b"") + (b"%dm" % minutes if hours or minutes else b"") + b"%ds" % whole


def whole_milliseconds(seconds: float) -> int:
    """Rounded up, but not for the dust that floats leave behind a whole number."""
    whole = math.ceil(seconds * 1000 - DUST)
    return whole if whole > 0 else 0
