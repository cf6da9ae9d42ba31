from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.errors import InvalidRequest
from llm_gateway.storage.requests import Cursor


@given(st.integers(0, 4 * 10**15), st.uuids())
def test_a_cursor_survives_its_trip_to_the_client(micros: int, id: object):
    cursor = Cursor(micros / 1_000_000, str(id))
    assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize("text", ["", "x", "AAAA", "!!!!", "é", "A" * 400, str(Cursor(0, "0" * 32)) + "AAAA"])
def test_a_cursor_that_nobody_gave_is_refused(text: str):
    with pytest.raises(InvalidRequest, match="cursor"):
        Cursor.parse(text)
