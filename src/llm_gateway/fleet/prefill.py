"""Who can go on with an answer that somebody else began, and by which way: learnt once, remembered, corrected.

It is a matter of the model's chat template and of the server's software, so what one server showed holds for all
with the same digest and version, until one of them shows otherwise: then each is asked for itself. Pure: times
(seconds on the gateway's monotonic clock) are arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from llm_gateway.wire.neutral import ChatRequest, Message

FORGET: Final = 1_800.0
"""Seconds after which a server that began anew is asked again how it does: it may have been an accident."""
DOUBTS: Final = 2
"""Failures in a row that a way may have that worked before: an answer that repeats itself looks like one."""
MOST_KNOWN: Final = 10_000
"""Entries kept of servers, and of templates."""
PROBE_TOKENS: Final = 24
PROBE_SAME: Final = 8
"""Characters of the second half that must come out the same."""


class Way(Enum):
    """How a server is asked to go on."""

    PREFILL = "prefill"
    """The partial answer is the last message: the template leaves it open."""
    RAW = "raw"
    """The server renders the conversation, the partial answer is appended, and that text is the prompt."""


class Voice(NamedTuple):
    """One model on one server, as far as its template goes."""

    server: str
    model: str
    """Canonical name."""
    kind: str
    digest: str | None
    version: str | None


@dataclass(slots=True)
class _Known:
    """None = not known."""

    prefill: bool | None = None
    raw: bool | None = None
    at: float = 0.0
    doubts: int = 0


@dataclass(slots=True)
class _Shared:
    known: _Known
    contradicted: bool = False


class Skills:
    """What has been learnt about ways to go on."""

    def __init__(self) -> None:
        self._own: dict[Voice, _Known] = {}
        self._shared: dict[tuple[str, str, str], _Shared] = {}

    def way(self, voice: Voice, now: float) -> Way | None:
        """The way that is known to work; None when none is known (yet)."""
        known = self._known(voice, now)
        return Way.PREFILL if known.prefill else Way.RAW if known.raw else None

    def knows(self, voice: Voice, way: Way, now: float) -> bool | None:
        """Does this way work? None = not known."""
        known = self._known(voice, now)
        return known.prefill if way is Way.PREFILL else known.raw

    def hopeless(self, voice: Voice, now: float) -> bool:
        """Is it known that no way works?"""
        known = self._known(voice, now)
        return known.prefill is False and known.raw is False

    def learnt(self, voice: Voice, way: Way, works: bool, now: float) -> None:
        """From an answer, a rendering or a probe of this very server."""
        known = self._own.setdefault(voice, _Known())
        if len(self._own) > MOST_KNOWN:
            del self._own[next(iter(self._own))]
        known.at = now
        worked = known.prefill if way is Way.PREFILL else known.raw
        known.doubts = 0 if works else known.doubts + 1
        if worked and not works and known.doubts < DOUBTS:
            return
        _set(known, way, works)
        if voice.digest is None or voice.version is None:
            return
        shared = self._shared.setdefault((voice.kind, voice.digest, voice.version), _Shared(_Known()))
        if len(self._shared) > MOST_KNOWN:
            del self._shared[next(iter(self._shared))]
        before = shared.known.prefill if way is Way.PREFILL else shared.known.raw
        shared.contradicted = shared.contradicted or (before is not None and before != works)
        _set(shared.known, way, works)

    def _known(self, voice: Voice, now: float) -> _Known:
        own = self._own.get(voice)
        if own is not None:
            if not (own.prefill and own.raw) and now >= own.at + FORGET:
                own.prefill, own.raw = own.prefill or None, own.raw or None
            return own
        if voice.digest is not None and voice.version is not None:
            shared = self._shared.get((voice.kind, voice.digest, voice.version))
            if shared is not None and not shared.contradicted:
                # only what works is taken on trust: what failed once elsewhere is worth a look here
                return _Known(shared.known.prefill or None, shared.known.raw or None)
        return _Known()


def _set(known: _Known, way: Way, works: bool) -> None:
    if way is Way.PREFILL:
        known.prefill = works
    else:
        known.raw = works


def probe() -> ChatRequest:
    """A question whose answer, at temperature 0, is long enough to be cut in two. Nothing of a caller's is in it."""
    return ChatRequest("", [Message("user", "Write the numbers from one to fifty in words, separated by commas.")])


def probe_again(pieces: list[str]) -> ChatRequest | None:
    """The same question with the first half of the answer; None when there was too little of it."""
    half, rest = _halves(pieces)
    if len(rest) < PROBE_SAME or not half.strip():
        return None
    ask = probe()
    return ChatRequest(ask.model, [*ask.messages, Message("assistant", half)])


def went_on(pieces: list[str], second: str) -> bool:
    """Does the answer to `probe_again` begin as the second half did?"""
    half, rest = _halves(pieces)
    same = min(len(rest), len(second), PROBE_TOKENS)
    return same >= PROBE_SAME and rest[:same] == second[:same] and not half.startswith(second[:same])


def _halves(pieces: list[str]) -> tuple[str, str]:
    middle = len(pieces) // 2
    return "".join(pieces[:middle]), "".join(pieces[middle:])
