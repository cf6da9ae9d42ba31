"""By name: who lists a model, who of them is believed and asked for it, and which digest it stands for.

Besides those that list a name, its group holds servers that have the very same model (by its digest) under another
name only. A pinned name (`llama3.3:70b@sha256:…`) has a group of its own: those that list the name with that digest,
whatever the others list, and nobody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet.group import Group
from llm_gateway.fleet.identity import Noticed, contradiction, judge, vouched
from llm_gateway.fleet.server import ModelState, ServerState
from llm_gateway.names import Pinned, canonical, pinned


class Index:
    """Made anew with `renew` whenever a list has changed."""

    def __init__(self) -> None:
        self.held: dict[str, list[ModelState]] = {}
        """By canonical name: all on servers in service that list it, also those that are not believed."""
        self.trusts: dict[str, frozenset[Trust]] = {}
        self.judged_at = 0.0
        """When all names were judged last."""
        self._groups: dict[str, Group] = {}
        self._of: dict[str, list[Group]] = {}
        """By key of a `ModelState`: the groups that it belongs to."""
        self._meant: dict[str, tuple[str, bool]] = {}
        """The digest that a name stands for, and whether own servers say so."""
        self._alike: dict[str, list[ModelState]] = {}
        """By digest."""

    def renew(self, servers: Iterable[ServerState], now: float, names: Iterable[str] | None = None) -> list[Noticed]:
        """Takes over what the servers list. `names`: where anything may have changed; None = everywhere. Returns whom
        it has just come to doubt."""
        self.held, self._alike, self._of = {}, {}, {}
        for server in servers:
            if server.spec.enabled:
                for name, state in server.models.items():
                    self.held.setdefault(name, []).append(state)
                    if state.listed.digest is not None:
                        self._alike.setdefault(state.listed.digest, []).append(state)
        if names is None:
            self.judged_at = now
        noticed = [n for name in (self.held if names is None else names) for n in self._judge(name, now)]
        old, self._groups = self._groups, {}
        for name, states in self.held.items():
            believed = [state for state in states if state.doubt is None]
            self._keep(old.get(name) or Group(name), [*believed, *self._namesakes(name)])
        for name, group in old.items():
            pin = pinned(name)
            if pin.digest is not None and (fitting := self._fitting(pin)):
                self._keep(group, fitting)
        self.trusts = {name: frozenset(s.server.spec.trust for s in states) for name, states in self.held.items()}
        return noticed

    def _judge(self, name: str, now: float) -> Iterator[Noticed]:
        states = self.held.get(name, ())
        claims = [state.claim(now) for state in states]
        judgement = judge(name, claims)
        self._meant.pop(name, None)
        if judgement.digest is not None:
            self._meant[name] = judgement.digest, judgement.own
        for state, claim in zip(states, claims, strict=True):
            doubt, before = judgement.doubts.get(claim.server), state.doubt
            state.doubt = doubt
            if doubt is not None and (before is None or before.kind != doubt.kind):
                yield Noticed(claim.server, state.server.spec.name, state.listed.name, doubt.kind, doubt.reason)
            if state.renewed and claim.trust is not Trust.OWN and vouched(claim, claims, judgement):
                state.renewed = False
                if state.identity.last_fault is FaultKind.DIGEST_CHANGED:
                    state.identity.succeeded(now)

    def _namesakes(self, name: str) -> Iterator[ModelState]:
        """Those that have the model under another name only. The word of strangers brings no own server into play, and
        what contradicts the asked name is not brought in by any digest."""
        digest, by_own = self._meant.get(name, (None, False))
        for state in self._alike.get(digest or "", ()):
            if name in state.server.models or state.doubt is not None:
                continue
            own = state.server.spec.trust is Trust.OWN
            if (own and by_own) or (not own and contradiction(name, state.listed) is None):
                yield state

    def _keep(self, group: Group, states: list[ModelState]) -> None:
        self._groups[group.name] = group
        group.hold(states)
        for state in states:
            self._of.setdefault(state.key, []).append(group)

    def group(self, model: str) -> Group | None:
        """Who is asked for a model; the group of a pinned name is made when it is asked for first."""
        name = canonical(model)
        group = self._groups.get(name)
        if group is None and (pin := pinned(name)).digest is not None and (fitting := self._fitting(pin)):
            self._keep(group := Group(name), fitting)
        return group

    def groups_of(self, state: ModelState) -> Sequence[Group]:
        return self._of.get(state.key, ())

    def listing(self, model: str) -> Sequence[ModelState]:
        """All that list a model (with the digest that its name is pinned to), believed or not."""
        return self._fitting(pinned(canonical(model)))

    def _fitting(self, pin: Pinned) -> list[ModelState]:
        states = self.held.get(pin.name, [])
        return states if pin.digest is None else [state for state in states if pin.fits(state.listed.digest)]

    def alike(self, digest: str) -> list[ModelState]:
        """All that list a digest under any name that their own details do not contradict."""
        found = self._alike.get(digest, ())
        return [state for state in found if state.doubt is None or state.doubt.kind != "misnamed"]
