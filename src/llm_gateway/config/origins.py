"""The places where settings are given: each turns what it holds into `Given` values that know where they stand.

Names follow one rule: the setting `timeouts.connect` is `LLM_GATEWAY_TIMEOUTS__CONNECT` in the environment and in
`.env`, `timeouts: {connect: …}` in the file, and `--timeouts-connect` where a command offers it as a flag. A secret
may also be named by the file that holds it: `LLM_GATEWAY_ADMIN_TOKEN_FILE`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

from dotenv.parser import parse_stream
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from llm_gateway.config.document import Document
from llm_gateway.config.mistakes import Loc, Mistake, did_you_mean, model_in
from llm_gateway.config.reader import MAX_BYTES, Tree
from llm_gateway.settings import NEVER_EMPTY, PREFIX, Settings

Keys = tuple[str, ...]
"""The way to a setting from the top: `("timeouts", "connect")`."""


def leaves(model: type[BaseModel], above: Keys = ()) -> Iterator[tuple[Keys, FieldInfo]]:
    """Every single setting, in the order of its description."""
    for name, info in model.model_fields.items():
        if inner := model_in(info.annotation):
            yield from leaves(inner, (*above, name))
        else:
            yield (*above, name), info


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_is_secret, get_args(annotation)))


LEAVES: Final[dict[Keys, FieldInfo]] = dict(leaves(Settings))
SECRETS: Final = frozenset(k for k, info in LEAVES.items() if _is_secret(info.annotation))
CONFIG_VARIABLE: Final = f"{PREFIX}CONFIG"
"""Names the config file where `--config` does not."""
KEY_VARIABLE: Final = f"{PREFIX}KEY"
"""A project's key, which clients and `connect` read: no setting of the gateway (`recipes.recipe.KEY_VARIABLE`)."""


def variable(keys: Keys) -> str:
    """The environment variable of a setting."""
    return PREFIX + "__".join(keys).upper()


@dataclass(frozen=True, slots=True)
class Given:
    keys: Keys
    value: object = field(repr=False)
    where: str
    tree: Tree | None = field(default=None, repr=False)
    """The file's values have the file's types and may have a place of their own inside."""

    def at(self, loc: Loc, *, key: bool = False) -> str:
        return self.tree.at(loc, key=key) if self.tree else self.where


def from_flags(flags: Mapping[str, object]) -> Iterator[Given]:
    """Flags by the dotted names of their settings. None means that the flag was not used."""
    for name, value in flags.items():
        keys = tuple(name.split("."))
        if keys not in LEAVES:
            raise LookupError(f"no setting is called {name!r}")
        if value is not None:
            yield Given(keys, value, "--" + name.replace(".", "-").replace("_", "-"))


def from_environment(environ: Mapping[str, str], cwd: Path) -> Iterator[Given | Mistake]:
    """The variables that start with our prefix; all others belong to somebody else."""
    yield from _from_variables([(name, value, f"environment {name}") for name, value in environ.items()], cwd)


@dataclass(frozen=True, slots=True)
class DotEnv:
    lines: tuple[tuple[str, str, str], ...] = field(default=(), repr=False)
    """(name, value, where)"""
    mistakes: tuple[Mistake, ...] = ()

    def given(self, cwd: Path) -> Iterator[Given | Mistake]:
        yield from self.mistakes
        yield from _from_variables(self.lines, cwd)

    def variables(self) -> dict[str, str]:
        """All of it, also what is not ours: keys of projects and of servers may be there."""
        return {name: value for name, value, _ in self.lines}


def read_dotenv(path: Path) -> DotEnv:
    """The file if there is one. No `${…}` is expanded: passwords hold dollar signs."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        return DotEnv()
    except OSError as error:
        return DotEnv(mistakes=(Mistake(path.name, f"cannot be read: {error.strerror or type(error).__name__}."),))
    except UnicodeDecodeError:
        return DotEnv(mistakes=(Mistake(path.name, "is not UTF-8 text."),))
    lines: list[tuple[str, str, str]] = []
    mistakes: list[Mistake] = []
    for binding in parse_stream(io.StringIO(text)):
        blank = len(binding.original.string) - len(binding.original.string.lstrip())
        where = f"{path.name}:{binding.original.line + binding.original.string.count(chr(10), 0, blank)}"
        if binding.error:
            mistakes.append(Mistake(where, "is not `NAME=value`.", "Is a quote missing?"))
        elif binding.key is not None and binding.value is not None:
            lines.append((binding.key, binding.value, where))
        elif binding.key is not None and binding.key.upper().startswith(PREFIX):
            mistakes.append(Mistake(where, f"`{binding.key}` has no value."))
    return DotEnv(tuple(lines), tuple(mistakes))


def from_file(tree: Tree) -> Iterator[Given | Mistake]:
    """The settings in a config file: everything at its top but the objects that it owns."""
    known = [*Settings.model_fields, *Document.model_fields]
    for name in tree.value.keys() - set(known):
        hint = did_you_mean(name, known) or f"Possible here: {', '.join(known)}."
        yield Mistake(tree.at((name,), key=True), f"unknown key `{name[:80]}`.", hint)
    for keys in NEVER_EMPTY:
        if keys in tree.keys and not tree.value.get(keys[0]):
            yield _empty(keys, tree.at(keys, key=True))
    yield from _below(tree, Settings, tree.value, ())


def _below(tree: Tree, model: type[BaseModel], held: Mapping[str, Any], above: Keys) -> Iterator[Given | Mistake]:
    for name, info in model.model_fields.items():
        if name not in held:
            continue
        keys, value = (*above, name), held[name]
        if (section := model_in(info.annotation)) is None:
            if value not in ("", []):
                yield Given(keys, value, tree.at(keys), tree)
        elif not isinstance(value, dict):
            hint = f"Possible in it: {', '.join(section.model_fields)}."
            yield Mistake(tree.at(keys), f"`{name}` must be a mapping of names to values.", hint)
        else:
            for unknown in value.keys() - section.model_fields.keys():
                hint = did_you_mean(unknown, section.model_fields)
                hint = hint or f"Possible here: {', '.join(section.model_fields)}."
                yield Mistake(tree.at((*keys, unknown), key=True), f"unknown key `{unknown[:80]}`.", hint)
            yield from _below(tree, section, value, keys)


def _from_variables(
    lines: list[tuple[str, str, str]] | tuple[tuple[str, str, str], ...], cwd: Path
) -> Iterator[Given | Mistake]:
    names = {name.upper() for name, _, _ in lines}
    for name, value, where in lines:
        if not name.upper().startswith(PREFIX) or name.upper() in (CONFIG_VARIABLE, KEY_VARIABLE):
            continue
        keys = tuple(name[len(PREFIX) :].lower().split("__"))
        of_file = (*keys[:-1], keys[-1].removesuffix("_file"))
        if keys in LEAVES:
            if value:
                yield Given(keys, value, where)
            elif keys in NEVER_EMPTY:
                yield _empty(keys, where)
        elif of_file in SECRETS and of_file != keys:
            if variable(of_file) in names:
                yield Mistake(where, f"{variable(of_file)} is set as well.", "Use one of the two.")
            else:
                yield _secret_in(cwd / value, of_file, where) if value else _empty(keys, where)
        else:
            yield Mistake(where, _unknown(name, keys), _nearest(name, keys))


def _unknown(name: str, keys: Keys) -> str:
    if any(leaf[: len(keys)] == keys for leaf in LEAVES):
        return f"`{name[:80]}` is a group of settings."
    return f"unknown setting `{name[:80]}`."


def _nearest(name: str, keys: Keys) -> str:
    inside = [variable(leaf) for leaf in LEAVES if leaf[: len(keys)] == keys]
    if inside:
        return f"Set {inside[0]} and its like."
    known = [variable(leaf) for leaf in LEAVES] + [f"{variable(leaf)}_FILE" for leaf in SECRETS] + [CONFIG_VARIABLE]
    return did_you_mean(name.upper()[len(PREFIX) :], known, fold=lambda n: n.removeprefix(PREFIX).lower())


def _secret_in(path: Path, keys: Keys, where: str) -> Given | Mistake:
    """The first line of a file, as container platforms mount secrets."""
    try:
        with path.open("rb") as file:
            text = file.read(64 * 1024).decode().strip("\r\n")
    except UnicodeDecodeError:
        return Mistake(where, "the file it names is not UTF-8 text.")
    except OSError as error:
        return Mistake(where, f"the file it names cannot be read: {error.strerror or type(error).__name__}.")
    return Given(keys, text, where) if text else Mistake(where, "the file it names is empty.")


def _empty(keys: Keys, where: str) -> Mistake:
    return Mistake(where, f"`{keys[-1]}` is empty.", "Remove it, or give it a value.")
