"""Notices on their way, over real sockets."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from llm_gateway.alerts.courier import MOST_WAITING, Courier
from llm_gateway.alerts.message import trial
from llm_gateway.alerts.plan import Webhook
from llm_gateway.alerts.states import Alert, Notice
from llm_gateway.clock import SystemClock
from llm_gateway.upstream.guard import Guard
from llm_gateway.upstream.transport import Transport
from support.net import closed_port, wait_until
from support.receivers import Receive

LOOPBACK = ["127.0.0.0/8"]
SECRET = "a-secret-of-the-webhook"


@asynccontextmanager
async def courier(
    *hooks: Webhook, pauses: Sequence[float] = (0.02,), private: Sequence[str] = tuple(LOOPBACK)
) -> AsyncIterator[Courier]:
    clock, guard = SystemClock(), Guard(LOOPBACK, private)
    transport = Transport(guard, now=clock.now)
    made = Courier(transport, guard, clock, "gw.example", pauses=pauses)
    made.configure(hooks)
    try:
        yield made
    finally:
        await made.end()
        assert transport.stats().in_flight == 0
        await transport.aclose()


def notice(state: str = "firing", rule: str = "hot", id: str = "a1") -> Notice:
    fields: dict[str, Any] = {"state": state, "started_at": 1.0, "resolved_at": 2.0 if state == "resolved" else None}
    return Notice(
        Alert(
            id=id, rule=rule, subject="model fast", severity="critical", metric="error_share", value=0.25,
            threshold=0.05, condition="error_share > 5 %", since=1.0, **fields,
        )
    )  # fmt: skip


async def test_all_that_is_known_arrives_in_one_signed_message(receive: Receive):
    receiver = await receive()
    hook = Webhook("ops", receiver.url, headers=(("Authorization", "Bearer x"),), secret=SECRET)
    async with courier(hook) as post:
        post.send(notice())
        (heard,) = await receiver.until(1)
    assert heard.json == {
        "version": 1,
        "id": "a1",
        "rule": "hot",
        "state": "firing",
        "reminder": False,
        "severity": "critical",
        "subject": "model fast",
        "metric": "error_share",
        "condition": "error_share > 5 %",
        "value": 0.25,
        "threshold": 0.05,
        "unit": "share",
        "started_at": 1.0,
        "resolved_at": None,
        "message": "hot for model fast: error_share > 5 %, now 25 %.",
        "gateway": "gw.example",
    }
    assert (heard.target, heard.headers["authorization"]) == ("/hook", "Bearer x")
    assert heard.headers["content-type"] == "application/json"
    at, _, mac = heard.headers["x-gateway-signature"].removeprefix("t=").partition(",v1=")
    assert abs(int(at) - time.time()) < 60
    assert mac == hmac.new(SECRET.encode(), f"{at}.".encode() + heard.body, hashlib.sha256).hexdigest()


async def test_without_a_secret_nothing_is_signed_and_a_chat_gets_a_sentence(receive: Receive):
    receiver = await receive()
    async with courier(Webhook("chat", receiver.url + "/", format="slack")) as post:
        post.send(notice())
        (heard,) = await receiver.until(1)
    assert heard.json == {
        "text": "[CRITICAL] hot for model fast: error_share &gt; 5 %, now 25 %. (gw.example)",
    }
    assert "x-gateway-signature" not in heard.headers
    assert heard.target == "/hook/"


async def test_a_webhook_hears_of_its_own_rules_only(receive: Receive):
    some, all = await receive(), await receive()
    hooks = Webhook("some", some.url, rules=frozenset({"budget_80"})), Webhook("all", all.url)
    async with courier(*hooks) as post:
        post.send(notice(rule="hot"))
        post.send(notice(rule="budget_80", id="a2"))
        await all.until(2)
        await some.until(1)
    assert [heard.json["rule"] for heard in some.heard] == ["budget_80"]


async def test_what_fails_is_tried_again_in_the_order_of_its_alert(receive: Receive):
    receiver = await receive(500, 429, 302, 404, 204)
    async with courier(Webhook("ops", receiver.url)) as post:
        post.send(notice())
        post.send(notice("resolved"))
        heard = await receiver.until(6)
        await wait_until(lambda: {d.state for d in post.deliveries} == {"delivered"})
        assert [(d.tries, d.status) for d in post.deliveries] == [(5, 204), (1, 204)]
    assert [message.json["state"] for message in heard] == ["firing"] * 5 + ["resolved"]


async def test_an_alert_does_not_wait_for_another_one(receive: Receive):
    receiver = await receive(500, 200)
    async with courier(Webhook("ops", receiver.url), pauses=(60.0,)) as post:
        post.send(notice(id="a1"))
        post.send(notice(id="a2"))
        await wait_until(lambda: [d.state for d in post.deliveries] == ["waiting", "delivered"])


async def test_dead_webhooks_delay_nobody(receive: Receive):
    silent, good = await receive(silent=True), await receive()
    with closed_port() as closed:
        hooks = (
            Webhook("silent", silent.url),
            Webhook("closed", f"http://127.0.0.1:{closed}/"),
            Webhook("good", good.url),
        )
        async with courier(*hooks) as post:
            for n in range(5):
                post.send(notice(id=f"a{n}"))
            await good.until(5, within=2.0)


async def test_a_redirect_is_not_followed(receive: Receive):
    other = await receive()
    receiver = await receive(307, location=other.url)
    async with courier(Webhook("ops", receiver.url)) as post:
        tried = await post.try_once(post.hooks[0], trial(0.0))
    assert (tried.state, tried.status, tried.error) == ("failed", 307, "it redirects, which is not followed")
    assert other.heard == []


@pytest.mark.parametrize("private", [(), tuple(LOOPBACK)], ids=["loopback", "elsewhere"])
async def test_no_packet_leaves_for_an_address_that_the_guard_refuses(receive: Receive, private: Sequence[str]):
    receiver = await receive()
    name = "localhost" if not private else "93.184.215.14"  # only_networks has neither
    hook = Webhook("ops", f"http://{name}:{receiver.port}/hook")
    async with courier(hook, private=private) as post:
        tried = await post.try_once(hook, trial(0.0))
    assert tried.state == "failed"
    assert "127.0.0.1" not in (tried.error or "")
    assert receiver.heard == []


async def test_an_answer_without_end_is_cut_and_counts_by_its_status(receive: Receive):
    receiver = await receive(endless=True)
    async with courier(Webhook("ops", receiver.url)) as post:
        tried = await post.try_once(post.hooks[0], trial(0.0))
    assert (tried.state, tried.status) == ("delivered", 200)


async def test_a_webhook_that_is_taken_away_is_told_no_more(receive: Receive):
    receiver = await receive(500)
    async with courier(Webhook("ops", receiver.url), pauses=(60.0,)) as post:
        post.send(notice())
        await wait_until(lambda: post.deliveries[0].status == 500)
        post.configure(())
        assert (post.deliveries[0].state, post.deliveries[0].error) == ("failed", "the webhook was taken away")
        post.send(notice())
    assert len(receiver.heard) == len(post.deliveries) == 1


async def test_a_new_address_takes_over_what_waits(receive: Receive):
    old, new = await receive(500), await receive()
    async with courier(Webhook("ops", old.url), pauses=(0.3,)) as post:
        post.send(notice())
        await old.until(1)
        post.configure([Webhook("ops", new.url)])
        await new.until(1)


async def test_what_waits_is_bounded(receive: Receive):
    receiver = await receive(500)
    with structlog.testing.capture_logs() as logs:
        async with courier(Webhook("ops", receiver.url), pauses=(60.0,)) as post:
            for n in range(MOST_WAITING + 5):
                post.send(notice(id=f"a{n}"))
    assert [(told["event"], told["error"]) for told in logs] == [("alert_given_up", "too many newer ones wait")] * 5


async def test_no_secret_is_in_a_log_or_in_what_is_shown(receive: Receive):
    receiver = await receive(500)
    hook = Webhook("ops", receiver.url, headers=(("Authorization", "Bearer hidden"),), secret=SECRET)
    with structlog.testing.capture_logs() as logs:
        async with courier(hook) as post:
            await post.try_once(hook, trial(0.0))
            post.send(notice())
            await receiver.until(3)
    told = repr((logs, post.deliveries, hook))
    assert logs
    for secret in (SECRET, "hidden", str(receiver.port)):
        assert secret not in told
