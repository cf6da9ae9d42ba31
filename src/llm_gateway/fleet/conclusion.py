"""What all verdicts about a model come to: the one line that answers "who would serve this now?"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from llm_gateway.access.policy import Trust
from llm_gateway.fleet.attempts import QUEUE_WAIT
from llm_gateway.fleet.explain import Verdict
from llm_gateway.said import Said, Template, Value, joined, say

Outcome = Literal[
    "serves",
    "waits",
    "tries_resting",
    "quarantined",
    "incapable",
    "not_pinned",
    "not_permitted",
    "disabled",
    "not_held",
]

DRAWN: Final = 2
"""Servers that a policy surely compares; of more it draws a few by chance."""
NAMED: Final = 3
"""Servers that a sentence names."""


ConclusionCode = Literal[
    "asks_one",
    "asks_in_turn",
    "asks_in_turn_and_more",
    "some_are_drawn",
    "preferred_cannot",
    "all_wait",
    "all_rest",
    "asked_while_resting",
    "asked_while_resting_in_turn",
    "asked_while_resting_in_turn_and_more",
    "rest_ends",
    "nobody_may",
    "all_quarantined",
    "all_incapable",
    "all_not_pinned",
    "all_not_permitted",
    "nothing_permitted",
    "nobody_serves",
    "all_disabled",
    "not_held",
]
CONCLUSIONS: Final[dict[ConclusionCode, Template]] = {
    "asks_one": "Would ask {server}, and nobody else.",
    "asks_in_turn": "Would ask {server} first, then {others:then}.",
    "asks_in_turn_and_more": "Would ask {server} first, then {others:then}, and {more} more.",
    "some_are_drawn": "(Of {drawn_from} servers a few are drawn by chance, and the best of these is asked.)",
    "preferred_cannot": "Nobody can serve {models:or} now.",
    "all_wait": (
        "The only server that may serve it and does not rest is full or busy: a request waits up to {seconds} for a "
        "place.",
        "All {count} servers that may serve it and do not rest are full or busy: a request waits up to {seconds} for a "
        "place.",
    ),
    "all_rest": (
        "The only server that may serve it rests.",
        "All {count} servers that may serve it rest.",
    ),
    "asked_while_resting": "It is asked all the same.",
    "asked_while_resting_in_turn": (
        "The least recently failed is ({server} first, then {others:then}) asked all the same."
    ),
    "asked_while_resting_in_turn_and_more": (
        "The least recently failed is ({server} first, then {others:then}, and {more} more) asked all the same."
    ),
    "rest_ends": ("Its rest ends in {seconds}.", "The first rest ends in {seconds}."),
    "nobody_may": "Nobody may serve it.",
    "all_quarantined": (
        "The only server that may serve it is quarantined: another model under its name.",
        "All {count} servers that may serve it are quarantined: another model under its name.",
    ),
    "all_incapable": (
        "The only server that may serve it lacks {lacks:or}.",
        "All {count} servers that may serve it lack {lacks:or}.",
    ),
    "all_not_pinned": (
        "The only server that may serve it lists another digest than the pinned one.",
        "All {count} servers that may serve it list another digest than the pinned one.",
    ),
    "all_not_permitted": (
        "The only server in service that holds it is {trust:or}, and permitted is {permitted:or}.",
        "All {count} servers in service that hold it are {trust:or}, and permitted is {permitted:or}.",
    ),
    "nothing_permitted": (
        "The only server in service that holds it is {trust:or}, and permitted is none.",
        "All {count} servers in service that hold it are {trust:or}, and permitted is none.",
    ),
    "nobody_serves": "Nobody serves it.",
    "all_disabled": (
        "The only server that holds it is out of service.",
        "All {count} servers that hold it are out of service.",
    ),
    "not_held": "Nobody can serve it: no known server lists {models:or}.",
}


@dataclass(frozen=True, slots=True)
class Conclusion:
    outcome: Outcome
    said: tuple[Said[ConclusionCode], ...]
    """One to three sentences."""

    @property
    def text(self) -> str:
        return joined(self.said)


def conclude(verdicts: Sequence[Verdict], backends: Sequence[str], trust: frozenset[Trust]) -> Conclusion:
    """`verdicts` as `explain.ranked` gives them; `backends` and `trust` are what they were asked with."""
    if not verdicts:
        return Conclusion("not_held", (_say("not_held", models=_names(backends)),))
    best = [v for v in verdicts if v.rank == verdicts[0].rank]
    servers = len({v.spec.id for v in best})
    if best[0].rank <= 1:
        return Conclusion("serves", _serves(best, backends))
    if best[0].rank == 2:
        return Conclusion("waits", (_say("all_wait", count=servers, seconds=QUEUE_WAIT),))
    if best[0].rank == 3:
        soonest = min(v.again_in or 0.0 for v in best)
        asked = _in_turn(best, backends, "asked_while_resting")
        ends = _say("rest_ends", count=len(best), seconds=soonest)
        return Conclusion("tries_resting", (_say("all_rest", count=servers), asked, ends))
    match best[0].standing:
        case "quarantined":
            return Conclusion("quarantined", (_say("nobody_may"), _say("all_quarantined", count=servers)))
        case "incapable":
            lacks = sorted({v.reason.removeprefix("lacks ") for v in best})
            said = _say("all_incapable", count=servers, lacks=tuple(lacks))
            return Conclusion("incapable", (_say("nobody_may"), said))
        case "not_pinned":
            return Conclusion("not_pinned", (_say("nobody_may"), _say("all_not_pinned", count=servers)))
        case "not_permitted":
            classes, own = _names(sorted({v.spec.trust.value for v in best})), _names(sorted(trust))
            said = _say("nothing_permitted", count=servers, trust=classes)
            if trust:
                said = _say("all_not_permitted", count=servers, trust=classes, permitted=own)
            return Conclusion("not_permitted", (_say("nobody_may"), said))
    return Conclusion("disabled", (_say("nobody_serves"), _say("all_disabled", count=servers)))


def _say(code: ConclusionCode, **values: Value) -> Said[ConclusionCode]:
    return say(CONCLUSIONS, code, **values)


def _serves(best: Sequence[Verdict], backends: Sequence[str]) -> tuple[Said[ConclusionCode], ...]:
    said = [_in_turn(best, backends, "asks")]
    alike = sum(v.preference == best[0].preference for v in best)
    if alike > DRAWN:
        said.append(_say("some_are_drawn", drawn_from=alike))
    if better := backends[: best[0].preference]:
        said.append(_say("preferred_cannot", models=_names(better)))
    return tuple(said)


def _in_turn(
    best: Sequence[Verdict], backends: Sequence[str], how: Literal["asks", "asked_while_resting"]
) -> Said[ConclusionCode]:
    """Who is asked first, and who after that."""
    one, few, many = _TURNS[how]
    first, *others = [f"`{v.spec.name}`" + (f" ({v.model})" if len(backends) > 1 else "") for v in best]
    shown = tuple(others[: NAMED - 1])
    if not others:
        return _say(one, server=first)
    if len(shown) == len(others):
        return _say(few, server=first, others=shown)
    return _say(many, server=first, others=shown, more=len(others) - len(shown))


_TURNS: Final[dict[str, tuple[ConclusionCode, ConclusionCode, ConclusionCode]]] = {
    "asks": ("asks_one", "asks_in_turn", "asks_in_turn_and_more"),
    "asked_while_resting": (
        "asked_while_resting",
        "asked_while_resting_in_turn",
        "asked_while_resting_in_turn_and_more",
    ),
}
"""The sentences for one server, for a few, and for more than are named."""


def _names(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"`{name}`" for name in names)
