"""Whether arguments fit a tool's schema, and what is put right."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from effort import effort
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.wire.schema import mended, misfit

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "unit": {"enum": ["C", "F"]},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["city"],
}
CLOSED = {**WEATHER, "additionalProperties": False}
TREE = {
    "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "n": {"type": "integer"}}}},
    "$ref": "#/$defs/node",
}


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ({"city": "Boston", "days": 2, "unit": "C", "tags": ["a"]}, CLOSED),
        ({"city": "Boston", "days": 2.0}, WEATHER),
        ({"city": "Boston", "more": 1}, WEATHER),
        ({"city": "x", "more": 1}, {**WEATHER, "additionalProperties": {"type": "integer"}}),
        ({"x1": 2}, {"additionalProperties": False, "patternProperties": {"^x": {}}}),
        ({"next": {"next": {"n": 1}}}, TREE),
        (None, {"type": ["string", "null"]}),
        (None, {"type": "string", "nullable": True}),
        (1.5, {"type": "number"}),
        (1, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        (1, {"oneOf": [{"type": "number"}, {"type": "integer"}]}),
        ("x", {"type": "str"}),
        ("x", {"type": 7, "enum": "x", "required": 3, "properties": [], "anyOf": {}}),
        ("x", {"$ref": "https://example.org/schema"}),
        ("x", {"$ref": "#/$defs/none"}),
        ("x", True),
        ("x", None),
        ({}, {"required": [["city"]]}),
    ],
)
def test_what_fits(value: Any, schema: Any):
    assert misfit(value, schema) is None


@pytest.mark.parametrize(
    ("value", "schema", "why"),
    [
        ({"days": 2}, WEATHER, "city is missing"),
        ({"city": 7}, WEATHER, "city is of another type"),
        ({"city": "x", "days": 2.5}, WEATHER, "days is of another type"),
        ({"city": "x", "days": True}, WEATHER, "days is of another type"),
        ({"city": "x", "unit": "K"}, WEATHER, "unit is none of its enum"),
        ({"city": "x", "tags": ["a", 1]}, WEATHER, "tags[1] is of another type"),
        ({"city": "x", "more": 1}, CLOSED, "more is not allowed"),
        ({"city": "x", "more": 1}, {**WEATHER, "additionalProperties": {"type": "string"}}, "more is of another type"),
        ({"next": {"next": {"n": "1"}}}, TREE, "next.next.n is of another type"),
        ([], WEATHER, "the value is of another type"),
        (True, {"enum": [1]}, "the value is none of its enum"),
        (2, {"const": 1}, "the value is not its const"),
        (1.5, {"anyOf": [{"type": "string"}, {"type": "integer"}]}, "the value fits none of anyOf"),
        (1, {"allOf": [{"type": "number"}, {"type": "string"}]}, "the value is of another type"),
    ],
)
def test_what_does_not_fit_is_told_without_the_value(value: Any, schema: Any, why: str):
    assert misfit(value, schema) == why


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": [f"v{n}" for n in range(20_000)]},
        {"type": [*["null"] * 20_000, "string"]},
        {"$ref": "#/" + "a/" * 20_000},
        {"enum": ["v19999"], "required": ["a"] * 20_000},
    ],
)
def test_long_lists_are_judged_in_bounded_time(schema: dict[str, Any]):
    value, whole = {"a": ["v19999"] * 5_000}, {"properties": {"a": {"items": schema}}}
    assert misfit({"a": ["v19999"]}, whole) is None
    assert effort(lambda: misfit(value, whole)) < 0.5


def test_a_schema_without_end_is_judged_in_bounded_time():
    round_about = {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}] * 50}}, "$ref": "#/$defs/a"}
    assert effort(lambda: misfit({}, round_about)) < 1.0
    many = {"items": {"anyOf": [{"type": "string"}] * 1000 + [{}]}}
    assert effort(lambda: misfit([1] * 100_000, many)) < 1.0


def test_what_is_compared_as_a_whole_is_compared_in_bounded_time():
    long = [f"v{n}" for n in range(100_000)]
    again = {"$defs": {"a": {"const": long}, "b": {"enum": [long]}}}
    for name in "ab":
        same = again | {"allOf": [{"$ref": f"#/$defs/{name}"}] * 9_000}
        assert effort(partial(misfit, [f"v{n}" for n in range(100_000)], same)) < 1.0
    texts = {"$defs": {"a": {"enum": ["a" * 999_999 + "b"] * 9}}, "anyOf": [{"$ref": "#/$defs/a"}] * 9_000}
    assert effort(lambda: misfit("a" * 1_000_000, texts)) < 1.0


def test_a_value_of_many_entries_is_let_go_when_there_are_no_steps_left():
    assert effort(lambda: misfit([1] * 500_000, {"items": {"type": "integer"}})) < 0.5
    assert effort(lambda: misfit({str(n): 1 for n in range(500_000)}, {"additionalProperties": {"type": "null"}})) < 0.5


def test_lists_and_objects_are_compared_as_a_whole():
    assert misfit([1, [2, {"a": "b"}]], {"const": [1, [2, {"a": "b"}]]}) is None
    assert misfit([1, [2, {"a": "b"}]], {"const": [1, [2, {"a": "c"}]]}) == "the value is not its const"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda c: (
        st.lists(c, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "enum", "properties", "required", "items", "anyOf", "$ref", "additionalProperties"]
            ),
            c,
        )
    ),
    max_leaves=12,
)


@given(_json, _json)
def test_any_schema_judges_any_value(value: Any, schema: Any):
    misfit(value, schema)
    if isinstance(value, dict):
        mended(value, schema)


@pytest.mark.parametrize(
    ("fields", "right"),
    [
        ({"city": "x", "days": "2"}, {"city": "x", "days": 2}),
        ({"city": "x", "tags": '["a","b"]'}, {"city": "x", "tags": ["a", "b"]}),
        ({"city": "x", "days": None}, {"city": "x"}),
        ({"city": None}, {"city": None}),
        ({"city": "7"}, {"city": "7"}),
        ({"city": "x", "days": "two"}, {"city": "x", "days": "two"}),
        ({"city": "x", "days": "2.5"}, {"city": "x", "days": "2.5"}),
        ({"city": "x", "more": "2"}, {"city": "x", "more": "2"}),
    ],
)
def test_what_is_put_right_loses_nothing(fields: dict[str, Any], right: dict[str, Any]):
    assert mended(fields, WEATHER) == right
