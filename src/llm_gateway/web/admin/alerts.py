"""Alerts: what fires, what was over, what is watched, and what became of the notices."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from llm_gateway.alerts.courier import Delivery
from llm_gateway.alerts.plan import Format
from llm_gateway.alerts.rules import BUILT_IN, METRICS, Comparison, Rule, Scope, Severity, Unit
from llm_gateway.alerts.states import Alert, State
from llm_gateway.storage.trail import Thing
from llm_gateway.web.admin.common import Input, Live, admin_router, recorded, when
from llm_gateway.web.auth import By
from llm_gateway.web.described import Time

router = admin_router("alerts")

MOST_VALUES: Final = 20
"""Subjects of a rule that are shown with their values."""


class WebhookTest(Input):
    webhook: Annotated[str | None, Field(max_length=100)] = Field(
        default=None, description="Its name; may be left out where there is one only."
    )


class AlertView(TypedDict):
    """A rule that holds, or held, for one subject."""

    id: str
    rule: str
    subject: str
    state: State
    severity: Severity
    metric: str
    condition: Annotated[str, Field(description="For people: `error_share > 5 %`.")]
    value: float
    threshold: float
    unit: Unit | None
    since: Annotated[Time, Field(description="When the condition began to hold.")]
    started_at: Annotated[Time | None, Field(description="When it fired.")]
    resolved_at: Time | None
    told_at: Time | None
    message: str


class RuleView(TypedDict):
    name: str
    condition: str
    metric: str
    comparison: Comparison
    threshold: float
    unit: Unit
    severity: Severity
    over_s: Annotated[float | None, Field(description="Seconds that it is summed up over; null: it is no sum.")]
    for_s: Annotated[float, Field(description="Seconds that it must hold before anybody is told.")]
    project: str | None
    model: str | None
    each: Annotated[Scope | None, Field(description="One subject for each of them; null: one for everything.")]
    built_in: bool
    values: Annotated[dict[str, float] | None, Field(description="By subject, 20 at most; null: not known here.")]


class WebhookView(TypedDict):
    name: str
    format: Format
    signed: bool
    rules: Annotated[list[str] | None, Field(description="null: all.")]


class DeliveryView(TypedDict):
    """One notice to one webhook."""

    webhook: str
    at: Time
    alert_id: str
    rule: str
    subject: str
    told: State
    reminder: bool
    state: Literal["waiting", "delivered", "failed"]
    tries: int
    status: Annotated[int | None, Field(description="Of the last answer.")]
    error: str | None


class AlertList(TypedDict):
    """`data`: what fires or waits to; `recent`: what is over."""

    data: list[AlertView]
    recent: list[AlertView]
    rules: list[RuleView]
    webhooks: list[WebhookView]
    deliveries: Annotated[list[DeliveryView], Field(description="The latest first.")]
    looked_at: Annotated[Time | None, Field(description="null: this process does not look, or not yet.")]


@router.get("", summary="What fires or waits to, what is over, the rules, and the latest deliveries")
async def list_alerts(running: Live) -> AlertList:
    """`values` of a rule are what this process read last, of 20 subjects at most; null: it does not know."""
    alerts = running.alerts
    book = await alerts.current()
    return {
        "data": [shown(alert) for alert in book.alerts],
        "recent": [shown(alert) for alert in book.recent],
        "rules": [_rule(running, rule) for rule in alerts.plan.rules],
        "webhooks": [
            {
                "name": hook.name,
                "format": hook.format,
                "signed": hook.secret is not None,
                "rules": sorted(hook.rules) if hook.rules is not None else None,
            }
            for hook in alerts.courier.hooks
        ],
        "deliveries": [_delivery(delivery) for delivery in reversed(alerts.courier.deliveries)],
        "looked_at": when(alerts.looked_at),
    }


@router.post("/test", summary="Send a test to a webhook, once and now")
async def test_webhook(running: Live, by: By, body: WebhookTest) -> DeliveryView:
    """200 also where it did not arrive: `state` and `error` say so."""
    await recorded(running, by, "alert.test", Thing("webhook", name=body.webhook))
    return _delivery(await running.alerts.test(body.webhook))


def shown(alert: Alert) -> AlertView:
    return {
        "id": alert.id,
        "rule": alert.rule,
        "subject": alert.subject,
        "state": alert.state,
        "severity": alert.severity,
        "metric": alert.metric,
        "condition": alert.condition,
        "value": alert.value,
        "threshold": alert.threshold,
        "unit": METRICS[alert.metric].unit if alert.metric in METRICS else None,
        "since": when(alert.since),
        "started_at": when(alert.started_at),
        "resolved_at": when(alert.resolved_at),
        "told_at": when(alert.told_at),
        "message": alert.message,
    }


def _rule(running: Live, rule: Rule) -> RuleView:
    found = running.alerts.readings.get(rule.name)
    values = None if found is None else {each.subject: each.value for each in found[:MOST_VALUES]}
    return {
        "name": rule.name,
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
        "built_in": BUILT_IN.get(rule.name) == rule,
        "values": values,
    }


def _delivery(delivery: Delivery) -> DeliveryView:
    alert = delivery.notice.alert
    return {
        "webhook": delivery.webhook,
        "at": when(delivery.at),
        "alert_id": alert.id,
        "rule": alert.rule,
        "subject": alert.subject,
        "told": alert.state,
        "reminder": delivery.notice.again,
        "state": delivery.state,
        "tries": delivery.tries,
        "status": delivery.status,
        "error": delivery.error,
    }
