"""What each kind of fault means: for the server's standing, and for the request that met it.

One table, so that "what happens when a server answers HTML?" is answered by one line.
Figures: growing rests of 5 s doubled up to 300 s for machines that fail, 10 min doubled up to 24 h for those
that are not what they claim, as a catalogue of strangers' servers needs them.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from llm_gateway.errors import FaultKind as K


class Scope(Enum):
    """Whose fault it was."""

    SERVER = "server"
    """Nothing on this machine works."""
    MODEL = "model"
    """This model on this machine."""
    IDENTITY = "identity"
    """What this machine offers under the model's name is something else."""
    NOBODY = "nobody"
    """The server did nothing wrong (busy, the caller's mistake, our own choice)."""


class Consequence(NamedTuple):
    scope: Scope
    rest: float
    """Seconds of the first rest; it doubles with each further one."""
    cap: float
    """Seconds of the longest rest."""
    after: int = 1
    """Consecutive faults before it rests."""
    try_elsewhere: bool = True
    """May another server answer this very request?"""


_DOWN = Consequence(Scope.SERVER, 5, 300)
_LIES = Consequence(Scope.SERVER, 600, 86_400)
_WEAK = Consequence(Scope.MODEL, 5, 300, after=2)

CONSEQUENCES: Final[dict[K, Consequence]] = {
    K.NOT_PERMITTED: _DOWN,
    K.DNS: _DOWN,
    K.REFUSED: _DOWN,
    K.CONNECT_TIMEOUT: _DOWN,
    K.TLS: _DOWN,
    K.RESET: _DOWN,
    K.STALE: Consequence(Scope.NOBODY, 0, 0),
    K.WRITE_TIMEOUT: _DOWN,
    K.HEAD_TIMEOUT: _DOWN,
    K.BAD_HTTP: _LIES,
    K.TOO_LARGE: _LIES,
    K.ENCODED: _LIES,
    K.REDIRECT: _LIES,
    K.NOT_THE_PROTOCOL: _LIES,
    K.BAD_FRAME: _LIES,
    K.WRONG_MODEL: Consequence(Scope.IDENTITY, 600, 86_400),
    K.DIGEST_CHANGED: Consequence(Scope.IDENTITY, 600, 86_400),
    K.LOOP: _WEAK,
    # what no answer fits may be the caller's schema, and what nobody has a word for the caller's stop string or wish;
    # others need the servers: blamed once another one has answered
    K.UNFIT: Consequence(Scope.NOBODY, 0, 0),
    K.EMPTY: Consequence(Scope.NOBODY, 0, 0),
    # what Ollama does with every prompt that is too long: one caller's long prompts must not put servers out for all
    K.PROMPT_CUT: Consequence(Scope.NOBODY, 0, 0),
    K.FIRST_TOKEN_TIMEOUT: _WEAK,
    K.STALLED: _WEAK,
    K.TOTAL_TIMEOUT: _WEAK,
    K.CUT: _WEAK,
    K.SERVER_ERROR: _WEAK,
    K.AUTH: Consequence(Scope.MODEL, 600, 86_400),
    K.MODEL_MISSING: Consequence(Scope.MODEL, 300, 86_400),
    K.OUT_OF_MEMORY: Consequence(Scope.MODEL, 60, 1_800),
    K.BUSY: Consequence(Scope.NOBODY, 1, 60),
    K.INCAPABLE: Consequence(Scope.NOBODY, 0, 0),
    K.CALLER: Consequence(Scope.NOBODY, 0, 0, try_elsewhere=False),
    K.CONTEXT: Consequence(Scope.NOBODY, 0, 0, try_elsewhere=False),
}


def probed(fault: K) -> Consequence:
    """What a failed probe means: the whole server rests, however little of it the fault would be for a request."""
    meant = CONSEQUENCES[fault]
    return meant if meant.scope is Scope.SERVER else _DOWN


UNCOUNTED: Final = frozenset({K.NOT_PERMITTED, K.DNS, K.REFUSED, K.CONNECT_TIMEOUT, K.TLS, K.STALE})
"""Faults before the server can have worked on the request: such an attempt costs it nothing."""

TRANSPARENT: Final = UNCOUNTED | {K.RESET}
"""As those, and connections that were reset before any byte of an answer: the next attempt costs no retry budget."""
