"""Times as the admin API takes them."""

from __future__ import annotations

import pytest

from llm_gateway.errors import InvalidRequest
from llm_gateway.web.admin.common import moment


@pytest.mark.parametrize(
    ("text", "unix"),
    [
        (None, None),
        ("0", 0.0),
        ("1800000000.5", 1_800_000_000.5),
        ("2027-01-15", 1_799_971_200.0),
        ("2027-01-15T08:00:00Z", 1_800_000_000.0),
        ("2027-01-15T10:00:00+02:00", 1_800_000_000.0),
    ],
)
def test_moments(text: str | None, unix: float | None):
    assert moment(text, "since") == unix


@pytest.mark.parametrize(
    "text", ["", "nan", "inf", "-1", "1e300", "tomorrow", "2027-13-01", "0001-01-01T00:00:00+14:00"]
)
def test_what_is_none_is_refused_by_its_field(text: str):
    with pytest.raises(InvalidRequest) as refused:
        moment(text, "since")
    assert refused.value.param == "since"
