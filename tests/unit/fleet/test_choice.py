"""Whom the fleet asks: warm ones, a conversation's own, those that come back, and, when all rest, the doubtful."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from msgspec import structs

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet.candidate import Candidate, Nobody
from llm_gateway.fleet.facts import (
    AttemptEnded,
    AttemptStarted,
    FirstToken,
    Listed,
    ListedModel,
    ProbeFailed,
    ServerSpec,
    Warm,
)
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.fleet.group import affinity
from llm_gateway.fleet.policies import POLICIES
from llm_gateway.fleet.policies.policy import Ask

MODEL = "llama3.2:3b"
LLAMA = ListedModel(MODEL, digest="a" * 64)
ASK = Ask((MODEL,), frozenset(Trust))


def spec(id: str, **more: object) -> ServerSpec:
    plain = ServerSpec(id, id, f"http://{id}", "ollama", Trust.OWN, models=(LLAMA,))
    return replace(plain, **more)  # type: ignore[arg-type]  # fields by name


def fleet_of(*specs: ServerSpec, policy: str = "p2c", seed: int = 1) -> Fleet:
    fleet = Fleet(Random(seed).random, policy)
    fleet.describe(specs)
    for one in specs:
        fleet.apply(Listed(one.id, 0.0, one.models))
    return fleet


def begin(fleet: Fleet, server: str, at: float = 0.0) -> None:
    fleet.apply(AttemptStarted(server, MODEL, at))


def fail(fleet: Fleet, server: str, fault: FaultKind, at: float) -> None:
    begin(fleet, server, at)
    fleet.apply(AttemptEnded(server, MODEL, at, fault=fault))


def succeed(fleet: Fleet, server: str, at: float, wait: float = 1.0, tokens: int = 10) -> None:
    begin(fleet, server, at)
    fleet.apply(FirstToken(server, MODEL, at, wait))
    fleet.apply(AttemptEnded(server, MODEL, at, tokens=tokens, seconds=1.0))


def picked(fleet: Fleet, now: float, ask: Ask = ASK, **more: bool) -> str:
    found = fleet.pick(ask, (), now, **more)
    return found.spec.id if isinstance(found, Candidate) else found.value


def often(fleet: Fleet, now: float, ask: Ask = ASK, times: int = 200) -> Counter[str]:
    return Counter(picked(fleet, now, ask) for _ in range(times))


def test_the_quicker_of_two_is_asked():
    fleet = fleet_of(spec("a"), spec("b"))
    succeed(fleet, "a", 0.0, wait=3.0)
    succeed(fleet, "b", 0.0, wait=1.0)
    assert often(fleet, 1.0) == {"b": 200}


def test_among_many_the_load_is_spread_over_the_better_half():
    fleet = fleet_of(*(spec(f"s{n}") for n in range(10)))
    for n in range(10):
        succeed(fleet, f"s{n}", 0.0, wait=1.0 + n)
    counts = often(fleet, 1.0, times=500)
    assert counts["s9"] == 0
    assert counts["s0"] > counts["s5"]
    assert len(counts) >= 5


def test_a_slow_speaker_is_asked_less():
    fleet = fleet_of(spec("a"), spec("b"))
    succeed(fleet, "a", 0.0, tokens=5)
    succeed(fleet, "b", 0.0, tokens=50)
    assert often(fleet, 1.0) == {"b": 200}


def test_a_server_whose_answers_break_off_is_asked_less_though_it_is_quicker():
    fleet = fleet_of(spec("a"), spec("b"))
    for n in range(20):
        succeed(fleet, "a", float(n), wait=0.5)
        succeed(fleet, "b", float(n), wait=0.8)
    begin(fleet, "a", 20.0)
    fleet.apply(FirstToken("a", MODEL, 20.0, 0.5))
    fleet.apply(AttemptEnded("a", MODEL, 21.0, FaultKind.CUT, tokens=3, seconds=1.0))
    assert often(fleet, 22.0) == {"b": 200}


def test_of_servers_that_cost_the_same_the_one_with_the_model_in_memory_is_asked():
    fleet = fleet_of(spec("a"), spec("b"), spec("c"))
    fleet.apply(Warm("b", 1.0, (MODEL.upper(),)))
    assert often(fleet, 2.0) == {"b": 200}


def test_a_server_that_has_to_load_the_model_first_is_asked_later():
    fleet = fleet_of(spec("a"), spec("b"))
    fleet.apply(Warm("a", 1.0, ()))
    assert often(fleet, 2.0) == {"b": 200}
    found = fleet.pick(ASK, {"b " + MODEL}, 2.0)
    assert isinstance(found, Candidate)
    assert found.cold
    assert set(often(fleet, 500.0)) == {"a", "b"}  # what it had in memory then says nothing now


def test_the_first_answer_of_a_cold_model_is_no_measure_of_a_warm_one():
    fleet = fleet_of(spec("a"))
    succeed(fleet, "a", 0.0, wait=20.0)
    for n in range(5):
        succeed(fleet, "a", 10.0 + n, wait=0.5)
    model = fleet.servers["a"].models[MODEL]
    assert model.expected_wait(100.0) == pytest.approx(0.5)
    assert model.expected_wait(1000.0) == pytest.approx(20.0)


def test_a_conversation_stays_with_its_server():
    fleet = fleet_of(*(spec(f"s{n}") for n in range(8)))
    homes = set()
    for talk in range(20):
        counts = often(fleet, 1.0, structs.replace(ASK, place=affinity("p", f"talk {talk}")), times=20)
        assert len(counts) == 1
        homes |= set(counts)
    assert len(homes) >= 4
    assert affinity("p", "talk 1") != affinity("q", "talk 1")


def test_a_conversations_own_server_is_left_when_it_has_too_much_to_do():
    fleet = fleet_of(*(spec(f"s{n}") for n in range(4)))
    ask = structs.replace(ASK, place=affinity("p", "hello"))
    for n in range(4):
        succeed(fleet, f"s{n}", 0.0)
    home = picked(fleet, 1.0, ask)
    begin(fleet, home, 1.0)
    assert fleet.servers[home].models[MODEL].has_place(2.0)
    assert home not in often(fleet, 2.0, ask)


def test_an_unknown_server_gets_one_attempt_at_a_time_until_it_shows_content():
    fleet = fleet_of(spec("a"))
    begin(fleet, "a")
    assert picked(fleet, 0.0) == Nobody.FULL.value
    fleet.apply(FirstToken("a", MODEL, 1.0, 1.0))
    assert picked(fleet, 1.0) == "a"


def test_after_a_rest_exactly_one_attempt_shows_whether_it_is_back():
    fleet = fleet_of(spec("a"), spec("b"))
    for _ in range(4):
        begin(fleet, "a")
        fleet.apply(FirstToken("a", MODEL, 0.0, 0.1))
    for _ in range(4):
        fleet.apply(AttemptEnded("a", MODEL, 1.0, FaultKind.SERVER_ERROR))
    begin(fleet, "b")
    assert picked(fleet, 2.0) == Nobody.FULL.value  # a rests, b is at its limit
    assert picked(fleet, 8.0) == "a"
    begin(fleet, "a", 8.0)
    assert picked(fleet, 8.0) == Nobody.FULL.value
    fleet.apply(FirstToken("a", MODEL, 9.0, 1.0))
    assert picked(fleet, 9.0) == "a"


def test_what_comes_back_starts_slowly():
    fleet = fleet_of(spec("a"))
    for _ in range(4):
        begin(fleet, "a")
        fleet.apply(FirstToken("a", MODEL, 0.0, 0.1))
    model = fleet.servers["a"].models[MODEL]
    assert model.slots.limit == 8
    fleet.apply(AttemptEnded("a", MODEL, 1.0, FaultKind.REFUSED))
    assert model.slots.limit == 1


def test_a_busy_server_gets_half_and_is_left_alone_as_long_as_it_says():
    fleet = fleet_of(spec("a"))
    for _ in range(6):
        begin(fleet, "a")
        fleet.apply(FirstToken("a", MODEL, 0.0, 0.1))
    fleet.apply(AttemptEnded("a", MODEL, 1.0, FaultKind.BUSY, retry_after=500))
    assert fleet.servers["a"].models[MODEL].slots.limit == 3
    for _ in range(5):
        fleet.apply(AttemptEnded("a", MODEL, 1.0, tokens=2, seconds=1.0))
    assert picked(fleet, 60.0) == Nobody.FULL.value
    assert picked(fleet, 61.0) == "a"  # a minute is the most we believe


def test_when_all_rest_the_least_recently_failed_is_asked_once_at_a_time():
    fleet = fleet_of(spec("a"), spec("b"))
    fail(fleet, "a", FaultKind.REFUSED, 1.0)
    fail(fleet, "b", FaultKind.REFUSED, 2.0)
    assert picked(fleet, 3.0) == "a"
    assert picked(fleet, 3.0, resting_too=False) == Nobody.LEFT.value
    begin(fleet, "a", 3.0)
    assert picked(fleet, 3.0) == "b"
    begin(fleet, "b", 3.0)
    assert picked(fleet, 3.0) == Nobody.FULL.value


def test_a_liar_is_asked_after_all_that_are_only_weak():
    fleet = fleet_of(spec("a"), spec("b"))
    fail(fleet, "a", FaultKind.NOT_THE_PROTOCOL, 1.0)
    fail(fleet, "b", FaultKind.REFUSED, 2.0)
    assert picked(fleet, 3.0) == "b"


def test_a_good_list_ends_no_rest_for_bad_answers():
    fleet = fleet_of(spec("a"), spec("b"))
    fail(fleet, "a", FaultKind.SERVER_ERROR, 1.0)
    fail(fleet, "a", FaultKind.SERVER_ERROR, 1.0)
    fleet.apply(Listed("a", 2.0, (LLAMA,)))
    assert often(fleet, 2.0) == {"b": 200}


def test_a_new_digest_is_not_the_model_that_lied_but_its_machine_is_the_one_that_failed():
    fleet = fleet_of(spec("a"), spec("b"))
    fail(fleet, "a", FaultKind.WRONG_MODEL, 1.0)
    fail(fleet, "b", FaultKind.OUT_OF_MEMORY, 1.0)
    for server in "ab":
        fleet.apply(Listed(server, 2.0, (replace(LLAMA, digest="b" * 64),)))
    assert often(fleet, 2.0) == {"a": 200}


def test_a_server_that_the_prober_cannot_reach_stays_out_until_the_next_look():
    fleet = fleet_of(spec("a"), spec("b"))
    fleet.apply(ProbeFailed("a", 0.0, FaultKind.REFUSED, again_in=3600.0))
    assert often(fleet, 3600.0) == {"b": 200}
    fleet.apply(Listed("a", 3600.0, (LLAMA,)))
    assert set(often(fleet, 3600.0)) == {"a", "b"}


def test_one_that_answers_every_other_time_is_found_out():
    fleet = fleet_of(spec("a"), spec("b"))
    for n in range(3):
        fail(fleet, "a", FaultKind.SERVER_ERROR, float(2 * n))
        if n < 2:
            succeed(fleet, "a", float(2 * n + 1))
    assert often(fleet, 5.0) == {"b": 200}


def test_a_silent_server_is_found_out_though_another_always_answers_first():
    fleet = fleet_of(spec("a"), spec("b"))
    for n in range(3):
        begin(fleet, "a", float(n))
        fleet.apply(AttemptEnded("a", MODEL, n + 2.0, cancelled=True, waited=2.0))
    model = fleet.servers["a"].models[MODEL]
    assert (model.failures, model.rest.last_fault) == (1, FaultKind.FIRST_TOKEN_TIMEOUT)
    assert often(fleet, 4.0) == {"b": 200}


def test_clients_that_leave_at_once_do_not_blacken_a_server():
    fleet = fleet_of(spec("a"))
    for n in range(20):
        begin(fleet, "a", float(n))
        fleet.apply(AttemptEnded("a", MODEL, n + 0.5, cancelled=True, waited=0.5))
    assert fleet.servers["a"].models[MODEL].failures == 0


def test_a_server_that_strains_gets_less():
    fleet = fleet_of(spec("a"))
    for n in range(8):
        succeed(fleet, "a", float(n), wait=0.5)
    for _ in range(4):
        begin(fleet, "a", 10.0)
    fleet.apply(FirstToken("a", MODEL, 15.0, 5.0))
    assert fleet.servers["a"].models[MODEL].slots.limit == 2


def test_races_are_only_run_on_servers_that_take_part():
    fleet = fleet_of(spec("a", hedge=False), spec("b"))
    assert picked(fleet, 0.0, race=True) == "b"
    begin(fleet, "b")
    assert picked(fleet, 0.0, race=True, resting_too=False) == Nobody.FULL.value


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_asks_only_whom_it_may(policy: str):
    fleet = fleet_of(*(spec(f"s{n}") for n in range(6)), policy=policy)
    begin(fleet, "s0")
    fail(fleet, "s1", FaultKind.REFUSED, 0.0)
    tried = {f"s2 {MODEL}"}
    found = Counter()
    for _ in range(100):
        candidate = fleet.pick(ASK, tried, 1.0)
        assert isinstance(candidate, Candidate)
        found[candidate.spec.id] += 1
    assert set(found) == {"s3", "s4", "s5"}


def test_round_robin_takes_turns_and_least_in_flight_fills_up():
    fleet = fleet_of(spec("a"), spec("b"), spec("c"), policy="round_robin")
    assert Counter(picked(fleet, 0.0) for _ in range(6)) == {"a": 2, "b": 2, "c": 2}
    fleet = fleet_of(spec("a"), spec("b"), policy="least_in_flight")
    succeed(fleet, "a", 0.0)
    begin(fleet, "a")
    assert often(fleet, 0.0) == {"b": 200}


def test_the_fleet_is_busy_until_the_first_of_those_that_are_left_has_time():
    fleet = fleet_of(spec("a"), spec("b"))
    for server, after in (("a", 30.0), ("b", 20.0)):
        begin(fleet, server, 0.0)
        fleet.apply(AttemptEnded(server, MODEL, 0.0, fault=FaultKind.BUSY, retry_after=after))
    assert fleet.busy_for(ASK, (), 5.0) == 15.0
    assert fleet.busy_for(ASK, {f"b {MODEL}"}, 5.0) == 25.0
    assert fleet.busy_for(ASK, (), 25.0) == 0.0


def test_servers_that_come_back_from_a_rest_are_down_until_one_has_spoken():
    fleet = fleet_of(spec("a"), spec("b"))
    for server in "ab":
        fail(fleet, server, FaultKind.RESET, 0.0)
    assert fleet.down(ASK, 1.0)
    assert fleet.down(ASK, 60.0)
    succeed(fleet, "a", 60.0)
    assert not fleet.down(ASK, 60.0)


def test_of_servers_that_nobody_has_asked_yet_those_that_were_seen_lately_come_first():
    fleet = Fleet(Random(1).random)
    month = 30 * 86_400.0
    fleet.describe([spec("old", seen_ago=2 * month), spec("fresh", seen_ago=month / 2)])
    assert often(fleet, 0.0) == {"fresh": 200}
    fleet.apply(Listed("old", 0.0, (LLAMA,)))
    assert often(fleet, 0.0) == {"old": 200}


def test_a_fact_that_comes_late_may_end_sooner_how_long_a_model_is_taken_for_warm():
    fleet = fleet_of(spec("a"), spec("b"))
    succeed(fleet, "a", 100.0)
    assert picked(fleet, 101.0) == "a"
    group = next(iter(fleet.groups()))
    assert [state.server.spec.id for state in group.warm(339.0)] == ["a"]
    succeed(fleet, "a", 50.0)  # as another process saw it, and told late
    assert group.warm(289.0)
    assert not group.warm(291.0)


def test_a_model_that_has_left_the_memory_is_not_taken_for_warm_a_moment_longer():
    fleet = fleet_of(spec("a"), spec("b"))
    succeed(fleet, "a", 100.0)
    group = next(iter(fleet.groups()))
    assert group.warm(101.0)
    fleet.apply(Warm("a", 102.0, ()))
    assert not group.warm(102.0)
