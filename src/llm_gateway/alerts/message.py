"""What a webhook gets: a body of a fixed shape, and a signature over it.

The signature is the scheme that Stripe documents for its webhooks: an HMAC-SHA256 over the time and the body, so that
neither can be changed and an old message cannot be played again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, Final

from llm_gateway.alerts.plan import Webhook
from llm_gateway.alerts.rules import METRICS
from llm_gateway.alerts.states import Alert, Notice

SIGNATURE: Final = "X-Gateway-Signature"
VERSION: Final = 1
"""Of the shape of the body; it rises when a field changes its meaning or goes, not when one is added."""


def body(hook: Webhook, notice: Notice, gateway: str) -> bytes:
    """What is sent; `gateway` says which one speaks."""
    told = slack(notice, gateway) if hook.format == "slack" else payload(notice, gateway)
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def payload(notice: Notice, gateway: str) -> dict[str, Any]:
    alert = notice.alert
    return {
        "version": VERSION,
        "id": alert.id,
        "rule": alert.rule,
        "state": alert.state,
        "reminder": notice.again,
        "severity": alert.severity,
        "subject": alert.subject,
        "metric": alert.metric,
        "condition": alert.condition,
        "value": alert.value,
        "threshold": alert.threshold,
        "unit": METRICS[alert.metric].unit if alert.metric in METRICS else None,
        "started_at": alert.started_at,
        "resolved_at": alert.resolved_at,
        "message": alert.message,
        "gateway": gateway,
    }


def slack(notice: Notice, gateway: str) -> dict[str, Any]:
    """Slack's incoming webhooks, which many others understand. `&`, `<` and `>` would be its markup."""
    mark = "RESOLVED" if notice.alert.state == "resolved" else notice.alert.severity.upper()
    text = f"[{mark}] {notice.alert.message} ({gateway})"
    return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}


def signature(secret: str, at: float, body: bytes) -> str:
    """`t=1764000000,v1=…`: the time in Unix seconds, and the HMAC of `t.body` in hexadecimal."""
    time = str(int(at))
    mac = hmac.new(secret.encode(), time.encode() + b"." + body, hashlib.sha256)
    return f"t={time},v1={mac.hexdigest()}"


def trial(now: float) -> Notice:
    """What a test sends."""
    return Notice(
        Alert(
            id="test",
            rule="test",
            subject="gateway",
            severity="info",
            state="firing",
            metric="test",
            value=0.0,
            threshold=0.0,
            condition="this is a test",
            since=now,
            started_at=now,
        )
    )
