"""Dashboards, alerts and scrapes ask for metrics and labels that the gateway has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_gateway.errors import GatewayError
from llm_gateway.observe.families import FAMILIES
from support.promql import BadQuery, Used, parse

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())["groups"] for rule in group["rules"]
]
SCRAPE: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())

FOREIGN = {"up": set(), "process_cpu_seconds_total": set()}
"""Metrics of Prometheus itself, and of its client library."""
KNOWN: dict[str, set[str]] = {
    name: {*family.labels, *(("le",) if name.endswith("_bucket") else ())}
    for family in FAMILIES
    for name in family.series()
} | FOREIGN
EVERYWHERE = {"job", "instance"}


def codes() -> set[str]:
    found, classes = set(), [GatewayError]
    while classes:
        found.add((one := classes.pop()).code)
        classes += one.__subclasses__()
    return found


VALUES = {
    "status_class": {f"{n}xx" for n in range(1, 6)},
    "state": {"disabled", "quarantined", "resting", "healthy", "unknown"},
    "result": {"written", "dropped", "started", "won"},
    "outcome": {"ok", "cancelled"},
    "gen_ai_token_type": {"input", "output"},
    "error_type": codes() | {""},
    "job": {scrape["job_name"] for scrape in SCRAPE["scrape_configs"]},
}
"""What labels are compared with, where it is from a list."""


def queries(path: Path) -> Iterator[tuple[str, str]]:
    """(expression, legend) of a dashboard's panels and variables."""
    dashboard = json.loads(path.read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
            assert asked
            yield f"sum by ({asked[2]}) ({asked[1]})", ""


def check(used: Used) -> None:
    assert used.metric in KNOWN, f"no metric {used.metric}"
    strange = (used.summed | used.matched.keys()) - KNOWN[used.metric] - EVERYWHERE
    assert not strange, f"{used.metric} has no label {strange}"
    for label, value in used.matched.items():
        if label in VALUES:
            assert set(value.split("|")) <= VALUES[label], f"{label} is never {value}"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_every_panel_asks_for_what_there_is(path: Path) -> None:
    asked = list(queries(path))
    assert asked
    for expression, legend in asked:
        found = parse(expression)
        assert found
        for used in found:
            check(used)
        shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
        assert shown <= set.union(*(used.summed for used in found)), f"{legend}: {expression}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_rule_asks_for_what_there_is(rule: dict[str, Any]) -> None:
    found = parse(rule["expr"])
    assert found
    for used in found:
        check(used)
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
    named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert named <= set.union(*(used.summed for used in found))


def test_names_of_alerts_and_ids_of_panels_are_their_own() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    dashboards = [json.loads(path.read_text()) for path in DASHBOARDS]
    assert len({dashboard["uid"] for dashboard in dashboards}) == len(dashboards) == 3
    for dashboard in dashboards:
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids)


def test_panels_do_not_overlap_and_stay_on_the_page() -> None:
    for path in DASHBOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in json.loads(path.read_text())["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not cells & taken, f"{path.name}: {panel['title']}"
            assert at["x"] + at["w"] <= 24
            taken |= cells


def test_the_scrape_finds_the_gateway_of_the_compose_file() -> None:
    (scrape,) = SCRAPE["scrape_configs"]
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    monitoring = yaml.safe_load((DEPLOY / "compose.monitoring.yaml").read_text())
    ((target,),) = [static["targets"] for static in scrape["static_configs"]]
    assert target.partition(":")[0] in services
    secret = scrape["authorization"]["credentials_file"].rpartition("/")[2]
    assert secret in monitoring["services"]["prometheus"]["secrets"]
    assert monitoring["secrets"][secret] == {"environment": "LLM_GATEWAY_ADMIN_TOKEN"}
    assert all((DEPLOY / "prometheus" / name).exists() for name in SCRAPE["rule_files"])
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"


def test_grafana_is_given_every_dashboard_where_it_looks_for_them() -> None:
    grafana = yaml.safe_load((DEPLOY / "compose.monitoring.yaml").read_text())["services"]["grafana"]
    (provider,) = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/llm-gateway.yaml").read_text())["providers"]
    folder = provider["options"]["path"]
    mounted = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    for path in DASHBOARDS:
        assert mounted[f"./grafana/{path.name}"] == f"{folder}/{path.name}"
    assert grafana["environment"]["GF_SECURITY_ADMIN_PASSWORD"].startswith("${GRAFANA_PASSWORD:?")
    assert all(port.startswith("127.0.0.1:") for port in grafana["ports"])


@pytest.mark.parametrize(
    "text",
    [
        "sum(rate(m[5m])",
        "rate(m)",
        "sum by a (m)",
        "m{a=b}",
        "m{a}",
        "m >",
        "nothing(m)",
        "m[5]",
        "sum by () (m)",
        "m m",
    ],
)
def test_what_is_no_query_is_refused(text: str) -> None:
    with pytest.raises(BadQuery):
        parse(text)


def test_a_query_says_what_it_uses() -> None:
    one, two = parse('sum by (a) (rate(m{b="c", d!~"e"}[5m])) / on (a) n > 0.5')
    assert (one.metric, one.matched, one.summed) == ("m", {"b": "c", "d": "e"}, {"a"})
    assert two.metric == "n"
