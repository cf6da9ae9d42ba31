"""Which roll-ups make up a span, and what their histograms tell."""

from __future__ import annotations

from itertools import pairwise

import pytest

from llm_gateway.storage.tables import LATENCY_BOUNDS
from llm_gateway.storage.usage import Span, percentile, span, total

MIDNIGHT = 1_790_035_200
DAY, HOUR, MINUTE = 86_400, 3_600, 60


def test_a_month_up_to_this_minute_is_days_and_at_its_ends_hours_and_minutes():
    until = MIDNIGHT + 3 * HOUR + 2 * MINUTE + 7.5
    assert span(MIDNIGHT - 30 * DAY - 90.0, until).parts == (
        (MINUTE, MIDNIGHT - 30 * DAY - 2 * MINUTE, MIDNIGHT - 30 * DAY),
        (DAY, MIDNIGHT - 30 * DAY, MIDNIGHT),
        (HOUR, MIDNIGHT, MIDNIGHT + 3 * HOUR),
        (MINUTE, MIDNIGHT + 3 * HOUR, MIDNIGHT + 3 * HOUR + 3 * MINUTE),
    )


@pytest.mark.parametrize("bucket", [None, "minute", "hour", "day"])
@pytest.mark.parametrize("since", [MIDNIGHT - 3 * DAY - 61, MIDNIGHT - HOUR, MIDNIGHT + 59.9, MIDNIGHT + 60])
@pytest.mark.parametrize("length", [1, 60, 3_599, 90_000, 400_000.5])
def test_every_minute_of_a_span_is_in_exactly_one_part(bucket: str | None, since: float, length: float):
    found = span(since, since + length, bucket)  # type: ignore[arg-type]
    edges = [(start, end) for _, start, end in found.parts]
    assert edges[0][0] == found.since <= since
    assert edges[-1][1] == found.until >= since + length
    assert all(end == following for (_, end), (following, _) in pairwise(edges))
    assert all(start % seconds == end % seconds == 0 for seconds, start, end in found.parts)


def test_a_part_is_never_longer_than_the_bucket_asked_for():
    assert {seconds for seconds, *_ in span(MIDNIGHT - DAY, MIDNIGHT, "hour").parts} == {HOUR}
    assert {seconds for seconds, *_ in span(MIDNIGHT - DAY, MIDNIGHT, "minute").parts} == {MINUTE}


def test_where_minutes_are_no_longer_kept_hours_stand_in_for_them():
    found = span(MIDNIGHT - 90, MIDNIGHT + 90, "minute", minutes_from=MIDNIGHT)
    assert found == Span(
        MIDNIGHT - HOUR,
        MIDNIGHT + 2 * MINUTE,
        "hour",
        ((HOUR, MIDNIGHT - HOUR, MIDNIGHT), (MINUTE, MIDNIGHT, MIDNIGHT + 2 * MINUTE)),
    )
    old = span(MIDNIGHT - 5 * HOUR - 10, MIDNIGHT - 4 * HOUR - 10, minutes_from=MIDNIGHT)
    assert old.parts == ((HOUR, MIDNIGHT - 6 * HOUR, MIDNIGHT - 4 * HOUR),)


def test_a_span_without_length_is_empty():
    assert span(MIDNIGHT, MIDNIGHT).parts == ()
    assert span(MIDNIGHT, MIDNIGHT - DAY).parts == ()


def histogram(**counts: int) -> list[int]:
    return [counts.get(f"b{n}", 0) for n in range(len(LATENCY_BOUNDS) + 1)]


def test_a_percentile_lies_within_its_bucket_as_if_requests_lay_evenly_in_it():
    assert percentile(histogram(b0=10), 0.5) == 12.5
    assert percentile(histogram(b1=50, b3=50), 0.5) == 50
    assert percentile(histogram(b1=50, b3=50), 0.75) == 175
    assert percentile(histogram(b14=1), 0.99) == 320_000  # where the last bucket ends nobody knows
    assert percentile(histogram(), 0.5) is None


def test_the_sum_of_nothing_is_nothing():
    assert total([]).requests == 0
    assert total([]).latency_ms(0.5) is None
