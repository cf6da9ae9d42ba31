"""What no single field of the config file shows: names used twice, secrets that are not there, forbidden addresses.

Works on the file's plain values, so that these mistakes are reported together with those of the fields. Entries of
the wrong shape are passed over here: the fields complain about them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from llm_gateway.alerts.rules import BUILT_IN
from llm_gateway.config.mistakes import Loc, Mistake, did_you_mean
from llm_gateway.config.reader import Tree
from llm_gateway.errors import InvalidRequest
from llm_gateway.settings import CREDENTIAL, CREDENTIAL_RULE
from llm_gateway.upstream.guard import Guard

SHORTEST_SECRET: Final = 16
"""Characters of a secret that signs."""


def used_twice(tree: Tree) -> Iterator[Mistake]:
    """Names that are not unique where they must be."""
    top = tree.value
    yield from _twice(tree, _texts(top, "servers", "name"), "server")
    yield from _twice(tree, _texts(top, "models", "name"), "shared model")
    yield from _twice(tree, _texts(top, "projects", "name"), "project")
    for loc, project in _entries(top, "projects"):
        yield from _twice(tree, _texts(project, "keys", "name", loc), "key of this project")
        yield from _twice(tree, _texts(project, "models", "name", loc), "model of this project")


def secrets(tree: Tree, environ: Mapping[str, str]) -> Iterator[Mistake]:
    """Variables that are missing or hold what cannot be a key, and keys that stand for two callers."""
    for server_loc, name in _texts(tree.value, "servers", "api_key_env"):
        upstream_key = environ.get(name, "")
        if not upstream_key:
            yield _unset(tree, server_loc, name)
        elif not (upstream_key.isascii() and upstream_key.isprintable()):
            yield Mistake(tree.at(server_loc), f"`api_key_env`: {_called(name)} holds what cannot be sent in a header.")
    first: dict[str, str] = {}
    for project_loc, project in _entries(tree.value, "projects"):
        for loc, key in _entries(project, "keys", project_loc):
            if isinstance(variable := key.get("value_env"), str):
                here = (*loc, "value_env")
                value = environ.get(variable, "")
                if not value:
                    yield _unset(tree, here, variable)
                    continue
                if not CREDENTIAL.fullmatch(value):
                    yield Mistake(tree.at(here), f"`value_env`: {_called(variable)} does not hold {CREDENTIAL_RULE}.")
                    continue
                digest = hashlib.sha256(value.encode()).hexdigest()
            elif isinstance(given := key.get("sha256"), str):
                here, digest = (*loc, "sha256"), given.lower()
            else:
                continue
            if digest in first:
                yield Mistake(tree.at(here), f"`{here[-1]}`: the same key is at {first[digest]}.", "Give each its own.")
            first.setdefault(digest, tree.at(here))


def server_addresses(tree: Tree, guard: Guard) -> Iterator[Mistake]:
    """Addresses that are none, that the guard of upstream connections would refuse, or that are there twice."""
    usable: list[tuple[Loc, str]] = []
    for loc, url in _texts(tree.value, "servers", "url"):
        try:
            origin, path = guard.check_url(url)
        except InvalidRequest as error:
            yield Mistake(tree.at(loc), f"`url`: {error.message}")
        else:
            usable.append((loc, f"{origin}{path}"))
    yield from _twice(tree, iter(usable), "server address")


def costs_without_prices(tree: Tree) -> Iterator[Mistake]:
    """Budgets of costs where the file gives no model a price. A warning: the database may know some."""
    projects = list(_entries(tree.value, "projects"))
    models = [model for _, model in _entries(tree.value, "models")]
    models += [model for _, project in projects for _, model in _entries(project, "models")]
    if any("price" in model for model in models):
        return
    limited = projects + [each for loc, project in projects for each in _entries(project, "keys", loc)]
    for loc, owner in limited:
        for limit in ("daily_cost", "monthly_cost"):
            if limit in owner:
                yield Mistake(tree.at((*loc, limit), key=True), f"`{limit}` is never reached: no model has a `price`.")


def alerts(tree: Tree, environ: Mapping[str, str], guard: Guard) -> Iterator[Mistake]:
    """Of `alerts`: names that are used twice or that nothing has, variables without a value, forbidden addresses."""
    top = tree.value.get("alerts")
    if not isinstance(top, dict):
        return
    at: Loc = ("alerts",)
    yield from _twice(tree, _texts(top, "webhooks", "name", at), "webhook")
    yield from _twice(tree, _texts(top, "rules", "name", at), "rule")
    known = {*BUILT_IN, *(name for _, name in _texts(top, "rules", "name", at))}
    for loc, hook in _entries(top, "webhooks", at):
        listed = hook.get("rules")
        for n, rule in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(rule, str) and rule not in known:
                hint = did_you_mean(rule, known) or f"There are: {', '.join(sorted(known))}."
                yield Mistake(tree.at((*loc, "rules", n)), f"`rules`: there is no rule {rule[:60]!r}.", hint)
        if isinstance(url := hook.get("url"), str):
            yield from _address(tree, (*loc, "url"), url, guard)
        if isinstance(variable := hook.get("url_env"), str):
            if value := environ.get(variable, ""):
                yield from _address(tree, (*loc, "url_env"), value, guard)
            else:
                yield _unset(tree, (*loc, "url_env"), variable)
        if isinstance(variable := hook.get("secret_env"), str):
            if not (value := environ.get(variable, "")):
                yield _unset(tree, (*loc, "secret_env"), variable)
            elif len(value) < SHORTEST_SECRET:
                said = f"`secret_env`: {_called(variable)} must hold {SHORTEST_SECRET} characters or more."
                yield Mistake(tree.at((*loc, "secret_env")), said, "`openssl rand -base64 32` makes a good one.")
        headers = hook.get("headers_env")
        for header, variable in (headers if isinstance(headers, dict) else {}).items():
            here = (*loc, "headers_env", header)
            if not isinstance(variable, str):
                continue
            if not (value := environ.get(variable, "")):
                yield _unset(tree, here, variable)
            elif not (value.isascii() and value.isprintable()):
                yield Mistake(tree.at(here), f"`{header}`: {_called(variable)} holds what cannot be sent in a header.")


def _address(tree: Tree, loc: Loc, url: str, guard: Guard) -> Iterator[Mistake]:
    try:
        guard.check_url(url)
    except InvalidRequest as error:
        # what a variable holds may be a secret: it is not repeated
        said = error.message if loc[-1] == "url" else "the address that its variable holds cannot be used."
        yield Mistake(tree.at(loc), f"`{loc[-1]}`: {said}")


def _twice(tree: Tree, texts: Iterator[tuple[Loc, str]], what: str) -> Iterator[Mistake]:
    first: dict[str, Loc] = {}
    for loc, text in texts:
        if text in first:
            line = tree.at(first[text]).rsplit(":", 2)[1]
            yield Mistake(
                tree.at(loc), f"`{loc[-1]}`: {what} {text[:100]!r} is there twice; the first time in line {line}."
            )
        first.setdefault(text, loc)


def _entries(owner: Mapping[str, Any], key: str, loc: Loc = ()) -> Iterator[tuple[Loc, dict[str, Any]]]:
    listed = owner.get(key)
    for i, entry in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(entry, dict):
            yield (*loc, key, i), entry


def _texts(owner: Mapping[str, Any], key: str, field: str, loc: Loc = ()) -> Iterator[tuple[Loc, str]]:
    for entry_loc, entry in _entries(owner, key, loc):
        if isinstance(text := entry.get(field), str):
            yield (*entry_loc, field), text


def _unset(tree: Tree, loc: Loc, variable: str) -> Mistake:
    return Mistake(tree.at(loc), f"`{loc[-1]}`: {_called(variable)} is not set.", "Export it, or put it into `.env`.")


def _called(variable: str) -> str:
    """Somebody may have put the secret itself where the variable's name belongs, so only what looks like a name in
    the usual capitals is repeated."""
    usual = variable.replace("_", "").isalnum() and variable.isascii() and variable == variable.upper()
    return (
        f"the environment variable {variable}"
        if usual and len(variable) <= 64
        else "the environment variable named here"
    )
