"""Flags, environment, `.env` and config file -> Settings and Document, or every mistake of all of them at once.

The nearer to the person, the stronger: flags > environment > `.env` > config file > defaults. Each value is checked
where it comes from, also one that a stronger origin overrides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from llm_gateway.alerts.plan import Plan
from llm_gateway.config import checks
from llm_gateway.config.alerts import AlertsEntry
from llm_gateway.config.document import Document
from llm_gateway.config.mistakes import ConfigMistakes, Loc, Mistake, explain
from llm_gateway.config.origins import (
    CONFIG_VARIABLE,
    LEAVES,
    Given,
    Keys,
    from_environment,
    from_file,
    from_flags,
    read_dotenv,
)
from llm_gateway.config.reader import Tree, read_file, read_text
from llm_gateway.settings import Settings, contradictions, default_data_dir
from llm_gateway.upstream.guard import Guard


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration without mistakes."""

    settings: Settings
    document: Document | None
    """The objects that the config file owns; None without a config file."""
    sources: Mapping[str, str]
    """Where each setting's value came from, by dotted name: `--port`, `.env:3`, `gateway.yaml:12:7`, `default`."""
    warnings: tuple[Mistake, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The environment over `.env`: where `value_env` and `api_key_env` are looked up."""
    config: Path | None = None

    @property
    def alerts(self) -> Plan:
        """What is watched, and who is told; without a config file the built-in rules."""
        return (self.document.alerts if self.document is not None else AlertsEntry()).plan(self.environ)


def load(
    flags: Mapping[str, object],
    *,
    environ: Mapping[str, str],
    cwd: Path,
    config: Path | None = None,
) -> Loaded:
    """Reads everything. `flags` are by the dotted names of their settings, None where not used; `config` is the value
    of `--config`. Raises ConfigMistakes that holds every mistake."""
    dotenv = read_dotenv(cwd / ".env")
    variables = {**dotenv.variables(), **environ}
    if config is None and (named := variables.get(CONFIG_VARIABLE)):
        config = Path(named)
    tree = read_file(cwd / config, shown=str(config)) if config else None

    mistakes: list[Mistake] = []
    given: dict[Keys, Given] = {}
    values: dict[Keys, Any] = {}
    refused: set[Keys] = set()
    weakest_first: tuple[Iterable[Given | Mistake], ...] = (
        from_file(tree) if tree else (),
        dotenv.given(cwd),
        from_environment(environ, cwd),
        from_flags(flags),
    )
    for origin in weakest_first:
        for found in origin:
            if isinstance(found, Mistake):
                mistakes.append(found)
                continue
            checked = _checked(found, cwd)
            if isinstance(checked, list):
                mistakes += checked
                refused.add(found.keys)
            else:
                given[found.keys], values[found.keys] = found, checked[0]

    values.setdefault(("data_dir",), default_data_dir(environ))
    settings = Settings.model_validate(_nested(values))
    mistakes += _contradictions(settings, given)

    document: Document | None = None
    warnings: list[Mistake] = []
    if tree:
        # Where the list of networks is wrong itself, complaining of every private address as well would mislead.
        everywhere = ("0.0.0.0/0", "::/0") if ("allow_private_upstreams",) in refused else ()
        document, wrong_objects = _document(tree, variables, settings.allow_private_upstreams + everywhere)
        mistakes += wrong_objects
        warnings += checks.costs_without_prices(tree)
        mistakes[:] = _in_order_of_lines(mistakes, tree.file)
    if mistakes:
        raise ConfigMistakes(mistakes)
    sources = {".".join(keys): given[keys].where if keys in given else "default" for keys in LEAVES}
    return Loaded(settings, document, sources, tuple(warnings), variables, config)


def read_draft(text: str, like: Loaded) -> tuple[Document, dict[str, Any]]:
    """A config file that is not in force: its objects, and the settings that it names, by dotted name. Variables and
    networks are those of `like`. Raises ConfigMistakes."""
    tree = read_text(text, shown="yaml")
    settings: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for found in from_file(tree):
        if isinstance(found, Mistake):
            mistakes.append(found)
            continue
        checked = _checked(found, Path.cwd())
        if isinstance(checked, list):
            mistakes += checked
        else:
            settings[".".join(found.keys)] = checked[0]
    private = settings.get("allow_private_upstreams", like.settings.allow_private_upstreams)
    document, wrong_objects = _document(tree, like.environ, private)
    mistakes += wrong_objects
    if mistakes or document is None:
        raise ConfigMistakes(_in_order_of_lines(mistakes, tree.file))
    return document, settings


def _checked(given: Given, cwd: Path) -> tuple[Any] | list[Mistake]:
    """The value in its own type, or what is wrong with it. Texts are read generously, the file's values strictly;
    paths start at `cwd`, wherever they are written."""
    nested = _nested({given.keys: given.value})
    try:
        if given.tree:
            settings = Settings.model_validate_json(json.dumps(nested), strict=True)
        else:
            settings = Settings.model_validate(nested)
    except ValidationError as error:
        return list(_explained(error, Settings, given.at))
    value: Any = settings
    for key in given.keys:
        value = getattr(value, key)
    return (cwd / value if isinstance(value, Path) else value,)


def _nested(values: Mapping[Keys, Any]) -> dict[str, Any]:
    top: dict[str, Any] = {}
    for keys, value in values.items():
        here = top
        for key in keys[:-1]:
            here = here.setdefault(key, {})
        here[keys[-1]] = value
    return top


def _document(
    tree: Tree, variables: Mapping[str, str], private: Iterable[str]
) -> tuple[Document | None, list[Mistake]]:
    """The objects, or all that is wrong with them and with the file. `private`: allowed networks of servers."""
    objects = {name: tree.value[name] for name in Document.model_fields if name in tree.value}
    document: Document | None = None
    mistakes = list(tree.mistakes)
    try:
        document = Document.model_validate_json(json.dumps(objects), strict=True)
    except ValidationError as error:
        mistakes += _explained(error, Document, tree.at)
    guard = Guard(allow_private=private)
    mistakes += checks.used_twice(tree)
    mistakes += checks.secrets(tree, variables)
    mistakes += checks.server_addresses(tree, guard)
    mistakes += checks.alerts(tree, variables, guard)
    return document, mistakes


def _explained(error: ValidationError, root: type[BaseModel], at: Any) -> Iterator[Mistake]:
    for one in error.errors(include_url=False):
        message, hint = explain(one, root)
        loc: Loc = one["loc"]
        yield Mistake(at(loc, key=one["type"] == "extra_forbidden"), message, hint)


def _contradictions(settings: Settings, given: Mapping[Keys, Given]) -> Iterator[Mistake]:
    for names, message, hint in contradictions(settings):
        where = next((given[name,].where for name in names if (name,) in given), "settings")
        yield Mistake(where, message, hint)


def _in_order_of_lines(mistakes: Iterable[Mistake], file: str) -> list[Mistake]:
    """Those of the file first, from its top to its end."""
    place = re.compile(rf"{re.escape(file)}(?::(\d+):(\d+))?")

    def order(mistake: Mistake) -> tuple[int, int, int]:
        found = place.fullmatch(mistake.where)
        return (0, int(found[1] or 0), int(found[2] or 0)) if found else (1, 0, 0)

    return sorted(mistakes, key=order)
