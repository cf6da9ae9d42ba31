"""Rules of alerts: all there are, and those that operators keep here. The config file's are read-only."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from fastapi import Response
from pydantic import Field
from typing_extensions import TypedDict

from llm_gateway.access.policy import Owner
from llm_gateway.alerts.rules import BUILT_IN, METRICS, Rule
from llm_gateway.config.watched import RuleOwner, Watched, read_rule, watched
from llm_gateway.errors import Conflict, NotFound
from llm_gateway.running import Running
from llm_gateway.storage import alert_rules
from llm_gateway.storage.owners import guard
from llm_gateway.storage.trail import Thing
from llm_gateway.web.admin.common import Input, Live, admin_router, changing, noted, when
from llm_gateway.web.auth import By

router = admin_router("alerts/rules")

MOST_VALUES: Final = 50
"""Subjects that a test shows."""

Seconds = Annotated[str, Field(max_length=30)] | Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] | None
Name = Annotated[str, Field(min_length=1, max_length=60)]


class RuleChanges(Input):
    """As an entry of `alerts.rules` in the config file. Only what is sent is changed; null takes a field away."""

    enabled: bool = Field(default=True, description="false: it is paused.")
    when: Annotated[str, Field(max_length=200)] | None = Field(
        default=None, description="A metric, a comparison and a number: `error_share > 5%`. Built-in rules have one."
    )
    over: Seconds = Field(default=None, description="Time that is summed up, from 1m to 1d; absent: 5m.")
    hold: Seconds = Field(default=None, alias="for", description="Time that it must be so; absent: none.")
    project: Annotated[str, Field(max_length=200)] | None = None
    model: Annotated[str, Field(max_length=300)] | None = None
    each: Literal["project", "model"] | None = Field(default=None, description="An alert for each by itself.")
    severity: Literal["info", "warning", "critical"] | None = None
    min_requests: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None

    def over_said(self, said: dict[str, Any]) -> dict[str, Any]:
        """What the rule says then, by the names of the config file."""
        sent = self.model_dump(by_alias=True, exclude_unset=True, exclude={"enabled", "name"})
        return {name: value for name, value in {**said, **sent}.items() if value is not None}


class NewRule(RuleChanges):
    name: Name = Field(description="Small letters, digits and _; a built-in one's name changes that one.")


class RuleRow(TypedDict):
    name: str
    owner: RuleOwner
    """`file`: it is changed in the config file; `built_in`: it holds by itself, and may be changed or paused here."""
    enabled: bool
    changes_built_in: bool
    condition: str
    metric: str
    comparison: str
    threshold: float
    unit: str
    severity: str
    over_s: float | None
    for_s: float
    project: str | None
    model: str | None
    each: str | None
    min_requests: int | None
    said: dict[str, Any]
    """As an entry of the config file, for an editor."""
    firing: int
    """Subjects for which it fires, as this process knows."""
    created_at: str | None
    updated_at: str | None


class WebhookRow(TypedDict):
    name: str
    host: str
    """The rest of its address is nobody's business: who knows it may write there."""
    format: str
    signed: bool
    rules: list[str] | None
    """That it is told of; null: all."""


class MetricRow(TypedDict):
    name: str
    unit: str
    says: str
    scopes: list[str]
    windowed: bool
    each: bool
    """May a rule of it have `each`?"""


class RuleList(TypedDict):
    data: list[RuleRow]
    webhooks: list[WebhookRow]
    metrics: list[MetricRow]


class Value(TypedDict):
    subject: str
    value: float
    holds: bool


class RuleTrial(TypedDict):
    rule: str
    known: bool
    """false: this process cannot tell (the database is away, or another process looks)."""
    holds: bool
    data: list[Value]


@router.get("", summary="All rules, who is told, and what can be watched")
async def list_rules(running: Live) -> RuleList:
    firing = running.alerts.firing()
    return {
        "data": [_row(each, firing) for each in watched(running.file_alerts, running.alert_rules)],
        "webhooks": [
            {
                "name": hook.name,
                "host": urlsplit(hook.url).hostname or "",
                "format": hook.format,
                "signed": hook.secret is not None,
                "rules": sorted(hook.rules) if hook.rules is not None else None,
            }
            for hook in running.alerts.courier.hooks
        ],
        "metrics": [
            {
                "name": name,
                "unit": metric.unit,
                "says": metric.says,
                "scopes": sorted(metric.scopes),
                "windowed": metric.windowed,
                "each": metric.source == "usage",
            }
            for name, metric in METRICS.items()
        ],
    }


@router.post("", status_code=201, summary="Watch something")
async def create_rule(running: Live, by: By, body: NewRule) -> RuleRow:
    """409 where the config file has a rule of this name, or one is kept here."""
    _guard(running, body.name)
    said = body.over_said({})
    read_rule(body.name, said)
    async with changing(running) as s:
        await alert_rules.create_rule(s, body.name, said, enabled=body.enabled, now=running.gateway.clock.wall())
        await noted(s, running, by, "alert_rule.create", _thing(body.name), after={**said, "enabled": body.enabled})
    return _shown(running, body.name)


@router.patch("/{name}", summary="Change a rule, or pause it")
async def change_rule(running: Live, by: By, name: str, body: RuleChanges) -> RuleRow:
    """A built-in rule can be changed and paused as well; `DELETE` then makes it as it was."""
    _guard(running, name)
    found, now = _found(running, name), running.gateway.clock.wall()
    async with changing(running) as s:
        stored = await alert_rules.find_rule(s, name)
        before = {**stored.fields, "enabled": stored.enabled} if stored else {"enabled": found.enabled}
        said = body.over_said(dict(stored.fields) if stored else {})
        read_rule(name, said)
        enabled = body.enabled if "enabled" in body.model_fields_set else bool(before["enabled"])
        if stored is None:
            await alert_rules.create_rule(s, name, said, enabled=enabled, now=now)
        else:
            await alert_rules.change_rule(s, name, said, enabled=enabled, now=now)
        after = {**said, "enabled": enabled}
        await noted(s, running, by, "alert_rule.update", _thing(name), before=before, after=after)
    return _shown(running, name)


@router.delete("/{name}", status_code=204, summary="Watch something no more")
async def delete_rule(running: Live, by: By, name: str) -> Response:
    """A changed built-in rule is as it was before; 409 for one that is so already: it can be paused."""
    _guard(running, name)
    _found(running, name)
    async with changing(running) as s:
        stored = await alert_rules.find_rule(s, name)
        if stored is None:
            raise Conflict(f"The rule {name!r} is built in: pause it instead.")
        before = {**stored.fields, "enabled": stored.enabled}
        await noted(s, running, by, "alert_rule.delete", _thing(name), before=before)
        await alert_rules.delete_rule(s, name)
    return Response(status_code=204)


@router.post("/{name}/test", summary="What a rule would say now; nobody is told")
async def test_rule(running: Live, name: str) -> RuleTrial:
    rule = _found(running, name).rule
    readings = await running.alerts.values(rule)
    values: list[Value] = [
        {"subject": each.subject, "value": each.value, "holds": rule.holds(each.value)} for each in readings or ()
    ]
    values.sort(key=lambda value: not value["holds"])
    return {
        "rule": name,
        "known": readings is not None,
        "holds": any(value["holds"] for value in values),
        "data": values[:MOST_VALUES],
    }


def _thing(name: str) -> Thing:
    return Thing("alert_rule", name=name)


def _guard(running: Running, name: str) -> None:
    known = watched(running.file_alerts, running.alert_rules)
    if any(each.rule.name == name and each.owner == "file" for each in known):
        guard(Owner.FILE, Owner.DATABASE, f"Rule {name!r}")


def _found(running: Running, name: str) -> Watched:
    for each in watched(running.file_alerts, running.alert_rules):
        if each.rule.name == name:
            return each
    raise NotFound(f"There is no rule {name[:60]!r}.")


def _shown(running: Running, name: str) -> RuleRow:
    return _row(_found(running, name), running.alerts.firing())


def _row(each: Watched, firing: dict[str, int]) -> RuleRow:
    rule: Rule = each.rule
    stored = each.stored
    return {
        "name": rule.name,
        "owner": each.owner,
        "enabled": each.enabled,
        "changes_built_in": each.said is not None and rule.name in BUILT_IN,
        "condition": rule.condition,
        "metric": rule.metric,
        "comparison": rule.comparison,
        "threshold": rule.threshold,
        "unit": rule.about.unit,
        "severity": rule.severity,
        "over_s": rule.over if rule.about.windowed else None,
        "for_s": rule.hold,
        "project": rule.project,
        "model": rule.model,
        "each": rule.each,
        "min_requests": rule.min_requests if rule.about.sampled else None,
        "said": dict(each.said or {}),
        "firing": firing.get(rule.name, 0),
        "created_at": when(stored.created_at if stored else None),
        "updated_at": when(stored.updated_at if stored else None),
    }
