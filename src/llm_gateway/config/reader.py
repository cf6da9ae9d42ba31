"""A YAML file -> plain values that know their line and column.

YAML as editors and other tools understand it today (the core schema of YAML 1.2: `yes`, `on` and `12:30` are text),
made of JSON's types only. Nothing is constructed from tags, and size, depth and what aliases expand to are bounded.
A key without a value counts as not written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from llm_gateway.config.mistakes import Loc, Mistake

MAX_BYTES: Final = 2**20
MAX_DEPTH: Final = 32
MAX_VALUES: Final = 50_000
"""After aliases are expanded."""

Mark = tuple[int, int]
"""Line and column, both from 1."""

_CORE: Final = (
    ("null", r"~|null|Null|NULL|"),
    ("bool", r"true|True|TRUE|false|False|FALSE"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"),
)
"""YAML 1.2.2, §10.3.2, without infinities and NaN, which no setting can be."""


@dataclass(slots=True)
class Tree:
    """What a file holds. `value` is never printed: it may hold secrets."""

    file: str
    """As the operator named it."""
    value: dict[str, Any] = field(default_factory=dict, repr=False)
    keys: dict[Loc, Mark] = field(default_factory=dict, repr=False)
    """Where the key of an entry stands."""
    values: dict[Loc, Mark] = field(default_factory=dict, repr=False)
    mistakes: list[Mistake] = field(default_factory=list)

    def at(self, loc: Loc, *, key: bool = False) -> str:
        """`gateway.yaml:12:5` of a value (or of its key), or of what is nearest around it."""
        marks: Mapping[Loc, Mark] = self.keys if key else self.values
        while loc not in marks and loc:
            loc, marks = loc[:-1], self.values
        line, column = marks.get(loc, (1, 1))
        return f"{self.file}:{line}:{column}"


def read_file(path: Path, *, shown: str | None = None) -> Tree:
    """The file at `path`; what is wrong with it as YAML is in `mistakes`. Raises nothing."""
    tree = Tree(shown or str(path))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        tree.mistakes.append(Mistake(tree.file, "there is no such file."))
    except OSError as error:
        tree.mistakes.append(Mistake(tree.file, f"cannot be read: {error.strerror or type(error).__name__}."))
    else:
        _read(data, tree)
    return tree


def read_text(text: str, *, shown: str) -> Tree:
    """The same for a text at hand."""
    tree = Tree(shown)
    _read(text.encode(errors="surrogatepass"), tree)
    return tree


def _read(data: bytes, tree: Tree) -> None:
    if len(data) > MAX_BYTES:
        tree.mistakes.append(Mistake(tree.file, f"is larger than {MAX_BYTES // 2**20} MiB."))
        return
    try:
        root = _compose(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        tree.mistakes.append(Mistake(f"{tree.file}:{line}:1", "is not UTF-8 text."))
        return
    except yaml.YAMLError as error:
        tree.mistakes.append(_syntax(error, data, tree.file))
        return
    if root is None:
        return
    builder = _Builder(tree)
    try:
        value = builder.build(root, ())
    except _TooMuch:
        text = f"holds more than {MAX_VALUES:,} values once its aliases are expanded, or aliases that hold themselves."
        tree.mistakes.append(Mistake(tree.file, text))
        return
    if isinstance(value, dict):
        tree.value = value
    elif value is not None:
        text = "must be a mapping of names to values at its top, such as `port: 8000`."
        tree.mistakes.append(Mistake(tree.at(()), text))


def _syntax(error: yaml.YAMLError, data: bytes, file: str) -> Mistake:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        said = " ".join(part for part in (error.context, error.problem) if part)
        return Mistake(where, f"is not YAML: {said}.", _syntax_hint(said))
    position = getattr(error, "position", 0)  # yaml.reader.ReaderError: a character that YAML does not allow
    line = data.decode("utf-8-sig").count("\n", 0, position) + 1
    return Mistake(f"{file}:{line}:1", "holds a control character.")


def _syntax_hint(said: str) -> str:
    if "'\\t'" in said:
        return "Indent with spaces, not tabs."
    if "mapping values are not allowed" in said:
        return "Check the indentation, and put texts with `: ` in quotes."
    return ""


class _TooMuch(Exception):
    """Aliases that expand without end."""


class _Loader(yaml.SafeLoader):
    """Composes nodes only; with YAML 1.2's core schema and a bounded depth."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012  # PyYAML's own registry, empty instead of YAML 1.1's
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.depth >= MAX_DEPTH:
            problem = f"nested deeper than {MAX_DEPTH} levels"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=self.get_mark())
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


for _tag, _pattern in _CORE:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), None)


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


class _Builder:
    """Nodes -> values, noting where each stands."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._count = 0

    def build(self, node: yaml.Node, loc: Loc) -> Any:
        self._count += 1
        if self._count > MAX_VALUES or len(loc) > MAX_DEPTH:
            raise _TooMuch
        self._tree.values[loc] = _mark(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*loc, i)) for i, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, Any]:
        found: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or not _clean(key_node.value):
                self._mistake(key_node, "a key must be text.")
                continue
            key: str = key_node.value
            if key in first:
                self._mistake(key_node, f"`{key}` is written twice; the first time in line {first[key]}.")
                continue
            first[key] = key_node.start_mark.line + 1
            here = (*loc, key)
            self._tree.keys[here] = _mark(key_node)
            value = self.build(value_node, here)
            if value is not None:
                found[key] = value
        return found

    def _scalar(self, node: yaml.Node) -> Any:
        kind, text = node.tag.rpartition(":")[2], node.value
        try:
            match kind:
                case "str" if _clean(text):
                    return text
                case "null":
                    return None
                case "bool":
                    return {"true": True, "false": False}[text.lower()]
                case "int" if len(text) <= 64:
                    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
                case "float" if len(text) <= 64:
                    return float(text)
        except (KeyError, ValueError):
            pass  # an explicit tag on something else: `!!int abc`
        what = {
            "int": "a number of that kind",
            "float": "a number of that kind",
            "str": "text with NUL or half a surrogate pair",
        }.get(kind, f"the tag `{node.tag[:60]}`")
        self._mistake(node, f"{what} is not possible here.")
        return None

    def _mistake(self, node: yaml.Node, message: str) -> None:
        line, column = _mark(node)
        self._tree.mistakes.append(Mistake(f"{self._tree.file}:{line}:{column}", message))


def _clean(text: str) -> bool:
    """Whether a database and JSON can hold it."""
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def _mark(node: yaml.Node) -> Mark:
    return node.start_mark.line + 1, node.start_mark.column + 1
