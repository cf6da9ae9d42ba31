"""Is a model what its name says? Judged by what all servers list, without asking any of them.

A model is its name and its digest. Equal digests are equal files (Ollama: the SHA-256 of the manifest), so a server
that lists another digest than nearly all others offers another model under that name: an older pull of the tag at
best. And a list may contradict itself: a `gpt-oss:20b` whose details tell of a `gemma3` with 4.3 billion parameters.

These doubts rest on evidence, not on a timer: they are judged anew with every list that changes something, and end
with what caused them. Own servers' word counts for more than any number of strangers', and where there is no majority
nobody is doubted. Tags are updated: while the strangers of a fleet pull a new digest one by one, the smaller part is
doubted, at the turning point nobody is, and never all of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from llm_gateway.access.policy import Trust
from llm_gateway.fleet.facts import ListedModel
from llm_gateway.names import canonical, pinned

VOTE_LASTS: Final = 86_400.0
"""Seconds for which a server's list counts after it was last answered: long enough that no honest majority is undone
by a bad day, short enough that servers which are gone for good do not decide what an updated tag means."""
JUDGED_AGAIN: Final = 600.0
"""Seconds after which all is judged anew although no list has changed: votes expire."""
MAJORITY: Final = 2
"""Servers that have to agree on a digest."""
ALIASES: Final = 16
"""Names that a stranger may have for one digest. Each holder of a digest is a holder of all its names, so that a few
lists of hundreds of names for everybody's favourite model would keep the gateway busy with nothing else."""
GROSS: Final = 2.0
"""A size that is off by more than this factor is no rounding. Between the names and the details of Ollama's library lie
at most 1.8 (`moondream:1.8b`, listed as 1B)."""

LINES: Final[dict[str, tuple[str, ...]]] = {
    "gemma": ("gemma",),
    "qwen": ("qwen",),
    "gpt-oss": ("gptoss", "gpt-oss"),
    "llama": ("llama", "mllama"),
}
"""Begin of a name -> how the families (GGUF's `general.architecture`) of such models begin. Only lines of
models that share no architecture: a `mistral` is a `llama` there, and a `deepseek-r1:8b` is a `qwen3`."""

_SIZE: Final = re.compile(
    r"(?<![a-z0-9.])(?:(?P<experts>\d{1,3})x)?(?P<effective>e?)(?P<count>\d{1,4}(?:\.\d{1,3})?)(?P<unit>[mbt])(?![a-z0-9])"
)
"""`20b`, `1.5b`, `360m`, `8x7b`, `e4b`. Not `a3b`: of so many parameters only the active ones."""
_TOLD: Final = re.compile(r"\s*(?P<count>\d{1,6}(?:\.\d{1,6})?)\s*(?P<unit>[kmbt])", re.IGNORECASE)
_UNITS: Final = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_CONTEXT: Final = 10e6
"""`…-1m` tells of a context of a million tokens, not of a size."""


class Doubt(NamedTuple):
    """Why a model on a server is asked for nothing, except by those who pinned its very digest."""

    kind: Literal["wrong_digest", "misnamed"]
    reason: str
    """For people."""


class Noticed(NamedTuple):
    """Something about a server's identity that an administrator should hear of."""

    server: str
    """Id."""
    name: str
    """What people call the server."""
    model: str | None
    """As the server lists it; None = it is about the whole server."""
    reason: str
    """A kind of `Doubt`, or a `FaultKind`."""
    detail: str
    out: bool = True
    """Is it quarantined for that? An own server that pulled another digest is only noted."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one server lists under a name."""

    server: str
    trust: Trust
    listed: ListedModel
    votes: bool = True
    """Is its list fresh enough to say something about others?"""
    renewed: bool = False
    """Was its digest seen to change? An own server pulled the tag again, and is ahead of the others."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of all servers that list one name."""

    doubts: dict[str, Doubt]
    """By server."""
    known: frozenset[str]
    """The digests that the name stands for; empty = nobody can tell."""
    own: bool
    """Do own servers say so?"""

    @property
    def digest(self) -> str | None:
        """The digest that the name stands for, if it is one."""
        return next(iter(self.known)) if len(self.known) == 1 else None


def judge(name: str, claims: Sequence[Claim]) -> Judgement:
    """Who of those that list `name` (canonical) is not to be believed.

    Own servers are measured by own servers only, and one that pulled the tag anew by none. What they list is what the
    name stands for; only where they list no digest, it is what most strangers list.
    """
    doubts: dict[str, Doubt] = {}
    own = [claim for claim in claims if claim.trust is Trust.OWN]
    favourite = _majority(own)
    if favourite is not None:
        for claim in own:
            if not claim.renewed and claim.listed.digest not in (None, favourite):
                doubts[claim.server] = _differs(claim, favourite, "most own servers list")
    ours = [c for c in own if c.votes and c.listed.digest and c.server not in doubts]
    known = frozenset(c.listed.digest for c in ours if c.listed.digest)
    named_so = {(c.listed.digest, contradiction(name, c.listed)) for c in ours}
    strangers = [claim for claim in claims if claim.trust is not Trust.OWN]
    for claim in strangers:
        wrong = contradiction(name, claim.listed)
        if wrong is not None and (claim.listed.digest, wrong) not in named_so:
            doubts[claim.server] = Doubt("misnamed", wrong)
    by_own = bool(known)
    if not by_own:
        favourite = _majority([claim for claim in strangers if claim.server not in doubts])
        known = frozenset((favourite,)) if favourite is not None else known
    if known:
        who = "own servers list" if by_own else "most servers list"
        for claim in strangers:
            if claim.listed.digest is not None and claim.listed.digest not in known and claim.server not in doubts:
                doubts[claim.server] = _differs(claim, min(known), who)
    return Judgement(doubts, known, by_own)


def vouched(claim: Claim, claims: Sequence[Claim], judgement: Judgement) -> bool:
    """Does anybody else list the digest of `claim`, and nothing speaks against it?"""
    if claim.server in judgement.doubts or claim.listed.digest is None:
        return False
    if judgement.known:
        return claim.listed.digest in judgement.known
    return any(c.votes and c.listed.digest == claim.listed.digest for c in claims if c.server != claim.server)


def taken_over(models: Sequence[ListedModel], trust: Trust) -> list[ListedModel]:
    """What is taken over of a list: each name once, and none that looks like a pinned one, for whoever holds that
    digest says so in its own field. Of a stranger's names for one digest only the first `ALIASES`."""
    found: dict[str, ListedModel] = {}
    names: Counter[str | None] = Counter()
    for model in models:
        name = canonical(model.name)
        if name in found or pinned(name).digest is not None:
            continue
        names[model.digest] += 1
        if trust is Trust.OWN or model.digest is None or names[model.digest] <= ALIASES:
            found[name] = model
    return list(found.values())


def contradiction(name: str, listed: ListedModel) -> str | None:
    """How the details that a server lists contradict the model's name, in words; None where they do not, or where
    name or details say nothing."""
    return _contradiction(name, listed.family, listed.parameter_size)


@lru_cache(maxsize=4096)
def _contradiction(name: str, family: str | None, parameter_size: str | None) -> str | None:
    name = name.rpartition("/")[2].lower()
    line, its = _line(name, LINES), _of_family(family)
    if line is not None and its is not None and line != its:
        return f"it is called {name} and its family is {family}"
    sizes = list(_sizes(name))
    told = _TOLD.match(parameter_size or "")
    if not sizes or told is None:
        return None
    count = float(told["count"]) * _UNITS[told["unit"].lower()]
    if not count or any(low / GROSS <= count <= high * GROSS for low, high in sizes):
        return None
    return f"it is called {name} and has {parameter_size} parameters"


def _line(name: str, lines: dict[str, tuple[str, ...]]) -> str | None:
    return next((line for line in lines if name.startswith(line)), None)


def _of_family(family: str | None) -> str | None:
    family = (family or "").lower()
    return next((line for line, families in LINES.items() if family.startswith(families)), None)


def _sizes(name: str) -> list[tuple[float, float]]:
    """For each size in a name, how many parameters a model may have at least and at most."""
    found = []
    for match in _SIZE.finditer(name):
        count = float(match["count"]) * _UNITS[match["unit"]]
        if match["unit"] == "m" and count <= _CONTEXT:
            continue
        if match["experts"]:  # they share layers: `8x7b` are 46.7, `16x17b` are 108.6 billion
            found.append((GROSS * count, int(match["experts"]) * count))
        elif match["effective"]:  # `e4b` are 6.9, `e2b` are 4.5 billion, of which some need not be in memory
            found.append((count, 1.5 * count))
        else:
            found.append((count, count))
    return found


def _majority(claims: Sequence[Claim]) -> str | None:
    """The digest that strictly more servers list than any other, and two at least."""
    votes = Counter(claim.listed.digest for claim in claims if claim.votes and claim.listed.digest is not None)
    first = votes.most_common(2)
    if not first or first[0][1] < MAJORITY or (len(first) > 1 and first[0][1] == first[1][1]):
        return None
    return first[0][0]


def _differs(claim: Claim, known: str, who: str) -> Doubt:
    return Doubt("wrong_digest", f"its digest is {(claim.listed.digest or '')[:12]}, {who} {known[:12]}")
