"""What is learnt of latency, and how many attempts a server is given because of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.access.policy import Trust
from llm_gateway.fleet.budget import LASTS, Budget
from llm_gateway.fleet.facts import ServerSpec
from llm_gateway.fleet.slots import Slots, ceiling
from llm_gateway.fleet.waits import KEPT, PEAK_LASTS, Samples, Waits


def used_to_the_full(slots: Slots, times: int) -> list[int]:
    limits = []
    for _ in range(times):
        slots.good(slots.limit)
        limits.append(slots.limit)
    return limits


def test_the_limit_doubles_up_to_its_ceiling():
    assert used_to_the_full(Slots(ceiling=8), 5) == [2, 4, 8, 8, 8]


def test_an_own_server_without_a_bound_gets_what_it_bears():
    assert used_to_the_full(Slots(), 8)[-1] == 256


def test_a_limit_that_is_not_used_does_not_grow():
    slots = Slots()
    for _ in range(10):
        slots.good(1)
    assert slots.limit == 2


def test_after_strain_it_halves_what_was_in_flight_and_grows_by_one():
    slots = Slots()
    used_to_the_full(slots, 4)
    slots.strained(12)
    assert slots.limit == 6
    assert used_to_the_full(slots, 3) == [7, 8, 9]
    slots.restart()
    assert used_to_the_full(slots, 2) == [2, 4]


def test_the_limit_never_falls_below_one():
    slots = Slots()
    slots.strained(0)
    assert slots.limit == 1


@pytest.mark.parametrize(
    ("trust", "asked", "expected"),
    [
        (Trust.PUBLIC, None, 8),
        (Trust.PUBLIC, 2, 2),
        (Trust.PARTNER, None, 32),
        (Trust.OWN, None, None),
        (Trust.OWN, 4, 4),
    ],
)
def test_ceilings(trust: Trust, asked: int | None, expected: int | None):
    assert ceiling(ServerSpec("s", "s", "http://h", "ollama", trust, max_concurrency=asked)) == expected


def test_a_long_wait_is_believed_at_once_and_forgotten_slowly():
    samples = Samples()
    for _ in range(20):
        samples.add(1.0, 0.0)
    samples.add(9.0, 100.0)
    assert samples.expected(100.0) == 9.0
    assert samples.expected(100.0 + PEAK_LASTS) == pytest.approx(1 + 8 / 2.718, rel=0.01)
    assert samples.expected(1000.0) == pytest.approx(1.0, abs=0.01)


def test_an_attempt_that_was_given_up_says_how_long_it_takes_at_least():
    samples = Samples()
    samples.add(1.0, 0.0)
    samples.at_least(0.5, 1.0)
    assert samples.expected(1.0) == 1.0
    samples.at_least(4.0, 1.0)
    assert samples.expected(1.0) == 4.0


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=200), st.floats(0, 1))
def test_percentiles_are_those_of_the_latest_values(values: list[float], share: float):
    samples = Samples()
    for value in values:
        samples.add(value, 0.0)
    latest = sorted(values[-KEPT:])
    assert samples.quantile(share) == latest[min(len(latest) - 1, int(len(latest) * share))]
    assert samples.values() == values[-KEPT:]


def test_long_prompts_are_judged_by_long_prompts_where_there_were_any():
    waits = Waits()
    waits.add(1.0, 100, 0.0)
    assert waits.of(10_000) is waits.of(100)
    waits.add(9.0, 10_000, 0.0)
    long = waits.of(9_000)
    assert long is not None
    assert long.expected(0.0) == 9.0
    assert len(waits) == 2


def test_a_percentile_of_too_little_is_none():
    waits = Waits()
    for n in range(4):
        waits.add(float(n), 0, 0.0)
    assert waits.usual(0) is None
    waits.add(4.0, 0, 0.0)
    assert waits.usual(0) == 1.0


def test_a_budget_is_a_share_of_the_requests_and_a_reserve():
    budget = Budget(share=0.2, reserve=0.1)
    for _ in range(10):
        budget.deposit(0.0)
    assert [budget.take(1.0) for _ in range(4)] == [True, True, True, False]


def test_deposits_and_withdrawals_lapse():
    budget = Budget(share=1.0, reserve=0.1)
    budget.deposit(0.0)
    assert [budget.take(5.0) for _ in range(3)] == [True, True, False]
    assert not budget.take(9.9)  # the deposit still counts
    assert not budget.take(10.5)
    assert budget.take(5.0 + LASTS)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 5)), max_size=300))
def test_no_more_is_taken_than_was_there(steps: list[tuple[bool, float]]):
    budget, now, deposits, taken = Budget(share=0.2, reserve=1.0), 0.0, 0, 0
    for deposit, pause in steps:
        now += pause
        if deposit:
            budget.deposit(now)
            deposits += 1
        else:
            taken += budget.take(now)
    assert taken <= 0.2 * deposits + (now / LASTS + 1) * LASTS + 1
