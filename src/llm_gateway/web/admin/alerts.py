"""Alerts: what fires, what was over, what is watched, and what became of the notices."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field

from llm_gateway.alerts.courier import Delivery
from llm_gateway.alerts.rules import BUILT_IN, METRICS, Rule
from llm_gateway.alerts.states import Alert
from llm_gateway.web.admin.common import Input, Live, admin_router, listed, when

router = admin_router("alerts")

MOST_VALUES: Final = 20
"""Subjects of a rule that are shown with their values."""


class Trial(Input):
    webhook: Annotated[str | None, Field(max_length=100)] = Field(
        default=None, description="Its name; may be left out where there is one only."
    )


@router.get("", summary="What fires or waits to, what is over, the rules, and the latest deliveries")
async def list_alerts(running: Live) -> dict[str, Any]:
    """`values` of a rule are what this process read last, of 20 subjects at most; null: it does not know."""
    alerts = running.alerts
    book = await alerts.current()
    return listed(
        [shown(alert) for alert in book.alerts],
        recent=[shown(alert) for alert in book.recent],
        rules=[_rule(running, rule) for rule in alerts.plan.rules],
        webhooks=[
            {
                "name": hook.name,
                "format": hook.format,
                "signed": hook.secret is not None,
                "rules": sorted(hook.rules) if hook.rules is not None else None,
            }
            for hook in alerts.courier.hooks
        ],
        deliveries=[_delivery(delivery) for delivery in reversed(alerts.courier.deliveries)],
        looked_at=when(alerts.looked_at),
    )


@router.post("/test", summary="Send a test to a webhook, once and now")
async def test_webhook(running: Live, body: Trial) -> dict[str, Any]:
    """200 also where it did not arrive: `state` and `error` say so."""
    return _delivery(await running.alerts.test(body.webhook))


def shown(alert: Alert) -> dict[str, Any]:
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


def _rule(running: Live, rule: Rule) -> dict[str, Any]:
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


def _delivery(delivery: Delivery) -> dict[str, Any]:
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
