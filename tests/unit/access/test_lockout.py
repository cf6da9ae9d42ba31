from __future__ import annotations

from llm_gateway.access.lockout import Lockout
from llm_gateway.access.roles import Role


def test_the_fifth_failure_shuts_the_door_for_what_is_left_of_the_window() -> None:
    door = Lockout(limit=5, window=900.0)
    for n in range(5):
        assert door.wait("ann", 10.0 * n) == 0
        door.attempt("ann", 10.0 * n)
    assert door.wait("ann", 100.0) == 800.0
    assert door.wait("bob", 100.0) == 0
    assert door.wait("ann", 900.0) == 0
    door.attempt("ann", 900.0)
    assert door.wait("ann", 900.0) == 0, "a new window"


def test_what_has_not_failed_is_taken_back_and_success_forgets_the_rest() -> None:
    door = Lockout(limit=2)
    door.attempt("here", 0.0)
    door.attempt("here", 0.0)
    door.take_back("here")
    assert door.wait("here", 1.0) == 0
    door.attempt("here", 1.0)
    assert door.wait("here", 1.0) > 0
    door.forget("here")
    assert door.wait("here", 1.0) == 0
    door.take_back("never seen")


def test_any_number_of_names_takes_bounded_memory() -> None:
    door = Lockout(limit=1, bound=100)
    for n in range(1_000):
        door.attempt(str(n), 0.0)
    assert len(door) == 100
    assert door.wait("999", 0.0) > 0
    assert door.wait("0", 0.0) == 0


def test_each_role_covers_those_below_it() -> None:
    ranks = [Role.VIEWER, Role.EDITOR, Role.OWNER]
    for height, role in enumerate(ranks):
        assert [role.covers(needed) for needed in ranks] == [n <= height for n in range(3)]
