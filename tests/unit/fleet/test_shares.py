"""Several processes ask the same servers, and each keeps to its share."""

from __future__ import annotations

from collections import Counter

import pytest

from llm_gateway.access.policy import Trust
from llm_gateway.fleet.facts import AttemptStarted, FirstToken, Listed, ListedModel, ServerSpec
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.fleet.shares import ALONE, share_of

MEMBERS = ("p1", "p2", "p3")
MODEL = ListedModel("m", digest="a" * 64)
ASK = Ask(("m",), frozenset(Trust))


def fleet_of(me: str, members: tuple[str, ...] = MEMBERS, count: int = 6, **fields: object) -> Fleet:
    fleet = Fleet(lambda: 0.5)
    specs = [
        ServerSpec(f"s{n}", f"s{n}", f"http://10.0.0.{n}", "ollama", Trust.OWN, models=(MODEL,), **fields)  # type: ignore[arg-type]
        for n in range(count)
    ]
    fleet.describe(specs)
    for spec in specs:
        fleet.apply(Listed(spec.id, 0.0, spec.models))
    fleet.divide(members, me)
    return fleet


@pytest.mark.parametrize("limit", range(1, 20))
def test_the_shares_of_all_add_up_to_the_limit_and_nobody_is_without(limit: int):
    parts = [share_of("s", MEMBERS, me).of(limit) for me in MEMBERS]
    assert all(parts)
    assert sum(part or 0 for part in parts) == max(limit, len(MEMBERS))


def test_one_process_has_everything():
    assert share_of("s", ("p1",), "p1") == ALONE
    assert (ALONE.of(7), ALONE.of(None), ALONE.owner) == (7, None, True)


def test_each_server_has_one_owner_and_the_servers_are_spread():
    owners = Counter(me for n in range(300) for me in MEMBERS if share_of(f"s{n}", MEMBERS, me).owner)
    assert owners.total() == 300
    assert min(owners.values()) > 70


def test_when_a_process_goes_only_its_servers_get_other_owners():
    def owner(server: str, members: tuple[str, ...]) -> str:
        return next(me for me in members if share_of(server, members, me).owner)

    for n in range(100):
        before, after = owner(f"s{n}", MEMBERS), owner(f"s{n}", MEMBERS[:2])
        assert before == after or before == "p3"


def test_servers_with_one_place_are_asked_by_their_owner_first_and_by_others_last():
    fleet = fleet_of("p1")
    mine = {id for id, server in fleet.servers.items() if server.share.owner}
    assert mine
    tried: set[str] = set()
    order = []
    while not isinstance(found := fleet.pick(ASK, tried, 1.0), type(None)) and hasattr(found, "spec"):
        order.append(found.spec.id)
        tried.add(found.key)
    assert set(order[: len(mine)]) == mine
    assert set(order) == set(fleet.servers)  # last is not never


def test_a_preferred_model_on_another_ones_server_comes_before_a_worse_model_on_an_own_one():
    fleet = fleet_of("p1")
    foreign = next(id for id, server in fleet.servers.items() if not server.share.owner)
    fleet.apply(Listed(foreign, 0.0, (ListedModel("best", digest="b" * 64), MODEL)))
    found = fleet.pick(Ask(("best", "m"), frozenset(Trust)), (), 1.0)
    assert getattr(found, "spec", None) is fleet.servers[foreign].spec


def test_nobody_races_on_another_ones_place():
    fleet = fleet_of("p1", count=30)
    mine = {model.key for s in fleet.servers.values() if s.share.owner for model in s.models.values()}
    assert not hasattr(fleet.pick(ASK, mine, 1.0, race=True), "spec")


def test_a_server_that_has_shown_that_it_bears_more_is_everybodys():
    fleet = fleet_of("p1", count=30)
    server = next(server for server in fleet.servers.values() if not server.share.owner)
    model = next(iter(server.models.values()))
    assert model.foreign
    fleet.apply(AttemptStarted(server.spec.id, "m", 1.0))
    fleet.apply(FirstToken(server.spec.id, "m", 2.0, 0.5))
    assert model.slots.limit == 2
    assert not model.foreign


def test_what_an_owner_allows_is_divided_and_follows_those_who_live():
    fleets = [fleet_of(me, max_concurrency=7) for me in MEMBERS]
    assert [sum(f.servers[f"s{n}"].most or 0 for f in fleets) for n in range(6)] == [7] * 6
    fleets[0].divide(("p1",), "p1")
    assert {server.most for server in fleets[0].servers.values()} == {7}
    assert {m.slots.ceiling for s in fleets[0].servers.values() for m in s.models.values()} == {7}


def test_a_server_that_is_described_later_is_divided_too():
    fleet = fleet_of("p1", max_concurrency=6)
    spec = ServerSpec("new", "new", "http://10.0.0.99", "ollama", Trust.OWN, max_concurrency=6, models=(MODEL,))
    fleet.describe([*(server.spec for server in fleet.servers.values()), spec])
    assert fleet.servers["new"].most == 2
