from __future__ import annotations

from llm_gateway.fleet.pace import Pace, faster


def begun(span: float = 20.0) -> Pace:
    """With its first tokens at the time 0."""
    pace = Pace(span)
    assert pace.passed(100, 0.0) is None
    return pace


def test_a_stream_is_too_slow_only_after_a_whole_span_of_it():
    pace = begun()
    assert [pace.passed(1, at) for at in (5.0, 10.0, 15.0)] == [None, None, None]
    assert pace.passed(1, 20.0) == 0.2


def test_half_a_token_per_second_is_enough():
    assert begun().passed(10, 20.0) is None


def test_each_span_counts_for_itself():
    pace = begun()
    assert pace.passed(1_000, 20.0) is None
    assert pace.passed(5, 41.0) == 5 / 21


def test_a_change_is_worth_it_for_five_times_the_speed_or_one_that_nobody_knows():
    assert faster(1.0, 0.2)
    assert not faster(0.9, 0.2)
    assert faster(None, 0.2)
