"""The attempts of one request as they are told afterwards: who was asked, why, and what came of it.

`upstream` notes them while they run, the ledger closes the account together with the request's row. There is one
`Try` for every attempt that began, whether it answered, failed, lost a race, or was given up in the very moment in
which the request ended.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.fleet.candidate import Candidate
from llm_gateway.wire.faults import impersonal

Why = Literal["first", "failover", "race", "continuation", "second_try"]
"""`race`: beside a slow one. `continuation`: for the rest of an answer that broke or crawled. `second_try`: the answer
was complete, but had another form than was asked for."""

OK: Final = "ok"
CANCELLED: Final = "cancelled"


class Try(Struct, eq=False, gc=False):
    """One attempt. Times are seconds on the monotonic clock."""

    candidate: Candidate
    began: float
    why: Why
    after: FaultKind | None
    """What the attempt before did wrong; None for a race, and for the first."""
    server: str
    """Its id."""
    provider: str
    """The kind of API that it speaks."""
    model: str
    tier: str
    first_at: float = 0.0
    """Its first content; 0 = there was none."""
    ended: float = 0.0
    """0 = it has not."""
    outcome: str = ""
    """`ok`, `cancelled` (we gave it up) or a FaultKind."""
    detail: str = ""
    """Of its fault: without addresses, and without a word that the server, or the caller, said."""
    tokens: int = 0
    """About how many were read of its answer."""
    given: int = 0
    """How many the client got of it."""
    connecting: bool = False
    """Is a connection being made for it?"""

    @property
    def wasted(self) -> int:
        """Tokens that were read and that the client did not get."""
        return 0 if self.given else self.tokens

    @property
    def failed(self) -> bool:
        """Did it end by a fault?"""
        return self.outcome != OK and self.outcome != CANCELLED

    def end(self, now: float, fault: Fault | None, *, complete: bool = False) -> None:
        """As of `upstream.attempt.Attempt.ended`."""
        self.ended = now
        if fault is None:
            self.outcome = OK if complete else CANCELLED
        else:
            self.outcome, self.detail = fault.kind.value, impersonal(fault)


class Tries(Struct, eq=False):
    """All attempts of one request, in the order in which they began; its plans share this."""

    all: list[Try] = []
    spoke: list[Try] = []
    """Whose words the client got, or is to get: each after the first went on where the one before broke off."""
    failures: int = 0
    """Attempts that ended by a fault before the client had anything of them; known when it is closed."""
    again: bool = False
    """A complete answer was of no use: the next attempt is a second try."""

    def began(self, candidate: Candidate, now: float, after: FaultKind | None, *, race: bool, underway: bool) -> Try:
        """A new one. `underway`: for the rest of an answer."""
        why: Why
        if race:
            why, after = "race", None
        elif underway:
            why = "continuation"
        elif self.again:
            why, self.again = "second_try", False
        else:
            why = "failover" if self.all else "first"
        spec = candidate.spec
        # `value` is a function in Python, and every request asks
        one = Try(candidate, now, why, after, spec.id, spec.kind, candidate.model, spec.trust._value_)
        self.all.append(one)
        return one

    def blame(self, candidate: Candidate, fault: Fault) -> None:
        """A second thought: what this candidate's latest attempt ended with is judged anew."""
        for one in reversed(self.all):
            if one.candidate is candidate:
                one.outcome, one.detail = fault.kind.value, impersonal(fault)
                return

    def close(self, now: float, tokens: int) -> None:
        """The request has ended, and the client got so many tokens. Whoever is still being asked is given up; the last
        who spoke gave what the others did not."""
        spoke = self.spoke
        for one in self.all:
            if not one.ended:
                one.end(now, None)
            if one not in spoke:  # also one whose answer was kept for a while, and then given up
                one.given = 0
        if spoke:
            for one in spoke[:-1]:
                one.given = min(one.given, tokens)
                tokens -= one.given
            spoke[-1].given = tokens
        failures = 0
        for one in self.all:
            if one.outcome != OK and not one.given and one.failed:
                failures += 1
        self.failures = failures
