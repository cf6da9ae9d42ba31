from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.alerts.rules import BUILT_IN, Reading, Rule
from llm_gateway.alerts.states import ABSENT, CLEAR, MOST, Book, Notice, step

HOT = Rule("hot", "healthy_share", "<", 0.5, hold=60.0)
NOW = Rule("now", "healthy_share", "<", 0.5)
MINE = Rule("mine", "log_rows_waiting", ">", 10)
REPEAT = 3600.0


class Told:
    """A book that is stepped through, and what was told."""

    def __init__(self, *rules: Rule, repeat: float = REPEAT) -> None:
        self.rules, self.repeat = rules, repeat
        self.book = Book()
        self.notices: list[tuple[float, str, str]] = []

    def at(self, time: float, /, **values: float | dict[str, float] | None) -> list[Notice]:
        readings = {
            name: None
            if value is None
            else [Reading(s, v) for s, v in (value if isinstance(value, dict) else {"gateway": value}).items()]
            for name, value in values.items()
        }
        self.book, notices = step(self.book, self.rules, readings, time, self.repeat)
        self.notices += [(time, n.alert.subject, "again" if n.again else n.alert.state) for n in notices]
        return notices


def test_an_alert_fires_when_its_condition_held_long_enough_and_is_over_when_it_did_not():
    told = Told(HOT)
    for now, value in ((0, 0.9), (15, 0.1), (60, 0.1), (74, 0.1), (75, 0.1), (90, 0.9), (149, 0.9), (150, 0.9)):
        told.at(now, hot=value)
    assert told.notices == [(75, "gateway", "firing"), (150, "gateway", "resolved")]
    assert not told.book.alerts
    assert told.book.recent[0].resolved_at == 150


def test_what_holds_for_a_moment_is_told_to_nobody():
    told = Told(HOT)
    for now in range(0, 600, 30):
        told.at(now, hot=0.1 if now % 60 else 0.9)
    assert told.notices == []


def test_a_value_that_swings_around_its_threshold_tells_once():
    told = Told(NOW)
    for now in range(0, 3000, 15):
        told.at(now, now=0.9 if now % 45 == 0 else 0.1)
    assert told.notices == [(15, "gateway", "firing")]


def test_people_are_reminded_of_what_still_fires():
    told = Told(NOW, repeat=100.0)
    for now in range(0, 250, 10):
        told.at(now, now=0.1)
    assert told.notices == [(0, "gateway", "firing"), (100, "gateway", "again"), (200, "gateway", "again")]


@pytest.mark.parametrize("rule", ["budget_80", "budget_100", "key_expires"])
def test_nobody_is_reminded_of_a_budget_or_of_the_end_of_a_key(rule: str):
    told = Told(BUILT_IN[rule], repeat=100.0)
    for now in range(0, 10_000, 50):
        told.at(now, **{rule: 1.0})
    assert [what for _, _, what in told.notices] == ["firing"]


def test_subjects_have_alerts_of_their_own():
    told = Told(NOW)
    told.at(0, now={"a": 0.1, "b": 0.9})
    told.at(15, now={"a": 0.1, "b": 0.1})
    assert told.notices == [(0, "a", "firing"), (15, "b", "firing")]
    assert len({alert.id for alert in told.book.alerts}) == 2


def test_a_subject_that_is_no_longer_there_is_over():
    told = Told(NOW)
    told.at(0, now={"a": 0.1})
    told.at(15, now={})
    told.at(15 + CLEAR, now={})
    assert told.notices[-1] == (15 + CLEAR, "a", "resolved")


def test_what_nobody_could_read_changes_nothing():
    told = Told(HOT)
    told.at(0, hot=0.1)
    told.at(50, hot=None)
    told.at(60, hot=0.1)
    told.at(500, hot=None)
    told.at(1000, hot=None)
    assert told.notices == [(60, "gateway", "firing")]
    assert told.book.alerts[0].state == "firing"


def test_a_rule_that_was_taken_away_is_over_when_no_process_has_it_any_more():
    told = Told(NOW)
    told.at(0, now=0.1)
    for now in (15, 30, 300):  # one process has read its file again, the other has not yet
        told.rules = ()
        told.at(now)
        told.rules = (NOW,)
        told.at(now, now=0.1)
    told.rules = ()
    told.at(300 + ABSENT - 1)
    assert len(told.notices) == 1
    told.at(300 + ABSENT)
    assert told.notices[-1] == (300 + ABSENT, "gateway", "resolved")


def test_what_another_process_says_of_itself_stays_until_it_is_silent_for_long():
    told = Told(MINE)
    told.at(0, mine={"host/1": 99})
    for now in range(15, 500, 15):
        told.at(now, mine={"host/2": 0})
    assert told.notices == [(0, "host/1", "firing")]
    told.at(ABSENT, mine={"host/2": 0})
    told.at(ABSENT + CLEAR, mine={"host/2": 0})
    assert told.notices[-1] == (ABSENT + CLEAR, "host/1", "resolved")


def test_an_alert_that_lasts_is_seen_now_and_then_so_that_others_believe_it():
    told = Told(MINE)
    for now in range(0, 3000, 15):
        told.at(now, mine={"host/1": 99})
        assert now - told.book.alerts[0].seen_at < ABSENT / 2


def test_a_changed_threshold_takes_over_the_alert_that_fires():
    told = Told(NOW)
    (first,) = told.at(0, now=0.1)
    told.rules = (Rule("now", "healthy_share", "<", 0.2, "critical"),)
    told.at(15, now=0.1)
    (alert,) = told.book.alerts
    assert (alert.id, alert.threshold, alert.severity) == (first.alert.id, 0.2, "critical")
    assert len(told.notices) == 1


def test_a_clock_that_was_set_back_makes_no_alert_wait_longer():
    told = Told(HOT)
    told.at(10_000, hot=0.1)
    told.at(15, hot=0.1)
    told.at(75, hot=0.1)
    assert told.notices == [(75, "gateway", "firing")]


def test_a_rule_with_very_many_subjects_takes_no_alert_from_others():
    told = Told(NOW, MINE)
    told.at(0, now={f"s{n}": 0.1 for n in range(2 * MOST)}, mine=99)
    told.at(15, now={f"s{n}": 0.1 for n in range(2 * MOST)}, mine=99)
    assert len(told.book.alerts) == len(told.notices) == MOST + 1


def test_a_book_comes_back_from_json_as_it_was():
    told = Told(HOT, NOW)
    told.at(0.25, hot=0.1, now=0.1)
    told.at(61.5, hot=0.1, now=0.9)
    told.at(130, hot=0.1, now=0.9)
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(told.book)), Book) == told.book
    assert told.book.recent
    assert told.book.alerts


def test_what_changed_while_a_database_was_away_wins_over_what_it_holds():
    away, there = Told(NOW), Told(NOW)
    for told in (away, there):
        told.at(0, now={"a": 0.1, "b": 0.1})
    away.at(15, now={"a": 0.9, "b": 0.1, "c": 0.1})
    away.at(15 + CLEAR, now={"a": 0.9, "b": 0.1, "c": 0.1})
    there.at(30, now={"a": 0.1, "b": 0.1, "d": 0.1})
    merged = away.book.over(there.book, [("now", "a"), ("now", "c")])
    assert {alert.subject for alert in merged.alerts} == {"b", "c", "d"}
    assert [alert.subject for alert in merged.recent] == ["a"]


values = st.one_of(st.none(), st.sampled_from([0.1, 0.9]))


@given(
    st.lists(st.tuples(st.integers(1, 90), st.dictionaries(st.sampled_from("ab"), values), st.booleans())),
    st.sampled_from([0.0, 45.0, 120.0]),
)
def test_whatever_comes_each_alert_fires_once_and_is_over_once(
    looks: Iterable[tuple[int, dict[str, float | None], bool]], hold: float
):
    rule = Rule("any", "healthy_share", "<", 0.5, hold=hold)
    told = Told(rule, repeat=1e9)
    now, bad_since = 0.0, dict[str, float]()
    firing: set[str] = set()
    for wait, found, known in looks:
        now += wait
        shown = {subject: value for subject, value in found.items() if value is not None}
        notices = told.at(now, any=shown if known else None)
        for subject in "ab" if known else "":
            if shown.get(subject) == 0.1:
                bad_since.setdefault(subject, now)
            else:
                bad_since.pop(subject, None)
        for notice in notices:
            subject = notice.alert.subject
            assert known
            if notice.alert.state == "firing":
                assert subject not in firing
                assert now - bad_since[subject] >= hold
                firing.add(subject)
            else:
                assert subject not in bad_since
                firing.remove(subject)
        assert {alert.subject for alert in told.book.firing()} == firing
        assert {alert.subject for alert in told.book.alerts} - firing <= bad_since.keys()
        if known:
            assert {s for s, since in bad_since.items() if now - since >= hold} <= firing
