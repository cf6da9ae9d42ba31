"""What processes tell each other about their requests: as it was sent or not at all, and every row once."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.shared.seen import (
    GONE,
    LARGEST,
    LISTED,
    NEWS,
    PROCESSES,
    ROWS,
    Answer,
    Ended,
    Look,
    Moment,
    Over,
    Said,
    Seen,
    Stop,
    Stopped,
    Told,
    Tried,
    Tries,
    answer,
    packed,
    said,
    shown,
    since,
)

NOBODY: Ended = {
    "id": "1",
    "timestamp": 1_000.5,
    "project_id": "p",
    "key_id": None,
    "endpoint": "/v1/chat",
    "model": None,
    "backend_model": None,
    "server_id": None,
    "tier": None,
    "stream": False,
    "status": 400,
    "outcome": "error",
    "error_code": "invalid_json",
    "finish_reason": None,
    "latency_ms": 0.4,
    "ttft_ms": None,
    "attempts": 0,
    "tokens_input": 0,
    "tokens_output": 0,
    "tokens_estimated": False,
    "end_user": None,
    "correlation_id": None,
    "project_context": None,
    "client_request_id": None,
    "continuations": 0,
    "notes": None,
    "failovers": 0,
    "cost_nanos": 0,
}
MOMENT = Moment("1", "p", "p", "k", "/v1/chat", "m", None, None, "waiting", True, 1_000.5, 2.0, None, 1, 0, 0)


def row(id: int, **fields: Any) -> Ended:
    return NOBODY | {"id": str(id)} | fields  # type: ignore[return-value,typeddict-item]


def told(*rows: int, whole: bool = True, moments: list[Moment] | None = None, total: int = 0) -> Told:
    return Told(1, total, moments, [row(id) for id in rows], whole)


def ids(rows: list[Ended]) -> list[int]:
    return [int(row["id"]) for row in rows]


@pytest.mark.parametrize(
    "message", [Look(3, rows=True), Stop(7, "an-id"), Over(), Tries((Tried("1f2e3d4c", "192.0.2.1", right=False),))]
)
def test_what_is_said_to_all_arrives(message: Said):
    assert said(packed(message)) == message
    assert answer(packed(message)) is None


@pytest.mark.parametrize("message", [told(1, 2, moments=[MOMENT], total=1), Stopped(7, MOMENT), Stopped(7, None)])
def test_what_is_said_to_one_arrives(message: Answer):
    assert answer(packed(message)) == message
    assert said(packed(message)) is None


@given(st.binary())
def test_nonsense_is_no_message(data: bytes):
    assert said(data) is answer(data) is None


@pytest.mark.parametrize("data", [b"\x91" * 100_000, b"x" * (LARGEST + 1)], ids=["deep", "long"])
def test_deep_or_long_nonsense_is_no_message(data: bytes):
    assert said(data) is answer(data) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"timestamp": math.nan},
        {"timestamp": math.inf},
        {"timestamp": -1.0},
        {"timestamp": 1e12},
        {"latency_ms": math.nan},
        {"tokens_input": -1},
        {"tokens_input": 2**60},
        {"status": "200"},
        {"project_id": None},
        {"notes": {"a": 1}},
    ],
)
def test_a_row_that_cannot_be_shown_is_none(fields: dict[str, Any]):
    assert answer(packed(Told(1, 0, None, [row(1, **fields)], whole=True))) is None


@pytest.mark.parametrize("fields", [{"age": math.nan}, {"began": 1e15}, {"phase": "dreaming"}, {"tokens": -1}])
def test_a_moment_that_cannot_be_shown_is_none(fields: dict[str, Any]):
    moment = msgspec.structs.replace(MOMENT, **fields)
    assert answer(packed(told(moments=[moment]))) is answer(packed(Stopped(1, moment))) is None


def test_what_another_version_says_besides_does_not_matter():
    fields = msgspec.to_builtins(told(1))
    fields["rows"][0]["colour"] = fields["mood"] = "blue"
    assert answer(msgspec.msgpack.encode(fields)) == told(1)


def test_more_than_is_listed_is_no_message():
    assert answer(packed(told(moments=[MOMENT] * LISTED))) is not None
    assert answer(packed(told(moments=[MOMENT] * (LISTED + 1)))) is None


def test_of_what_is_too_long_the_first_moments_and_the_latest_rows_are_sent():
    rows = [row(n, notes="n" * 5_000) for n in range(ROWS)]
    sent = answer(packed(Told(1, 900, [MOMENT] * LISTED, rows, whole=True)))
    assert isinstance(sent, Told)
    assert sent.rows is not None
    assert sent.moments is not None
    assert 0 < len(sent.rows) < ROWS
    assert sent.rows[-1] == rows[-1]
    assert (sent.total, sent.whole) == (900, False)
    alone = answer(packed(Told(1, 1, None, [row(1, notes="n" * LARGEST)], whole=True)))
    assert alone == Told(1, 1, None, [], whole=False)


def test_of_a_row_only_that_is_told_which_is_shown():
    assert shown({**NOBODY, "prompt": "secret"}) == NOBODY


def test_rows_since_the_latest_that_was_told():
    rows = [{"id": n} for n in range(5)]
    assert since(rows, rows[1], 10) == (rows[2:], True)
    assert since(rows, rows[4], 10) == ([], True)
    assert since(rows, rows[1], 2) == (rows[3:], False)
    assert since(rows, {"id": 1}, 10) == (rows, False)  # it is no longer there
    assert since(rows, None, 2) == (rows[3:], True)
    assert since([], None, 2) == ([], True)


def test_what_ended_before_is_history_and_what_ends_then_is_told_once():
    seen = Seen()
    seen.hear("a", told(1, 2), 0.0)
    assert (ids(seen.rows()), seen.take()) == ([1, 2], [])
    seen.hear("a", told(3), 0.2)
    seen.hear("b", told(7), 0.2)
    seen.hear("a", told(2, 3, 4), 0.4)  # it had forgotten who looks
    assert ids(seen.take()) == [3, 4]
    assert seen.take() == []
    assert ids(seen.rows()) == [1, 2, 3, 4, 7]
    assert not seen.gap


def test_rows_that_were_left_out_are_a_gap_but_not_in_history():
    seen = Seen()
    seen.hear("a", told(1, whole=False), 0.0)
    assert not seen.gap
    seen.hear("a", told(5, whole=False), 0.2)
    assert seen.gap


def test_who_looks_at_lists_only_has_no_rows():
    seen = Seen()
    seen.hear("a", Told(1, 1, [MOMENT], None, whole=True), 0.0)
    assert (seen.fresh(0.0), seen.fresh(0.0, rows=True)) == ({"a"}, set())
    seen.hear("a", told(1), 0.1)
    assert (ids(seen.rows()), seen.take()) == ([1], [])


def test_requests_in_flight_grow_older_and_are_gone_with_their_process():
    seen = Seen()
    seen.hear("a", told(moments=[MOMENT], total=300), 10.0)
    (moment,), total = seen.in_flight(11.5)
    assert (moment.age, total) == (3.5, 300)
    seen.hear("a", told(), 12.0)  # as before
    (moment,), total = seen.in_flight(12.0)
    assert (moment.age, total) == (4.0, 0)
    assert seen.in_flight(12.0 + GONE)[0]
    assert seen.in_flight(12.1 + GONE) == ([], 0)


def test_without_redis_nobody_is_seen_and_nothing_is_told_twice_afterwards():
    seen = Seen()
    seen.hear("a", told(1, moments=[MOMENT]), 1.0)
    seen.lose(1.5)
    assert seen.in_flight(1.5) == ([], 0)
    seen.hear("a", told(1, 2, moments=[MOMENT]), 2.0)
    assert ids(seen.take()) == [2]
    assert len(seen.in_flight(2.0)[0]) == 1


def test_what_is_kept_is_bounded():
    seen = Seen()
    for n in range(PROCESSES + 10):
        seen.hear(str(n), told(n), n / 1000)
    assert len(seen.fresh(0.0)) == PROCESSES
    assert "9" not in seen.fresh(0.0)
    for n in range(0, 2 * NEWS, ROWS):
        seen.hear("10", told(*range(10_000 + n, 10_000 + n + ROWS)), 0.0)
    assert len(seen.take()) <= NEWS
    assert seen.gap
    assert len(seen.rows()) == PROCESSES + ROWS - 1
    seen.clear()
    assert (seen.rows(), seen.gap, seen.fresh(0.0)) == ([], False, set())
