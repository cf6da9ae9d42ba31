from __future__ import annotations

import hashlib
import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.access.keys import BASE62, hash_key, looks_like_key, make_key, read_key


def test_a_key_is_a_mark_32_random_characters_and_6_of_checksum():
    key = make_key(bytes(range(32)))
    assert len(key.text) == 6 + 32 + 6
    assert key.text.startswith("llmgw_")
    assert set(key.text[6:]) <= set(BASE62)


def test_the_format_never_changes_because_scanners_know_it():
    assert make_key(bytes(range(32))).text == "llmgw_jlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf1PhCqX"


def test_the_last_six_characters_are_the_crc32_of_the_random_ones():
    text = make_key(os.urandom(32)).text
    number = 0
    for digit in text[38:]:
        number = number * 62 + BASE62.index(digit)
    assert number == zlib.crc32(text[6:38].encode())


def test_what_is_kept_of_a_key_is_its_hash_and_what_people_recognise_it_by():
    text, digest, prefix, last4 = make_key(os.urandom(32))
    assert digest == hashlib.sha256(text.encode()).digest() == hash_key(text)
    assert prefix == text[:9]
    assert last4 == text[-4:]


def test_a_key_does_not_show_itself_in_logs_or_tracebacks():
    key = make_key(os.urandom(32))
    assert key.text not in repr(key)
    assert key.text not in f"{key}"


def test_of_a_key_in_a_foreign_form_less_is_shown():
    key = read_key("a-key-that-a-team-chose")
    assert (key.prefix, key.last4) == ("a-k", "hose")
    assert key.hash == hash_key("a-key-that-a-team-chose")


def test_too_little_randomness_makes_no_key():
    with pytest.raises(ValueError, match="32 random bytes"):
        make_key(bytes(31))


@given(st.binary(min_size=32, max_size=40))
def test_every_key_made_here_is_recognised(random: bytes):
    assert looks_like_key(make_key(random).text)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 43), st.sampled_from(BASE62))
def test_a_key_with_one_wrong_character_is_not_recognised(random: bytes, place: int, other: str):
    text = make_key(random).text
    changed = text[:place] + other + text[place + 1 :]
    assert looks_like_key(changed) == (changed == text)


@pytest.mark.parametrize("text", ["", "llmgw_", "sk-proj-123", "llmgw_" + "é" * 38, "llmgw_" + "0" * 37 + "\n"])
def test_other_texts_are_not_recognised(text: str):
    assert not looks_like_key(text)
