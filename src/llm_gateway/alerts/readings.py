"""What was found -> the readings of each rule: for whom the rule is, and what its value is. Pure.

Subjects are texts that people read and that stay the same from one look to the next. That of a budget names its day or
month, so that each period has an alert of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from llm_gateway.access.policy import ApiKey, Project, Snapshot
from llm_gateway.alerts.rules import OVERALL, Reading, Rule, percentile

DAY: Final = 86_400.0
SHORT_LIVED: Final = 8 * DAY
"""Seconds of life of keys that are meant to end soon, so that nobody needs to be told."""
LATE: Final = DAY
"""Seconds after its end for which a key is still told of."""
BUDGETS: Final = ("daily_tokens", "daily_cost", "monthly_tokens", "monthly_cost")


class Sums(Protocol):
    """What a project asked of a model within a time (`storage.alarms.Sums`)."""

    @property
    def project_id(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def requests(self) -> int: ...
    @property
    def errors(self) -> int: ...
    @property
    def tokens(self) -> int: ...
    @property
    def cost_nanos(self) -> int: ...
    @property
    def latency(self) -> tuple[int, ...]: ...
    @property
    def ttft(self) -> tuple[int, ...]: ...


class Used(Protocol):
    """What a key used since the day and since the month began (`storage.alarms.Used`)."""

    @property
    def project_id(self) -> str: ...
    @property
    def key_id(self) -> str: ...
    @property
    def daily_tokens(self) -> int: ...
    @property
    def daily_cost_nanos(self) -> int: ...
    @property
    def monthly_tokens(self) -> int: ...
    @property
    def monthly_cost_nanos(self) -> int: ...


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
    states: Mapping[str, int] = field(default_factory=dict)
    """State -> servers in it."""
    healthy: Callable[[str], int] = lambda _: 0
    """Physical model -> servers that can answer for it."""
    sums: Mapping[float, Iterable[Sums]] | None = None
    """Window -> what was asked within it."""
    used: Iterable[Used] | None = None
    database_away: float = 0.0
    """Seconds, as `redis_away`."""
    redis_away: float | None = None
    dropped: Mapping[float, int] = field(default_factory=dict)
    """Window -> rows that were lost within it."""
    waiting: int = 0
    disk_free: float | None = None
    """Share from 0 to 1."""


def read(rule: Rule, found: Found, bounds: tuple[int, ...]) -> list[Reading] | None:
    """The readings of one rule; None where nobody knows. `bounds`: of the histograms."""
    match rule.about.source:
        case "usage":
            return None if found.sums is None else list(_usage(rule, found, bounds))
        case "budgets":
            return None if found.used is None else list(_budgets(rule, found, found.used))
        case "keys":
            return list(_keys(rule, found))
        case "fleet":
            return list(_fleet(rule, found))
    return _own(rule, found)


def projects_with_budgets(snapshot: Snapshot) -> set[str]:
    """Ids of the projects of which used amounts are wanted."""
    owners: list[Project | ApiKey] = [*snapshot.projects.values(), *snapshot.keys.values()]
    limited = [owner for owner in owners if any(getattr(owner, name) is not None for name in BUDGETS)]
    return {owner.id if isinstance(owner, Project) else owner.project_id for owner in limited}


def _usage(rule: Rule, found: Found, bounds: tuple[int, ...]) -> Iterator[Reading]:
    names = {project.id: project.name for project in found.snapshot.projects.values()}
    groups: dict[str, list[Sums]] = {}
    if rule.each is None:
        groups[_scope(rule)] = []
    for one in (found.sums or {}).get(rule.over, ()):
        name = names.get(one.project_id, one.project_id)
        if rule.project not in (None, name) or rule.model not in (None, one.model):
            continue
        if rule.each == "project":
            groups.setdefault(f"project {name}", []).append(one)
        elif rule.each != "model":
            groups[_scope(rule)].append(one)
        elif one.model:
            groups.setdefault(f"model {one.model}", []).append(one)
    for subject, members in groups.items():
        value = _figure(rule, members, bounds)
        if value is not None:
            yield Reading(subject, value)


def _scope(rule: Rule) -> str:
    parts = [f"project {rule.project}"] if rule.project else []
    parts += [f"model {rule.model}"] if rule.model else []
    return ", ".join(parts) or OVERALL


def _figure(rule: Rule, members: list[Sums], bounds: tuple[int, ...]) -> float | None:
    requests = sum(one.requests for one in members)
    if rule.about.sampled and requests < max(1, rule.min_requests):
        return None
    match rule.metric:
        case "requests":
            return float(requests)
        case "errors":
            return float(sum(one.errors for one in members))
        case "error_share":
            return sum(one.errors for one in members) / requests
        case "tokens":
            return float(sum(one.tokens for one in members))
        case "cost":
            return sum(one.cost_nanos for one in members) / 1e9
        case "latency_p95_ms":
            return percentile([sum(counts) for counts in zip(*(m.latency for m in members), strict=True)], bounds, 0.95)
    return percentile([sum(counts) for counts in zip(*(m.ttft for m in members), strict=True)], bounds, 0.95)


def _budgets(rule: Rule, found: Found, used: Iterable[Used]) -> Iterator[Reading]:
    names = {"daily": found.day, "monthly": found.day.rpartition("-")[0]}
    by_owner: dict[str, dict[str, float]] = {}
    for one in used:
        for owner in (one.project_id, one.key_id):
            spent = by_owner.setdefault(owner, dict.fromkeys(BUDGETS, 0.0))
            spent["daily_tokens"] += one.daily_tokens
            spent["daily_cost"] += one.daily_cost_nanos / 1e9
            spent["monthly_tokens"] += one.monthly_tokens
            spent["monthly_cost"] += one.monthly_cost_nanos / 1e9
    for owner_id, name, limits in _owners(rule, found.snapshot):
        for budget in BUDGETS:
            limit = getattr(limits, budget)
            if limit is not None:
                spent_of = by_owner.get(owner_id, {}).get(budget, 0.0)
                when = names[budget.partition("_")[0]]
                yield Reading(f"{name} {budget} {when}", spent_of / limit if limit else 1.0)


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
        if rule.model not in (None, name) or (project is not None and not project.is_active):
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
