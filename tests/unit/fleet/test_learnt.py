"""What was learnt outlives a restart, can be explained, and says when to look again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from test_choice import ASK, LLAMA, MODEL, begin, fail, fleet_of, often, spec, succeed

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet import memory
from llm_gateway.fleet.facts import AttemptEnded, AttemptStarted, Fact, FirstToken, Listed, ProbeFailed, Warm
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.fleet.probes import next_look

EVERYBODY = frozenset(Trust)


def restarted(fleet: Fleet, now: float, age: float = 0.0, heard: Sequence[Fact] = ()) -> Fleet:
    """Another process, whose clock shows other figures, and what it has `heard` since."""
    kept = json.loads(json.dumps(fleet.snapshot(now)))
    fresh = fleet_of(*(server.spec for server in fleet.servers.values()))
    assert fresh.restore(kept, 50_000.0, age) == len(fleet.servers)
    for fact in heard:
        fresh.apply(fact)
    memory.restore_limits(fresh.servers, kept, 50_000.0, age)
    return fresh


def test_a_restart_forgets_neither_who_is_quick_nor_who_rests():
    fleet = fleet_of(spec("a"), spec("b"), spec("c"))
    for n in range(10):
        succeed(fleet, "a", 100.0 + n, wait=0.2)
        succeed(fleet, "b", 100.0 + n, wait=4.0)
    fail(fleet, "c", FaultKind.NOT_THE_PROTOCOL, 110.0)
    again = restarted(fleet, 120.0)
    assert again.servers["c"].state(50_000.0) == "quarantined"
    assert again.servers["c"].rest.until == pytest.approx(50_000 + fleet.servers["c"].rest.until - 120)
    assert often(again, 50_000.0) == {"a": 200}
    model = again.servers["a"].models[MODEL]
    assert (model.successes, model.tokens_per_second) == (10, pytest.approx(10.0))


def limits(fleet: Fleet) -> dict[str, int]:
    return {id: server.models[MODEL].slots.limit for id, server in fleet.servers.items()}


def bears(fleet: Fleet, server: str, limit: int) -> None:
    """It was found to bear so many at a time."""
    for _ in range(limit):
        begin(fleet, server, 90.0)
    while limits(fleet)[server] < limit:
        fleet.apply(FirstToken(server, MODEL, 91.0, 0.1))
    for _ in range(limit):
        fleet.apply(AttemptEnded(server, MODEL, 92.0, tokens=10, seconds=1.0))


def test_one_that_starts_begins_with_half_of_what_servers_were_found_to_bear():
    fleet = fleet_of(spec("a"), spec("b"), spec("c", max_concurrency=3), spec("d"))
    for server, limit in {"a": 8, "b": 64, "c": 3, "d": 1}.items():
        bears(fleet, server, limit)
    assert limits(restarted(fleet, 100.0)) == {"a": 4, "b": 8, "c": 1, "d": 1}
    assert limits(restarted(fleet, 100.0, age=61.0)) == {"a": 1, "b": 1, "c": 1, "d": 1}


@pytest.mark.parametrize("fault", [FaultKind.REFUSED, FaultKind.NOT_THE_PROTOCOL, FaultKind.BUSY])
def test_who_had_a_fault_since_begins_with_one_at_a_time(fault: FaultKind):
    fleet = fleet_of(spec("a"), spec("b"))
    bears(fleet, "a", 8)
    bears(fleet, "b", 8)
    since = [AttemptStarted("a", MODEL, 49_999.0), AttemptEnded("a", MODEL, 49_999.0, fault=fault)]
    good = [AttemptStarted("a", MODEL, 49_999.5), AttemptEnded("a", MODEL, 49_999.5, tokens=10, seconds=1.0)]
    assert limits(restarted(fleet, 100.0, age=2.0, heard=since)) == {"a": 1, "b": 4}
    assert limits(restarted(fleet, 100.0, age=2.0, heard=since + good)) == {"a": 1, "b": 4}


def test_rests_go_on_while_the_process_is_not_there():
    fleet = fleet_of(spec("a"), spec("b"))
    fail(fleet, "a", FaultKind.REFUSED, 100.0)
    assert restarted(fleet, 100.0, age=2.0).servers["a"].state(50_000.0) == "resting"
    assert restarted(fleet, 100.0, age=60.0).servers["a"].state(50_000.0) == "healthy"


@pytest.mark.parametrize("left", [1e300, 1e11, 10**400])
def test_no_rest_of_a_spoilt_snapshot_is_for_ever(left: float):
    fleet = fleet_of(spec("a"))
    fail(fleet, "a", FaultKind.NOT_THE_PROTOCOL, 100.0)
    kept = fleet.snapshot(100.0)
    kept["servers"]["a"]["rest"]["left"] = left
    fresh = fleet_of(spec("a"))
    assert fresh.restore(kept, 0.0) == 1
    assert fresh.servers["a"].state(3 * 86_400.0) == "healthy"


def test_another_address_or_digest_starts_anew():
    fleet = fleet_of(spec("a"), spec("b"))
    succeed(fleet, "a", 1.0)
    succeed(fleet, "b", 1.0)
    kept = fleet.snapshot(2.0)
    other = fleet_of(spec("a", url="http://elsewhere"), spec("b", models=(replace(LLAMA, digest="c" * 64),)))
    assert other.restore(kept, 3.0) == 1
    assert all(server.models[MODEL].unproven for server in other.servers.values())


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@given(st.sampled_from(["rest", "models", "alive_for", "url"]), st.sampled_from(["waits", "rest", "good"]), JSON)
def test_a_spoilt_snapshot_is_left_out_and_hurts_nobody(outer: str, inner: str, value: object):
    fleet = fleet_of(spec("a"))
    succeed(fleet, "a", 1.0)
    kept = fleet.snapshot(2.0)
    kept["servers"]["a"]["models"][MODEL][inner] = value
    fleet.restore(kept, 3.0)
    kept["servers"]["a"][outer] = value
    fleet.restore(kept, 3.0)
    fleet.restore({"version": 1, "servers": value}, 3.0)
    fleet.restore(value, 3.0)
    assert set(often(fleet, 4.0)) == {"a"}


def test_everything_that_keeps_a_server_out_is_explained():
    fleet = fleet_of(
        *(spec(f"{n}") for n in ("good", "tired", "weak", "busy", "full")),
        spec("foreign", trust=Trust.PUBLIC),
        spec("off", enabled=False),
    )
    fleet.apply(ProbeFailed("tired", 0.0, FaultKind.CONNECT_TIMEOUT, "2 s"))
    fail(fleet, "weak", FaultKind.OUT_OF_MEMORY, 0.0)
    fail(fleet, "busy", FaultKind.BUSY, 0.0)
    begin(fleet, "full")
    told = {v.spec.id: v for v in fleet.explain((MODEL,), frozenset({Trust.OWN}), 0.5)}
    assert next(iter(told)) == "good"
    assert {id: v.standing for id, v in told.items()} == {
        "good": "usable",
        "tired": "resting",
        "weak": "resting",
        "busy": "busy",
        "full": "full",
        "foreign": "not_permitted",
        "off": "disabled",
    }
    assert told["tired"].reason == "probe: connect_timeout (2 s)"
    assert told["weak"].reason == "model: out_of_memory"
    assert told["weak"].again_in is not None
    assert told["weak"].again_in == pytest.approx(60, rel=0.31)
    assert told["busy"].again_in == 0.5
    assert told["full"].reason == "1 of 1 places taken"


def test_a_score_shows_its_parts():
    fleet = fleet_of(spec("a"))
    succeed(fleet, "a", 0.0, wait=2.0)
    fleet.apply(Warm("a", 1.0, (MODEL,)))
    (told,) = fleet.explain((MODEL,), EVERYBODY, 2.0)
    assert (told.score.wait, told.score.load, told.score.speed, told.score.warm) == (2.0, 0.5, 10.0, True)
    assert told.score.cost == pytest.approx(2.0 * 0.5 / 10 / told.score.success**6)


def test_one_that_comes_back_says_from_what():
    fleet = fleet_of(spec("a"))
    fail(fleet, "a", FaultKind.RESET, 0.0)
    (told,) = fleet.explain((MODEL,), EVERYBODY, 30.0)
    assert (told.standing, told.reason) == ("returning", "back from a rest: reset")


def test_new_servers_are_looked_at_often_and_old_ones_seldom():
    fleet = fleet_of(spec("a"))
    server = fleet.servers["a"]
    assert next_look(server, 10.0, 0.5) == 60.0
    assert next_look(server, 4000.0, 0.5) == 300.0
    begin(fleet, "a", 4000.0)
    assert next_look(server, 4000.0, 0.5) == 60.0


def test_dead_servers_are_looked_at_ever_more_rarely():
    fleet = fleet_of(spec("a"))
    server, gaps = fleet.servers["a"], []
    for n in range(300):
        fleet.apply(ProbeFailed("a", 300.0 * n, FaultKind.REFUSED))
        gaps.append(next_look(server, 300.0 * n, 0.5))
    assert gaps[:4] == [5.0, 10.0, 20.0, 40.0]
    assert gaps[100] == 300.0
    assert gaps[-1] == 3600.0
    fleet.apply(Listed("a", 90_000.0, (LLAMA,)))
    assert next_look(server, 90_000.0, 0.5) == 60.0


def test_what_is_asked_of_nobody_known_finds_nobody():
    assert not fleet_of(spec("a")).held(structs.replace(ASK, backends=("other",)))
    assert fleet_of(spec("a")).held(ASK)
