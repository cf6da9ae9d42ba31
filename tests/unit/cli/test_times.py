"""Times as people type them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.times import ahead, past, span

NOON = datetime(2027, 3, 10, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("90s", "2027-03-10T11:58:30Z"),
        ("15m", "2027-03-10T11:45:00Z"),
        ("2h", "2027-03-10T10:00:00Z"),
        ("1.5H", "2027-03-10T10:30:00Z"),
        ("7d", "2027-03-03T12:00:00Z"),
        ("1w", "2027-03-03T12:00:00Z"),
        ("now", "2027-03-10T12:00:00Z"),
        ("2027-01-31", "2027-01-31T00:00:00Z"),
        ("2027-01-31T12:30", "2027-01-31T12:30:00Z"),
        ("2027-01-31T12:30:00+02:00", "2027-01-31T10:30:00Z"),
        ("1800000000", "2027-01-15T08:00:00Z"),
    ],
)
def test_a_time_that_has_been(typed: str, meant: str):
    assert past(typed, "--since", NOON) == meant


def test_a_time_that_comes_counts_spans_from_now_on():
    assert ahead("90d", "--expires", NOON) == "2027-06-08T12:00:00Z"
    assert ahead("2027-12-31", "--expires", NOON) == "2027-12-31T00:00:00Z"


def test_no_time_stays_none():
    assert past(None, "--since", NOON) is None
    assert ahead(None, "--expires", NOON) is None


@pytest.mark.parametrize(
    "typed", ["yesterday", "", "7 fortnights", "2027-13-01", "-5", "nan", "1e300", "99999999w", "0001-01-01"]
)
def test_what_is_no_time_is_refused_in_one_line_with_examples(typed: str):
    with pytest.raises(Stop) as refused:
        past(typed, "--since", NOON)
    assert refused.value.code is Exit.USAGE
    assert refused.value.message.startswith("--since ")
    assert "7d" in refused.value.hint


def test_spans():
    assert [span(text, "--overlap") for text in ("0", "90", "30m", "24h")] == [0, 90, 1800, 86_400]
    with pytest.raises(Stop, match="--overlap must be a time span"):
        span("soon", "--overlap")
