"""What is kept is valid JSON of a bounded size, and nothing that had to go stays by half."""

from __future__ import annotations

import base64
import json
import threading
import time
from typing import Any

import pytest

from llm_gateway.access.patterns import check_patterns, mistake
from llm_gateway.access.redact import LIMIT, MARGIN, Redactor, TookTooLong
from llm_gateway.errors import InvalidRequest


def kept(value: Any, *patterns: str, limit: int = LIMIT) -> tuple[Any, Redactor]:
    redactor = Redactor(patterns, time.monotonic)
    text = redactor.document(value, limit)
    assert len(text.encode()) <= limit
    return json.loads(text), redactor


def test_values_and_names_are_redacted_and_the_rest_is_as_it_was() -> None:
    value = {"a": [1, 2.5, None, True, "mail x@example.org"], "x@example.org": {"y@example.org": ""}, "n": -3}
    found, redactor = kept(value)
    assert found == {"a": [1, 2.5, None, True, "mail [email]"], "[email]": {"[email]": ""}, "n": -3}
    assert (redactor.redactions, redactor.cut) == (3, False)


def test_two_names_that_become_one_both_stay() -> None:
    found, _ = kept({"x@example.org": 1, "y@example.org": 2})
    assert found == {"[email]": 1, "[email]'": 2}


def test_what_is_called_a_secret_is_one_whatever_it_looks_like() -> None:
    found, _ = kept(
        {"password": "a b c", "x-api-key": "z", "max_tokens": 5, "token_type": "word", "Authorization": "q"}
    )
    assert found == {
        "password": "[secret]", "x-api-key": "[secret]", "max_tokens": 5, "token_type": "word",
        "Authorization": "[secret]",
    }  # fmt: skip


def test_json_within_json_stays_json() -> None:
    arguments = json.dumps({"to": "x@example.org", "password": "hunter2", "n": 1})
    found, _ = kept({"arguments": arguments})
    assert json.loads(found["arguments"]) == {"to": "[email]", "password": "[secret]", "n": 1}


def test_a_card_may_be_a_number() -> None:
    assert kept([4111111111111111, 4111111111111112])[0] == ["[card]", 4111111111111112]


def test_pictures_become_a_note_of_their_type_and_size() -> None:
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40).decode()
    value = {
        "images": [png],
        "url": f"data:image/png;base64,{png}",
        "text": f"look: ![x](data:image/jpeg;base64,{png}) there",
    }
    found, redactor = kept(value)
    assert found["images"] == ["[image/png, 10248 bytes]"]
    assert found["url"] == "[image/png, 10248 bytes]"
    assert found["text"] == "look: ![x]([image/jpeg, 10248 bytes]) there"
    assert (redactor.redactions, redactor.cut) == (0, False)


def test_a_long_text_is_cut_and_says_so() -> None:
    found, redactor = kept({"text": "word " * 100_000, "after": "lost"})
    assert redactor.cut
    assert found["text"].startswith("word word")
    assert 0.9 * LIMIT < len(found["text"]) <= LIMIT
    assert found.get("after") is None


@pytest.mark.parametrize("sign", ["é", "\x01", "🙂", '"', "\\"])
def test_the_bound_is_of_bytes_however_they_are_written(sign: str) -> None:
    _, redactor = kept({"text": sign * LIMIT})
    assert redactor.cut


def test_many_small_values_are_bounded_too() -> None:
    found, redactor = kept([{"a": "b"}] * 50_000)
    assert redactor.cut
    assert len(found) < 10_000


def test_depth_is_bounded() -> None:
    value: Any = "x@example.org"
    for _ in range(200):
        value = [value]
    found, redactor = kept(value)
    assert redactor.cut
    assert "example" not in json.dumps(found)


@pytest.mark.parametrize("shift", range(0, 40, 3))
def test_nothing_stays_by_half_where_the_text_was_cut(shift: int) -> None:
    """Also where many redactions made the text shorter than the bound."""
    secret = "sk-abcdefghijklmnopqrstuvwxyz0123456789"
    for filler in ("word ", "x@example.org "):
        limit = 20_000
        text = (filler * limit)[: limit + MARGIN - shift - 8] + secret + " more" * limit
        assert "sk-abc" not in json.dumps(kept(text, limit=limit)[0])


def test_own_patterns_are_redacted_as_well() -> None:
    found, redactor = kept({"text": "case 2024-XY-17 of x@example.org"}, r"\d{4}-[A-Z]{2}-\d+")
    assert found == {"text": "case [redacted] of [email]"}
    assert redactor.redactions == 2


def test_places_that_overlap_are_one() -> None:
    assert kept("x@example.org", r"[a-z]+@", r"\.org now")[0] == "[email]"
    assert kept("ask x@example.org now", r"\.org now")[0] == "ask [email]"


def test_a_pattern_that_never_ends_is_given_up_and_others_go_on_meanwhile() -> None:
    turns, running = 0, True

    def watch() -> None:
        nonlocal turns
        while running:
            time.sleep(0.001)
            turns += 1

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        with pytest.raises(TookTooLong, match="x\\+x\\+"):
            kept("x" * 5000, "(x+x+)+y")
    finally:
        running = False
        thread.join()
    assert turns > 10  # a search that kept the interpreter to itself would leave one or two


def test_patterns_share_their_time() -> None:
    redactor = Redactor(("a",), iter(range(1000)).__next__)
    with pytest.raises(TookTooLong):
        redactor.document(["some text", "some more"])


HOSTILE = ["a", "1", "1 ", "a@", "a.b@c.", "+1", "password:", "eyJ", "sk-", "://a:", "ES12", "1234 ", "tel a ", "0 1"]


@pytest.mark.parametrize("text", HOSTILE)
def test_time_grows_with_the_text_and_no_faster(text: str) -> None:
    def seconds(size: int) -> float:
        began = time.thread_time()
        kept(text * (size // len(text)))
        return time.thread_time() - began

    seconds(10_000)
    assert seconds(160_000) < 40 * max(seconds(10_000), 0.002)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "regular expression"),
        ("[", "regular expression"),
        ("a*", "empty text"),
        ("", "1 to 500"),
        ("x" * 501, "1 to 500"),
        ("(a{500}){500}", "repeat"),
        ("a{1000000}", "repeat"),
        ("a{1,99999999999999999999}", "repeat"),
        ("(?R)?a", "call itself"),
        ("(a(?1)?b)", "call itself"),
        ("(?P<x>a)(?&x)", "call itself"),
        (r"\L<words>", "regular expression"),
    ],
)
def test_patterns_that_cannot_be_used_are_told(pattern: str, why: str) -> None:
    assert why in (mistake(pattern) or "")


def test_good_patterns_pass_and_the_bad_one_is_named() -> None:
    check_patterns([r"\d{4}-\w+", "(?i)secret-[a-z]{2,8}", "x" * 500])
    with pytest.raises(InvalidRequest) as caught:
        check_patterns(["fine", "("])
    assert caught.value.param == "redact[1]"
    with pytest.raises(InvalidRequest, match="more than 50"):
        check_patterns(["a"] * 51)
