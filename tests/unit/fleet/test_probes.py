"""What a server is asked of our own accord, and that it costs its owner next to nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import pytest
from test_choice import ASK, LLAMA, MODEL, begin, fail, fleet_of, often, spec, succeed

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet.candidate import Nobody
from llm_gateway.fleet.facts import AttemptEnded, AttemptStarted, FirstToken, Judged, Listed, ListedModel, ProbeFailed
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.fleet.probes import (
    EACH,
    ENOUGH,
    LATELY,
    QUIET,
    Looked,
    Question,
    after_failure,
    next_turn,
    questions,
    samples,
    trials,
)

RICH = tuple(ListedModel(name) for name in (MODEL, "llama3.3:70b", "deepseek-r1:671b", "mixtral:8x22b"))
VERSION, LIST, MEMORY = Question.VERSION, Question.LIST, Question.MEMORY


def asked(fleet: Fleet, looked: Looked, now: float, **kind: bool) -> tuple[Question, ...]:
    return questions(fleet.servers["a"], looked, now, **{"tells_version": True, "tells_memory": True, **kind})


def due(fleet: Fleet, now: float) -> list[str]:
    return [state.server.spec.id for state in samples(fleet.groups(), now)]


def probe(fleet: Fleet, server: str, at: float, fault: FaultKind | None = None) -> None:
    fleet.apply(AttemptStarted(server, MODEL, at, probe=True))
    if fault is None:
        fleet.apply(FirstToken(server, MODEL, at, 0.5))
    fleet.apply(AttemptEnded(server, MODEL, at, fault=fault))


# -- looks -------------------------------------------------------------------------------------------------------


def test_a_new_server_is_asked_what_it_holds_and_then_what_it_is():
    fleet = Fleet(lambda: 0.5)
    fleet.describe([spec("a")])
    assert asked(fleet, Looked(), 0.0) == (LIST, VERSION)
    assert asked(fleet, Looked(), 0.0, tells_version=False) == (LIST,)


def test_what_is_in_memory_is_asked_only_of_a_server_that_is_used():
    fleet = fleet_of(spec("a"))
    looked = Looked(version_at=0.0, list_at=0.0)
    assert asked(fleet, looked, 60.0) == (LIST,)
    begin(fleet, "a", 60.0)
    fleet.apply(AttemptEnded("a", MODEL, 61.0))
    assert asked(fleet, looked, 70.0) == (LIST, MEMORY)
    looked.list_at = 70.0
    assert asked(fleet, looked, 105.0) == (MEMORY,)
    assert asked(fleet, looked, 61.0 + LATELY) == (LIST,)
    assert next_turn(fleet.servers["a"], 70.0, 0.0) == 30.0
    assert next_turn(fleet.servers["a"], 61.0 + LATELY, 0.5) == 60.0


def test_the_version_takes_the_place_of_the_memory_every_ten_minutes():
    fleet = fleet_of(spec("a"))
    begin(fleet, "a", 590.0)
    assert asked(fleet, Looked(version_at=0.0, list_at=590.0), 601.0) == (VERSION,)


def test_a_long_list_of_a_stranger_is_asked_for_seldom_and_its_version_in_between():
    fleet = fleet_of(spec("a", trust=Trust.PUBLIC))
    looked = Looked(version_at=0.0, list_at=0.0, list_size=12_000)
    assert asked(fleet, looked, 60.0) == (VERSION,)
    assert asked(fleet, looked, 500.0) == (LIST,)
    assert asked(fleet_of(spec("a")), looked, 60.0) == (LIST,), "of our own we may ask"


def test_a_dead_server_is_asked_for_nothing_but_its_list():
    fleet = fleet_of(spec("a"))
    fleet.apply(ProbeFailed("a", 1.0, FaultKind.REFUSED))
    assert asked(fleet, Looked(version_at=0.0, list_at=0.0), 6.0) == (LIST,)
    assert [after_failure(n, 0.5) for n in (1, 2, 3, 7, 288, 289)] == [5, 10, 20, 300, 300, 3600]


@pytest.mark.parametrize("seed", range(3))
def test_twenty_servers_are_asked_three_times_a_minute_and_send_sixty_megabytes_a_day_at_most(seed: int):
    """All of them in use all day, with lists from one model to a megabyte. Bodies counted, as they are on the wire."""
    dice = Random(seed).random
    fleet = fleet_of(*(spec(f"s{n}", trust=Trust.PUBLIC) for n in range(20)))
    sizes = {f"s{n}": size for n, size in enumerate([400, 800, 1200, 2000, 8000, 40_000, 2**20] * 3)}
    for id in fleet.servers:
        succeed(fleet, id, 0.0)
    sent, day = 0, 86_400.0
    for id, server in fleet.servers.items():
        looked, now, counts = Looked(), 60 * dice(), []
        while now < day:
            fleet.apply(AttemptStarted(id, MODEL, now))
            fleet.apply(AttemptEnded(id, MODEL, now))
            for question in questions(server, looked, now, tells_version=True, tells_memory=True):
                counts.append(now)
                if question is LIST:
                    looked.list_at, looked.list_size = now, sizes[id]
                    fleet.apply(Listed(id, now, (LLAMA,)))
                elif question is VERSION:
                    looked.version_at = now
                sent += {LIST: sizes[id], VERSION: 22, MEMORY: 420}[question]
            assert not list(samples(fleet.groups(), now)), "a fleet that is used and well generates nothing"
            now += next_turn(server, now, dice())
        assert len(counts) / (day / 60) <= 3.0
        hours = [sum(1 for at in counts if hour * 3600 <= at < (hour + 1) * 3600) for hour in range(24)]
        assert max(hours) <= 3 * 60
    assert 30e6 < sent <= 60e6


# -- a few words -------------------------------------------------------------------------------------------------


def test_nobody_is_asked_for_words_of_a_model_that_nobody_wants():
    fleet = fleet_of(spec("a"), spec("b", trust=Trust.PUBLIC))
    assert due(fleet, 10_000.0) == []


def test_an_untried_server_of_a_wanted_model_is_tried_once_when_requests_have_had_their_chance():
    fleet = fleet_of(spec("a"), spec("b"))
    succeed(fleet, "a", 1.0)
    assert due(fleet, 1.0 + QUIET - 1) == []
    assert due(fleet, 1.0 + QUIET) == ["b"]
    probe(fleet, "b", 40.0)
    assert due(fleet, 40.0 + EACH) == []
    assert fleet.servers["b"].models[MODEL].tokens_per_second is None


def test_no_more_are_tried_when_enough_are_known_to_answer():
    fleet = fleet_of(*(spec(f"{n}") for n in range(ENOUGH + 2)))
    for n in range(ENOUGH):
        succeed(fleet, f"{n}", 1.0)
    assert due(fleet, 100.0) == []


def test_our_own_questions_do_not_make_a_model_wanted():
    fleet = fleet_of(spec("a"), spec("b"))
    succeed(fleet, "a", 1.0)
    probe(fleet, "b", 3000.0, FaultKind.EMPTY)
    assert due(fleet, 4000.0) == []


def test_after_a_rest_that_no_request_ended_one_probe_does():
    fleet = fleet_of(spec("a"), spec("b"))
    succeed(fleet, "b", 0.0)
    fail(fleet, "a", FaultKind.RESET, 0.0)
    over = math.ceil(fleet.servers["a"].rest.until)
    assert due(fleet, over + QUIET - 2) == []
    assert due(fleet, over + QUIET) == ["a"]
    fleet.apply(AttemptStarted("a", MODEL, over + QUIET, probe=True))
    assert due(fleet, over + QUIET) == [], "exactly one"
    fleet.apply(FirstToken("a", MODEL, over + QUIET, 0.5))
    fleet.apply(AttemptEnded("a", MODEL, over + QUIET))
    assert not fleet.servers["a"].rest.half_open(over + QUIET)
    assert due(fleet, over + 5000) == []


def test_a_bad_probe_doubles_the_rest_and_is_not_repeated_for_ten_minutes():
    fleet = fleet_of(spec("a"), spec("b"))
    succeed(fleet, "b", 0.0)
    fail(fleet, "a", FaultKind.RESET, 0.0)
    rest = fleet.servers["a"].rest
    first = rest.until = math.ceil(rest.until)
    probe(fleet, "a", first + QUIET, FaultKind.RESET)
    assert rest.until - (first + QUIET) == pytest.approx(2 * first, rel=0.9)
    assert rest.rests == 2
    assert due(fleet, first + QUIET + EACH - 1) == []
    assert due(fleet, first + QUIET + EACH) == ["a"]


def test_a_good_list_does_not_end_the_rest_of_a_server_that_fails_inference():
    fleet = fleet_of(spec("a"))
    fail(fleet, "a", FaultKind.NOT_THE_PROTOCOL, 0.0)
    fleet.apply(Listed("a", 1.0, (LLAMA,), "0.33.0"))
    assert fleet.servers["a"].state(1.0) == "quarantined"


@pytest.mark.parametrize("more", [{"enabled": False}, {"hedge": False}], ids=["switched off", "paid for"])
def test_some_servers_are_never_asked_for_words(more: dict[str, bool]):
    fleet = fleet_of(spec("a", **more), spec("b"))
    succeed(fleet, "b", 1.0)
    assert due(fleet, 100.0) == []


# -- trials ------------------------------------------------------------------------------------------------------


def rich_fleet() -> Fleet:
    """Our own server, and a stranger's that holds far too much."""
    fleet = fleet_of(spec("own"), spec("rich", trust=Trust.PUBLIC, models=RICH))
    succeed(fleet, "own", 1.0)
    return fleet


def tried(fleet: Fleet, now: float) -> list[str]:
    return [state.server.spec.id for state in trials(fleet.servers.values(), fleet.groups(), now)]


def test_a_stranger_that_holds_too_much_comes_last_until_it_was_tried():
    fleet = rich_fleet()
    for _ in range(5):
        fleet.apply(FirstToken("own", MODEL, 2.0, 5.0))
        fleet.apply(FirstToken("rich", MODEL, 2.0, 0.01))
    assert often(fleet, 3.0) == {"own": 200}
    assert tried(fleet, 3.0) == ["rich"]
    fleet.apply(Judged("rich", 3.0))
    assert often(fleet, 3.0)["rich"] == 200
    assert tried(fleet, 4.0) == []
    succeed(fleet, "own", 86_500.0)
    assert tried(fleet, 86_500.0) == ["rich"], "once a day"


def test_a_doubted_server_is_used_rather_than_nobody():
    fleet = fleet_of(spec("rich", trust=Trust.PUBLIC, models=RICH))
    candidate = fleet.pick(ASK, (), 1.0)
    assert not isinstance(candidate, Nobody)
    assert candidate.spec.id == "rich"


def test_doubts_and_verdicts_are_explained():
    fleet = rich_fleet()
    told = {v.spec.id: v.standing for v in fleet.explain((MODEL,), frozenset(Trust), 2.0)}
    assert told == {"own": "usable", "rich": "doubted"}
    fleet.apply(Judged("rich", 2.0, "it said the questions back"))
    (_, rich) = fleet.explain((MODEL,), frozenset(Trust), 3.0)
    assert (rich.standing, rich.reason) == ("resting", "trial: wrong_model (it said the questions back)")


def test_nobody_is_tried_for_a_model_that_nobody_wants():
    assert tried(fleet_of(spec("rich", trust=Trust.PUBLIC, models=RICH)), 100.0) == []


def test_a_caught_server_is_asked_by_nobody_until_it_passes_a_trial():
    fleet = rich_fleet()
    fleet.apply(Judged("rich", 2.0, "it said the questions back"))
    server = fleet.servers["rich"]
    until = server.trial.until
    assert server.state(3.0) == "quarantined"
    only_strangers = ASK.__class__(ASK.backends, frozenset({Trust.PUBLIC}))
    assert fleet.pick(only_strangers, (), 3.0) is Nobody.LEFT, "not even when nobody else is there"
    assert tried(fleet, until - 120) == []
    succeed(fleet, "own", until - 30)
    assert tried(fleet, until - 30) == ["rich"]
    fleet.apply(Judged("rich", until - 30, "it said the questions back"))
    assert server.trial.until - until > 600, "twice as long"
    fleet.apply(Judged("rich", server.trial.until))
    assert server.state(server.trial.until + 1) == "healthy"


def test_a_verdict_outlives_a_restart():
    fleet = rich_fleet()
    fleet.apply(Judged("rich", 2.0, "canned"))
    again = rich_fleet()
    again.restore(fleet.snapshot(3.0), 1000.0)
    assert again.servers["rich"].state(1000.0) == "quarantined"
    assert again.servers["rich"].trial.until == pytest.approx(997 + fleet.servers["rich"].trial.until)
    passed = rich_fleet()
    passed.apply(Judged("rich", 2.0))
    again = rich_fleet()
    again.restore(passed.snapshot(3.0), 1000.0)
    assert not again.servers["rich"].doubted


@pytest.mark.parametrize("restart", [False, True])
def test_a_caught_server_that_was_not_tried_again_in_time_comes_last_until_it_is(restart: bool):
    fleet = rich_fleet()
    for _ in range(5):
        fleet.apply(FirstToken("own", MODEL, 2.0, 5.0))
        fleet.apply(FirstToken("rich", MODEL, 2.0, 0.01))
    fleet.apply(Judged("rich", 2.0, "canned"))
    if restart:
        again = rich_fleet()
        again.restore(fleet.snapshot(3.0), 3.0)
        fleet = again
    over = fleet.servers["rich"].trial.until + 1
    fleet.apply(Listed("rich", over, RICH[:2]))
    assert often(fleet, over) == {"own": 200}
    assert not fleet.servers["rich"].resting(over)
    fleet.apply(Judged("rich", over))
    assert not fleet.servers["rich"].doubted


def test_whoever_becomes_one_of_our_own_is_doubted_no_more():
    fleet = rich_fleet()
    own, rich = (server.spec for server in fleet.servers.values())
    fleet.describe([own, replace(rich, trust=Trust.OWN)])
    assert not fleet.servers["rich"].doubted
    fleet.describe([own, rich])
    assert fleet.servers["rich"].doubted
