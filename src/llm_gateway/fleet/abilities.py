"""What a model on a server is able to: by its own word, by that of others that hold the same model, and by refusals.

A server's own word (its list, or what it shows of the model) is all there is to say about its model. Where it is
silent, the same digest is the same model: what others say of that counts for it, too. Strangers are believed about
strangers only: that a model is able to something at once, that it is not when two agree, so that no single one puts a
model's holders out for requests that they could serve. An older version may know less of a model than it can do, so
only the word of a version that is not older proves that something is lacking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from llm_gateway.access.policy import Trust
from llm_gateway.fleet.versions import numbers
from llm_gateway.wire.models import CAPABILITIES, ModelShow

if TYPE_CHECKING:
    from llm_gateway.fleet.server import ModelState

LACK_LASTS: Final = 86_400.0
"""Seconds for which a refusal is believed."""
AGREED: Final = 2
"""Strangers that must say the same before something is taken for lacking at others."""
NOTHING: Final[frozenset[str]] = frozenset()


@dataclass(slots=True, eq=False)
class Abilities:
    """Of one model on one server, as long as its digest and the server's version stay the same."""

    has: frozenset[str] = NOTHING
    """What it is said to be able to; settled by `settle`."""
    sure: bool = False
    """Is that all that it is able to?"""
    lacks: dict[str, float] = field(default_factory=dict)
    """What it refused for want of it, and until when that is believed."""
    shown: ModelShow | None = None
    """What the server shows of it; None = it was not asked yet."""

    def able(self, needs: frozenset[str], now: float) -> bool | None:
        """Is it able to all of these? None = nobody knows."""
        if self.lacks and any(now < self.lacks.get(need, now) for need in needs):
            return False
        if needs <= self.has:
            return True
        return False if self.sure else None

    def lacking(self, now: float) -> frozenset[str]:
        """All that it is known not to be able to."""
        missing = frozenset(CAPABILITIES).difference(self.has) if self.sure else NOTHING
        return missing.union(name for name, until in self.lacks.items() if now < until)

    def refused(self, capability: str, now: float) -> None:
        self.lacks[capability] = now + LACK_LASTS

    def forget(self) -> None:
        """The server is another version: it may be able to more, or less, and tell more."""
        self.lacks.clear()
        self.shown = None


def settle(states: Sequence[ModelState]) -> None:
    """Finds out anew what each of these is able to. They are all that list one digest, or a single one without any."""
    words = [(state, word) for state in states if (word := _own_word(state))]
    own = _Word([(s, word) for s, word in words if s.server.spec.trust is not Trust.PUBLIC], 1)
    public = _Word([(s, word) for s, word in words if s.server.spec.trust is Trust.PUBLIC], AGREED)
    for state in states:
        abilities = state.abilities
        word = _own_word(state)
        if word:
            abilities.has, abilities.sure = word, True
            continue
        others = public if state.server.spec.trust is Trust.PUBLIC and not own.has else own
        abilities.has, abilities.sure = others.has, others.proves(state)


class _Word:
    """What some servers say together of one model."""

    def __init__(self, words: Sequence[tuple[ModelState, frozenset[str]]], enough: int) -> None:
        self.has = NOTHING.union(*(word for _, word in words))
        self._enough = len({state.server.spec.id for state, _ in words}) >= enough
        self._version = max((numbers(state.server.version) for state, _ in words), default=())

    def proves(self, state: ModelState) -> bool:
        """Does what they do not say prove that it is lacking there?"""
        return self._enough and self._version >= numbers(state.server.version)


def _own_word(state: ModelState) -> frozenset[str]:
    shown = state.abilities.shown
    return frozenset(state.listed.capabilities or (shown.capabilities if shown else ()))


def lacking(states: Iterable[ModelState], needs: frozenset[str], now: float) -> frozenset[str]:
    """What of `needs` none of these is able to, as far as is known; all of them where each one is lacking something
    else. Empty when one may be able to all, and where there is nobody."""
    found = list(states)
    if not found or any(state.abilities.able(needs, now) is not False for state in found):
        return NOTHING
    nobody = needs.intersection(*(state.abilities.lacking(now) for state in found))
    return nobody or needs


def snapshot(abilities: Abilities, now: float) -> dict[str, object] | None:
    """What was learnt, as plain JSON values; None = nothing."""
    lacks = {name: until - now for name, until in abilities.lacks.items() if now < until}
    show = abilities.shown
    if show is None:
        return {"lacks": lacks} if lacks else None
    return {"lacks": lacks, "shown": {name: getattr(show, name) for name in show.__struct_fields__}}


def restore(abilities: Abilities, kept: Mapping[str, object], now: float, age: float) -> None:
    """Fills in what a snapshot of `age` seconds ago knew; what is not as expected is left out."""
    lacks = kept.get("lacks")
    for name, left in lacks.items() if isinstance(lacks, dict) else ():
        if name in CAPABILITIES and isinstance(left, int | float) and age < left <= LACK_LASTS:
            abilities.lacks[name] = now - age + left
    shown = kept.get("shown")
    if isinstance(shown, dict):
        abilities.shown = ModelShow.kept(shown)
