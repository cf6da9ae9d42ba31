"""Facts of one process as bytes for the others. Times travel as ages: no two hosts have the same monotonic clock.

Reading is tolerant, for during an upgrade two versions talk to each other: what is not known, or not as expected, is
left out, and fields that a fact has not yet, or no longer, do not matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from llm_gateway.fleet.facts import AttemptEnded, FirstToken, Judged, Lacks, Listed, ProbeFailed, Shown, Warm


class Same(msgspec.Struct, frozen=True):
    """The server answered its model list, which is what it was when it was last told."""

    server: str
    at: float
    version: str | None = None


Shared = Listed | Same | ProbeFailed | Warm | Shown | Lacks | FirstToken | AttemptEnded | Judged
KINDS: Final[dict[str, type[Shared]]] = {
    "listed": Listed,
    "same": Same,
    "probe_failed": ProbeFailed,
    "warm": Warm,
    "shown": Shown,
    "lacks": Lacks,
    "first_token": FirstToken,
    "attempt_ended": AttemptEnded,
    "judged": Judged,
}
LOOKS: Final = (Listed, Same, ProbeFailed, Warm, Shown)
"""What may be heard twice without harm: only the last one of a server counts."""
OLDEST: Final = 3600.0
"""Seconds; nothing older is worth hearing."""
_NAMES: Final = {kind: name for name, kind in KINDS.items()}
_pack: Final = msgspec.msgpack.Encoder().encode


def packed(fact: Shared, now: float) -> bytes:
    """One fact; `now` is the time of the clock that it was dated with."""
    return _pack((_NAMES[type(fact)], replace(fact, at=max(0.0, now - fact.at))))


def bundle(facts: Iterable[bytes]) -> bytes:
    """Several packed facts as one message."""
    return _pack([msgspec.Raw(fact) for fact in facts])


def unbundled(message: bytes, now: float, under_way: float = 0.0) -> Iterator[Shared]:
    """The facts of a message that was sent so many seconds ago, dated with the clock that says `now`."""
    try:
        raws = msgspec.msgpack.decode(message, type=list[msgspec.Raw])
    except msgspec.DecodeError:
        return
    for raw in raws:
        try:
            name, fields = msgspec.msgpack.decode(raw, type=tuple[str, dict[str, Any]])
            if (kind := KINDS.get(name)) is None:
                continue
            fact: Shared = msgspec.convert(fields, kind)
        except (msgspec.DecodeError, RecursionError):
            continue
        age = fact.at + under_way
        if math.isfinite(age) and 0.0 <= age <= OLDEST:
            yield replace(fact, at=now - age)
