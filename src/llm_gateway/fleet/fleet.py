"""The fleet: facts in, choices out. Pure: times and dice are arguments, nothing is awaited.

First version, simple but honest: every permitted server that holds the model is a candidate; rested ones come
before resting ones, better ones before worse; nothing is refused while anything is untried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet.facts import (
    AttemptEnded,
    AttemptStarted,
    Fact,
    FirstToken,
    Listed,
    ListedModel,
    ProbeFailed,
    ServerSpec,
)
from llm_gateway.fleet.faults import CONSEQUENCES, UNCOUNTED, Consequence, Scope
from llm_gateway.fleet.server import ModelState, ServerState
from llm_gateway.names import canonical


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server that may be asked for a model, and why it stands where it stands."""

    spec: ServerSpec
    model: str
    """The name as that server lists it."""
    resting: bool
    slow_wait: float | None
    """Seconds: the 95th percentile of its first-token times, None while unknown."""


class Fleet:
    """Everything believed about the servers. One per process; `apply` is the only way in."""

    def __init__(self, dice: Callable[[], float]) -> None:
        """`dice` gives numbers in [0, 1); hand in a seeded one to replay a run."""
        self._dice = dice
        self.servers: dict[str, ServerState] = {}
        self._holders: dict[str, list[ServerState]] = {}
        self._trusts: dict[str, frozenset[Trust]] = {}
        self._shown: dict[str, str] = {}
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
                self._hold(known, spec.models)
            else:
                known.spec = spec
                if known.listed_at is None:
                    self._hold(known, spec.models)
            fresh[spec.id] = known
        self.servers = fresh
        self._index()

    def apply(self, fact: Fact) -> None:
        """Lets one fact change what is believed. Facts about servers that are gone are ignored."""
        server = self.servers.get(fact.server)
        if server is None:
            return
        match fact:
            case Listed():
                self._listed(server, fact)
            case ProbeFailed():
                server.probe_rest.failed(fact.at, fact.fault, _probed(fact.fault), self._dice(), fact.detail)
            case AttemptStarted():
                server.in_flight += 1
                if (model := server.models.get(canonical(fact.model))) is not None:
                    model.in_flight += 1
            case FirstToken():
                if (model := server.models.get(canonical(fact.model))) is not None:
                    model.waits.append(fact.wait)
            case AttemptEnded():
                self._ended(server, fact)

    def _listed(self, server: ServerState, fact: Listed) -> None:
        """A server that answers its list can be reached: rests for being out of reach end. What it did wrong with a
        request stays: a good list is no proof of good answers."""
        server.probe_rest.succeeded()
        if server.rest.last_fault in UNCOUNTED:
            server.rest.succeeded()
        server.listed_at = fact.at
        server.version = fact.version or server.version
        names = [canonical(m.name) for m in fact.models]
        if names != list(server.models) or any(server.models[canonical(m.name)].listed != m for m in fact.models):
            self._hold(server, fact.models)
            self._index()

    def _ended(self, server: ServerState, fact: AttemptEnded) -> None:
        server.in_flight = max(0, server.in_flight - 1)
        model = server.models.get(canonical(fact.model))
        if model is not None:
            model.in_flight = max(0, model.in_flight - 1)
        if fact.cancelled:
            return
        if fact.fault is None:
            server.rest.succeeded()
            if model is not None:
                model.rest.succeeded()
                model.successes += 1
                if fact.seconds > 0 and fact.tokens > 1:
                    speed = fact.tokens / fact.seconds
                    model.tokens_per_second = 0.8 * (model.tokens_per_second or speed) + 0.2 * speed
            return
        meant = CONSEQUENCES[fact.fault]
        if meant.scope is Scope.SERVER:
            server.rest.failed(fact.at, fact.fault, meant, self._dice(), fact.detail)
        elif model is not None and meant.scope is Scope.MODEL:
            model.failures += 1
            model.rest.failed(fact.at, fact.fault, meant, self._dice(), fact.detail)
        elif model is not None and fact.fault is FaultKind.BUSY:
            model.busy_until = fact.at + min(fact.retry_after or meant.rest, meant.cap)

    def _hold(self, server: ServerState, models: Sequence[ListedModel]) -> None:
        old = server.models
        server.models = {}
        for listed in models:
            name = canonical(listed.name)
            known = old.get(name)
            if known is not None and listed.tokens_per_second is None:
                listed = replace(listed, tokens_per_second=known.listed.tokens_per_second)  # the catalogue's prior
            if known is not None and (known.listed.digest is None or known.listed.digest == listed.digest):
                known.listed = listed
                server.models[name] = known
            else:  # new here, or another model under the same name: nothing learnt of the old one applies
                server.models[name] = ModelState(listed, in_flight=known.in_flight if known else 0)

    def _index(self) -> None:
        self.generation += 1
        holders: dict[str, list[ServerState]] = {}
        for server in self.servers.values():
            if server.spec.enabled:
                for name in server.models:
                    holders.setdefault(name, []).append(server)
        self._holders = holders
        self._trusts = {name: frozenset(s.spec.trust for s in held) for name, held in holders.items()}
        self._shown = {name: held[0].models[name].listed.name for name, held in holders.items()}

    # -- what is asked -------------------------------------------------------------------------------------

    def holders(self, model: str) -> frozenset[Trust]:
        """The trust classes of the servers that are believed to hold a model; empty = nobody does."""
        return self._trusts.get(canonical(model), frozenset())

    def names(self) -> Iterable[tuple[str, frozenset[Trust]]]:
        """Every physical model and the trust classes that hold it."""
        return [(self._shown[name], trusts) for name, trusts in self._trusts.items()]

    def healthy(self, model: str, trust: frozenset[Trust], now: float) -> int:
        """How many permitted servers hold the model, have shown themselves alive, and do not rest."""
        name = canonical(model)
        return sum(
            1
            for s in self._holders.get(name, ())
            if s.spec.trust in trust and s.state(now) == "healthy" and not s.models[name].rest.resting(now)
        )

    def details(self, model: str) -> ListedModel | None:
        """What the first server that holds it says about a model."""
        held = self._holders.get(canonical(model))
        return held[0].models[canonical(model)].listed if held else None

    def since(self, model: str) -> float:
        """Unix seconds since when some server is listed that holds the model, 0 when none is."""
        return min((s.spec.first_seen for s in self._holders.get(canonical(model), ())), default=0.0)

    def shortlist(self, backends: Sequence[str], trust: frozenset[Trust], now: float) -> list[Candidate]:
        """Permitted candidates, best first: preferred models first, then the lower expected wait under the
        present load; after all of these the resting ones, the least recently failed first (better a doubtful
        server than a certain refusal)."""
        ranked: list[tuple[tuple[float, ...], Candidate]] = []
        for preference, backend in enumerate(backends):
            name = canonical(backend)
            for server in self._holders.get(name, ()):
                if server.spec.trust not in trust:
                    continue
                model = server.models[name]
                resting = server.rests(now) is not None or model.rest.resting(now)
                if resting:
                    order = (1.0, 0.0, max(r.last_fault_at for r in (server.rest, server.probe_rest, model.rest)))
                else:
                    wait = model.expected_wait() * (1 + model.in_flight) * (0.9 + 0.2 * self._dice())
                    order = (0.0, float(preference), wait + (1e6 if now < model.busy_until else 0.0))
                ranked.append((order, Candidate(server.spec, model.listed.name, resting, model.slow_wait())))
        ranked.sort(key=lambda item: item[0])
        return [candidate for _, candidate in ranked]

    def full(self, server_id: str) -> bool:
        """Is the server at the concurrency its owner allows?"""
        server = self.servers.get(server_id)
        return server is not None and server.full()

    def enable(self, server_id: str, enabled: bool) -> None:
        """Takes a server out of, or back into, service."""
        server = self.servers.get(server_id)
        if server is not None:
            server.spec = replace(server.spec, enabled=enabled)
            self._index()


def _probed(fault: FaultKind) -> Consequence:
    """What a failed probe means: the whole server rests, however little of it the fault would be for a request."""
    meant = CONSEQUENCES[fault]
    return meant if meant.scope is Scope.SERVER else CONSEQUENCES[FaultKind.REFUSED]
