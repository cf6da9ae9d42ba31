from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.names import LONGEST, canonical, mistaken_pin, pinned, unpinned


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("llama3.2", "llama3.2:latest"),
        ("llama3.2:latest", "llama3.2:latest"),
        ("Llama3.2:3B", "llama3.2:3b"),
        ("hf.co/Qwen/Qwen2.5", "hf.co/qwen/qwen2.5:latest"),
        ("registry:5000/llama3.2", "registry:5000/llama3.2:latest"),
        ("registry:5000/llama3.2:3b", "registry:5000/llama3.2:3b"),
        ("", ":latest"),
    ],
)
def test_a_name_without_a_tag_is_the_latest_and_case_does_not_count(name: str, form: str):
    assert canonical(name) == form


@given(st.text(max_size=20))
def test_the_canonical_form_is_its_own(name: str):
    assert canonical(canonical(name)) == canonical(name)


HEX = "A6EB4748FD29" + "0" * 52


@pytest.mark.parametrize("digest", [HEX, HEX[:12], f"sha256:{HEX}", f"sha256:{HEX[:13]}"])
def test_a_pin_is_read_off_the_end_of_a_name(digest: str):
    name, pin = pinned(f"Llama3.3:70b@{digest}")
    assert name == "Llama3.3:70b"
    assert pin == digest.removeprefix("sha256:").lower()


@pytest.mark.parametrize(
    "name", ["llama3.3:70b", "claude@20240620", "@cf/meta/llama-3", "a@b", "me@lab/x:7b", f"@{HEX}"]
)
def test_names_with_an_at_sign_are_not_pinned_by_it(name: str):
    assert pinned(name) == (name, None)
    assert not mistaken_pin(name)


@pytest.mark.parametrize(
    "pin", ["sha256:", "sha256:abc", "sha256:" + "g" * 64, "sha256:" + "a" * 65, "sha256-" + "a" * 64, ""]
)
def test_what_looks_like_a_pin_and_is_none_is_a_mistake(pin: str):
    assert mistaken_pin(f"llama3.3:70b@{pin}")


def test_a_pin_fits_digests_that_begin_with_it_and_never_an_unknown_one():
    pin = pinned("llama3.3:70b@a6eb4748fd29")
    assert pin.fits("a6eb4748fd29" + "7" * 52)
    assert not pin.fits("a6eb4748fd28" + "7" * 52)
    assert not pin.fits(None)
    assert pinned("llama3.3:70b").fits(None)


def test_one_pin_is_the_same_however_it_is_spelt():
    assert canonical(f"Llama3.3@SHA256:{HEX[:12]}") == canonical(f"llama3.3:latest@{HEX[:12].lower()}")
    assert canonical(f"llama3.3@{HEX[:12]}") != canonical("llama3.3")


@given(st.from_regex(r"[a-z:/@]{1,6}@(sha256:)?[0-9a-f]{10,14}", fullmatch=True))
def test_the_canonical_form_of_a_pinned_name_is_its_own(name: str):
    assert canonical(canonical(name)) == canonical(name)


@pytest.mark.parametrize(
    "name", ["Llama3.3:70b", "llama3.2", "a@b", f"Llama3.2@{HEX}", f"x@{HEX[:12]}@sha256:{HEX}", ""]
)
def test_the_canonical_form_without_its_pin_is_that_of_the_plain_name(name: str):
    assert unpinned(name) == pinned(canonical(name)).name


def test_a_server_that_calls_its_model_by_endless_pins_is_not_followed_through_them():
    name = "x" + "@aaaaaaaaaaaa" * 10_000
    assert canonical(name) == f"{name}:latest" == unpinned(name)
    assert not mistaken_pin(name)


def test_a_name_with_a_pin_may_be_as_long_as_any_that_is_asked_for():
    name = "x" * (LONGEST - 13) + "@aaaaaaaaaaaa"
    assert pinned(name).digest == "aaaaaaaaaaaa"
    assert unpinned(name) == "x" * (LONGEST - 13) + ":latest"
