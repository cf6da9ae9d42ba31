"""The fleet: facts in, choices out. Pure: times and dice are arguments, nothing is awaited.

What is believed about a server, a model on it and a digest of that are three state machines (`server.py`); this file
lets facts move them and finds out who may be asked. Nothing is refused while anything is untried: when all that hold
a model rest, they are asked all the same, the least recently failed first, one attempt at a time each.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet import memory
from llm_gateway.fleet.abilities import lacking
from llm_gateway.fleet.budget import Budgets
from llm_gateway.fleet.canary import suspicious
from llm_gateway.fleet.candidate import Candidate, Nobody, candidate, ranked_candidates
from llm_gateway.fleet.explain import Verdict, described, verdicts
from llm_gateway.fleet.facts import (
    AttemptEnded,
    AttemptStarted,
    Fact,
    FirstToken,
    Judged,
    Lacks,
    Listed,
    ListedModel,
    ProbeFailed,
    ServerSpec,
    Shown,
    Warm,
)
from llm_gateway.fleet.faults import CONSEQUENCES, UNCOUNTED, Scope, probed
from llm_gateway.fleet.group import Group, latest_rest
from llm_gateway.fleet.identity import JUDGED_AGAIN, Noticed, taken_over
from llm_gateway.fleet.index import Index
from llm_gateway.fleet.policies import POLICIES
from llm_gateway.fleet.policies.able_first import able_first
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.fleet.probes import unshown
from llm_gateway.fleet.server import LIES, WARM_LASTS, ModelState, ServerState, is_lie
from llm_gateway.fleet.shares import share_of
from llm_gateway.names import canonical, pinned

EVERYBODY = frozenset(Trust)
LOOK_TAKES = 10.0
"""Seconds that the next look may come late, before a server that nobody can reach is tried with a request."""
BROKEN = 4.0
"""Failures that one answer counts for which broke off after its begin: it could not be made good unseen."""
SPEED_KEPT = 0.8
"""Weight of what was known of a speed, against one more measurement."""


class Fleet:
    """Everything believed about the servers. One per process; `apply` is the only way in."""

    def __init__(
        self, dice: Callable[[], float], policy: str = "p2c", told: Callable[[Noticed], None] = lambda _: None
    ) -> None:
        """`dice` gives numbers in [0, 1), hand in a seeded one to replay a run; `policy`: a name of `POLICIES`; `told`
        hears who is quarantined for not being what it says (logs, metrics)."""
        self.dice = dice
        self._told = told
        self._policy = POLICIES[policy]
        self._able_first = able_first(self._policy)
        self.servers: dict[str, ServerState] = {}
        self._index = Index()
        self._now = 0.0
        """Of the latest fact."""
        self._members: tuple[Sequence[str], str] = (("",), "")
        self.generation = 0
        """Rises whenever another server or model is known, or one less."""

    # -- what is known -------------------------------------------------------------------------------------

    def describe(self, specs: Iterable[ServerSpec]) -> None:
        """The servers there are now. Known ones keep what was learnt about them."""
        fresh: dict[str, ServerState] = {}
        for spec in specs:
            known = self.servers.get(spec.id)
            if known is None or known.spec.url != spec.url:
                known = ServerState(spec)
                known.divide(share_of(spec.id, *self._members))
                self._hold(known, spec.models)
            else:
                moved, known.spec = known.spec.trust is not spec.trust, spec
                if moved:
                    self._suspect(known, [model.listed for model in known.models.values()], other=False)
                known.divide(known.share)
                if known.listed_at is None:
                    self._hold(known, spec.models)
            known.reckon()
            fresh[spec.id] = known
        self.servers = fresh
        self._renew()

    def divide(self, members: Sequence[str], me: str) -> None:
        """These processes ask the servers now, `me` among them: each keeps to its share of what a server may get."""
        self._members = members, me
        for server in self.servers.values():
            server.divide(share_of(server.spec.id, members, me))

    def apply(self, fact: Fact) -> None:
        """Lets one fact change what is believed. Facts about servers that are gone are ignored."""
        server = self.servers.get(fact.server)
        if server is None:
            return
        self._now = fact.at
        if isinstance(fact, Listed):
            self._listed(server, fact)
        elif isinstance(fact, ProbeFailed):
            rest = server.probe_rest
            if rest.failed(fact.at, fact.fault, probed(fact.fault), self.dice(), fact.detail):
                self._down(server)
            if fact.again_in is not None:
                rest.until = max(rest.until, fact.at + fact.again_in + LOOK_TAKES)
                self._stale(server)
        elif isinstance(fact, Warm):
            held = {canonical(name) for name in fact.models}
            for name, state in server.models.items():
                state.warm_until = fact.at + WARM_LASTS if name in held else fact.at
                if name in held:
                    self._heat(state)
                state.cold_until = fact.at if name in held else fact.at + WARM_LASTS
        elif isinstance(fact, Judged):
            server.judged(fact.at, fact.lie, self.dice())
            self._stale(server)
        else:
            model = server.models.get(canonical(fact.model))
            if isinstance(fact, AttemptStarted):
                server.in_flight += 1
                if model is not None:
                    model.in_flight += 1
                    self._load(model, 1)
                self._given(server, model, fact)
            elif isinstance(fact, FirstToken):
                if model is not None:
                    model.began(fact)
                    self._heat(model)
            elif isinstance(fact, AttemptEnded):
                self._ended(server, model, fact)
            elif model is not None:
                self._told_of(model, fact)

    def _told_of(self, model: ModelState, fact: Shown | Lacks) -> None:
        if isinstance(fact, Lacks):
            model.abilities.refused(fact.capability, fact.at)
            self._index.shown(model)
        elif model.listed.digest == fact.digest:
            model.abilities.shown = fact.show
            self._index.shown(model)

    def _listed(self, server: ServerState, fact: Listed) -> None:
        """A server that answers its list can be reached: rests for being out of reach end. What it did wrong with a
        request stays: a good list is no proof of good answers."""
        voted, looked = server.votes(fact.at), server.listed_at is not None
        if server.probe_rest.until:
            server.probe_rest.succeeded(fact.at)
            self._stale(server)
        if server.rest.until and server.rest.last_fault in UNCOUNTED:
            server.rest.succeeded(fact.at)
            self._stale(server)
        server.listed_at = fact.at
        if server.alive_since is None:
            server.alive_since = fact.at
        server.reckon()
        renewed = fact.version not in (None, server.version)
        server.version = fact.version or server.version
        if renewed:
            for state in server.models.values():
                state.abilities.forget()
                self._index.shown(state)
        models = taken_over(fact.models, server.spec.trust)
        names = [canonical(m.name) for m in models]
        if names != list(server.models) or any(server.models[canonical(m.name)].listed != m for m in models):
            old = server.models
            self._hold(server, models)
            self._renew(server, old)
            if looked:
                self._compare(server, old, fact.at)
        elif fact.at - self._index.judged_at >= JUDGED_AGAIN:
            self._renew()
        elif not voted:
            self._renew(server, server.models)

    def _compare(self, server: ServerState, old: Mapping[str, ModelState], now: float) -> None:
        """With its last list: a stranger's model that became another one is out for a while, unless others have that
        one, too."""
        own = server.spec.trust is Trust.OWN
        for name, state in server.models.items():
            was = old[name].listed.digest if name in old else None
            if was in (None, state.listed.digest) or not state.renewed or state.doubt is not None:
                continue
            fault = FaultKind.DIGEST_CHANGED
            detail = f"its digest was {(was or '')[:12]} and is {(state.listed.digest or 'hidden')[:12]}"
            if own or state.identity.failed(now, fault, CONSEQUENCES[fault], self.dice(), detail):
                self._stale(server)
                self._told(Noticed(server.spec.id, server.spec.name, state.listed.name, fault, detail, not own))

    def _given(self, server: ServerState, model: ModelState | None, fact: AttemptStarted) -> None:
        """Notes for what it was asked: for somebody, or of our own accord."""
        if model is not None and fact.probe:
            model.probed_at = fact.at
        elif not fact.probe:
            server.used_at = fact.at
            if model is not None:
                model.used_at = fact.at
            if (group := self._index.group(fact.model)) is not None:
                group.wanted(fact.at)

    def _ended(self, server: ServerState, model: ModelState | None, fact: AttemptEnded) -> None:
        server.in_flight = max(0, server.in_flight - 1)
        if model is not None and model.in_flight:
            model.in_flight -= 1
            self._load(model, -1)
        fault = fact.fault
        if fact.cancelled:
            if model is None or not model.left_unanswered(fact):
                return
            fault = FaultKind.FIRST_TOKEN_TIMEOUT
        if fault is None:
            self._good(server, model, fact)
            return
        meant = CONSEQUENCES[fault]
        if meant.scope is Scope.SERVER:
            if server.rest.failed(fact.at, fault, meant, self.dice(), fact.detail):
                self._down(server)
                if fault in LIES:
                    self._told(Noticed(server.spec.id, server.spec.name, None, fault, fact.detail))
        elif model is None:
            return
        elif meant.scope is Scope.NOBODY:
            if fault is FaultKind.BUSY:
                model.busy_until = fact.at + min(fact.retry_after or meant.rest, meant.cap)
                model.slots.strained(model.in_flight + 1)
        else:
            model.answered(fact.at, good=False, weight=BROKEN if fact.seconds else 1.0)
            rest = model.identity if meant.scope is Scope.IDENTITY else model.rest
            if rest.failed(fact.at, fault, meant, self.dice(), fact.detail, at_once=model.window.bad(fact.at)):
                model.window.clear()
                model.slots.restart()
                self._stale(server)
                if fault in LIES:
                    self._told(Noticed(server.spec.id, server.spec.name, model.listed.name, fault, fact.detail))

    def _good(self, server: ServerState, model: ModelState | None, fact: AttemptEnded) -> None:
        """A whole answer: the server works, and so does the model."""
        if server.rest.faults:
            server.rest.succeeded(fact.at)
            self._stale(server)
        if model is None:
            return
        for rest in model.rests():
            if rest.faults:
                rest.succeeded(fact.at)
                self._stale(server)
        model.answered(fact.at, good=True)
        if fact.seconds > 0 and fact.tokens > 1:
            speed = fact.tokens / fact.seconds
            model.tokens_per_second = SPEED_KEPT * (model.tokens_per_second or speed) + (1 - SPEED_KEPT) * speed

    def _hold(self, server: ServerState, models: Sequence[ListedModel]) -> None:
        old = server.models
        server.models = {}
        for listed in taken_over(models, server.spec.trust):
            name = canonical(listed.name)
            known = old.get(name)
            if known is not None and listed.tokens_per_second is None:
                listed = replace(listed, tokens_per_second=known.listed.tokens_per_second)  # the catalogue's prior
            if known is not None and (known.listed.digest is None or known.listed.digest == listed.digest):
                known.listed = listed
                server.models[name] = known
            else:
                state = server.models[name] = server.new_model(listed, name)
                if known is not None:  # another model under the same name: only what is the machine's fault remains
                    state.in_flight, state.rest = known.in_flight, known.rest
                    state.renewed = server.listed_at is not None
                    if server.spec.trust is not Trust.OWN:  # no stranger gets rid of a lie by another digest
                        state.identity = known.identity
        self._suspect(server, models, other=bool(server.models.keys() - old.keys()))

    def _suspect(self, server: ServerState, models: Sequence[ListedModel], *, other: bool) -> None:
        """Is it to be tried before it is believed? `other`: it holds models that it did not hold before."""
        if not suspicious(server.spec.trust, models):
            server.doubted = server.spec.trust is not Trust.OWN and server.trial.faults > 0
        elif server.judged_at is None or other:
            server.doubted = True

    def _renew(self, server: ServerState | None = None, old: Mapping[str, ModelState] | None = None) -> None:
        """After a change of this server's list, which was `old`; None = of anything."""
        self.generation += 1
        if server is None:
            noticed = self._index.renew(self.servers.values(), self._now)
        else:
            noticed = self._index.relist(server, old or {}, self._now)
        for one in noticed:
            self._told(one)

    def _down(self, server: ServerState) -> None:
        server.down()
        self._stale(server)

    def _stale(self, server: ServerState) -> None:
        for model in server.models.values():
            for group in self._index.groups_of(model):
                group.stale()

    def _heat(self, model: ModelState) -> None:
        for group in self._index.groups_of(model):
            group.heat(model)

    def _load(self, model: ModelState, change: int) -> None:
        for group in self._index.groups_of(model):
            group.in_flight += change

    # -- what is asked -------------------------------------------------------------------------------------

    def holders(self, model: str) -> frozenset[Trust]:
        """The trust classes of the servers that are believed to hold a model; empty = nobody does."""
        trusts = self._index.trusts.get(canonical(model))
        return frozenset(m.server.spec.trust for m in self._index.listing(model)) if trusts is None else trusts

    def names(self) -> Iterable[tuple[str, frozenset[Trust]]]:
        """Every physical model and the trust classes that hold it."""
        return [(self._index.held[name][0].listed.name, trusts) for name, trusts in self._index.trusts.items()]

    def healthy(self, model: str, trust: frozenset[Trust], now: float) -> int:
        """How many permitted servers hold the model, have shown themselves alive, and do not rest."""
        group = self._index.group(model)
        return sum(1 for m in group.fit(trust, now) if m.server.answers()) if group else 0

    def details(self, model: str, trust: frozenset[Trust] = EVERYBODY) -> ListedModel | None:
        """What the first server of these classes that holds it, and is believed to, says about a model; one that tells
        what the model is able to before one that does not. Nobody's word counts for a server that is trusted more."""
        listing = [m for m in self._index.listing(model) if m.server.spec.trust in trust]
        if not listing:
            return None
        first = min(listing, key=lambda m: (m.doubt is not None, not m.abilities.has))
        heard = trust if first.server.spec.trust is Trust.PUBLIC else trust - {Trust.PUBLIC}
        alike = self._index.alike(first.listed.digest or "")
        return described(first, (m for m in alike if m.server.spec.trust in heard))

    def listing(self, model: str) -> Sequence[ModelState]:
        """All that list a model, those included that are not believed to hold it."""
        return self._index.listing(model)

    def since(self, model: str) -> float:
        """Unix seconds since when some server is listed that holds the model, 0 when none is."""
        return min((m.server.spec.first_seen for m in self._index.listing(model)), default=0.0)

    def held(self, ask: Ask) -> bool:
        """Does any permitted server hold one of the models?"""
        return any(self.holders(backend) & ask.trust for backend in ask.backends)

    def pick(
        self, ask: Ask, tried: Container[str], now: float, *, resting_too: bool = True, race: bool = False
    ) -> Candidate | Nobody:
        """Whom to ask now, of those whose `key` is not in `tried`: preferred models first, of these whom the policy
        chooses, those after others whose only place is another process's (`ModelState.foreign`), doubted servers last;
        when all rest, the least recently failed one. `race`: only servers that take
        part in races, and no doubted ones."""
        passed_by = may_be_doubted = left_to_others = may_be_foreign = False

        def usable(state: ModelState) -> bool:
            nonlocal passed_by, left_to_others
            if state.server.doubted and not may_be_doubted:
                passed_by = True
                return False
            if not may_be_foreign and state.foreign:
                left_to_others = True
                return False
            return state.has_place(now) and state.key not in tried and (not race or state.server.spec.hedge)

        groups = self._asked(ask)
        choose = self._able_first if ask.needs else self._policy
        while True:
            for group in groups:
                may_be_foreign = left_to_others = False
                state = choose(group, fit := group.fit(ask.trust, now), usable, ask, now, self.dice)
                if state is None and left_to_others and not race:
                    may_be_foreign = True
                    state = choose(group, fit, usable, ask, now, self.dice)
                if state is not None:
                    return candidate(state, ask, now, resting=False)
            if race or may_be_doubted or not passed_by:
                break
            may_be_doubted = True
        if any(state.key not in tried for state in self._fit(ask, now)):
            return Nobody.FULL
        return self._panic(ask, tried, now) if resting_too else Nobody.LEFT

    def down(self, ask: Ask, now: float) -> bool:
        """Do all permitted servers that hold the models rest, or come back from a rest and have shown nothing yet?"""
        return all(state.half_open(now) or state.server.half_open(now) for state in self._fit(ask, now))

    def busy_for(self, ask: Ask, tried: Container[str], now: float) -> float:
        """Seconds until the first of those that are left wants to be asked again, by its own word; 0 when one of them
        has not said that it is busy."""
        fit = (state.busy_until for state in self._fit(ask, now) if state.key not in tried)
        return max(0.0, min(fit, default=now) - now)

    def _fit(self, ask: Ask, now: float) -> Iterator[ModelState]:
        """Permitted holders that do not rest, but for those that lack what is needed."""
        for group in self._asked(ask):
            for state in group.fit(ask.trust, now):
                if not ask.needs or state.abilities.able(ask.needs, now) is not False:
                    yield state

    def lacking(self, ask: Ask, now: float) -> frozenset[str]:
        """What is needed and no permitted holder is able to, whether it rests or not; empty where one may be, or where
        nobody holds the models."""
        holders = (state for group in self._asked(ask) for state in group.holders)
        return lacking((state for state in holders if state.server.spec.trust in ask.trust), ask.needs, now)

    def able(self, ask: Ask, now: float) -> bool:
        """Is any permitted holder known to be able to what is needed?"""
        return any(
            state.server.spec.trust in ask.trust and state.abilities.able(ask.needs, now)
            for group in self._asked(ask)
            for state in group.holders
        )

    def _panic(self, ask: Ask, tried: Container[str], now: float) -> Candidate | Nobody:
        doubtful = [
            (is_lie(latest_rest(state)), latest_rest(state).last_fault_at, state)
            for group in self._asked(ask)
            for state in group.holders
            if state.server.spec.trust in ask.trust and state.key not in tried and not state.server.trial.resting(now)
            if not ask.needs or state.abilities.able(ask.needs, now) is not False
        ]
        idle = [item for item in doubtful if not item[2].in_flight]
        if not idle:
            return Nobody.FULL if doubtful else Nobody.LEFT
        return candidate(min(idle, key=lambda item: item[:2])[2], ask, now, resting=True)

    def shortlist(self, backends: Sequence[str], trust: frozenset[Trust], now: float) -> list[Candidate]:
        """All permitted candidates, best first, as if each could be asked at once: for people, and for tests."""
        ask = Ask(tuple(backends), trust)
        return ranked_candidates(
            [(n, state) for n, group in enumerate(self._asked(ask)) for state in group.holders], ask, now
        )

    def alike(self, digest: str, trust: frozenset[Trust], now: float) -> list[Candidate]:
        """As `shortlist`, of all that list a digest, under whatever name."""
        return ranked_candidates([(0, state) for state in self._index.alike(digest)], Ask((), trust), now)

    def explain(
        self, backends: Sequence[str], trust: frozenset[Trust], now: float, needs: frozenset[str] = frozenset()
    ) -> list[Verdict]:
        """As `explain.verdicts`, of all servers."""
        return verdicts(self.servers.values(), backends, trust, now, needs)

    def groups(self) -> Iterable[Group]:
        """The holders of each model."""
        return self._index.groups()

    def unshown(self, server: ServerState, exposed: Container[str], now: float) -> list[ModelState]:
        """As `probes.unshown`."""
        return unshown(server, exposed, self._index.alike, self._index.groups_of, now)

    def budgets(self, ask: Ask) -> Budgets:
        """What the requests for this model, pinned or not, may spend on retries and races."""
        groups = (self._index.group(pinned(canonical(backend)).name) for backend in ask.backends)
        return next((group.budgets for group in groups if group is not None), Budgets())

    def capacity(self, ask: Ask, now: float) -> int:
        """Attempts that the servers which may serve this request can bear together at a time."""
        return sum(group.limit(ask.trust, now) for group in self._asked(ask))

    def full(self, server_id: str) -> bool:
        """Is the server at the concurrency its owner allows?"""
        server = self.servers.get(server_id)
        return server is not None and server.full()

    def enable(self, server_id: str, enabled: bool) -> None:
        """Takes a server out of, or back into, service."""
        server = self.servers.get(server_id)
        if server is not None:
            server.spec = replace(server.spec, enabled=enabled)
            self._renew()

    def _asked(self, ask: Ask) -> list[Group]:
        find = self._index.group
        return [group for backend in ask.backends if (group := find(backend)) is not None]

    # -- what outlives a restart ---------------------------------------------------------------------------

    def snapshot(self, now: float) -> dict[str, Any]:
        """All that was learnt, as plain JSON values; no time of this process's clock is in it."""
        return memory.snapshot(self.servers, now)

    def restore(self, learnt: object, now: float, age: float = 0.0) -> int:
        """Takes over what a `snapshot` of `age` seconds ago knew of the servers there are now, after `describe`. What
        is not readable is left out. Returns how many servers were known."""
        known = memory.restore(self.servers, learnt, now, max(0.0, age))
        self._renew()
        return known
