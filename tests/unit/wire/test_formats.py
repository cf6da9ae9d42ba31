"""Whether an answer has the form that was asked for, and what is forgiven."""

from __future__ import annotations

import pytest

from llm_gateway.wire.formats import document, excerpt, fits
from llm_gateway.wire.neutral import Answer, Usage

SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
GOOD = '{"age": 7}'


def left(text: str, wanted: object = SCHEMA) -> str | None:
    place = document(text, wanted)
    return None if place is None else text[slice(*place)]


def test_a_document_that_fits_is_left_as_it_is():
    for text in (GOOD, f"\n{GOOD} \n", '{ "age":7,"x":[] }'):
        assert left(text) == text
    assert left('["Boston"]', "json") == '["Boston"]'


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}\n```",
        f"Here you are:\n```json\n{GOOD}\n```\nAnything else?",
        f"Sure! {GOOD}",
        f"{GOOD}\n\nI hope that helps.",
    ],
)
def test_a_fence_and_a_sentence_around_it_are_taken_away(text: str):
    assert left(text) == GOOD
    assert left(text, "json") == GOOD


@pytest.mark.parametrize(
    "text", ["", "no", '{"age": 7', '{"age": "x"}', f"{GOOD} {GOOD}", "{x} " + GOOD, "7", "null", "```json\n7\n```"]
)
def test_anything_else_has_another_form(text: str):
    assert left(text) is None


def test_json_means_an_object_or_a_list():
    assert fits("{}", "json")
    assert fits("[]", "json")
    assert not any(fits(text, "json") for text in ("7", '"x"', "null", "NaN", "", "{} {}"))
    assert fits("7", {"type": "integer"})


def test_what_would_take_long_to_judge_fits():
    assert fits("[" * 100 + "]" * 100, SCHEMA)
    assert not fits("[" * 100, SCHEMA)


def test_an_excerpt_keeps_the_logprobs_of_its_tokens():
    tokens = [{"token": text} for text in ("Sure", "! ", '{"age"', ": 7}", "\n")]
    answer = Answer(f"Sure! {GOOD}\n", "", [], "stop", Usage(), tokens)
    part = excerpt(answer, 6, 6 + len(GOOD))
    assert (part.text, part.logprobs) == (GOOD, tokens[2:4])
    assert excerpt(answer, 0, len(answer.text)) is answer
