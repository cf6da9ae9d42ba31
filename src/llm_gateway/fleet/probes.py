"""What a server is asked of our own accord, and when: new ones often, old reliable ones seldom, dead ones ever more
rarely, and a few words of an answer only where nothing else can tell.

Pure: times and dice are arguments. The bounds that this keeps for a server, whatever it holds: three questions a
minute, 3 MB a day, no generated token as long as the fleet is in use and well. Beside that it may be asked once what
each model is able to that somebody wants, as long as its digest and the server's version stay the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from llm_gateway.access.policy import Trust
from llm_gateway.fleet.canary import AGAIN, TRIAL_TAKES, suspicious
from llm_gateway.fleet.group import WANTED, Group, is_fit
from llm_gateway.fleet.server import PROVEN, ModelState, ServerState

NEW = 60.0
"""Seconds between two looks at a server that is not known well, or that is in use."""
SELDOM = 5
"""Times as long for one that has been there for `server.PROVEN` seconds and is not in use."""
FIRST_REST = 5.0
LONGEST_REST = 300.0
"""A dead server is looked at after 5 s, doubled up to this."""
DAY = 288
"""Failed looks in a row after which a server has been dead for a day, and is looked at once an hour from then on."""
HOUR = 3600.0
STAY_AWAY: Final = 86_400.0
"""Seconds for which somebody else's server is left alone after a 403 or 429."""

VERSION_EVERY: Final = 600.0
"""Seconds between two questions for a server's version: another service may have taken its port."""
LATELY: Final = 300.0
"""Seconds after a request for which a server counts as used: as long as Ollama keeps a model in memory."""
LIGHT: Final = 1200
"""Bytes of a list that a stranger may be asked for in each look; a longer one is asked for more seldom in proportion,
and its server only for its version in between."""

WORDS: Final = 4
"""Tokens of an answer that shows that a model works."""
EACH: Final = 600.0
"""Seconds between two such answers of one model on one server."""
QUIET: Final = 30.0
"""Seconds in which requests may find out for us: since the end of a rest, since a model was first asked for, and since
the last request that it was given itself."""
ENOUGH: Final = 3
"""Servers that have shown that they answer for a model: then no more are tried out."""


class Question(Enum):
    """What a look at a server is made of, the lightest first."""

    VERSION = "version"
    LIST = "list"
    MEMORY = "memory"


SHOWS: Final = 2
"""Models that a server is asked about in one look: what they are able to, where no list says so."""
SHARING: Final = (Trust.OWN, Trust.PARTNER, Trust.PUBLIC)
"""Who is asked about a model first: the word of the first ones counts for all the others."""


TALKS: Final = frozenset({"completion"})


@dataclass(slots=True)
class Looked:
    """When a server was last asked for what, in seconds on the monotonic clock."""

    version_at: float = -math.inf
    list_at: float = -math.inf
    list_size: int = 0
    """Bytes of its list."""


def questions(
    server: ServerState, looked: Looked, now: float, every: float = NEW, *, tells_version: bool, tells_memory: bool
) -> tuple[Question, ...]:
    """What to ask in this look. Before a server has answered and after it has not, that is its list: nothing lighter
    is believed. `tells_…`: what servers of its kind can be asked for."""
    version = tells_version and now - looked.version_at >= VERSION_EVERY
    if server.listed_at is None or server.probe_rest.faults or looked.list_at == -math.inf:
        return (Question.LIST, Question.VERSION) if version else (Question.LIST,)
    listed = now - looked.list_at >= 0.75 * _list_every(server, looked, every)
    memory = tells_memory and not version and used_lately(server, now)
    if tells_version and not listed and not memory:
        version = True
    asked = ((Question.VERSION, version), (Question.LIST, listed), (Question.MEMORY, memory))
    return tuple(question for question, wanted in asked if wanted)


def _list_every(server: ServerState, looked: Looked, every: float) -> float:
    if server.spec.trust is Trust.OWN:
        return every
    return every * max(1.0, looked.list_size / LIGHT)


def used_lately(server: ServerState, now: float) -> bool:
    return server.in_flight > 0 or now - server.used_at < LATELY


def next_turn(server: ServerState, now: float, dice: float, every: float = NEW) -> float:
    """Seconds until a server that answered is asked something again: what it has in memory is asked for twice as often
    as its list."""
    if used_lately(server, now) and not server.probe_rest.faults:
        return every / 2 * (1 + 0.2 * dice)
    return next_look(server, now, dice, every)


def next_look(server: ServerState, now: float, dice: float, every: float = NEW) -> float:
    """Seconds until this server's list is asked for again, after the latest look has been told to the fleet. Spread by
    `dice` in [0, 1): ± 20 % for a server that answers, ± 30 % for one that does not."""
    if failed := server.probe_rest.faults:
        return after_failure(failed, dice)
    old = server.alive_since is not None and now - server.alive_since >= PROVEN
    wait = SELDOM * every if old and not server.in_flight and not server.rest.faults else every
    return wait * (0.8 + 0.4 * dice)


def after_failure(failed: int, dice: float) -> float:
    """Seconds until a server is looked at again that failed so many looks in a row, ± 30 %."""
    wait = HOUR if failed > DAY else min(FIRST_REST * 2.0 ** min(failed - 1, 16), LONGEST_REST)
    return wait * (0.7 + 0.6 * dice)


def unshown(
    server: ServerState,
    exposed: Container[str],
    alike: Callable[[str], Sequence[ModelState]],
    now: float,
) -> list[ModelState]:
    """The models that this server is to be asked about now: nobody has told what they are able to, nobody closer to us
    can be asked, and, on a stranger's server, they are `exposed` by name or were asked for lately. `alike`: all that
    list a digest."""
    found: list[ModelState] = []
    asked = {state.listed.digest for state in server.models.values() if state.abilities.shown is not None}
    for state in server.models.values():
        if state.abilities.shown is not None or state.abilities.sure or (state.listed.digest or "") in asked:
            continue
        wanted = state.name in exposed or any(now - group.wanted_at <= WANTED for group in state.groups)
        if not wanted and server.spec.trust is Trust.PUBLIC:
            continue
        if state.listed.digest is None or not any(_is_asked_before(o, server) for o in alike(state.listed.digest)):
            found.append(state)
            asked.add(state.listed.digest)
            if len(found) == SHOWS:
                break
    return found


def _is_asked_before(other: ModelState, server: ServerState) -> bool:
    theirs = other.server
    return (
        other.abilities.shown is None
        and theirs.listed_at is not None
        and not theirs.probe_rest.faults
        and SHARING.index(theirs.spec.trust) < SHARING.index(server.spec.trust)
    )


# -- the few words that only the model itself can say ------------------------------------------------------------


def samples(groups: Iterable[Group], now: float) -> Iterator[ModelState]:
    """The models on servers that are to be asked for a few words now: of those that somebody wants, the ones whose
    rest is over and whom no request has tried since, and as long as hardly anybody is known to answer, one of which
    nothing is known."""
    for group in groups:
        if now - group.wanted_at > WANTED:
            continue
        may = [state for state in group.holders if _may_be_sampled(state, now)]
        yield from (state for state in may if _is_back(state, now))
        if now - group.wanted_since >= QUIET and _proven(group, now) < ENOUGH:
            unknown = (s for s in may if s.unproven and not s.half_open(now) and not s.server.half_open(now))
            yield from [state for state in unknown if not state.in_flight][:1]


def _may_be_sampled(state: ModelState, now: float) -> bool:
    server = state.server
    return (
        server.spec.enabled
        and server.spec.hedge  # else every answer is paid for
        and server.listed_at is not None
        and not server.doubted
        and state.abilities.able(TALKS, now) is not False
        and now - state.used_at >= QUIET
        and is_fit(state, frozenset({server.spec.trust}), now)
        and now - state.probed_at >= EACH
        and state.has_place(now)
    )


def _is_back(state: ModelState, now: float) -> bool:
    ended = [rest.until for rest in (*state.rests(), state.server.rest) if rest.half_open(now)]
    return bool(ended) and now - max(ended) >= QUIET


def _proven(group: Group, now: float) -> int:
    return sum(1 for s in group.holders if s.successes and is_fit(s, frozenset({s.server.spec.trust}), now))


def trials(servers: Iterable[ServerState], groups: Iterable[Group], now: float) -> Iterator[ModelState]:
    """The servers that are to be tried now (`canary.py`), by the model on each that somebody wants."""
    wanted = {group.name for group in groups if now - group.wanted_at <= WANTED}
    for server in servers:
        if _trial_due(server, now):
            states = [state for name, state in server.models.items() if name in wanted and not state.resting(now)]
            if states and now - max(state.probed_at for state in server.models.values()) >= EACH:
                yield states[0]


def _trial_due(server: ServerState, now: float) -> bool:
    if not server.spec.enabled or server.listed_at is None:
        return False
    if now < server.rest.until or now < server.probe_rest.until or now < server.trial.until - TRIAL_TAKES:
        return False
    if server.doubted or server.trial.faults:
        return True
    if server.judged_at is None or now - server.judged_at < AGAIN:
        return False
    return suspicious(server.spec.trust, [state.listed for state in server.models.values()])
