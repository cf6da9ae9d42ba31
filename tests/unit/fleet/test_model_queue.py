"""Who waits for a place, who gets it, and who is sent away."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.errors import QueueFull
from llm_gateway.fleet.queue import LEAST_PLACES, ModelQueue, Waiting


def wish(project: str, name: str = "", tokens: float = 100.0, deadline: float = 10.0, needs: str = "") -> Waiting[str]:
    return Waiting(name or project, project, needs, tokens, deadline)


def joined(*wishes: Waiting[str]) -> ModelQueue[str]:
    queue: ModelQueue[str] = ModelQueue()
    for one in wishes:
        queue.join(one, capacity=1, now=0.0)
    return queue


def served(queue: ModelQueue[str], places: int, now: float = 1.0, capacity: int = 4) -> list[str]:
    begun: list[str] = []

    def begin(item: str) -> bool:
        if len(begun) == places:
            return False
        begun.append(item)
        return True

    queue.serve(begin, capacity, now)
    return begun


def test_projects_take_turns_however_many_wait():
    queue = joined(*(wish("loud", tokens=500) for _ in range(50)), *(wish("quiet", tokens=500) for _ in range(3)))
    assert Counter(served(queue, 6)) == {"loud": 3, "quiet": 3}


def test_a_project_has_one_turn_however_different_its_requests_are():
    many = [wish("many", tokens=500, needs=f"n{n % 5}") for n in range(50)]
    queue = joined(*many, *(wish("one", tokens=500) for _ in range(10)))
    assert Counter(served(queue, 12, capacity=100)) == {"many": 6, "one": 6}


def test_a_turn_is_worth_tokens_and_not_requests():
    queue = joined(*(wish("long", tokens=2000) for _ in range(20)), *(wish("short", tokens=100) for _ in range(60)))
    counts = Counter(served(queue, 42))
    assert counts["short"] >= 15 * counts["long"] > 0


def test_within_a_project_first_come_is_first_served_and_a_retry_goes_ahead():
    queue = joined(wish("p", "one"), wish("p", "two"))
    queue.join(wish("p", "again"), capacity=1, now=0.0, ahead=True)
    queue.join(wish("p", "elsewhere", needs="another"), capacity=1, now=0.0, ahead=True)
    assert served(queue, 4) == ["elsewhere", "again", "one", "two"]
    assert len(queue) == 0


def test_expired_requests_are_not_served():
    queue = joined(wish("p", "late", deadline=5.0), wish("p", "in time", deadline=20.0))
    assert served(queue, 5, now=6.0) == ["in time"]
    assert len(queue) == 0


def test_who_leaves_is_not_served():
    gone = wish("p", "gone")
    queue = joined(gone, wish("p", "here"))
    assert queue.leave(gone)
    assert not queue.leave(gone)
    assert served(queue, 5) == ["here"]


def test_one_that_cannot_be_served_does_not_block_others_with_other_needs():
    queue = joined(wish("a", "own only", needs="own"), wish("b", "anything", needs="any"))
    begun: list[str] = []

    def begin(item: str) -> bool:
        if item == "own only":
            return False
        begun.append(item)
        return True

    queue.serve(begin, 4, 1.0)
    assert begun == ["anything"]
    assert len(queue) == 1


def test_a_project_holds_at_most_half_of_a_model_while_others_wait():
    queue = joined(*(wish("loud") for _ in range(5)), wish("quiet"))
    queue.held("loud", 2)
    assert served(queue, 1, capacity=4) == ["quiet"]
    assert served(queue, 1, capacity=4) == ["loud"]  # nobody else waits now


def test_a_place_that_nobody_else_can_use_is_not_left_empty():
    queue = joined(wish("loud", needs="any"), wish("quiet", needs="own"))
    queue.held("loud", 4)
    begun: list[str] = []
    queue.serve(lambda item: item == "loud" and not begun and begun.append(item) is None, 4, 1.0)
    assert begun == ["loud"]


def test_when_it_is_full_of_projects_that_have_about_as_much_nobody_who_waits_is_sent_away():
    half = LEAST_PLACES // 2
    queue = joined(*(wish("one") for _ in range(half + 20)), *(wish("two") for _ in range(half - 20)))
    with pytest.raises(QueueFull):
        queue.join(wish("two"), capacity=1, now=0.0)


def test_when_it_is_full_the_greediest_project_gives_way():
    queue = joined(*(wish("loud", f"loud {n}", deadline=10 + n) for n in range(LEAST_PLACES)))
    with pytest.raises(QueueFull) as refused:
        queue.join(wish("loud"), capacity=1, now=0.0)
    assert refused.value.retry_after == 5
    outcast = queue.join(wish("quiet"), capacity=1, now=0.0)
    assert outcast is not None
    assert outcast.item == f"loud {LEAST_PLACES - 1}"
    assert len(queue) == LEAST_PLACES


def test_the_queue_is_four_times_as_long_as_the_model_has_places():
    queue = joined(*(wish("p") for _ in range(LEAST_PLACES)))
    assert queue.join(wish("p"), capacity=100, now=0.0) is None


def test_retry_after_follows_the_pace_of_the_queue():
    queue = joined(*(wish("p", deadline=99) for _ in range(100)))
    for second in range(10):
        served(queue, 2, now=float(second))
    assert queue.full(10.0).retry_after == 40  # 80 wait, 2 a second are served


def test_who_cannot_be_served_in_time_is_refused_at_once():
    queue = joined(*(wish("loud", deadline=99) for _ in range(40)))
    for second in range(10):
        served(queue, 2, now=float(second))
    with pytest.raises(QueueFull):
        queue.join(wish("loud", deadline=20.0), capacity=1, now=10.0)  # it would be its turn in ten seconds
    assert queue.join(wish("loud", deadline=40.0), capacity=1, now=10.0) is None
    assert queue.join(wish("quiet", deadline=20.0), capacity=1, now=10.0) is None  # every second turn is its own


def test_a_queue_in_which_nobody_waits_has_no_pace():
    queue = joined(wish("p", "first"))
    assert served(queue, 1, now=1.0) == ["first"]
    assert queue.join(wish("p", "much later", deadline=19.0), capacity=8, now=9.0) is None
    assert served(queue, 1, now=9.0) == ["much later"]


def test_while_all_servers_rest_a_slow_pace_of_before_turns_nobody_away():
    queue = joined(*(wish("loud", deadline=99) for _ in range(40)))
    for second in range(10):
        served(queue, 2, now=float(second))
    assert queue.join(wish("loud", deadline=20.0), capacity=0, now=10.0) is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5000), st.sampled_from(["x", "y"])), max_size=60))
def test_everybody_who_waits_is_served_once_when_there_are_places(wishes: list[tuple[str, int, str]]):
    queue = joined(*(wish(p, f"{n}", float(tokens), needs=needs) for n, (p, tokens, needs) in enumerate(wishes)))
    begun = served(queue, len(wishes) + 1)
    assert sorted(begun, key=int) == [str(n) for n in range(len(wishes))]
    assert len(queue) == 0
