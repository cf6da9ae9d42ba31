"""Days and bad days of a fleet, in seconds: the same decisions that serve requests, over made-up machines and time."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from llm_gateway.testing.churn import DAY, Down, Machine, Vice, Wish, machines
from llm_gateway.testing.simulate import Outcome, Simulation, replay

MODEL = "llama3.2:3b"
TYPED = {"no_healthy_upstream", "upstream_timeout", "retry_budget_exhausted"}
ALWAYS = [(-1.0, 1e9)]


def machine(name: str, **more: object) -> Machine:
    """A good one that is always there, unless told otherwise."""
    usual: dict[str, object] = {
        "models": (MODEL,),
        "ups": ALWAYS,
        "vice": Vice.NONE,
        "down": Down.REFUSES,
        "first_wait": 0.3,
        "speed": 50.0,
        "parallel": 2,
        "foreign": 0.0,
        "dice": Random(name),
    }
    return Machine(name, **{**usual, **more})  # type: ignore[arg-type]  # fields by name


def traffic(rate: float, seconds: float, begin: float = 0.0, project: str = "p", tokens: int = 100) -> list[Wish]:
    dice, at, found = Random(project), begin, []
    while (at := at + dice.expovariate(rate)) < begin + seconds:
        found.append(Wish(at, MODEL, project, dice.getrandbits(64), 200, tokens, streams=False))
    return found


def played(world: list[Machine], wished: Iterable[Wish], seconds: float) -> Outcome:
    wished = sorted(wished, key=lambda wish: wish.at)
    return Simulation("p2c", world, wished, seconds=seconds, seed=1).run()


def test_the_policy_beats_the_usual_ones_on_success_and_on_the_slowest_answers():
    ours, *others = (
        replay(policy, servers=200, days=1, seed=21, rate=0.08)
        for policy in ("p2c", "round_robin", "least_in_flight", "random")
    )
    for other in others:
        assert ours.success > other.success, other.policy
        assert ours.wait(0.5) < other.wait(0.5) / 2, other.policy
        assert ours.wait(0.99) < other.wait(0.99), other.policy
        assert ours.attempts < other.attempts, other.policy


def test_a_run_can_be_repeated_exactly():
    one, two = (replay("p2c", servers=60, days=0.1, seed=5) for _ in range(2))
    one.seconds = two.seconds = 0.0
    assert one == two


def test_looks_at_servers_are_polite():
    outcome = replay("p2c", servers=100, days=0.5, seed=22)
    assert outcome.looks / outcome.server_minutes < 3


def test_a_server_that_goes_is_noticed_by_the_next_request_or_look():
    outcome = replay("p2c", servers=150, days=1, seed=23)
    assert len(outcome.detected) > 50
    assert sorted(outcome.detected)[len(outcome.detected) // 2] < 180


def test_one_good_server_among_twenty_answers_everybody():
    bad = [machine(f"dead{n}", ups=[], down=Down.REFUSES) for n in range(8)]
    bad += [machine(f"hung{n}", ups=[], down=Down.HANGS) for n in range(4)]
    bad += [machine(f"sick{n}", vice=Vice.SICK) for n in range(7)]
    outcome = played([*bad, machine("good", parallel=8)], traffic(3.0, 600.0, tokens=50), 600.0)
    assert outcome.success >= 0.999, outcome.errors
    assert outcome.wait(0.99) <= 5.0
    assert outcome.attempts / outcome.requests < 1.2


def test_when_all_are_dead_every_request_ends_in_time_and_nobody_storms():
    dead = [machine(f"d{n}", ups=[], down=down) for n in range(10) for down in Down]
    outcome = played(dead[:20], traffic(5.0, 120.0), 120.0)
    assert outcome.good == 0
    assert sum(outcome.errors.values()) == outcome.requests
    assert set(outcome.errors) <= TYPED
    assert max(outcome.failed_after) <= 35.001
    assert outcome.most_attempts <= 12
    assert outcome.attempts <= outcome.requests * 1.2 + 10 * 130


def test_a_server_that_was_gone_is_used_again_within_a_minute_of_its_return():
    flapping = machine("f", ups=[(-1.0, 100.0), (400.0, 1e9)])
    wished = traffic(0.5, 200.0, begin=460.0)
    outcome = played([flapping], [*traffic(0.5, 100.0), *wished], 700.0)
    assert outcome.answered["p"] >= 0.9 * len(wished)


@pytest.fixture(scope="module")
def peak() -> float:
    """Answers per second that the machines of the overload stories can give."""
    crowd = [machine(f"m{n}") for n in range(4)]
    outcome = played(crowd, traffic(1.5, 300.0), 300.0)
    assert outcome.success == 1.0
    return 4 * 2 / (0.3 + 2.0)


def test_four_times_too_much_leaves_the_answers_at_their_peak_and_refuses_the_rest_at_once(peak: float):
    crowd = [machine(f"m{n}") for n in range(4)]
    outcome = played(crowd, traffic(4 * peak, 300.0), 300.0)
    assert outcome.good >= 0.9 * peak * 300
    assert set(outcome.errors) <= {"queue_full", "queue_timeout"}
    refused = sorted(outcome.failed_after)
    assert refused[int(0.9 * len(refused))] < 0.1


def test_a_project_that_sends_twenty_times_as_much_leaves_the_others_alone(peak: float):
    crowd = [machine(f"m{n}") for n in range(4)]
    quiet = 0.1 * peak
    wished = [
        *traffic(20 * quiet, 300.0, project="loud"),
        *traffic(quiet, 300.0, project="one"),
        *traffic(quiet, 300.0, project="two"),
    ]
    outcome = played(crowd, wished, 300.0)
    for project in ("one", "two"):
        assert outcome.answered[project] >= 0.99 * outcome.asked[project]
    assert outcome.answered["loud"] < outcome.asked["loud"]


def test_the_week_of_five_hundred_servers_is_what_it_says():
    fleet = machines(500, 7 * DAY, 1)
    once = sum(len(m.ups) <= 1 and (not m.ups or m.ups[0][1] - m.ups[0][0] < DAY) for m in fleet) / 500
    there = [sum(min(b, 7 * DAY) - max(a, 0.0) for a, b in m.ups if b > 0 and a < 7 * DAY) for m in fleet]
    stable = sum(seconds > 6.5 * DAY for seconds in there) / 500
    assert 0.31 < once < 0.42
    assert 0.10 < stable < 0.17
