import pytest

from llm_gateway.config.reader import MAX_BYTES, read_file, read_text


def values(text):
    tree = read_text(text, shown="f.yaml")
    assert not tree.mistakes
    return tree.value


def complaint(text):
    [mistake] = read_text(text, shown="f.yaml").mistakes
    return str(mistake)


def test_texts_that_yaml_once_took_for_something_else_stay_texts():
    assert values("a: [yes, off, 12:30, 2027-01-31, <<]") == {"a": ["yes", "off", "12:30", "2027-01-31", "<<"]}


def test_numbers_and_truth_are_read_as_such():
    assert values("a: [1, -2, 0x1f, 2.5, 1e3, true, FALSE]") == {"a": [1, -2, 31, 2.5, 1000.0, True, False]}


def test_a_key_without_a_value_counts_as_not_written():
    assert values("a:\nb: ~\nc: 1") == {"c": 1}


def test_an_empty_file_says_nothing():
    assert values("") == values("# only a comment\n") == {}


def test_aliases_repeat_what_they_name():
    assert values("a: &x {n: 1}\nb: *x") == {"a": {"n": 1}, "b": {"n": 1}}


def test_values_and_keys_know_their_place():
    tree = read_text("a:\n  - b: 1\n    c: two\n", shown="f.yaml")
    assert tree.at(("a", 0, "c")) == "f.yaml:3:8"
    assert tree.at(("a", 0, "c"), key=True) == "f.yaml:3:5"
    assert tree.at(("a", 0, "missing")) == "f.yaml:2:5"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", "f.yaml:2:1: `a` is written twice; the first time in line 1."),
        ("a: b: c", "f.yaml:1:5: is not YAML: mapping values are not allowed here"),
        ("a:\n\tb: 1", "Indent with spaces, not tabs."),
        ("- 1", "f.yaml:1:1: must be a mapping"),
        ("a: *x", "found undefined alias 'x'"),
        ("a: [1", "is not YAML"),
        ("a: 1\n--- \nb: 1", "f.yaml:2:1: is not YAML: expected a single document"),
        ("a: !!python/object/apply:os.system [x]", ""),
        ("a: !secret x", "the tag `!secret` is not possible here"),
        ("a: " + "9" * 70, "f.yaml:1:4: a number of that kind"),
        ('a: "\\0"', "f.yaml:1:4: text with NUL"),
        ("a: \x01", "f.yaml:1:1: holds a control character."),
        ("? [1]\n: 2", "f.yaml:1:3: a key must be text."),
        ("a: &a [*a]", "aliases that hold themselves"),
        ("a: " + "[" * 5000, "nested deeper than 32 levels"),
    ],
)
def test_what_is_not_possible_is_said_with_its_place(text, said):
    if said:
        assert said in complaint(text)
    else:  # a tag on a list is only a list: nothing is ever constructed from it
        assert values(text) == {"a": ["x"]}


def test_aliases_of_aliases_do_not_grow_without_end():
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 9) + "]" for i in range(1, 20)]
    assert "more than 50,000 values" in complaint("\n".join(lines))


def test_a_file_that_is_missing_too_large_or_not_text_is_one_mistake(tmp_path):
    assert [str(m) for m in read_file(tmp_path / "no.yaml", shown="no.yaml").mistakes] == [
        "no.yaml: there is no such file."
    ]
    assert "cannot be read" in str(read_file(tmp_path).mistakes[0])
    (tmp_path / "big").write_bytes(b"#" * (MAX_BYTES + 1))
    assert "larger than 1 MiB" in str(read_file(tmp_path / "big").mistakes[0])
    (tmp_path / "latin").write_bytes(b"a: 1\nb: \xe1\n")
    assert "latin:2:1: is not UTF-8" in str(read_file(tmp_path / "latin").mistakes[0])
    (tmp_path / "bom").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_file(tmp_path / "bom").value == {"a": 1}


def test_a_tree_does_not_show_its_values():
    assert "hunter2" not in repr(read_text("database_url: hunter2", shown="f.yaml"))
