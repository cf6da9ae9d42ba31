"""The table of recipes: complete, filled without accidents, and on its page of the docs."""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

from llm_gateway.config.origins import KEY_VARIABLE as IGNORED_BY_SETTINGS
from llm_gateway.recipes.recipe import KEY_VARIABLE, NO_KEY, Filling, Recipe, file_text, fill, holds_key, shown
from llm_gateway.recipes.reference import PAGE, page
from llm_gateway.recipes.table import RECIPES, find, nearest

ROOT = Path(__file__).resolve().parents[3]
NASTY = 'a"b\'c\\d$(e)`f`\n{"g": 1} # h'
FILLED = Filling("http://gw:8000", NASTY, NASTY)
each = pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)


def test_the_page_is_what_the_table_makes_of_it():
    assert (ROOT / PAGE).read_text() == page(), "run `python -m llm_gateway.recipes.reference`"


def test_every_client_has_a_name_of_its_own():
    names = [recipe.name for recipe in RECIPES]
    assert len(set(names)) == len(names)
    assert all(find(name.upper()) is not None for name in names)


def test_the_dashboard_can_say_each_sentence_in_spanish():
    spanish = json.loads((ROOT / "ui/src/text/recipes.es.json").read_text())
    said = {part.says for recipe in RECIPES for part in recipe.parts}
    said |= {need for recipe in RECIPES for need in recipe.needs}
    assert set(spanish) == said
    for english, translated in spanish.items():
        assert re.findall("`[^`]+`", english) == re.findall("`[^`]+`", translated), english


def test_the_variable_of_the_key_is_no_setting_of_the_gateway():
    assert KEY_VARIABLE == IGNORED_BY_SETTINGS


@pytest.mark.parametrize(
    ("asked", "meant"), [("claude", "claude-code"), ("codx", "codex"), ("langchain", "langchain-openai"), ("", None)]
)
def test_a_name_that_is_nearly_right_is_understood(asked: str, meant: str | None):
    assert nearest(asked) == meant


@each
def test_a_recipe_says_the_address_and_where_the_key_goes(recipe: Recipe):
    texts = [fill(part.template, part.language, Filling("http://gw:8000", "m", "k-123")) for part in recipe.parts]
    assert "http://gw:8000" in "".join(texts)
    assert "k-123" in "".join(texts)
    assert not re.search("[«»]", "".join(texts))
    assert recipe.endpoints
    assert all(path.startswith("/") for path in recipe.endpoints)


@each
def test_without_a_key_there_is_a_placeholder_and_no_invented_one(recipe: Recipe):
    texts = [fill(part.template, part.language, Filling("http://gw:8000", "m")) for part in recipe.parts]
    assert NO_KEY in "".join(texts)


@each
def test_no_model_and_no_key_breaks_out_of_its_place(recipe: Recipe):
    for part in recipe.parts:
        text = fill(part.template, part.language, FILLED)
        match part.language:
            case "python":
                strings = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
                assert not strings or NASTY in strings or f"openai/{NASTY}" in strings
            case "json":
                assert NASTY in _strings(json.loads(text))
            case "toml":
                assert NASTY in _strings(tomllib.loads(text))
            case "yaml":
                assert NASTY in _strings(yaml.safe_load(text))
            case "sh":
                assert shlex.split(text.partition("<<'END'")[0])
            case "js":
                assert json.dumps(NASTY) in text
            case "text":
                assert "\n{" not in text


@pytest.mark.parametrize("recipe", [r for r in RECIPES if r.file], ids=lambda recipe: recipe.name)
def test_a_file_means_the_same_in_its_own_format(recipe: Recipe):
    assert recipe.file is not None
    text = file_text(recipe.file, FILLED)
    tree = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}[recipe.file.format](text)
    assert any("http://gw:8000" in value for value in _strings(tree))
    assert (NASTY in _strings(tree)) or (f"openai/{NASTY}" in _strings(tree))
    assert holds_key(recipe.file, FILLED) == (recipe.name == "claude-code")


def test_only_a_file_that_has_to_holds_the_key():
    for recipe in RECIPES:
        if recipe.file is not None:
            text = file_text(recipe.file, Filling("http://gw:8000", "m", "k-123"))
            assert ("k-123" in text) == holds_key(recipe.file, Filling("http://gw:8000", "m", "k-123")), recipe.name
            assert NO_KEY not in file_text(recipe.file, Filling("http://gw:8000", "m")), recipe.name


def test_programs_get_the_same_as_people():
    told = shown(RECIPES[1], Filling("http://gw:8000", "m", "k-123"))
    assert json.loads(json.dumps(told)) == told
    assert told["client"] == RECIPES[1].name


def _strings(tree: object) -> set[str]:
    """All names and texts in it."""
    if isinstance(tree, dict):
        return {name for name in tree if isinstance(name, str)} | {s for v in tree.values() for s in _strings(v)}
    if isinstance(tree, list):
        return {s for item in tree for s in _strings(item)}
    return {tree} if isinstance(tree, str) else set()
