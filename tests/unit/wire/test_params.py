"""One table of parameters for requests, exposures and config files."""

from __future__ import annotations

import pytest

from llm_gateway.errors import InvalidRequest
from llm_gateway.wire.params import PARAMS, check_param


def test_values_come_back_in_their_canonical_type():
    assert check_param("temperature", 1) == 1.0
    assert isinstance(check_param("temperature", 1), float)
    assert check_param("max_tokens", 5.0) == 5
    assert isinstance(check_param("max_tokens", 5.0), int)
    assert check_param("stop", "x") == ["x"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 2.1])
def test_what_is_out_of_range_is_refused_also_when_it_is_no_number(value):
    with pytest.raises(InvalidRequest, match="from 0 to 2"):
        check_param("temperature", value)


@pytest.mark.parametrize("name", sorted(PARAMS))
@pytest.mark.parametrize("value", [{}, True, None, [1], [""]])
def test_no_parameter_takes_another_type(name, value):
    with pytest.raises(InvalidRequest) as caught:
        check_param(name, value, where=f"models[0].params.{name}")
    assert caught.value.param == f"models[0].params.{name}"
