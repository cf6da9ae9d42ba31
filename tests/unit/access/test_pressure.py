"""The process refuses work that it cannot bear, and nothing else."""

from __future__ import annotations

import pytest

from llm_gateway.access.pressure import IN_A_ROW, SMALL, Pressure
from llm_gateway.errors import Overloaded


def test_a_loop_that_stays_late_takes_nothing_until_it_is_on_time_again():
    pressure = Pressure()
    for _ in range(IN_A_ROW - 1):
        pressure.ticked(0.3)
        pressure.bear()
    pressure.ticked(0.3)
    with pytest.raises(Overloaded) as refused:
        pressure.bear()
    assert refused.value.retry_after
    pressure.ticked(0.01)
    pressure.bear()


def test_large_bodies_are_refused_first_when_memory_runs_out():
    pressure = Pressure(memory_limit=1000)
    pressure.weighed(799)
    pressure.bear(SMALL + 1)
    pressure.weighed(800)
    pressure.bear(SMALL)
    with pytest.raises(Overloaded):
        pressure.bear(SMALL + 1)
    pressure.weighed(900)
    with pytest.raises(Overloaded):
        pressure.bear()


def test_without_a_limit_memory_is_no_reason():
    pressure = Pressure()
    pressure.weighed(2**60)
    pressure.bear(2**30)
