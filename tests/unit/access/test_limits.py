from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llm_gateway.access.accounts import Standing
from llm_gateway.access.limits import Lease, Limits, standings
from llm_gateway.access.policy import ApiKey, Caller, Project
from llm_gateway.errors import ConcurrencyLimited, RateLimited

WALL = 1_780_000_000.0
KEY = ApiKey(id="k", project_id="p", name="ci", hash=b"", prefix="", last4="")


def caller(rate: int | None = None, running: int | None = None, id: str = "p") -> Caller:
    return Caller(Project(id=id, name="legal", rate_limit_per_minute=rate, max_concurrency=running), KEY)


def passes(limits: Limits, who: Caller, now: float) -> bool:
    try:
        limits.admit(who, now, WALL).release()
    except RateLimited:
        return False
    return True


def stands(limits: Limits, who: Caller, now: float) -> Standing:
    return standings(limits.holders(who, now), limits.periods(WALL), now, WALL)["rpm"]


def burst(limits: Limits, who: Caller, times: int, now: float) -> int:
    return sum(passes(limits, who, now) for _ in range(times))


def test_a_quiet_project_may_use_its_minute_at_once():
    limits = Limits()
    assert burst(limits, caller(60), 100, 0.0) == 60


def test_afterwards_one_place_comes_free_at_a_time():
    limits = Limits()
    burst(limits, caller(60), 60, 0.0)
    assert [passes(limits, caller(60), t) for t in (0.99, 1.0, 1.5, 2.0, 2.0)] == [False, True, False, True, False]


def test_after_a_quiet_minute_the_whole_limit_is_free_again_and_not_more():
    limits = Limits()
    burst(limits, caller(60), 60, 0.0)
    assert burst(limits, caller(60), 100, 59.0) == 59
    assert burst(limits, caller(60), 100, 10_000.0) == 60


@pytest.mark.parametrize("limit", [1, 7, 60, 600])
async def test_ten_times_the_limit_within_two_seconds_from_fifty_at_once(limit: int):
    limits, who, clock = Limits(), caller(limit), Ticks()
    passed = 0

    async def client() -> None:
        nonlocal passed
        while (now := clock.tick(2.0 / (10 * limit))) < 2.0:
            try:
                with limits.admit(who, now, WALL):
                    await asyncio.sleep(0)
                    passed += 1
            except RateLimited:
                await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(client())
    assert limit <= passed <= limit + math.ceil(2.0 * limit / 60)
    assert limits.running("p") == 0


class Ticks:
    """A clock that each look moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def tick(self, step: float) -> float:
        self.now += step
        return self.now


@given(
    limit=st.integers(1, 6000),
    start=st.floats(0, 1e6),
    gaps=st.lists(st.floats(0, 20), max_size=20),
    crowd=st.integers(0, 50),
)
def test_a_retry_exactly_when_told_passes_and_ten_milliseconds_earlier_does_not(
    limit: int, start: float, gaps: list[float], crowd: int
):
    limits, who, now = Limits(), caller(limit), start
    for gap in gaps:
        now += gap
        burst(limits, who, crowd, now)
    burst(limits, who, limit, now)
    with pytest.raises(RateLimited) as caught:
        limits.admit(who, now, WALL)
    wait = caught.value.retry_after
    assert wait is not None
    assert wait <= 60 / limit + 0.001
    if wait > 0.01:
        assert not passes(limits, who, now + wait - 0.01)
    assert passes(limits, who, now + wait)


@given(limit=st.integers(1, 1000), steps=st.lists(st.floats(0, 5), min_size=1, max_size=200))
def test_in_no_stretch_of_time_more_pass_than_the_limit_and_what_came_free(limit: int, steps: list[float]):
    limits, who, now = Limits(), caller(limit), 0.0
    passed: list[float] = []
    for step in steps:
        now += step
        passed += [now] * burst(limits, who, 3, now)
    for first, at in enumerate(passed):
        for last in range(first, len(passed)):
            assert last - first + 1 <= limit + (passed[last] - at) * limit / 60 + 1e-6


def test_a_refused_request_costs_nothing():
    limits = Limits()
    burst(limits, caller(60), 10_000, 0.0)
    assert passes(limits, caller(60), 1.0)


def test_projects_are_counted_apart():
    limits = Limits()
    assert burst(limits, caller(3, id="a"), 10, 0.0) == 3
    assert burst(limits, caller(3, id="b"), 10, 0.0) == 3


def test_an_absent_limit_means_unlimited():
    limits = Limits()
    assert burst(limits, caller(None), 10_000, 0.0) == 10_000
    assert limits.headers(caller(None), 0.0, WALL) == []


def test_a_limit_of_zero_refuses_without_a_time_to_wait_for():
    with pytest.raises(RateLimited, match="may make no requests") as caught:
        Limits().admit(caller(0), 0.0, WALL)
    assert caught.value.retry_after is None


def test_the_message_says_what_the_limit_is_and_when_to_come_back():
    limits = Limits()
    burst(limits, caller(5), 5, 0.0)
    with pytest.raises(RateLimited, match=r"`legal` may make 5 requests per minute.*passes in 12s"):
        limits.admit(caller(5), 0.0, WALL)


def test_a_raised_limit_helps_at_once():
    limits = Limits()
    burst(limits, caller(10), 10, 0.0)
    assert burst(limits, caller(100), 200, 0.0) == 90


def test_a_lowered_limit_holds_at_once_and_does_not_punish_for_what_was_allowed():
    limits = Limits()
    burst(limits, caller(600), 600, 0.0)
    assert burst(limits, caller(6), 10, 0.0) == 0
    assert burst(limits, caller(6), 10, 10.0) == 1


def test_switching_the_limit_off_and_on_keeps_no_grudge():
    limits = Limits()
    burst(limits, caller(10), 10, 0.0)
    assert passes(limits, caller(None), 1.0)
    assert burst(limits, caller(10), 20, 2.0) == 10


def test_only_so_many_requests_run_at_a_time():
    limits = Limits()
    leases = [limits.admit(caller(running=2), 0.0, WALL) for _ in range(2)]
    with pytest.raises(ConcurrencyLimited, match="2 requests running at a time") as caught:
        limits.admit(caller(running=2), 0.0, WALL)
    assert caught.value.retry_after == 1.0
    leases[0].release()
    assert isinstance(limits.admit(caller(running=2), 0.0, WALL), Lease)


def test_a_request_refused_for_concurrency_does_not_count_against_the_rate():
    limits, who = Limits(), caller(rate=3, running=1)
    lease = limits.admit(who, 0.0, WALL)
    for _ in range(10):
        with pytest.raises(ConcurrencyLimited):
            limits.admit(who, 0.0, WALL)
    lease.release()
    assert burst(limits, who, 10, 0.0) == 2


def test_a_request_refused_for_the_rate_takes_no_place():
    limits, who = Limits(), caller(rate=1, running=1)
    with limits.admit(who, 0.0, WALL):
        pass
    with pytest.raises(RateLimited):
        limits.admit(who, 0.0, WALL)
    assert limits.running("p") == 0


def test_releasing_twice_frees_one_place():
    limits, who = Limits(), caller(running=2)
    first, _second = limits.admit(who, 0.0, WALL), limits.admit(who, 0.0, WALL)
    first.release()
    first.release()
    assert limits.running("p") == 1


async def test_no_place_is_lost_however_requests_end():
    limits, who = Limits(), caller(running=50)
    forever = asyncio.Event()

    async def request(mood: int) -> None:
        with limits.admit(who, 0.0, WALL):
            if mood == 0:
                raise ValueError
            if mood == 1:
                await forever.wait()
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(request(i % 3)) for i in range(45)]
    while not all(task.done() for i, task in enumerate(tasks) if i % 3 != 1):
        await asyncio.sleep(0)
    assert limits.running("p") == 15
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert limits.running("p") == 0


def test_a_changed_concurrency_limit_knows_what_is_running():
    limits = Limits()
    leases = [limits.admit(caller(running=None), 0.0, WALL) for _ in range(5)]
    with pytest.raises(ConcurrencyLimited):
        limits.admit(caller(running=5), 0.0, WALL)
    leases.pop().release()
    assert limits.admit(caller(running=5), 0.0, WALL)


def test_projects_that_are_gone_are_forgotten_once_nothing_runs():
    limits = Limits()
    burst(limits, caller(10, id="stays"), 1, 0.0)
    burst(limits, caller(10, id="goes"), 1, 0.0)
    lease = limits.admit(caller(10, id="ends"), 0.0, WALL)
    limits.keep({"stays"})
    assert limits.running("ends") == 1
    lease.release()
    limits.keep({"stays"})
    assert len(limits) == 1
    assert burst(limits, caller(10, id="stays"), 20, 0.0) == 9


@given(st.integers(1, 100), st.lists(st.tuples(st.floats(0, 30), st.integers(0, 20)), max_size=20))
def test_what_is_said_to_remain_is_what_would_pass(limit: int, story: list[tuple[float, int]]):
    limits, who, now = Limits(), caller(limit), 5.0
    for gap, times in story:
        now += gap
        burst(limits, who, times, now)
    standing = stands(limits, who, now)
    assert burst(limits, who, limit + 1, now) == standing.remaining


@given(st.integers(1, 100), st.integers(1, 150))
def test_after_the_reset_everything_is_free(limit: int, times: int):
    limits, who = Limits(), caller(limit)
    burst(limits, who, times, 0.0)
    standing = stands(limits, who, 0.0)
    assume(standing.reset > 0)
    assert stands(limits, who, standing.reset + 1e-6) == (limit, limit, 0.0)


def test_a_clock_that_steps_back_gives_nothing_away():
    limits = Limits()
    burst(limits, caller(60), 60, 100.0)
    assert not passes(limits, caller(60), 50.0)
    assert burst(limits, caller(60), 10, 101.0) == 1


def test_asking_how_a_caller_stands_counts_nothing():
    limits = Limits()
    assert stands(limits, caller(9), 0.0) == (9, 9, 0.0)
    assert stands(limits, caller(9), 0.0) == (9, 9, 0.0)
