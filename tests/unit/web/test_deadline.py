"""The one timer of a connection, on a loop whose time is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llm_gateway.web.deadline import Deadline


class Timer:
    def __init__(self, at: float, then: Callable[[], None]) -> None:
        self.at, self.then, self.cancelled = at, then, False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """What a Deadline asks of an event loop."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []
        self.made = 0

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, then: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + seconds, then))
        self.made += 1
        return self.timers[-1]

    def until(self, now: float) -> None:
        """Lets time pass."""
        while due := [timer for timer in self.timers if not timer.cancelled and timer.at <= now]:
            first = min(due, key=lambda timer: timer.at)
            self.timers.remove(first)
            self.now = first.at
            first.then()
        self.now = now


def deadline() -> tuple[Loop, Deadline, list[str]]:
    loop = Loop()
    return loop, Deadline(cast("Any", loop)), []


def test_what_was_set_is_called_once():
    loop, timer, fired = deadline()
    timer.set(5, lambda: fired.append("late"))
    loop.until(4.9)
    assert (fired, timer.is_set) == ([], True)
    loop.until(60)
    assert (fired, timer.is_set) == (["late"], False)


def test_what_was_cleared_is_not_called():
    loop, timer, fired = deadline()
    timer.set(5, lambda: fired.append("late"))
    timer.clear()
    loop.until(60)
    assert fired == []


def test_a_later_one_takes_the_place_of_an_earlier_one():
    loop, timer, fired = deadline()
    timer.set(5, lambda: fired.append("early"))
    loop.until(4)
    timer.set(5, lambda: fired.append("late"))
    loop.until(8.9)
    assert fired == []
    loop.until(9)
    assert fired == ["late"]


def test_an_earlier_one_does_not_wait_for_a_later_one():
    loop, timer, fired = deadline()
    timer.set(60, lambda: fired.append("late"))
    timer.set(5, lambda: fired.append("early"))
    loop.until(5)
    assert fired == ["early"]
    loop.until(120)
    assert fired == ["early"]


def test_one_that_is_moved_with_every_request_makes_a_timer_now_and_then():
    loop, timer, fired = deadline()
    for n in range(1000):
        loop.until(n / 10)
        timer.set(30, lambda: fired.append("late"))
        timer.clear()
    assert loop.made <= 5
    assert fired == []


def test_one_that_is_stopped_leaves_nothing_in_the_loop():
    loop, timer, fired = deadline()
    timer.set(5, lambda: fired.append("late"))
    timer.stop()
    assert all(timer.cancelled for timer in loop.timers)
    loop.until(60)
    assert fired == []
