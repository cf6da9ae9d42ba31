"""A day of servers' states, bounded, and honest about what it does not know."""

from __future__ import annotations

from llm_gateway.access.policy import Trust
from llm_gateway.fleet.facts import ServerSpec
from llm_gateway.fleet.server import ServerState, State
from llm_gateway.service.timeline import CHANGES, KEPT, MOST, Timeline

SERVERS = {"a": ServerState(ServerSpec("a", "one", "http://127.0.0.1:1", "ollama", Trust.OWN, "test"))}


def looked(timeline: Timeline, wall: float, state: State) -> None:
    timeline.look(SERVERS, {"a": state}, wall, wall)


def test_looks_at_the_same_state_are_one_spell():
    timeline = Timeline()
    for wall in range(10):
        looked(timeline, float(wall), "healthy")
    looked(timeline, 10.0, "resting")
    since, (healthy, resting) = timeline.of("a", 11.0)
    assert (since, healthy.begin, healthy.end, resting.end) == (0.0, 0.0, 10.0, None)
    assert [change.before for change in timeline.new(0)] == [None, "healthy"]
    assert timeline.new(2) == []


def test_a_server_that_changes_all_the_time_is_known_for_a_shorter_time():
    timeline = Timeline()
    for wall in range(2 * MOST):
        looked(timeline, float(wall), "resting" if wall % 2 else "healthy")
    since, spells = timeline.of("a", 2.0 * MOST)
    assert (since, len(spells)) == (float(MOST), MOST)
    for wall in range(2 * MOST, 2 * CHANGES):
        looked(timeline, float(wall), "resting" if wall % 2 else "healthy")
    assert len(timeline.new(0)) == CHANGES


def test_what_is_older_than_a_day_is_not_told():
    timeline = Timeline()
    looked(timeline, 0.0, "unknown")
    looked(timeline, 10.0, "healthy")
    since, spells = timeline.of("a", 20.0 + KEPT)
    assert (since, [spell.state for spell in spells]) == (20.0, ["healthy"])


def test_who_leaves_the_fleet_is_forgotten():
    timeline = Timeline()
    looked(timeline, 0.0, "healthy")
    timeline.look({}, {}, 1.0, 1.0)
    assert timeline.of("a", 1.0) == (None, [])


def test_a_lane_shows_the_worst_of_each_step_and_nothing_where_nothing_is_known():
    timeline = Timeline()
    looked(timeline, 25.0, "healthy")
    looked(timeline, 41.0, "resting")
    looked(timeline, 42.0, "healthy")
    assert timeline.lane("a", 0.0, 10.0, 6) == [None, None, "healthy", "healthy", "resting", "healthy"]
    assert timeline.lane("none", 0.0, 10.0, 2) == [None, None]
