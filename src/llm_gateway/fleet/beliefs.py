"""What is believed about the servers: facts move it, and nothing else does. Pure: times and dice are arguments.

What is believed about a server, a model on it and a digest of that are three state machines (`server.py`); here they
are told what happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet import memory
from llm_gateway.fleet.canary import suspicious
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
from llm_gateway.fleet.identity import JUDGED_AGAIN, Noticed, taken_over
from llm_gateway.fleet.index import Index
from llm_gateway.fleet.server import LIES, WARM_LASTS, ModelState, ServerState
from llm_gateway.fleet.shares import share_of
from llm_gateway.names import canonical

LOOK_TAKES = 10.0
"""Seconds that the next look may come late, before a server that nobody can reach is tried with a request."""
BROKEN = 4.0
"""Failures that one answer counts for which broke off after its begin: it could not be made good unseen."""
SPEED_KEPT = 0.8
"""Weight of what was known of a speed, against one more measurement."""


class Beliefs:
    """Everything believed about the servers; `apply` is the only way in."""

    def __init__(self, dice: Callable[[], float], told: Callable[[Noticed], None]) -> None:
        self.dice = dice
        self._told = told
        self.servers: dict[str, ServerState] = {}
        self._index = Index()
        self._now = 0.0
        """Of the latest fact."""
        self._members: tuple[Sequence[str], str] = (("",), "")
        self.generation = 0
        """Rises whenever another server or model is known, or one less."""
        self._details: dict[tuple[str, frozenset[Trust]], ListedModel | None] = {}
        """What is told of models, kept until a list, or what is known of abilities, changes."""
        self._heard: dict[type[Fact], Callable[[ServerState, Any], None]] = {
            AttemptStarted: self._attempt_started,
            FirstToken: self._first_token,
            AttemptEnded: self._attempt_ended,
            Listed: self._listed,
            ProbeFailed: self._probe_failed,
            Warm: self._memory,
            Shown: self._shown,
            Lacks: self._lacks,
            Judged: self._judged,
        }

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
        self._heard[type(fact)](server, fact)

    def _probe_failed(self, server: ServerState, fact: ProbeFailed) -> None:
        rest = server.probe_rest
        if rest.failed(fact.at, fact.fault, probed(fact.fault), self.dice(), fact.detail):
            self._down(server)
        if fact.again_in is not None:
            rest.until = max(rest.until, fact.at + fact.again_in + LOOK_TAKES)
            self._stale(server)

    def _memory(self, server: ServerState, fact: Warm) -> None:
        held = {canonical(name) for name in fact.models}
        for name, state in server.models.items():
            if name in held:
                state.warm_until, state.cold_until = fact.at + WARM_LASTS, fact.at
                for group in state.groups:
                    group.heat(state)
            else:
                state.warm_until, state.cold_until = fact.at, fact.at + WARM_LASTS
                for group in state.groups:
                    group.cool()

    def _judged(self, server: ServerState, fact: Judged) -> None:
        server.judged(fact.at, fact.lie, self.dice())
        self._stale(server)

    def _shown(self, server: ServerState, fact: Shown) -> None:
        model = server.model(fact.model)
        if model is not None and model.listed.digest == fact.digest:
            model.abilities.shown = fact.show
            self._able(model)

    def _lacks(self, server: ServerState, fact: Lacks) -> None:
        model = server.model(fact.model)
        if model is not None:
            model.abilities.refused(fact.capability, fact.at)
            self._able(model)

    def _able(self, model: ModelState) -> None:
        """What is known of its abilities has changed."""
        self._index.shown(model)
        self._details.clear()

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
                self._able(state)
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

    def _attempt_started(self, server: ServerState, fact: AttemptStarted) -> None:
        """Notes for what it was asked, too: for somebody, or of our own accord."""
        now, model = fact.at, server.models.get(fact.model) or server.model(fact.model)
        server.in_flight += 1
        if model is not None:
            model.in_flight += 1
            for group in model.groups:
                group.in_flight += 1
        if not fact.probe:
            server.used_at = now
            if model is not None:
                model.used_at = now
            asked = self._index.known_group(fact.model) or self._index.group(fact.model)
            if asked is not None:
                asked.wanted(now)
        elif model is not None:
            model.probed_at = now

    def _first_token(self, server: ServerState, fact: FirstToken) -> None:
        model = server.models.get(fact.model) or server.model(fact.model)
        if model is not None:
            model.began(fact)
            for group in model.groups:
                group.heat(model)

    def _attempt_ended(self, server: ServerState, fact: AttemptEnded) -> None:
        model = server.models.get(fact.model) or server.model(fact.model)
        if server.in_flight:
            server.in_flight -= 1
        if model is not None and model.in_flight:
            model.in_flight -= 1
            for group in model.groups:
                group.in_flight -= 1
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
        if model.rest.faults or model.identity.faults:
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
        self._details.clear()
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
            for group in model.groups:
                group.stale()

    def enable(self, server_id: str, enabled: bool) -> None:
        """Takes a server out of, or back into, service."""
        server = self.servers.get(server_id)
        if server is not None:
            server.spec = replace(server.spec, enabled=enabled)
            self._renew()

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
