from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llm_gateway.access.policy import ApiKey, Exposure, Project, Snapshot
from llm_gateway.alerts.readings import DAY, Found, budgets_of, read
from llm_gateway.alerts.rules import BUILT_IN, METRICS, Rule, shown
from llm_gateway.storage.tables import HISTOGRAMS, LATENCY_BOUNDS, ROLLED
from llm_gateway.storage.usage import UsageRow, total

LEGAL = Project("p1", "legal", monthly_tokens=1000, daily_cost=2.0)
SALES = Project("p2", "sales")
CI = ApiKey("k1", "p1", "ci", b"1", "", "", daily_tokens=100)
OLD = ApiKey("k2", "p2", "old", b"2", "", "", created_at=0.0, expires_at=100 * DAY)
BUCKETS = len(LATENCY_BOUNDS) + 1


def snapshot(*exposures: Exposure, keys: tuple[ApiKey, ...] = (CI, OLD)) -> Snapshot:
    return Snapshot(
        keys={key.hash: key for key in keys},
        projects={project.id: project for project in (LEGAL, SALES)},
        exposures={(one.project_id, one.logical_name): one for one in exposures},
    )


def found(**fields: Any) -> Found:
    always = {"now": 95 * DAY, "day": "2026-11-28", "snapshot": snapshot(), "process": "host/1", "host": "host"}
    return Found(**{**always, "total": total, **fields})


def asked(project: str, model: str, requests: int, errors: int = 0, bucket: int = 3, **fields: int) -> UsageRow:
    histogram = tuple(requests if n == bucket else 0 for n in range(BUCKETS))
    figures = {name: 0 for name in ROLLED if name not in HISTOGRAMS}
    figures |= {"requests": requests, "errors": errors, **fields}
    return UsageRow(None, (project, model), **figures, latency=histogram, ttft=histogram)


def values(rule: Rule, found: Found) -> dict[str, float] | None:
    readings = read(rule, found)
    return None if readings is None else {reading.subject: reading.value for reading in readings}


def usage(metric: str, **fields: Any) -> Rule:
    return Rule("r", metric, ">", 0, **fields)


SUMS = [
    asked("p1", "fast", 80, 8, tokens_input=60, tokens_output=40, cost_nanos=3_000_000_000),
    asked("p1", "big", 20, 10, bucket=8, tokens_input=50),
    asked("p2", "fast", 100, 0, tokens_output=7),
    asked("p2", "", 4, 4),
]


def test_shares_are_of_everything_or_of_each_project_or_model():
    there = found(asked={300.0: SUMS})
    assert values(usage("error_share"), there) == {"gateway": 22 / 204}
    assert values(usage("error_share", each="project"), there) == {"project legal": 0.18, "project sales": 4 / 104}
    assert values(usage("error_share", each="model"), there) == {"model fast": 8 / 180, "model big": 0.5}
    assert values(usage("error_share", project="legal", model="big"), there) == {"project legal, model big": 0.5}


def test_tokens_requests_and_costs_are_added_up():
    there = found(asked={300.0: SUMS})
    assert values(usage("tokens"), there) == {"gateway": 157}
    assert values(usage("requests", project="legal"), there) == {"project legal": 100}
    assert values(usage("errors", model="fast"), there) == {"model fast": 8}
    assert values(usage("cost", each="project"), there) == {"project legal": 3.0, "project sales": 0.0}


def test_percentiles_come_from_the_buckets():
    there = found(asked={300.0: SUMS})
    assert values(usage("latency_p95_ms", project="legal"), there) == {"project legal": 8750.0}
    assert values(usage("ttft_p95_ms", project="sales"), there) == {"project sales": pytest.approx(100 + 150 * 0.95)}


def test_few_requests_say_nothing_of_shares_and_no_requests_are_none():
    few = found(asked={300.0: [asked("p1", "fast", 9, 9)]})
    assert values(usage("error_share"), few) == {}
    assert values(usage("error_share", min_requests=9), few) == {"gateway": 1.0}
    assert values(usage("requests"), found(asked={300.0: []})) == {"gateway": 0}
    assert values(usage("error_share", min_requests=1), found(asked={300.0: []})) == {}


def test_without_an_answer_of_the_database_nobody_knows():
    assert values(usage("requests"), found()) is None
    assert values(BUILT_IN["budget_80"], found()) is None


def test_each_budget_of_a_project_or_key_is_a_subject_of_its_period():
    spent = {
        "p1": {"daily_tokens": 90, "daily_cost": 1.5, "monthly_tokens": 800, "monthly_cost": 9.0},
        "k1": {"daily_tokens": 85},
    }
    assert values(BUILT_IN["budget_80"], found(spent=spent)) == {
        "project legal daily_cost 2026-11-28": 0.75,
        "project legal monthly_tokens 2026-11": 0.8,
        "key legal/ci daily_tokens 2026-11-28": 0.85,
    }


def test_a_budget_that_nobody_used_is_there_and_unused():
    assert set((values(BUILT_IN["budget_80"], found(spent={})) or {}).values()) == {0.0}
    assert budgets_of(snapshot()) == {("daily", "project"), ("monthly", "project"), ("daily", "key")}


def test_keys_are_told_of_before_they_end_and_a_day_after():
    rule = BUILT_IN["key_expires"]
    assert values(rule, found()) == {"key sales/old": 5.0}
    assert values(rule, found(now=100.5 * DAY)) == {"key sales/old": -0.5}
    assert values(rule, found(now=101.5 * DAY)) == {}


def test_keys_that_are_meant_to_end_soon_and_revoked_ones_are_not():
    short = replace(OLD, created_at=99 * DAY)
    revoked = replace(OLD, revoked_at=1.0)
    for key in (short, revoked):
        assert values(BUILT_IN["key_expires"], found(snapshot=snapshot(keys=(key,)))) == {}


def test_a_logical_name_has_the_servers_of_all_its_models():
    exposures = (
        Exposure("e1", None, "fast", ("a", "b")),
        Exposure("e2", "p1", "fast", ("c",)),
        Exposure("e3", None, "gone", ("d",)),
    )
    healthy = {"a": 2, "b": 1, "c": 0}
    there = found(snapshot=snapshot(*exposures), healthy=lambda model: healthy.get(model, 0))
    rule = BUILT_IN["model_down"]
    assert values(rule, there) == {"model fast": 3, "model fast of project legal": 0, "model gone": 0}
    assert values(replace(rule, model="a"), there) == {"model a": 2}
    assert values(replace(rule, model="gone"), there) == {"model gone": 0}


def test_the_fleet_as_a_whole():
    there = found(states={"healthy": 3, "resting": 1, "quarantined": 2, "disabled": 10})
    figures = {"healthy_servers": 3, "healthy_share": 0.5, "servers_quarantined": 2}
    for metric, value in figures.items():
        assert values(usage(metric), there) == {"gateway": value}
    assert values(usage("healthy_share"), found()) == {}


def test_what_each_process_knows_of_itself_bears_its_name():
    there = found(dropped={600.0: 4}, waiting=9, disk_free=0.5, database_away=3.0)
    assert values(BUILT_IN["log_rows_dropped"], there) == {"host/1": 4}
    assert values(usage("log_rows_waiting"), there) == {"host/1": 9}
    assert values(BUILT_IN["disk_nearly_full"], there) == {"host": 0.5}
    assert values(BUILT_IN["database_unavailable"], there) == {"database": 3.0}
    assert values(BUILT_IN["redis_unavailable"], there) == {}
    assert values(BUILT_IN["redis_unavailable"], found(redis_away=61.0)) == {"redis": 61.0}
    assert values(BUILT_IN["disk_nearly_full"], found()) is None


def test_every_metric_can_be_read():
    there = found(asked={300.0: SUMS}, spent={}, disk_free=0.5)
    for metric in METRICS:
        assert values(usage(metric), there) is not None


def test_a_models_name_may_be_written_as_servers_understand_it():
    there = found(asked={300.0: [asked("p1", "llama3.2:latest", 20)]})
    assert values(usage("requests", model="Llama3.2"), there) == {"model Llama3.2": 20}


def test_values_are_written_as_people_do():
    assert shown(0.05, "share") == "5 %"
    assert shown(1234567.0, "tokens") == "1,234,567 tokens"
    assert shown(2.5, "cost") == "2.5"
    assert shown(4.25, "days") == "4.25 days"
