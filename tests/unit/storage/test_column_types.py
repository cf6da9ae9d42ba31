from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from llm_gateway.errors import InvalidRequest
from llm_gateway.storage.columns import Json, Text, UnixTime, as_uuid, storable

BOTH = (sqlite.dialect(), postgresql.dialect())


@given(st.integers(min_value=-(10**15), max_value=4 * 10**15))
def test_a_time_comes_back_exact_to_the_microsecond(micros: int):
    for dialect in BOTH:
        stored = UnixTime().process_bind_param(micros / 1_000_000, dialect)
        assert round(UnixTime().process_result_value(stored, dialect) * 1_000_000) == micros


def test_an_aware_datetime_is_a_time_too():
    noon_in_madrid = datetime(2026, 7, 1, 12, tzinfo=datetime.strptime("+0200", "%z").tzinfo)
    for dialect in BOTH:
        stored = UnixTime().process_bind_param(noon_in_madrid, dialect)
        assert UnixTime().process_result_value(stored, dialect) == noon_in_madrid.timestamp()
    assert UnixTime().process_bind_param(0.0, postgresql.dialect()) == datetime.fromtimestamp(0, UTC)
    assert noon_in_madrid.utcoffset() == timedelta(hours=2)


@pytest.mark.parametrize("time", [1e300, float("inf"), float("nan"), -1e18])
def test_a_time_that_no_calendar_has_is_refused(time: float):
    for dialect in BOTH:
        with pytest.raises(InvalidRequest):
            UnixTime().process_bind_param(time, dialect)


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "is empty"), ("x" * 11, "longer than 10 characters"), ("a\0b", "cannot be stored"), ("\ud800", "cannot be")],
)
def test_both_databases_refuse_the_same_texts_and_name_the_field(text: str, why: str):
    for dialect in BOTH:
        with pytest.raises(InvalidRequest, match=f"The project name .*{why}"):
            Text(10, "project name", empty=False).process_bind_param(text, dialect)


@pytest.mark.parametrize("value", [float("nan"), {"a": ["\0"]}, {"\ud800": 1}, {"a": {1, 2}}])
def test_both_databases_refuse_the_same_documents(value: object):
    for dialect in BOTH:
        with pytest.raises(InvalidRequest):
            Json().process_bind_param(value, dialect)


def test_a_document_nested_too_deeply_is_refused():
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidRequest):
        Json().process_bind_param(deep, sqlite.dialect())


@given(st.text(st.characters(codec=None)))
def test_a_storable_text_can_be_encoded_and_keeps_its_length(text: str):
    kept = storable(text)
    assert "\0" not in kept
    assert len(kept) == len(text)
    kept.encode()


def test_an_id_that_is_none_is_refused_by_its_name():
    assert as_uuid("018F0000-0000-7000-8000-00000000ABCD", "request id") == "018f0000-0000-7000-8000-00000000abcd"
    with pytest.raises(InvalidRequest, match="'x' is not a request id"):
        as_uuid("x", "request id")
