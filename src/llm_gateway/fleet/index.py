"""By name: who lists a model, who of them is believed and asked for it, and which digest it stands for.

Besides those that list a name, its group holds servers that have the very same model (by its digest) under another
name only. A pinned name (`llama3.3:70b@sha256:…`) has a group of its own: those that list the name with that digest,
whatever the others list, and nobody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet.abilities import settle
from llm_gateway.fleet.group import Group
from llm_gateway.fleet.identity import Noticed, contradiction, judge, vouched
from llm_gateway.fleet.server import ModelState, ServerState
from llm_gateway.names import Pinned, canonical, pinned


class Index:
    """Made as a whole with `renew`, and kept in step with one server's list with `relist`."""

    def __init__(self) -> None:
        self.held: dict[str, list[ModelState]] = {}
        """By canonical name: all on servers in service that list it, also those that are not believed."""
        self.trusts: dict[str, frozenset[Trust]] = {}
        """Of those."""
        self.judged_at = 0.0
        """When all names were judged last."""
        self._groups: dict[str, Group] = {}
        self.known_group = self._groups.get
        """As `group`, of a name in its canonical form, as most come; None also for a pin that nobody asked for yet."""
        self._meant: dict[str, tuple[str, bool]] = {}
        """The digest that a name stands for, and whether own servers say so."""
        self._named: dict[str, set[str]] = {}
        """By digest: the names that stand for it."""
        self._alike: dict[str, list[ModelState]] = {}
        """By digest: all that list it."""

    def renew(self, servers: Iterable[ServerState], now: float) -> list[Noticed]:
        """Takes over what all servers list. Returns whom it has just come to doubt."""
        names = set(self.held)
        self.held, self._alike, self.judged_at = {}, {}, now
        for server in servers:
            if server.spec.enabled:
                for name, state in server.models.items():
                    self.held.setdefault(name, []).append(state)
                    if state.listed.digest is not None:
                        self._alike.setdefault(state.listed.digest, []).append(state)
        return self._settle(names.union(self.held), set(self._alike), now)

    def relist(self, server: ServerState, old: Mapping[str, ModelState], now: float) -> list[Noticed]:
        """As `renew`, where nothing but this server's list has changed; `old` is what it listed before."""
        if not server.spec.enabled:
            return []
        names = {*old, *server.models}
        digests = set()
        for name in names:
            was, state = old.get(name), server.models.get(name)
            _swap(self.held, name, was, state)
            if was is not None and was is not state and was.listed.digest is not None:
                _swap(self._alike, was.listed.digest, was, None)
                digests.add(was.listed.digest)
            if state is not None and state.listed.digest is not None:
                _swap(self._alike, state.listed.digest, state, state)
                digests.add(state.listed.digest)
        return self._settle(names, digests, now)

    def _settle(self, names: set[str], digests: set[str], now: float) -> list[Noticed]:
        """Judges these names anew, and puts together all groups that this or one of the digests may have changed."""
        noticed = [n for name in sorted(names) for n in self._judge(name, digests, now)]
        touched = names.union(*(self._named.get(digest, ()) for digest in digests))
        for digest in digests:
            self._settle_abilities(self._alike.get(digest, ()))
        for name in names:
            for state in self.held.get(name, ()):
                if state.listed.digest is None:
                    self._settle_abilities((state,))
        for name in touched:
            states = self.held.get(name)
            if states is None:
                self.trusts.pop(name, None)
                if name in self._groups:
                    self._keep(self._groups.pop(name), [])
                continue
            self.trusts[name] = frozenset(s.server.spec.trust for s in states)
            group = self._groups.get(name)
            if group is None:
                group = self._groups[name] = Group(name)
            self._keep(group, [*(state for state in states if state.doubt is None), *self._namesakes(name)])
        for name in [name for name in self._groups if "@" in name]:
            pin = pinned(name)
            if pin.digest is not None and pin.name in touched:
                self._keep(self._groups[name], self._fitting(pin))
                if not self._groups[name].holders:
                    del self._groups[name]
        return noticed

    def _judge(self, name: str, digests: set[str], now: float) -> Iterator[Noticed]:
        """Adds to `digests` what has another meaning now, or is believed of others."""
        states = self.held.get(name, ())
        claims = [state.claim(now) for state in states]
        judgement = judge(name, claims)
        was = self._meant.pop(name, None)
        if was is not None:
            self._named[was[0]].discard(name)
            if not self._named[was[0]]:
                del self._named[was[0]]
        if judgement.digest is not None:
            self._meant[name] = judgement.digest, judgement.own
            self._named.setdefault(judgement.digest, set()).add(name)
        for state, claim in zip(states, claims, strict=True):
            doubt, before = judgement.doubts.get(claim.server), state.doubt
            state.doubt = doubt
            if (doubt is None) is not (before is None) and claim.listed.digest is not None:
                digests.add(claim.listed.digest)
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
        for state in group.holders:
            state.groups = tuple(other for other in state.groups if other is not group)
        group.hold(states)
        for state in states:
            state.groups = (*state.groups, group)

    def group(self, model: str) -> Group | None:
        """Who is asked for a model; the group of a pinned name is made when it is asked for first."""
        if (group := self._groups.get(model)) is not None:
            return group  # most names come in their canonical form
        name = canonical(model)
        group = self._groups.get(name)
        if group is None and (pin := pinned(name)).digest is not None and (fitting := self._fitting(pin)):
            group = self._groups[name] = Group(name)
            self._keep(group, fitting)
        return group

    def groups(self) -> Iterable[Group]:
        """Of all names, also pinned ones that were asked for."""
        return self._groups.values()

    def listing(self, model: str) -> Sequence[ModelState]:
        """All that list a model (with the digest that its name is pinned to), believed or not."""
        name = canonical(model)
        return self._fitting(pinned(name)) if "@" in name else self.held.get(name, ())

    def _fitting(self, pin: Pinned) -> list[ModelState]:
        states = self.held.get(pin.name, [])
        return states if pin.digest is None else [state for state in states if pin.fits(state.listed.digest)]

    def shown(self, state: ModelState) -> None:
        """What the server shows of it has changed, or its version."""
        self._settle_abilities(self._alike.get(state.listed.digest or "", (state,)))

    def _settle_abilities(self, states: Sequence[ModelState]) -> None:
        settle(states)
        for state in states:
            for group in state.groups:
                group.stale()

    def alike(self, digest: str) -> list[ModelState]:
        """All that list a digest under any name that their own details do not contradict."""
        found = self._alike.get(digest, ())
        return [state for state in found if state.doubt is None or state.doubt.kind != "misnamed"]


def _swap(lists: dict[str, list[ModelState]], key: str, old: ModelState | None, new: ModelState | None) -> None:
    """Puts `new` in the place of `old`, or at the end; None = nothing. A list that is empty is none."""
    states = lists.setdefault(key, [])
    if old is not None and old in states:
        place = states.index(old)
        states[place : place + 1] = [] if new is None else [new]
    elif new is not None:
        states.append(new)
    if not states:
        del lists[key]
