"""Clients' own files: extended without harm, and put back byte for byte."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path
from typing import Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.recipes import files
from llm_gateway.recipes.files import KEPT, Refused
from llm_gateway.recipes.merge import BEGIN, END, CannotMerge, cut, merged
from llm_gateway.recipes.recipe import File, Filling
from llm_gateway.recipes.table import RECIPES

KEYED = Filling("http://gw:8000", "m", "k-123")
PLAIN = Filling("http://gw:8000", "m")
JSON = File("~/c.json", "json", '{"env": {«+»"URL": «BASE», "MODEL": «MODEL»}}', "", keyed='"TOKEN": «KEY», ')
NESTED = File("c.json", "json", '{"p": {"gw": {"url": «BASE», "models": {«MODEL»: {"n": «MODEL»}}}}}', "")
TOML = File("~/c.toml", "toml", "model = «MODEL»\n\n[providers.gw]\nurl = «BASE/v1»", "")
YAML = File("~/c.yaml", "yaml", "model: «MODEL»\nbase: «BASE/v1»", "")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def put(file: File, home: Path, filling: Filling = PLAIN) -> Path:
    path = files.place(file, home, home)
    files.carry_out(files.write(file, filling, path))
    return path


def put_back(file: File, home: Path) -> None:
    files.carry_out(files.restore(file, files.place(file, home, home)))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("recipe", [r for r in RECIPES if r.file], ids=lambda r: r.name)
def test_every_file_of_the_table_comes_and_goes(recipe: object, home: Path):
    file = recipe.file  # type: ignore[attr-defined]
    path = put(file, home, KEYED)
    assert "gw:8000" in path.read_text()
    assert mode(path) == (0o600 if "k-123" in path.read_text() else 0o644)
    put_back(file, home)
    assert not path.exists()
    assert list(path.parent.iterdir()) == []


BEFORE: dict[File, bytes] = {
    JSON: b'{"theme":"dark", "env":{"HTTP_PROXY":"http://proxy"},\n "numbers":[1,2.50]}',
    NESTED: b'{\n\t"p": {"other": {"url": "https://other"}}\n}\n',
    TOML: b"# mine\r\nsandbox = true\r\n",
    YAML: "# mío\nauto-commits: false".encode(),
}


@pytest.mark.parametrize("file", BEFORE, ids=lambda file: f"{file.path}")
def test_what_was_there_stays_and_comes_back_byte_for_byte(file: File, home: Path):
    path = files.place(file, home, home)
    path.write_bytes(BEFORE[file])
    path.chmod(0o640)
    put(file, home)
    once = path.read_bytes()
    put(file, home, Filling("http://gw:8000", "another"))
    assert b"another" in path.read_bytes()
    put(file, home)
    assert path.read_bytes() == once
    assert path.with_name(path.name + KEPT).read_bytes() == BEFORE[file]
    parse = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}[file.format]
    old, new = parse(BEFORE[file].decode()), parse(once.decode())
    assert contains(new, old)
    put_back(file, home)
    assert path.read_bytes() == BEFORE[file]
    assert mode(path) == 0o640
    assert [each.name for each in home.iterdir()] == [path.name]


def contains(new: object, old: object) -> bool:
    if isinstance(old, dict):
        return isinstance(new, dict) and all(name in new and contains(new[name], old[name]) for name in old)
    return new == old


def test_an_empty_file_comes_back_as_an_empty_file(home: Path):
    path = files.place(YAML, home, home)
    path.write_bytes(b"")
    put(YAML, home)
    put_back(YAML, home)
    assert path.read_bytes() == b""


@pytest.mark.parametrize(
    ("file", "text", "named"),
    [
        (JSON, '{"env": {"URL": "https://mine"}}', "env.URL"),
        (TOML, 'model = "mine"', "model"),
        (TOML, '[providers.gw]\nurl = "https://mine"', "providers.gw.url"),
        (YAML, "base: https://mine\n", "base"),
    ],
)
def test_what_the_user_has_set_is_named_and_not_overridden(file: File, text: str, named: str, home: Path):
    path = files.place(file, home, home)
    path.write_text(text)
    with pytest.raises(Refused, match=f"already sets {named}") as refused:
        put(file, home)
    assert "gw:8000" in refused.value.hint
    assert [each.read_text() for each in home.iterdir()] == [text]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (JSON, '{"a": 1, // mine\n}'),
        (JSON, '{"a": 1, "a": 2}'),
        (JSON, "[1]"),
        (JSON, '{"a":' * 100_000),
        (TOML, "a = "),
        (YAML, "- a\n- b\n"),
        (YAML, "a: [1\n"),
        (YAML, "a: 1\n---\nb: 2\n"),
        (YAML, "{a: 1}\n"),
        (YAML, f"{BEGIN}\nmodel: x\n"),
    ],
    ids=range(10),
)
def test_what_cannot_be_extended_safely_is_left_alone(file: File, text: str, home: Path):
    path = files.place(file, home, home)
    path.write_text(text)
    with pytest.raises(Refused, match="was left alone"):
        put(file, home)
    assert [each.read_text() for each in home.iterdir()] == [text]


def test_top_keys_of_toml_go_above_the_tables_of_the_file(home: Path):
    path = files.place(TOML, home, home)
    path.write_text("[profiles.mine]\na = 1\n")
    flat = File(TOML.path, "toml", "model = «MODEL»", "")
    put(flat, home)
    assert tomllib.loads(path.read_text()) == {"model": "m", "profiles": {"mine": {"a": 1}}}
    put_back(flat, home)
    assert path.read_text() == "[profiles.mine]\na = 1\n"


def test_a_toml_file_where_no_place_means_the_right_thing_is_left_alone(home: Path):
    path = files.place(TOML, home, home)
    path.write_text("top = 1\n[profiles.mine]\na = 1\n")
    with pytest.raises(Refused, match="no place"):
        put(TOML, home)


def test_a_key_goes_into_a_file_that_only_its_owner_reads_and_out_again(home: Path):
    path = files.place(JSON, home, home)
    path.write_text('{"a": 1}\n')
    path.chmod(0o644)
    put(JSON, home, KEYED)
    assert (mode(path), "k-123" in path.read_text()) == (0o600, True)
    put(JSON, home, PLAIN)
    assert json.loads(path.read_text()) == {"a": 1, "env": {"URL": "http://gw:8000", "MODEL": "m"}}
    put_back(JSON, home)
    assert (mode(path), path.read_text()) == (0o644, '{"a": 1}\n')


def test_what_others_wrote_meanwhile_stays_when_the_block_is_cut_out(home: Path):
    path = files.place(YAML, home, home)
    path.write_text("a: 1\n")
    put(YAML, home)
    path.write_text(path.read_text() + "b: 2\n")
    put_back(YAML, home)
    assert path.read_text() == "a: 1\nb: 2\n"
    assert [each.name for each in home.iterdir()] == [path.name]


@pytest.mark.parametrize("file", [JSON, TOML], ids=lambda file: file.path)
def test_a_file_that_others_changed_beyond_recognition_is_not_restored(file: File, home: Path):
    path = files.place(file, home, home)
    path.write_text('{"a": 1}' if file is JSON else "a = 1\n")
    put(file, home)
    changed = '{"a": 2, "env": {"URL": "http://gw:8000"}}' if file is JSON else "a = 2\n"
    path.write_text(changed)
    with pytest.raises(Refused, match="changed by others") as refused:
        put_back(file, home)
    assert KEPT in refused.value.hint
    assert path.read_text() == changed


def test_a_json_file_that_its_client_only_formatted_anew_is_restored(home: Path):
    path = files.place(NESTED, home, home)
    path.write_text('{"a": 1}')
    put(NESTED, home)
    path.write_text(json.dumps(json.loads(path.read_text()), indent=8))
    put_back(NESTED, home)
    assert path.read_text() == '{"a": 1}'


def test_there_is_nothing_to_restore_where_nothing_was_written(home: Path):
    with pytest.raises(Refused, match="nothing to restore"):
        put_back(YAML, home)


def test_a_link_stays_a_link(home: Path, tmp_path: Path):
    real = tmp_path / "dotfiles.yaml"
    real.write_text("a: 1\n")
    (home / "c.yaml").symlink_to(real)
    assert put(YAML, home) == real
    assert (home / "c.yaml").is_symlink()
    assert "gw:8000" in real.read_text()
    put_back(YAML, home)
    assert real.read_text() == "a: 1\n"


def test_a_link_out_of_a_project_is_not_followed(home: Path, tmp_path: Path):
    (home / "settings.json").write_text("{}")
    project = tmp_path / "project"
    project.mkdir()
    (project / "c.json").symlink_to(home / "settings.json")
    with pytest.raises(Refused, match="leads out of"):
        files.place(NESTED, home, project)


def test_what_is_no_file_is_not_written(home: Path):
    (home / "c.yaml").mkdir()
    with pytest.raises(Refused, match="is not a file"):
        files.place(YAML, home, home)


def test_a_file_that_changes_in_between_is_not_overwritten(home: Path):
    path = files.place(YAML, home, home)
    change = files.write(YAML, PLAIN, path)
    path.write_text("just: now\n")
    with pytest.raises(Refused, match="just been changed"):
        files.carry_out(change)
    assert path.read_text() == "just: now\n"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a" * (files.LARGEST + 1)], ids=["not text", "too large"])
def test_what_is_no_configuration_is_left_alone(content: bytes, home: Path):
    path = files.place(YAML, home, home)
    path.write_bytes(content)
    with pytest.raises(Refused):
        put(YAML, home)
    assert path.read_bytes() == content


def test_a_diff_shows_both_sides_and_does_nothing(home: Path):
    path = files.place(YAML, home, home)
    path.write_text("a: 1")
    diff = files.write(YAML, PLAIN, path).diff()
    assert "+model: " in diff
    assert " a: 1" in diff or "-a: 1" in diff
    assert path.read_text() == "a: 1"


_names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
_values = st.one_of(st.booleans(), st.integers(-(2**40), 2**40), _names)
_trees = st.dictionaries(_names, st.one_of(_values, st.dictionaries(_names, _values, max_size=3)), max_size=4)


@given(_trees, st.sampled_from(["json", "yaml"]), _names)
def test_any_file_keeps_its_meaning(tree: dict[str, object], format: Literal["json", "yaml"], model: str):
    file = NESTED if format == "json" else YAML
    text = json.dumps(tree, ensure_ascii=False) if format == "json" else yaml.safe_dump(tree, allow_unicode=True)
    try:
        made = merged(text, text, file, Filling("http://gw:8000", model))
    except CannotMerge:
        return
    parse = json.loads if format == "json" else yaml.safe_load
    assert contains(parse(made), tree)
    if format == "yaml" and tree:
        rest = cut(made)
        assert rest is not None
        assert rest.rstrip() == text.rstrip()
        assert made.count(END) == 1
