"""What the product says of itself: one template for the text and for the values, and the dashboard's words for each."""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from llm_gateway.errors import FaultKind
from llm_gateway.said import Template, joined, say
from llm_gateway.web.admin.sentences import SENTENCES, Sentence, sentence

UI = Path(__file__).resolve().parents[2] / "ui/src"
TEMPLATES = {code: template for table in SENTENCES for code, template in table.items()}


def words(language: str, page: str = "text") -> Any:
    return json.loads((UI / page / f"{language}.json").read_text())


def forms(code: str, template: Template) -> list[str]:
    return [code] if isinstance(template, str) else [f"{code}_one", f"{code}_other"]


def values(template: Template) -> set[str]:
    texts = (template,) if isinstance(template, str) else template
    return {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name}


def test_the_text_is_made_of_the_values():
    templates: dict[str, Template] = {
        "some": ("One of {names:or}.", "{count} of {names}, in {seconds}, then {names:then}."),
        "none": "None.",
    }
    assert say(templates, "some", count=1, names=("`a`", "`b`")).text == "One of `a` or `b`."
    many = say(templates, "some", count=2, names=("a", "b"), seconds=150.0)
    assert many.text == "2 of a, b, in 2 min, then a, then b."
    assert joined((many, say(templates, "none"))).endswith(", then b. None.")
    assert say(templates, "none").values == {}
    told = sentence(many)
    assert told["values"] == {"count": 2, "names": ["a", "b"], "seconds": 150.0}
    with pytest.raises(KeyError):
        say(templates, "some", count=1)


def test_what_a_value_holds_is_never_taken_for_a_template():
    assert say({"it": "{it}"}, "it", it="{0.__class__} %s {{count}}").text == "{0.__class__} %s {{count}}"


def test_no_code_is_there_twice_and_each_is_described():
    counts = Counter(code for table in SENTENCES for code in table)
    assert [code for code, count in counts.items() if count > 1] == []
    described = get_type_hints(Sentence)["code"]
    assert {code for each in get_args(described) for code in get_args(each) or [each]} == set(counts)


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_dashboard_can_say_each_sentence(language: str):
    said = words(language)["said"]
    missing = [form for code, template in TEMPLATES.items() for form in forms(code, template) if form not in said]
    assert missing == [], f"add them to ui/src/text/{language}.json"
    unknown = {form for code, template in TEMPLATES.items() for form in forms(code, template)}
    assert set(said) - unknown == {"parts", "states"}
    for code, template in TEMPLATES.items():
        for form in forms(code, template):
            used = set(re.findall(r"\{\{(\w+)[^}]*\}\}", said[form]))
            assert used <= values(template) | {"count"}, form
            assert values(template) - used <= {"count"}, f"{form} leaves out what the English text tells"


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_dashboard_has_a_word_for_each_fault(language: str):
    assert {kind.value for kind in FaultKind} <= set(words(language, "pages/requests")["faults"])
