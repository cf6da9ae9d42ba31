"""The gate that every byte from outside passes."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from effort import effort
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


def test_more_brackets_or_commas_than_anyone_needs_are_refused_before_they_are_decoded():
    assert decode_json(b"[%s[]]" % (b"[]," * 499_998)) == [[]] * 499_999
    assert decode_json(b"[%s1]" % (b"1," * 500_000)) == [1] * 500_001
    with pytest.raises(BadJson, match="500,000 brackets"):
        decode_json(b"[%s[]]" % (b"[]," * 500_000))
    with pytest.raises(BadJson, match="500,000 commas"):
        decode_json(b"[%s1]" % (b"1," * 500_001))


def test_what_stands_within_a_text_is_not_counted():
    """A table, or a JSON document, as one prompt of nearly all the bytes that a body may have."""
    for text in ("1,2.5,x\n" * 500_000, '{"a": [1]},' * 350_000, "\\,[" * 400_000):
        assert decode_body(json.dumps({"prompt": text}).encode()) == {"prompt": text}
    assert decode_frame(json.dumps({"content": "a,b," * 100_000}).encode()) == {"content": "a,b," * 100_000}


@pytest.mark.parametrize("text", [rb"\\", rb"\"", rb"\\\"", rb"\\\\"])
def test_no_escape_hides_values_among_texts(text):
    for before in (b'"x%s",' % text, b'"%sx",' % text, b'"%s",' % text):
        raw = b"[%s%s1]" % (before, b"1," * 500_001)
        with pytest.raises(BadJson, match="500,000 commas"):
            decode_json(raw)
        assert decode_json(b"[%s%s1]" % (before, b"1," * 400_000))


def test_values_are_not_found_to_be_many_by_much_work():
    plain = b'{"a": "%s"}' % (b"x" * 4_000_000)
    for hostile in (b'["",%s""]' % (b'"",' * 1_000_000), b'["%s"]' % (b'\\"' * 1_000_000 + b"," * 2_000_000)):

        def judge(raw: bytes = hostile) -> None:
            with suppress(BadJson):
                decode_json(raw)

        assert effort(judge) < 30 * effort(lambda: decode_json(plain))


@pytest.mark.parametrize("number", ["9" * 65, "-" + "9" * 65, "0." + "3" * 65, "1e" + "0" * 64 + "1"])
def test_a_number_of_more_than_64_digits_makes_a_bad_frame(number):
    with pytest.raises(Fault, match="64 digits") as caught:
        decode_frame(f'{{"a": ["{number}", {number}]}}'.encode())
    assert caught.value.kind is FaultKind.BAD_FRAME
    assert decode_frame(f'{{"a": ["{number}", "\\"{number}"]}}'.encode())["a"][0] == number


def test_a_number_of_64_digits_is_read():
    assert decode_frame(b'{"a": %s}' % (b"9" * 64)) == {"a": int("9" * 64)}


def test_a_frame_holds_one_piece_of_an_answer_so_fewer_will_do():
    assert decode_frame(b'{"a":[%s1]}' % (b"1," * 50_000)) == {"a": [1] * 50_001}
    for many in (b"1," * 50_001, b"{}," * 50_000):
        with pytest.raises(Fault) as caught:
            decode_frame(b'{"a":[%s1]}' % many)
        assert caught.value.kind is FaultKind.BAD_FRAME


@pytest.mark.parametrize("number", ["5e-324", "1.234567890123456789e-308", "-0.0", "1E5", "1.7976931348623157e308"])
def test_fractions_are_read_as_python_reads_them(number):
    assert repr(decode_json(f"[{number}]".encode())[0]) == repr(float(number))


@pytest.mark.parametrize("number", [b"5e-324", b"1.234567890123456789e-308", b"1." + b"9876543210" * 40 + b"e-300"])
def test_no_fraction_takes_long_to_read(number):
    easy, hard = (b"[%s1]" % (one * 10_000) for one in (b"1.5,", number + b","))
    assert effort(lambda: decode_json(hard)) < 30 * effort(lambda: decode_json(easy))


@pytest.mark.parametrize("number", [b"1e999", b"-1e400"])
def test_a_fraction_beyond_every_float_is_refused(number):
    with pytest.raises(BadJson, match="too large"):
        decode_json(b'{"a": [%s]}' % number)


@pytest.mark.parametrize(
    ("text", "accepted"),
    [(r"\\u0000", True), (r"\n\\\\u0000", True), (r"\u0000", False), (r"\\\u0000", False), (r"\"\u0000", False)],
)
def test_a_nul_is_told_from_a_backslash_before_u0000(text, accepted):
    raw = b'{"a": [{"b": "%s"}]}' % text.encode()
    if accepted:
        assert decode_body(raw) == json.loads(raw)
        return
    with pytest.raises(InvalidRequest) as caught:
        decode_body(raw)
    assert caught.value.param == "a[0].b"


@pytest.mark.parametrize("odd", ["\\u0000", "10" * 40])
def test_what_is_wrong_within_very_many_values_is_not_looked_for_one_by_one(odd):
    value = f'"{odd}"' if odd.startswith("\\") else odd
    with pytest.raises(InvalidRequest) as caught:
        decode_body(b'{"a": [%s%s]}' % (b"1," * 20_000, value.encode()))
    assert caught.value.param is None


@pytest.mark.parametrize("odd", ['"\\u0000"', "10" * 40])
def test_a_long_name_is_not_repeated(odd):
    with pytest.raises(InvalidRequest) as caught:
        decode_body(b'{"%s": %s}' % (b"n" * 300, odd.encode()))
    assert caught.value.param is None
    assert len(caught.value.message) < 100


def test_a_large_whole_number_is_found_at_any_depth_and_beside_anything():
    for inside in ('"x"', "null", "true", "1.5", "[]", '{"y": 18446744073709551615}'):
        raw = b'{"a": {"b": [[{"c": %d}, %s]]}}' % (2**64, inside.encode())
        with pytest.raises(InvalidRequest) as caught:
            decode_body(raw)
        assert caught.value.param == "a.b[0][0].c"


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


@pytest.mark.parametrize("filling", [b"x" * 100, rb"\ud83d\ude00" * 9, b"\xc3\xa9" * 50])
@pytest.mark.parametrize("after", [b"", b"y" * 100, rb"\ud83d\ude00"])
@pytest.mark.parametrize("lone", [rb"\ud800", rb"\udfff"])
def test_a_lone_surrogate_is_named_wherever_it_is(filling, after, lone):
    raw = b'{"a": "%s%s%s"}' % (filling, lone, after)
    with pytest.raises(BadJson) as caught:
        decode_json(raw)
    assert f"{lone.decode()} is not a character (at byte {len(filling) + 7})" in caught.value.sentence


def test_a_long_body_that_ends_too_early_is_soon_told_so():
    whole = b'{"a": "%s"}' % (b"x" * 2_000_000)
    with pytest.raises(BadJson, match="ends too early"):
        decode_json(whole[:-2])

    def cut() -> None:
        with suppress(BadJson):
            decode_json(whole[:-2])

    assert effort(cut) < 8 * effort(lambda: decode_json(whole))
