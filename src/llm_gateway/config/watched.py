"""All rules of alerts together: built-in ones, the config file's, and those that operators keep in the database.

Of one name the config file's counts, then the database's, then the built-in one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from pydantic import ValidationError

from llm_gateway.alerts.plan import Plan
from llm_gateway.alerts.rules import BUILT_IN, Rule
from llm_gateway.config.alerts import AlertsEntry, RuleEntry, RuleFields
from llm_gateway.config.mistakes import explain, field_name
from llm_gateway.errors import InvalidRequest
from llm_gateway.storage.alert_rules import StoredRule

RuleOwner = Literal["built_in", "file", "database"]

SAID: Final = tuple(name for name in RuleEntry.model_fields if name not in ("name", "enabled"))
"""What an entry may say of its rule."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One rule, and whose it is."""

    rule: Rule
    owner: RuleOwner
    enabled: bool = True
    said: Mapping[str, Any] | None = None
    """What its entry says, by the names of the config file; None = it is as built in."""
    stored: StoredRule | None = None


def watched(file: AlertsEntry, stored: Iterable[StoredRule]) -> list[Watched]:
    """Those that are off too. What is stored and cannot be read (of another version) is left out."""
    found = {name: Watched(rule, "built_in") for name, rule in BUILT_IN.items()}
    for kept in stored:
        try:
            entry = read_rule(kept.name, kept.fields)
        except InvalidRequest:
            continue
        found.pop(kept.name, None)
        found[kept.name] = Watched(entry.rule(), "database", kept.enabled, kept.fields, kept)
    for entry in cast("tuple[RuleFields, ...]", file.rules):
        found.pop(entry.name, None)
        said = entry.model_dump(mode="json", include=set(SAID), exclude_none=True)
        found[entry.name] = Watched(entry.rule(), "file", entry.enabled, said)
    return list(found.values())


def plan_of(file: AlertsEntry, stored: Iterable[StoredRule], environ: Mapping[str, str]) -> Plan:
    """What is watched, and who is told. `environ`: where the file's variables are looked up."""
    of_file = file.plan(environ)
    rules = tuple(each.rule for each in watched(file, stored) if each.enabled)
    return Plan(rules, of_file.webhooks, of_file.repeat)


def read_rule(name: str, said: Mapping[str, Any]) -> RuleFields:
    """What an entry of the config file would be. Raises InvalidRequest that names the field and what is wrong."""
    try:
        entry = RuleEntry.model_validate_json(json.dumps({"name": name, **said}), strict=True)
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False)
        message, hint = explain(first, RuleEntry)
        raise InvalidRequest(f"{message} {hint}".strip(), param=field_name(first["loc"]) or "name") from None
    return entry
