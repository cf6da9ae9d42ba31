"""What was found -> the readings of each rule: for whom the rule is, and what its value is. Pure.

Subjects are texts that people read and that stay the same from one look to the next. That of a budget names its day or
month, so that each period has an alert of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from llm_gateway.access.policy import ApiKey, Project, Snapshot
from llm_gateway.alerts.rules import OVERALL, Reading, Rule
from llm_gateway.names import canonical

DAY: Final = 86_400.0
SHORT_LIVED: Final = 8 * DAY
"""Seconds of life of keys that are meant to end soon, so that nobody needs to be told."""
LATE: Final = DAY
"""Seconds after its end for which a key is still told of."""
Period = Literal["daily", "monthly"]
Owner = Literal["project", "key"]
BUDGETS: Final = ("daily_tokens", "daily_cost", "monthly_tokens", "monthly_cost")


class Asked(Protocol):
    """What was asked within a time (`storage.usage.UsageRow`)."""

    @property
    def group(self) -> tuple[str | int, ...]:
        """The project's id, and the model."""

    @property
    def requests(self) -> int: ...
    @property
    def errors(self) -> int: ...
    @property
    def tokens_input(self) -> int: ...
    @property
    def tokens_output(self) -> int: ...
    @property
    def cost_nanos(self) -> int: ...
    def latency_ms(self, share: float) -> float | None: ...
    def ttft_ms(self, share: float) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Found:
    """All that was found at one look; None = nobody knows now."""

    now: float
    """Unix seconds."""
    day: str
    """As `2027-01-31`, of UTC."""
    snapshot: Snapshot
    process: str
    """What this process is called, and `host` its machine: two of them never have one name."""
    host: str
    total: Callable[[Sequence[Any]], Asked]
    """All that was asked as one."""
    states: Mapping[str, int] = field(default_factory=dict)
    """State -> servers in it."""
    healthy: Callable[[str], int] = lambda _: 0
    """Physical model -> servers that can answer for it."""
    asked: Mapping[float, Sequence[Asked]] | None = None
    """Window -> what was asked within it, by project and model."""
    spent: Mapping[str, Mapping[str, float]] | None = None
    """Id of a project or key -> what it used, by the names of `BUDGETS`."""
    database_away: float = 0.0
    """Seconds, as `redis_away`."""
    redis_away: float | None = None
    dropped: Mapping[float, int] = field(default_factory=dict)
    """Window -> rows that were lost within it."""
    waiting: int = 0
    disk_free: float | None = None
    """Share from 0 to 1."""


def read(rule: Rule, found: Found) -> list[Reading] | None:
    """The readings of one rule; None where nobody knows."""
    match rule.about.source:
        case "usage":
            return None if found.asked is None else list(_usage(rule, found, found.asked.get(rule.over, ())))
        case "budgets":
            return None if found.spent is None else list(_budgets(rule, found, found.spent))
        case "keys":
            return list(_keys(rule, found))
        case "fleet":
            return list(_fleet(rule, found))
    return _own(rule, found)


def budgets_of(snapshot: Snapshot) -> set[tuple[Period, Owner]]:
    """Of whom used amounts are wanted."""
    owners: list[Project | ApiKey] = [*snapshot.projects.values(), *snapshot.keys.values()]
    return {
        ("daily" if name.startswith("daily") else "monthly", "project" if isinstance(owner, Project) else "key")
        for owner in owners
        for name in BUDGETS
        if getattr(owner, name) is not None
    }


def _usage(rule: Rule, found: Found, asked: Sequence[Asked]) -> Iterator[Reading]:
    names = {project.id: project.name for project in found.snapshot.projects.values()}
    groups: dict[str, list[Asked]] = {}
    if rule.each is None:
        groups[_scope(rule)] = []
    for one in asked:
        project, model = (str(part) for part in one.group)
        name = names.get(project, project)
        if rule.project not in (None, name) or not _same(rule.model, model):
            continue
        if rule.each == "project":
            groups.setdefault(f"project {name}", []).append(one)
        elif rule.each != "model":
            groups[_scope(rule)].append(one)
        elif model:
            groups.setdefault(f"model {model}", []).append(one)
    for subject, members in groups.items():
        value = _figure(rule, found.total(members))
        if value is not None:
            yield Reading(subject, value)


def _same(wanted: str | None, model: str) -> bool:
    return wanted is None or canonical(wanted) == canonical(model)


def _scope(rule: Rule) -> str:
    parts = [f"project {rule.project}"] if rule.project else []
    parts += [f"model {rule.model}"] if rule.model else []
    return ", ".join(parts) or OVERALL


def _figure(rule: Rule, all: Asked) -> float | None:
    if rule.about.sampled and all.requests < max(1, rule.min_requests):
        return None
    match rule.metric:
        case "requests":
            return float(all.requests)
        case "errors":
            return float(all.errors)
        case "error_share":
            return all.errors / all.requests
        case "tokens":
            return float(all.tokens_input + all.tokens_output)
        case "cost":
            return all.cost_nanos / 1e9
        case "latency_p95_ms":
            return all.latency_ms(0.95)
    return all.ttft_ms(0.95)


def _budgets(rule: Rule, found: Found, spent: Mapping[str, Mapping[str, float]]) -> Iterator[Reading]:
    names = {"daily": found.day, "monthly": found.day.rpartition("-")[0]}
    for owner_id, name, limits in _owners(rule, found.snapshot):
        for budget in BUDGETS:
            limit = getattr(limits, budget)
            if limit is not None:
                used = spent.get(owner_id, {}).get(budget, 0.0)
                yield Reading(f"{name} {budget} {names[budget.partition('_')[0]]}", used / limit if limit else 1.0)


def _owners(rule: Rule, snapshot: Snapshot) -> Iterator[tuple[str, str, Any]]:
    for project in snapshot.projects.values():
        if rule.project in (None, project.name):
            yield project.id, f"project {project.name}", project
    for project_name, key in _keys_of(rule, snapshot):
        yield key.id, f"key {project_name}/{key.name}", key


def _keys_of(rule: Rule, snapshot: Snapshot) -> Iterator[tuple[str, ApiKey]]:
    for key in snapshot.keys.values():
        project = snapshot.projects.get(key.project_id)
        if project is not None and key.revoked_at is None and rule.project in (None, project.name):
            yield project.name, key


def _keys(rule: Rule, found: Found) -> Iterator[Reading]:
    for project, key in _keys_of(rule, found.snapshot):
        ends = key.expires_at
        if ends is not None and ends - key.created_at >= SHORT_LIVED and found.now - ends < LATE:
            yield Reading(f"key {project}/{key.name}", (ends - found.now) / DAY)


def _fleet(rule: Rule, found: Found) -> Iterator[Reading]:
    states = found.states
    there = sum(states.values()) - states.get("disabled", 0)
    match rule.metric:
        case "model_healthy_servers":
            yield from _models(rule, found)
        case "healthy_servers":
            yield Reading(OVERALL, float(states.get("healthy", 0)))
        case "healthy_share":
            if there:
                yield Reading(OVERALL, states.get("healthy", 0) / there)
        case "servers_quarantined":
            yield Reading(OVERALL, float(states.get("quarantined", 0)))


def _models(rule: Rule, found: Found) -> Iterator[Reading]:
    known = False
    for (project_id, name), exposure in found.snapshot.exposures.items():
        project = found.snapshot.projects.get(project_id) if project_id else None
        if not _same(rule.model, name) or (project is not None and not project.is_active):
            continue
        known = True
        whose = f" of project {project.name}" if project else ""
        yield Reading(f"model {name}{whose}", float(sum(found.healthy(model) for model in exposure.backend)))
    if rule.model is not None and not known:
        yield Reading(f"model {rule.model}", float(found.healthy(rule.model)))


def _own(rule: Rule, found: Found) -> list[Reading] | None:
    match rule.metric:
        case "database_away_s":
            return [Reading("database", found.database_away)]
        case "redis_away_s":
            return [] if found.redis_away is None else [Reading("redis", found.redis_away)]
        case "log_rows_dropped":
            return [Reading(found.process, float(found.dropped.get(rule.over, 0)))]
        case "log_rows_waiting":
            return [Reading(found.process, float(found.waiting))]
        case "disk_free_share":
            return None if found.disk_free is None else [Reading(found.host, found.disk_free)]
    raise LookupError(f"nothing measures {rule.metric}")
