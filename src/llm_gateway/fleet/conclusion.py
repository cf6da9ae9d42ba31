"""What all verdicts about a model come to: the one line that answers "who would serve this now?"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from llm_gateway.access.policy import Trust
from llm_gateway.fleet.attempts import QUEUE_WAIT
from llm_gateway.fleet.explain import Verdict

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


@dataclass(frozen=True, slots=True)
class Conclusion:
    outcome: Outcome
    text: str
    """One or two sentences."""


def conclude(verdicts: Sequence[Verdict], backends: Sequence[str], trust: frozenset[Trust]) -> Conclusion:
    """`verdicts` as `explain.ranked` gives them; `backends` and `trust` are what they were asked with."""
    if not verdicts:
        return Conclusion("not_held", f"Nobody can serve it: no known server lists {_or(backends)}.")
    best = [v for v in verdicts if v.rank == verdicts[0].rank]
    if best[0].rank <= 1:
        return Conclusion("serves", _serves(best, backends))
    if best[0].rank == 2:
        those = _all(best, "server that may serve it and does not rest is", "that may serve it and do not rest are")
        return Conclusion("waits", f"{those} full or busy: a request waits up to {QUEUE_WAIT:.0f} s for a place.")
    if best[0].rank == 3:
        those = _all(best, "server that may serve it rests", "that may serve it rest")
        who = "It is" if len(best) == 1 else f"The least recently failed is ({_in_turn(best, backends)})"
        soonest = min(v.again_in or 0.0 for v in best)
        again = f"asked all the same. {'Its' if len(best) == 1 else 'The first'} rest ends in {_span(soonest)}."
        return Conclusion("tries_resting", f"{those}. {who} {again}")
    if best[0].standing == "quarantined":
        those = _all(best, "server that may serve it is", "that may serve it are")
        return Conclusion("quarantined", f"Nobody may serve it. {those} quarantined: another model under its name.")
    if best[0].standing == "incapable":
        those = _all(best, "server that may serve it", "that may serve it")
        reasons = sorted({v.reason.removeprefix("lacks ") for v in best})
        lacks = "lacks" if len({v.spec.id for v in best}) == 1 else "lack"
        return Conclusion("incapable", f"Nobody may serve it. {those} {lacks} {' or '.join(reasons)}.")
    if best[0].standing == "not_pinned":
        those = _all(best, "server that may serve it lists", "that may serve it list")
        return Conclusion("not_pinned", f"Nobody may serve it. {those} another digest than the pinned one.")
    those = _all(best, "server in service that holds it is", "in service that hold it are")
    if best[0].standing == "not_permitted":
        classes = _or(sorted({v.spec.trust.value for v in best}))
        own = _or(sorted(trust)) if trust else "none"
        return Conclusion("not_permitted", f"Nobody may serve it. {those} {classes}, and permitted is {own}.")
    those = _all(best, "server that holds it is", "that hold it are")
    return Conclusion("disabled", f"Nobody serves it. {those} out of service.")


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _serves(best: Sequence[Verdict], backends: Sequence[str]) -> str:
    first = [v for v in best if v.preference == best[0].preference]
    text = f"Would ask {_in_turn(best, backends)}."
    if len(first) > DRAWN:
        text += f" (Of {len(first)} servers a few are drawn by chance, and the best of these is asked.)"
    if (better := backends[: best[0].preference]) and best[0].preference:
        text += f" Nobody can serve {_or(better)} now."
    return text


def _in_turn(best: Sequence[Verdict], backends: Sequence[str]) -> str:
    names = [f"`{v.spec.name}`" + (f" ({v.model})" if len(backends) > 1 else "") for v in best]
    if len(names) == 1:
        return f"{names[0]}, and nobody else"
    more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{names[0]} first, then {', then '.join(names[1:NAMED])}{more}"


def _all(found: Sequence[Verdict], one: str, many: str) -> str:
    servers = len({v.spec.id for v in found})
    return f"The only {one}" if servers == 1 else f"All {servers} servers {many}"


def _or(names: Sequence[str]) -> str:
    return " or ".join(f"`{name}`" for name in names)
