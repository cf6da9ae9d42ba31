from __future__ import annotations

import pytest

from llm_gateway.alerts.rules import BUILT_IN, Rule

HOOK = "{name: ops, url: 'https://hooks.example.org/x'}"


def rules(loading, text: str) -> dict[str, Rule]:
    return {rule.name: rule for rule in loading(f"alerts: {{rules: [{text}]}}").alerts.rules}


def test_without_a_file_the_built_in_rules_hold_and_nobody_is_told(loading):
    plan = loading().alerts
    assert {rule.name for rule in plan.rules} == set(BUILT_IN)
    assert plan.webhooks == ()
    assert loading("port: 1\n").alerts == plan


def test_a_rule_says_what_when_and_for_whom(loading):
    text = (
        "{name: slow, when: latency_p95_ms >= 5000, over: 10m, for: 300, project: legal, each: model, severity: info}"
    )
    expected = Rule(
        "slow", "latency_p95_ms", ">=", 5000.0, "info", over=600.0, hold=300.0, project="legal", each="model"
    )
    assert rules(loading, text)["slow"] == expected


def test_shares_may_be_written_in_percent(loading):
    found = rules(loading, "{name: a, when: error_share>5%}, {name: b, when: error_share > 0.05}")
    assert found["a"].threshold == found["b"].threshold == 0.05


def test_a_built_in_rule_can_be_changed_replaced_or_turned_off(loading):
    found = rules(
        loading,
        "{name: model_down, for: 10m, severity: info}, {name: budget_80, when: budget_used >= 70%},"
        " {name: key_expires, enabled: false}",
    )
    assert (found["model_down"].hold, found["model_down"].severity) == (600.0, "info")
    assert (found["model_down"].metric, found["model_down"].threshold) == ("model_healthy_servers", 1)
    assert found["budget_80"].threshold == 0.7
    assert "key_expires" not in found


def test_a_webhook_takes_its_secrets_from_the_environment(loading):
    text = (
        "alerts: {repeat: 1h, webhooks: [{name: ops, url_env: HOOK, secret_env: SECRET, format: slack,"
        " headers_env: {Authorization: AUTH}, rules: [budget_80]}]}"
    )
    environ = {"HOOK": "https://hooks.example.org/T0/B0", "SECRET": "s" * 16, "AUTH": "Bearer b"}
    plan = loading(text, **environ).alerts
    (hook,) = plan.webhooks
    assert plan.repeat == 3600.0
    assert (hook.url, hook.secret, hook.headers) == (environ["HOOK"], "s" * 16, (("Authorization", "Bearer b"),))
    assert (hook.format, hook.rules) == ("slack", {"budget_80"})
    for secret in environ.values():
        assert secret not in repr(loading(text, **environ))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: [{name: a, when: eror_share > 5%}]", "which is no metric. Did you mean `error_share`?"),
        ("rules: [{name: a, when: error_share}]", "`when` must be a metric, a comparison and a number"),
        ("rules: [{name: a, when: tokens > 5%}]", "`when` has a %, but `tokens` is no share."),
        ("rules: [{name: a, wen: tokens > 5}]", "unknown key `wen`. Did you mean `when`?"),
        ("rules: [{name: a, when: tokens > 5, fro: 5m}]", "unknown key `fro`. Did you mean `for`?"),
        ("rules: [{name: a}]", "has no `when`."),
        ("rules: [{name: model_dwn}]", "has no `when`. Did you mean `model_down`?"),
        ("rules: [{name: A-1, when: tokens > 5}]", "`name` must be small letters"),
        ("rules: [{name: a, when: tokens > 5, over: 5 minutes}]", "`over` must be a time such as 90s"),
        ("rules: [{name: a, when: tokens > 5, over: 10s}]", "`over` must be from 1m to 1d."),
        ("rules: [{name: a, when: tokens > 5, for: 2d}]", "`for` must be at most 1d."),
        ("rules: [{name: a, when: error_share > 5}]", "a share with 500 %. Did you mean `error_share > 5%`?"),
        ("rules: [{name: a, when: error_share > -5%}]", "`when` compares a share with -5 %."),
        ("repeat: 5s", "`repeat` must be from 1m to 30d."),
        ("rules: [{name: a, when: healthy_share < 50%, over: 5m}]", "has `over`, but `healthy_share` is not summed up"),
        ("rules: [{name: a, when: disk_free_share < 5%, project: x}]", "has `project`, which `disk_free_share`"),
        ("rules: [{name: a, when: budget_used > 5%, each: project}]", "has `each`, but `budget_used`"),
        ("rules: [{name: a, when: tokens > 5, severity: bad}]", "`severity` must be info or warning or critical"),
        ("rules: [{name: a, when: tokens > 5}, {name: a, when: tokens > 6}]", "rule 'a' is there twice"),
        ("webhooks: [{name: ops, url: 'http://127.0.0.1:9/x'}]", "`url`: Not a usable server URL"),
        ("webhooks: [{name: ops, url: 'https://user:pw@h.example.org/x'}]", "user name or password"),
        ("webhooks: [{name: ops}]", "must have either `url` or `url_env`."),
        ("webhooks: [{name: ops, url_env: NOPE}]", "`url_env`: the environment variable NOPE is not set."),
        ("webhooks: [{name: ops, url_env: INSIDE}]", "`url_env`: the address that its variable holds cannot be used."),
        ("webhooks: [{name: ops, url_env: LLM_GATEWAY_X}]", "must not name a setting of the gateway"),
        ("webhooks: [{name: ops, url: 'https://h.example.org', secret_env: SHORT}]", "must hold 16 characters"),
        ("webhooks: [{name: ops, url: 'https://h.example', headers_env: {Host: SHORT}}]", "the gateway writes itself"),
        ("webhooks: [{name: ops, url: 'https://h.example.org', rules: [budget_8]}]", "Did you mean `budget_80`?"),
        (f"webhooks: [{HOOK}, {HOOK}]", "webhook 'ops' is there twice"),
        ("webhook: []", "unknown key `webhook`. Did you mean `webhooks`?"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_what_would_be_right(mistakes, text: str, said: str):
    lines = mistakes(f"alerts: {{{text}}}", SHORT="short", INSIDE="http://169.254.169.254/latest")
    assert said in lines[0]
    for line in lines:
        assert line.startswith("gateway.yaml:1:")
        assert "169.254" not in line
    assert len(lines) == 1 + ("LLM_GATEWAY" in text)  # which is not set either
