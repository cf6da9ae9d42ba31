"""What is believed about one server and about each model on it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet.abilities import Abilities
from llm_gateway.fleet.canary import TRIAL_TAKES
from llm_gateway.fleet.facts import AttemptEnded, FirstToken, ListedModel, ServerSpec
from llm_gateway.fleet.faults import CONSEQUENCES
from llm_gateway.fleet.identity import VOTE_LASTS, Claim, Doubt
from llm_gateway.fleet.rest import Rest
from llm_gateway.fleet.shares import ALONE, Share
from llm_gateway.fleet.slots import NOTICED, STRAINED, Slots, ceiling
from llm_gateway.fleet.waits import Samples, Waits
from llm_gateway.fleet.window import Window
from llm_gateway.names import canonical

if TYPE_CHECKING:
    from llm_gateway.fleet.group import Group

PRIOR_WAIT = 1.0
"""Seconds to the first content of which nothing is known."""
PRIOR_TOKENS = 15.0
"""Tokens per second under which a catalogue's measurement makes a server come later, in proportion."""
LOAD_RATE = 1e9
"""Bytes per second at which a model is read into memory."""
LOAD_UNKNOWN, LOAD_MOST = 5.0, 60.0
"""Seconds that it takes where its size is not known, and at most."""
STAYS_WARM = 240.0
"""Seconds that a model stays in memory after use: Ollama's `keep_alive` is five minutes."""
WARM_LASTS = 90.0
"""Seconds for which a server's word about its memory is believed."""
MEMORY = 50.0
"""Results in which the long-term success rate forgets half of what it knew, and so how slowly it believes."""
_KEPT: Final = 0.5 ** (1 / MEMORY)
"""What is left of it after one more result."""
PROVEN = 3600.0
"""Seconds a server has to be seen alive to get the better prior: of a public catalogue a third is seen only once."""
RECENT = 30 * 86_400.0
"""Seconds since its source last saw a server at work, from which on it has probably gone, until it answers."""
DOUBT = 6
"""Power of the success rate in a server's cost. High, for an answer that breaks off cannot be made good unseen: of two
servers, one with 95 % good answers may be a third quicker than one with 100 % before it is preferred."""
LONG = 1.0
"""Seconds without a word that count, when an attempt is given up because another had answered."""
TOKENS_READ = 50
"""Prompt tokens per second that any server may take to read a long prompt, where nothing is known of such prompts."""
UNANSWERED = 3
"""Attempts given up in a row, each after a long wait without a word, that count as one failure."""

State = Literal["unknown", "healthy", "resting", "quarantined", "disabled"]


@dataclass(slots=True, eq=False)
class ModelState:
    """One model on one server, as long as its digest stays the same."""

    listed: ListedModel
    server: ServerState = field(repr=False)
    name: str
    """Canonical."""
    key: str
    """Of (server, model): tells apart whom a request has tried."""
    groups: tuple[Group, ...] = field(default=(), repr=False)
    """That it belongs to: the index's matter."""
    rest: Rest = field(default_factory=Rest)
    """Of the model on this server: it fails, is missing, has no memory."""
    identity: Rest = field(default_factory=Rest)
    """It was not what its name says: it answered as another model, or became one between two looks."""
    doubt: Doubt | None = None
    """It is not what its name says, by all that is listed: it belongs to no group but those of its very digest."""
    renewed: bool = False
    """Its digest was seen to change, and no other server has the new one yet."""
    abilities: Abilities = field(default_factory=Abilities)
    slots: Slots = field(default_factory=Slots)
    window: Window = field(default_factory=Window)
    warm_waits: Waits = field(default_factory=Waits)
    """With the model in memory."""
    cold_waits: Samples = field(default_factory=Samples)
    """First-token times when the model had (probably) to be loaded first."""
    in_flight: int = 0
    successes: int = 0
    failures: int = 0
    good: float = 0.0
    """Successes and results of late; older ones count less and less."""
    results: float = 0.0
    rate: float | None = None
    """`success_rate` as last reckoned; None = something it is made of has changed."""
    trusted: float = 0.0
    """`score.DOUBT`'s power of `rate`, where that is known."""
    busy_until: float = 0.0
    tokens_per_second: float | None = None
    warm_until: float = -math.inf
    cold_until: float = -math.inf
    """Until then the server's word is fresh that the model is not in memory."""
    unanswered: int = 0
    used_at: float = -math.inf
    """When a request was last given to it."""
    probed_at: float = -math.inf
    """When we last asked it for a few words of our own accord."""

    @property
    def unproven(self) -> bool:
        """Is nothing known of how it answers?"""
        return not self.successes and not self.failures

    @property
    def waits(self) -> int:
        """How many first-token times are known."""
        return len(self.warm_waits) + len(self.cold_waits)

    def expected_wait(self, now: float = 0.0, prompt_tokens: int = 0) -> float:
        """Seconds to the first content if asked now while it is idle: what was seen in memory or out of it, else a
        cautious second, more where a catalogue measured a slow server (it is slow to its first token, too) and where
        the model is out of memory."""
        warm = now < self.warm_until
        samples = self.warm_waits.of(prompt_tokens)
        if self.cold_waits.known and (samples is None or not warm):
            return self.cold_waits.expected(now)
        if samples is not None and samples.known:
            wait = samples.expected(now)
        else:
            wait = max(PRIOR_WAIT, PRIOR_TOKENS / (self.listed.tokens_per_second or PRIOR_TOKENS))
            if samples is not None:
                wait = samples.expected(now, wait)
        return wait if warm else wait + self._loading(now)

    def samples(self, prompt_tokens: int, now: float) -> Samples | None:
        """The first-token times that say most about such a prompt now."""
        warm = self.warm_waits.of(prompt_tokens)
        if self.cold_waits.known and (warm is None or now >= self.warm_until):
            return self.cold_waits
        return warm

    def slow_wait(self, prompt_tokens: int, now: float) -> float | None:
        """The 95th percentile of first-token times, None while too little is known."""
        samples = self.samples(prompt_tokens, now)
        return None if samples is None else samples.slow()

    def _loading(self, now: float) -> float:
        """Seconds that loading it takes. Without a word of the server, only models with a size (files) are loaded."""
        if self.listed.size is not None:
            return min(LOAD_MOST, 1 + self.listed.size / LOAD_RATE)
        return LOAD_UNKNOWN if self.warm(now) is False else 0.0

    def speed(self) -> float:
        """Tokens per second: measured, else the catalogue's, else a modest guess."""
        return self.tokens_per_second or self.listed.tokens_per_second or PRIOR_TOKENS

    def success_rate(self) -> float:
        """What share of its answers is whole, by what was seen of late; a prior stands for two results."""
        rate = self.rate
        if rate is None:
            rate = self.rate = (self.good + 2 * self.server.prior) / (self.results + 2)
            self.trusted = rate**DOUBT
        return rate

    def warm(self, now: float) -> bool | None:
        """Is the model in memory? None = unknown."""
        if now < self.warm_until:
            return True
        return False if now < self.cold_until else None

    def answered(self, now: float, good: bool, weight: float = 1.0) -> None:
        """One more result. `weight`: how much a bad one matters for the long-term rate."""
        self.window.add(now, good)
        self.rate = None
        self.good = self.good * _KEPT + good
        self.results = self.results * _KEPT + (1 if good else weight)
        if good:
            self.successes += 1
        else:
            self.failures += 1

    def context_length(self) -> int | None:
        """Tokens of its longest context, by the list or by what the server shows of it."""
        if (listed := self.listed.context_length) is not None or (shown := self.abilities.shown) is None:
            return listed
        return shown.context_length

    def began(self, fact: FirstToken) -> None:
        """Its first content is here: a good sign, unless it took far longer than it usually does."""
        at, wait, in_flight, strained = fact.at, fact.wait, self.in_flight, False
        if at - wait < self.warm_until:
            if wait > NOTICED and in_flight > 1:
                usual = self.warm_waits.usual(fact.prompt_tokens)
                strained = usual is not None and wait > STRAINED * usual
            self.warm_waits.add(wait, fact.prompt_tokens, at)
        else:
            self.cold_waits.add(wait, at)
        self.unanswered = 0
        self.cold_until, self.warm_until = at, at + STAYS_WARM
        if self.rest.returning or self.identity.returning or self.server.rest.returning:  # hardly any does
            for rest in (self.server.rest, self.rest, self.identity):
                rest.promising(at)
        if strained:
            self.slots.strained(in_flight)
        elif 2 * in_flight > self.slots.limit:
            self.slots.good(in_flight)

    def left_unanswered(self, fact: AttemptEnded) -> bool:
        """An attempt that was given up, by us or with its client, says little, but not nothing: it has waited so long.
        True when that makes it a failure."""
        if fact.waited < LONG:
            return False
        needed = self.slow_wait(fact.prompt_tokens, fact.at) or 0.0
        if not self.warm_waits.knows(fact.prompt_tokens):  # what short prompts take says nothing of it
            needed = max(needed, fact.prompt_tokens / TOKENS_READ)
        if self.warm(fact.at):
            self.warm_waits.at_least(fact.waited, fact.prompt_tokens, fact.at)
        else:
            self.cold_waits.at_least(fact.waited, fact.at)
        if fact.waited < needed:
            return False
        self.unanswered += 1
        return self.unanswered % UNANSWERED == 0

    def rests(self) -> Iterator[Rest]:
        yield self.rest
        yield self.identity

    def resting(self, now: float) -> bool:
        return now < self.rest.until or now < self.identity.until

    def half_open(self, now: float) -> bool:
        rest, identity = self.rest, self.identity
        return (rest.returning and now >= rest.until) or (identity.returning and now >= identity.until)

    def quarantined(self, now: float) -> str | None:
        """Why it is held for another model than its name says, None when it is not."""
        if self.doubt is not None:
            return f"{self.doubt.kind}: {self.doubt.reason}"
        return f"{self.identity.last_fault}: {self.identity.detail}" if self.identity.resting(now) else None

    def claim(self, now: float) -> Claim:
        """What is judged of it."""
        return Claim(self.server.spec.id, self.server.spec.trust, self.listed, self.server.votes(now), self.renewed)

    @property
    def foreign(self) -> bool:
        """Is its one place another process's to fill? Then it comes last: both would take it."""
        return self.slots.limit == 1 and not self.server.share.owner

    def has_place(self, now: float) -> bool:
        """May one more attempt begin? Says nothing of rests."""
        in_flight, server = self.in_flight, self.server
        if in_flight >= self.slots.limit or now < self.busy_until:
            return False
        if in_flight and (self.rest.returning or self.identity.returning) and self.half_open(now):
            return False
        if not server.in_flight:
            return True
        most = server.most
        if most is not None and server.in_flight >= most:
            return False
        return not (server.rest.returning and server.half_open(now))


@dataclass(slots=True, eq=False)
class ServerState:
    """One server: how it is reached, what it holds, how it has behaved."""

    spec: ServerSpec
    models: dict[str, ModelState] = field(default_factory=dict)
    """By canonical name."""
    rest: Rest = field(default_factory=Rest)
    """For what requests met."""
    probe_rest: Rest = field(default_factory=Rest)
    """For what probes met: the next good probe ends it."""
    trial: Rest = field(default_factory=Rest)
    """For having been caught in a lie: only the next trial ends it, and nothing is asked of it before."""
    doubted: bool = False
    """It holds more than can be believed and has not been tried yet, or was caught and has not passed since: it comes
    after all others."""
    judged_at: float | None = None
    """When it was last tried."""
    used_at: float = -math.inf
    """When a request was last given to it."""
    in_flight: int = 0
    version: str | None = None
    listed_at: float | None = None
    """When the server itself last answered its model list; None = never."""
    alive_since: float | None = None
    """Since when nothing but good was heard of it."""
    share: Share = ALONE
    """Of this process."""
    most: int | None = None
    """Attempts that this process may have on it at a time; None = no bound."""
    prior: float = 0.5
    """The success rate to expect of a model of which nothing was seen: servers that last are better ones."""

    def model(self, name: str) -> ModelState | None:
        """What it holds under a name, however that is spelt."""
        return self.models.get(name) or self.models.get(canonical(name))

    def full(self) -> bool:
        limit = self.most
        return limit is not None and self.in_flight >= limit

    def divide(self, share: Share) -> None:
        """What this process may take of it, of what its description allows all together."""
        self.share = share
        self.most = share.of(self.spec.max_concurrency)
        for model in self.models.values():
            model.slots.bound(share.of(ceiling(self.spec)))

    def state(self, now: float) -> State:
        if not self.spec.enabled:
            return "disabled"
        if (rest := self.rests(now)) is not None:
            return "quarantined" if is_lie(rest) else "resting"
        if self.quarantined(now) is not None:
            return "quarantined"
        return "healthy" if self.answers() else "unknown"

    def answers(self) -> bool:
        """Has it shown itself alive?"""
        return self.listed_at is not None or any(m.successes for m in self.models.values())

    def rests(self, now: float) -> Rest | None:
        """The rest that keeps the whole server out now, the longest one."""
        rest = max(self.rest, self.probe_rest, self.trial, key=lambda r: r.until)
        return rest if rest.resting(now) else None

    def resting(self, now: float) -> bool:
        return now < self.rest.until or now < self.probe_rest.until or now < self.trial.until

    def half_open(self, now: float) -> bool:
        """After a rest for what requests met; probes end theirs by themselves."""
        return self.rest.half_open(now)

    def quarantined(self, now: float) -> str | None:
        """Why no model on it is what its name says, None when one may be."""
        reason = None
        for model in self.models.values():
            if (reason := model.quarantined(now)) is None:
                return None
        return reason

    def votes(self, now: float) -> bool:
        """Does its list say something about the models of others? One from before a restart, or a catalogue's, does
        until a look fails."""
        if self.listed_at is None:
            return not self.probe_rest.faults
        return now - self.listed_at < VOTE_LASTS

    def reckon(self) -> None:
        """Its prior anew: after a look, a rest, or another description."""
        if self.listed_at is None or self.alive_since is None:
            prior = 0.5 if (self.spec.seen_ago or 0.0) < RECENT else 0.35
        elif self.spec.trust is not Trust.PUBLIC:
            prior = 0.95
        else:
            prior = 0.9 if self.listed_at - self.alive_since >= PROVEN else 0.8
        if prior != self.prior:
            self.prior = prior
            for model in self.models.values():
                model.rate = None

    def down(self) -> None:
        """A rest of the whole server begins: afterwards all its models are new to us."""
        self.alive_since = None
        self.reckon()
        for model in self.models.values():
            model.slots.restart()

    def judged(self, now: float, lie: str, dice: float) -> None:
        """What a trial found. A lie that it has proven keeps the server out until the next one, ever later."""
        self.judged_at, self.doubted = now, bool(lie)
        if not lie:
            self.trial.succeeded(now)
            return
        self.trial.until = min(self.trial.until, now)  # this trial is what ends the last one's rest
        self.trial.failed(now, FaultKind.WRONG_MODEL, CONSEQUENCES[FaultKind.WRONG_MODEL], dice, lie)
        self.trial.until += TRIAL_TAKES
        self.down()

    def new_model(self, listed: ListedModel, name: str, in_flight: int = 0) -> ModelState:
        state = ModelState(listed, self, name, f"{self.spec.id} {name}", in_flight=in_flight)
        state.slots.bound(self.share.of(ceiling(self.spec)))
        return state


def is_lie(rest: Rest) -> bool:
    """Was the server not what it claims to be, rather than weak?"""
    return rest.last_fault in LIES


LIES = frozenset(
    {
        FaultKind.BAD_HTTP,
        FaultKind.TOO_LARGE,
        FaultKind.ENCODED,
        FaultKind.REDIRECT,
        FaultKind.NOT_THE_PROTOCOL,
        FaultKind.BAD_FRAME,
        FaultKind.WRONG_MODEL,
        FaultKind.DIGEST_CHANGED,
    }
)
