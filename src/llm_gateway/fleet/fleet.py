"""The fleet: facts in, choices out. Pure: times and dice are arguments, nothing is awaited.

`beliefs.py` lets facts move what is believed; here is found out of it who may be asked. Nothing is refused while
anything is untried: when all that hold a model rest, they are asked all the same, the least recently failed first,
one attempt at a time each.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence

from llm_gateway.access.policy import Trust
from llm_gateway.fleet.abilities import lacking
from llm_gateway.fleet.beliefs import Beliefs
from llm_gateway.fleet.budget import Budgets
from llm_gateway.fleet.candidate import Candidate, Nobody, candidate, ranked_candidates
from llm_gateway.fleet.explain import Verdict, described, verdicts
from llm_gateway.fleet.facts import ListedModel
from llm_gateway.fleet.group import Group, latest_rest
from llm_gateway.fleet.identity import Noticed
from llm_gateway.fleet.policies import POLICIES
from llm_gateway.fleet.policies.able_first import able_first
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.fleet.probes import unshown
from llm_gateway.fleet.server import ModelState, ServerState, is_lie
from llm_gateway.names import canonical, unpinned

EVERYBODY = frozenset(Trust)
DETAILS = 1_000
"""Models whose details are kept at hand: clients ask for what they like."""


class Fleet(Beliefs):
    """Facts in, choices out. One per process."""

    def __init__(
        self, dice: Callable[[], float], policy: str = "p2c", told: Callable[[Noticed], None] = lambda _: None
    ) -> None:
        """`dice` gives numbers in [0, 1), hand in a seeded one to replay a run; `policy`: a name of `POLICIES`; `told`
        hears who is quarantined for not being what it says (logs, metrics)."""
        super().__init__(dice, told)
        self._policy = POLICIES[policy]
        self._able_first = able_first(self._policy)

    def holders(self, model: str) -> frozenset[Trust]:
        """The trust classes of the servers that are believed to hold a model; empty = nobody does."""
        known = self._index.trusts
        if (trusts := known.get(model) or known.get(canonical(model))) is not None:
            return trusts
        return frozenset(m.server.spec.trust for m in self._index.listing(model))

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
        key = model, trust
        if key not in self._details:
            if len(self._details) >= DETAILS:
                self._details.clear()
            self._details[key] = self._detailed(model, trust)
        return self._details[key]

    def _detailed(self, model: str, trust: frozenset[Trust]) -> ListedModel | None:
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
            if state.slots.limit == 1 and not may_be_foreign and state.foreign:
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
        return unshown(server, exposed, self._index.alike, now)

    def budgets(self, ask: Ask) -> Budgets:
        """What the requests for this model, pinned or not, may spend on retries and races."""
        for backend in ask.backends:
            plain = unpinned(backend) if "@" in backend else backend
            if (group := self._index.known_group(plain) or self._index.group(plain)) is not None:
                return group.budgets
        return Budgets()

    def capacity(self, ask: Ask, now: float) -> int:
        """Attempts that the servers which may serve this request can bear together at a time."""
        return sum(group.limit(ask.trust, now) for group in self._asked(ask))

    def full(self, server_id: str) -> bool:
        """Is the server at the concurrency its owner allows?"""
        server = self.servers.get(server_id)
        return server is not None and server.full()

    def _asked(self, ask: Ask) -> list[Group]:
        if len(ask.backends) == 1:
            group = self._index.known_group(ask.backends[0]) or self._index.group(ask.backends[0])
            return [group] if group is not None else []
        find = self._index.group
        return [group for backend in ask.backends if (group := find(backend)) is not None]
