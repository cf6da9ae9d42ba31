"""What the fleet believes, and whom it would ask."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet.facts import (
    AttemptEnded,
    AttemptStarted,
    FirstToken,
    Listed,
    ListedModel,
    ProbeFailed,
    ServerSpec,
)
from llm_gateway.fleet.faults import CONSEQUENCES
from llm_gateway.fleet.fleet import Fleet

ALL = frozenset(Trust)
LLAMA = ListedModel("llama3.2:3b", digest="a" * 64)


def spec(id: str, trust: Trust = Trust.OWN, models: tuple[ListedModel, ...] = (LLAMA,), **more: object) -> ServerSpec:
    plain = ServerSpec(id, f"name-{id}", f"http://127.0.0.1:1{ord(id[-1])}", "ollama", trust, models=models)
    return replace(plain, **more)  # type: ignore[arg-type]  # fields by name


def fleet_of(*specs: ServerSpec) -> Fleet:
    fleet = Fleet(dice=lambda: 0.5)
    fleet.describe(specs)
    for one in specs:
        fleet.apply(Listed(one.id, 0.0, one.models))
    return fleet


def ids(fleet: Fleet, *backends: str, trust: frozenset[Trust] = ALL, now: float = 0.0) -> list[str]:
    return [c.spec.id for c in fleet.shortlist(backends or ("llama3.2:3b",), trust, now)]


def fail(fleet: Fleet, server: str, fault: FaultKind, at: float, model: str = "llama3.2:3b") -> None:
    fleet.apply(AttemptStarted(server, model, at))
    fleet.apply(AttemptEnded(server, model, at, fault=fault))


def succeed(fleet: Fleet, server: str, at: float, wait: float = 1.0, model: str = "llama3.2:3b") -> None:
    fleet.apply(AttemptStarted(server, model, at))
    fleet.apply(FirstToken(server, model, at, wait))
    fleet.apply(AttemptEnded(server, model, at, tokens=10, seconds=1.0))


def test_every_kind_of_fault_has_its_consequence():
    assert set(CONSEQUENCES) == set(FaultKind)


def test_a_refusing_server_goes_behind_the_others_and_returns_after_its_rest():
    fleet = fleet_of(spec("a"), spec("b"))
    fail(fleet, "a", FaultKind.REFUSED, at=10.0)
    assert ids(fleet, now=10.0) == ["b", "a"]
    assert fleet.servers["a"].state(10.0) == "resting"
    assert fleet.healthy("llama3.2:3b", ALL, now=14.9) == 1
    assert fleet.healthy("llama3.2:3b", ALL, now=15.1) == 2


def test_long_prompts_that_their_clients_give_up_early_rest_no_server():
    fleet = fleet_of(spec("a"))
    for n in range(20):
        succeed(fleet, "a", at=float(n), wait=0.2)
    for n in range(12):
        at = 100.0 + 2 * n
        fleet.apply(AttemptStarted("a", "llama3.2:3b", at))
        left = AttemptEnded("a", "llama3.2:3b", at + 1.5, cancelled=True, waited=1.5, prompt_tokens=60_000)
        fleet.apply(left)
    assert not fleet.servers["a"].models["llama3.2:3b"].failures


def test_rests_grow_and_are_capped():
    fleet = fleet_of(spec("a"))
    now, rests = 0.0, []
    for _ in range(10):
        fail(fleet, "a", FaultKind.REFUSED, at=now)
        rests.append(fleet.servers["a"].rest.until - now)
        now = fleet.servers["a"].rest.until
    assert rests[:4] == [5, 10, 20, 40]
    assert max(rests) == 300


def test_a_server_that_is_dead_for_long_rests_and_only_one_that_lies_is_quarantined():
    fleet = fleet_of(spec("a"), spec("b"), spec("c"))
    for n in range(300):
        fleet.apply(ProbeFailed("a", 60.0 * n, FaultKind.REFUSED, again_in=300.0))
    fail(fleet, "b", FaultKind.NOT_THE_PROTOCOL, at=17_900.0)
    fail(fleet, "c", FaultKind.AUTH, at=17_900.0)
    assert [fleet.servers[id].state(17_950.0) for id in "abc"] == ["resting", "quarantined", "healthy"]


def test_one_weak_answer_is_forgiven_and_two_in_a_row_rest_the_model_only():
    other = ListedModel("mistral:latest")
    fleet = fleet_of(spec("a", models=(LLAMA, other)), spec("b", models=(LLAMA, other)))
    fail(fleet, "a", FaultKind.SERVER_ERROR, at=1.0)
    assert fleet.healthy("llama3.2:3b", ALL, now=1.0) == 2
    fail(fleet, "a", FaultKind.CUT, at=2.0)
    assert fleet.healthy("llama3.2:3b", ALL, now=2.0) == 1
    assert fleet.healthy("mistral", ALL, now=2.0) == 2


def test_a_good_list_ends_a_rest_for_being_unreachable_but_no_quarantine_and_no_rest_of_a_model():
    fleet = fleet_of(spec("a"), spec("b"), spec("c"))
    fleet.apply(ProbeFailed("a", 1.0, FaultKind.REFUSED))
    fail(fleet, "b", FaultKind.NOT_THE_PROTOCOL, at=1.0)
    fail(fleet, "c", FaultKind.OUT_OF_MEMORY, at=1.0)
    for server in "abc":
        fleet.apply(Listed(server, 2.0, (LLAMA,)))
    assert fleet.servers["a"].state(2.0) == "healthy"
    assert fleet.servers["b"].state(2.0) == "quarantined"
    assert ids(fleet, now=2.0)[0] == "a"
    assert fleet.healthy("llama3.2:3b", ALL, now=2.0) == 1


def test_a_busy_server_is_asked_last_but_does_not_rest():
    fleet = fleet_of(spec("a"), spec("b"))
    succeed(fleet, "a", at=0.0, wait=0.1)
    succeed(fleet, "b", at=0.0, wait=0.2)
    fleet.apply(AttemptStarted("a", "llama3.2:3b", 1.0))
    fleet.apply(AttemptEnded("a", "llama3.2:3b", 1.0, fault=FaultKind.BUSY, retry_after=30))
    assert ids(fleet, now=2.0) == ["b", "a"]
    assert ids(fleet, now=32.0) == ["a", "b"]
    assert fleet.healthy("llama3.2:3b", ALL, now=2.0) == 2


def test_a_quicker_server_comes_first_until_it_is_loaded():
    fleet = fleet_of(spec("a"), spec("b"))
    succeed(fleet, "a", at=0.0, wait=0.1)
    succeed(fleet, "b", at=0.0, wait=0.25)
    assert ids(fleet) == ["a", "b"]
    for _ in range(3):
        fleet.apply(AttemptStarted("a", "llama3.2:3b", 1.0))
    assert ids(fleet) == ["b", "a"]


def test_the_preferred_model_comes_first_as_long_as_one_server_of_it_is_healthy():
    fleet = fleet_of(spec("a", models=(ListedModel("big"),)), spec("b", models=(ListedModel("small"),)))
    assert ids(fleet, "big", "small") == ["a", "b"]
    fail(fleet, "a", FaultKind.REFUSED, at=0.0)
    assert ids(fleet, "big", "small") == ["b", "a"]


def test_servers_of_other_trust_classes_are_no_candidates():
    fleet = fleet_of(spec("a", Trust.PUBLIC), spec("b", Trust.OWN))
    assert ids(fleet, trust=frozenset({Trust.OWN, Trust.PARTNER})) == ["b"]
    assert fleet.holders("llama3.2:3b") == {Trust.PUBLIC, Trust.OWN}


def test_disabled_servers_are_neither_candidates_nor_holders():
    fleet = fleet_of(spec("a"))
    fleet.enable("a", False)
    assert ids(fleet) == []
    assert fleet.holders("llama3.2:3b") == frozenset()
    assert fleet.servers["a"].state(0.0) == "disabled"


def test_the_servers_own_list_replaces_the_catalogues():
    fleet = fleet_of(spec("a"))
    fleet.apply(Listed("a", 1.0, (ListedModel("mistral:latest"),), version="0.9.1"))
    assert ids(fleet) == []
    assert ids(fleet, "mistral") == ["a"]
    assert fleet.servers["a"].version == "0.9.1"


def test_another_digest_under_the_same_name_is_another_model():
    fleet = fleet_of(spec("a"))
    succeed(fleet, "a", at=0.0)
    fleet.apply(Listed("a", 1.0, (replace(LLAMA, digest="b" * 64),)))
    assert fleet.servers["a"].models["llama3.2:3b"].successes == 0


def test_a_new_description_keeps_what_was_learnt_and_drops_servers_that_are_gone():
    fleet = fleet_of(spec("a"), spec("b"))
    succeed(fleet, "a", at=0.0)
    fleet.describe([spec("a", max_concurrency=3)])
    assert set(fleet.servers) == {"a"}
    assert fleet.servers["a"].models["llama3.2:3b"].successes == 1
    assert fleet.servers["a"].spec.max_concurrency == 3


def test_our_own_cancelling_says_nothing_about_the_server_but_frees_its_place():
    fleet = fleet_of(spec("a", max_concurrency=1))
    fleet.apply(AttemptStarted("a", "llama3.2:3b", 0.0))
    assert fleet.full("a")
    fleet.apply(AttemptEnded("a", "llama3.2:3b", 1.0, cancelled=True))
    assert not fleet.full("a")
    assert fleet.healthy("llama3.2:3b", ALL, now=1.0) == 1


@pytest.mark.parametrize("asked", ["llama3.2:3b", "LLAMA3.2:3B"])
def test_names_are_compared_without_case(asked: str):
    assert ids(fleet_of(spec("a")), asked) == ["a"]


def test_a_server_that_was_never_seen_is_asked_but_not_called_healthy():
    fleet = Fleet(dice=lambda: 0.5)
    fleet.describe([spec("a")])
    assert ids(fleet) == ["a"]
    assert fleet.healthy("llama3.2:3b", ALL, now=0.0) == 0
    assert fleet.servers["a"].state(0.0) == "unknown"


def test_a_catalogues_slow_server_comes_later_until_it_was_measured():
    quick, slow = replace(LLAMA, tokens_per_second=40.0), replace(LLAMA, tokens_per_second=4.0)
    fleet = fleet_of(spec("a", models=(slow,)), spec("b", models=(quick,)))
    assert ids(fleet) == ["b", "a"]
    fleet.apply(Listed("a", 1.0, (LLAMA,)))  # its own list knows no speeds
    assert ids(fleet) == ["b", "a"]
    succeed(fleet, "a", at=2.0, wait=0.1)
    assert ids(fleet) == ["a", "b"]
