from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.access.periods import periods


@given(st.integers(0, 13_000_000_000))
def test_days_and_months_are_those_of_the_calendar(seconds: int):
    moment, at = datetime.fromtimestamp(seconds, UTC), periods(seconds)
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    first = day.replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    assert at == (
        *(day.timestamp(), first.timestamp()),
        *((day + timedelta(days=1)).timestamp(), following.timestamp()),
    )


def test_a_moment_is_in_its_own_day_only():
    at = periods(1_780_000_000.0)
    assert at.hold(1_780_000_000.0)
    assert not at.hold(at.day_end)
    assert not at.hold(at.day - 0.001)
