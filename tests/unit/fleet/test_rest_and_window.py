"""When a server rests, for how long, and how it comes back."""

from __future__ import annotations

import pytest

from llm_gateway.errors import FaultKind
from llm_gateway.fleet.faults import CONSEQUENCES
from llm_gateway.fleet.rest import FORGET, Rest
from llm_gateway.fleet.window import BUCKET, BUCKETS, Window

WEAK = CONSEQUENCES[FaultKind.SERVER_ERROR]
DOWN = CONSEQUENCES[FaultKind.REFUSED]


def weak(rest: Rest, now: float, **more: bool) -> bool:
    return rest.failed(now, FaultKind.SERVER_ERROR, WEAK, 0.5, **more)


@pytest.mark.parametrize(("dice", "seconds"), [(0.0, 3.5), (0.5, 5.0), (0.999, 6.5)])
def test_servers_that_fell_together_do_not_return_together(dice: float, seconds: float):
    rest = Rest()
    assert rest.failed(0.0, FaultKind.REFUSED, DOWN, dice)
    assert rest.until == pytest.approx(seconds, abs=0.01)


def test_after_its_rest_the_first_fault_sends_it_back_for_twice_as_long():
    rest = Rest()
    assert [weak(rest, 0.0), weak(rest, 1.0)] == [False, True]
    assert rest.until == 6.0
    assert not rest.half_open(5.9)
    assert rest.half_open(6.0)
    assert weak(rest, 7.0)
    assert rest.until == 17.0


def test_faults_of_attempts_that_began_before_the_rest_do_not_lengthen_it():
    rest = Rest()
    weak(rest, 0.0)
    weak(rest, 1.0)
    assert not weak(rest, 2.0)
    assert rest.until == 6.0


def test_a_first_sign_of_life_lets_more_than_one_in_but_forgives_nothing():
    rest = Rest()
    weak(rest, 0.0)
    weak(rest, 0.0)
    rest.promising(5.0)
    assert not rest.half_open(5.0)
    assert weak(rest, 6.0)


def test_a_success_forgives_the_faults_and_only_time_the_rests():
    rest = Rest()
    rest.failed(0.0, FaultKind.REFUSED, DOWN, 0.5)
    rest.failed(5.0, FaultKind.REFUSED, DOWN, 0.5)
    rest.succeeded(15.0)
    assert not rest.resting(15.0)
    rest.failed(20.0, FaultKind.REFUSED, DOWN, 0.5)
    assert rest.until == 40.0
    rest.succeeded(40.0)
    later = 41.0 + FORGET + 40
    rest.failed(later, FaultKind.REFUSED, DOWN, 0.5)
    assert rest.until == later + 5


def test_what_fails_every_other_time_is_found_out_by_the_window():
    window = Window()
    for n in range(4):
        window.add(float(n), good=n % 2 == 0)
    assert not window.bad(4.0)  # four results say nothing yet
    window.add(4.0, good=False)
    assert window.bad(4.0)


def test_half_of_them_good_is_enough():
    window = Window()
    for n in range(6):
        window.add(1.0, good=n % 2 == 0)
    assert not window.bad(1.0)


def test_the_window_forgets_after_a_minute():
    window = Window()
    for _ in range(9):
        window.add(0.0, good=False)
    assert window.bad(BUCKET * BUCKETS - 0.1)
    assert not window.bad(BUCKET * BUCKETS)
    window.add(1000.0, good=True)
    assert not window.bad(1000.0)
