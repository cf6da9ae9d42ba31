"""The gate that every byte from outside passes."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.errors import Fault, FaultKind, InvalidRequest
from llm_gateway.wire.decoding import BadJson, decode_body, decode_frame, decode_json


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_what_json_writes_is_read_back(value):
    assert decode_json(json.dumps(value).encode()) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_explained(raw):
    with suppress(BadJson):  # anything else fails the test
        decode_json(raw)


@pytest.mark.parametrize("levels", [1, 63, 64, 65, 200, 5_000, 300_000])
def test_64_levels_are_the_limit_whatever_the_decoder_could_bear(levels):
    for open_, close in ((b"[", b"]"), (b'{"a":', b"}")):
        raw = open_ * levels + b"1" + close * levels
        if levels <= 64:
            decode_json(raw)
        else:
            with pytest.raises(BadJson, match="64 levels"):
                decode_json(raw)


def test_many_brackets_are_not_many_levels():
    wide = [{"a": [1]}] * 500
    assert decode_json(json.dumps(wide).encode()) == wide
    assert decode_json(json.dumps("[" * 500).encode()) == "[" * 500


def test_more_brackets_than_anyone_needs_are_refused_before_they_are_decoded():
    assert decode_json(b"[%s[]]" % (b"[]," * 499_998)) == [[]] * 499_999
    with pytest.raises(BadJson, match="500,000 brackets"):
        decode_json(b"[%s[]]" % (b"[]," * 500_000))


@pytest.mark.parametrize("number", [2**63 - 1, 2**64 - 1, -(2**63), 0.1234567890123456789012345])
def test_numbers_of_64_bits_pass(number):
    assert decode_body(json.dumps({"a": number}).encode()) == {"a": number}


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**300])
def test_larger_whole_numbers_do_not(number):
    with pytest.raises(InvalidRequest) as caught:
        decode_body(json.dumps({"a": [{"b": [1, 2.5, None]}, {"b": [1, number]}]}).encode())
    assert caught.value.param == "a[1].b[1]"


def test_digits_in_a_text_are_no_number():
    assert decode_body(b'{"a": "%s"}' % (b"9" * 400)) == {"a": "9" * 400}


@pytest.mark.parametrize("raw", [b"", b"[]", b"7", b'{"a":', b'{"a": "\xff"}', b'{"a": "\\udc00"}', b"[" * 9000])
def test_a_frame_that_is_no_object_is_a_bad_frame(raw):
    with pytest.raises(Fault) as caught:
        decode_frame(raw)
    assert caught.value.kind is FaultKind.BAD_FRAME
