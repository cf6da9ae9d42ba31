"""Brings a recipe into the text of a client's own file, and out of it again. Pure: text in, text out.

TOML and YAML get a marked block, so that every other byte stays as it is. JSON, which has no comments to mark anything
with, is merged key by key. Nothing that the user set is overridden, and nothing is written whose meaning was not
compared with what was meant: parsed again, the new text is the old one plus the recipe.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from llm_gateway.recipes.recipe import File, Filling, file_text

BEGIN: Final = "# >>> llm-gateway >>>"
END: Final = "# <<< llm-gateway <<<"
DEEP: Final = 32
"""Levels of a file that are looked at."""

Path = tuple[str, ...]
Tree = dict[str, Any]


class CannotMerge(Exception):
    """Why the text was left alone; a sentence for its owner."""


def merged(now: str, before: str, file: File, filling: Filling) -> str:
    """The text `now` with the recipe in it, in place of what an earlier call put there.

    `before` is the text as its owner had it, before the first call. Raises CannotMerge.
    """
    text = file_text(file, filling)
    ours = _parsed(text, file.format)
    theirs = _parsed(before, file.format)
    if taken := sorted(_conflicts(ours, theirs)):
        raise CannotMerge(f"it already sets {', '.join(taken)}")
    if file.format == "json":
        tree = _parsed(now, "json")
        for path in owned(file):
            if _at(theirs, path) is None:
                _remove(tree, path)
        return json.dumps(_over(tree, ours), indent=_indent(now), ensure_ascii=False) + "\n"
    rest = cut(now)
    rest = now if rest is None else rest
    meant = _over(_parsed(rest, file.format), ours)
    for made in _with_block(rest, text):
        try:
            if _parsed(made, file.format) == meant:
                return made
        except CannotMerge:
            continue
    raise CannotMerge("there is no place in it where the recipe would mean what it should")


def cut(text: str) -> str | None:
    """The text without the marked block; None where it holds none. Raises CannotMerge where the marks are damaged."""
    lines = text.splitlines(keepends=True)
    begins = [n for n, line in enumerate(lines) if line.strip() == BEGIN]
    ends = [n for n, line in enumerate(lines) if line.strip() == END]
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        raise CannotMerge(f"its marks `{BEGIN}` and `{END}` are damaged")
    above, below = lines[: begins[0]], lines[ends[0] + 1 :]
    if above and not above[-1].strip():  # the empty line that came with the block
        above.pop()
    elif not above and below and not below[0].strip():
        below.pop(0)
    return "".join(above + below)


def untouched(now: str, before: str, file: File) -> bool:
    """Whether the text differs from what its owner had only by what was put there for them."""
    if file.format != "json":
        rest = cut(now)
        return rest is not None and rest.rstrip() == before.rstrip()
    trees = _parsed(now, "json"), _parsed(before, "json")
    for path in owned(file):
        if _at(trees[1], path) is None:
            for tree in trees:
                _remove(tree, path)
    return bool(_without_empty(trees[0]) == _without_empty(trees[1]))


def owned(file: File) -> list[Path]:
    """The keys of a JSON file that are a recipe's own. Where a key is a model's name, all its neighbours are."""
    probe = Filling("base", model="\0", key="key")
    paths = (_until_model(path) for path, _ in _leaves(_parsed(file_text(file, probe), file.format)))
    return list(dict.fromkeys(paths))


def _until_model(path: Path) -> Path:
    return path[: path.index("\0")] if "\0" in path else path


def _parsed(text: str, format: str) -> Tree:
    """Raises CannotMerge for what is no mapping, or is one whose meaning would be lost."""
    try:
        if format == "toml":
            return tomllib.loads(text)
        if not text.strip():
            return {}
        if format == "yaml":
            tree = yaml.safe_load(text)
            tree = {} if tree is None else tree
        else:
            tree = json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise CannotMerge("it is nested too deep") from None
    except (ValueError, yaml.YAMLError):
        comments = " (comments in it, perhaps)" if format == "json" else ""
        raise CannotMerge(f"it is not plain {format.upper()}{comments}") from None
    if not isinstance(tree, dict):
        raise CannotMerge("it does not hold names and values")
    return tree


def _once(pairs: list[tuple[str, Any]]) -> Tree:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("a name twice")
    return tree


def _with_block(text: str, block: str) -> Iterator[str]:
    """The text with the block at its end, then with the block at its begin: in TOML, keys of the top stand above
    all tables."""
    newline = "\r\n" if "\r\n" in text else "\n"
    marked = newline.join([BEGIN, *block.splitlines(), END]) + newline
    if not text.strip():
        yield text + marked
        return
    yield text + ("" if text.endswith(newline) else newline) + newline + marked
    yield marked + newline + text


def _conflicts(ours: Mapping[str, Any], theirs: object, above: Path = ()) -> Iterator[str]:
    """Names of values that both set, and not to the same."""
    if not isinstance(theirs, Mapping):
        return
    for name, value in ours.items():
        if name not in theirs:
            continue
        path, there = (*above, name), theirs[name]
        if isinstance(value, dict) and isinstance(there, dict):
            yield from _conflicts(value, there, path)
        elif value != there:
            yield ".".join(path)


def _over(under: Tree, over: Mapping[str, Any]) -> Tree:
    made = dict(under)
    for name, value in over.items():
        there = made.get(name)
        made[name] = _over(there, value) if isinstance(value, dict) and isinstance(there, dict) else value
    return made


def _leaves(tree: Mapping[str, Any], above: Path = ()) -> Iterator[tuple[Path, Any]]:
    for name, value in tree.items():
        path = (*above, name)
        if isinstance(value, dict) and value and len(path) < DEEP:
            yield from _leaves(value, path)
        else:
            yield path, value


def _at(tree: Any, path: Path) -> Any:
    for name in path:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _remove(tree: Tree, path: Path) -> None:
    """Removes the value, and mappings that are empty then."""
    parent = _at(tree, path[:-1])
    if isinstance(parent, dict) and path[-1] in parent:
        del parent[path[-1]]
        if not parent and len(path) > 1:
            _remove(tree, path[:-1])


def _without_empty(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    inner = {name: _without_empty(value) for name, value in tree.items()}
    return {name: value for name, value in inner.items() if value != {}}


def _indent(text: str) -> int | str:
    """As its owner indents."""
    found = re.search(r"^([ \t]+)\S", text, re.MULTILINE)
    if found is None:
        return 2
    return found[1] if "\t" in found[1] else min(len(found[1]), 8)
