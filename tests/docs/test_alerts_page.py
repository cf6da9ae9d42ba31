"""docs/alerts.md: its configuration loads, its payload is what is sent, its signature check tells right from wrong."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blocks import ROOT, block, blocks

from llm_gateway.alerts.message import payload, signature
from llm_gateway.alerts.rules import BUILT_IN, METRICS, Reading
from llm_gateway.alerts.states import Book, step
from llm_gateway.cli.app import call
from llm_gateway.config.load import load

PAGE = "docs/alerts.md"
SECRET = "a-secret-of-sixteen"
ENVIRON = {"ALERT_SECRET": SECRET, "ALERT_AUTH": "Bearer x", "SLACK_WEBHOOK": "https://hooks.example.org/T/B/X"}


def test_every_marked_block_is_used_by_a_test() -> None:
    assert {each.how for each in blocks(PAGE)} - {""} == {"config", "payload", "verify", "prices"}


def test_the_configuration_loads_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(block(PAGE, "config"))
    plan = load({}, environ={"HOME": str(tmp_path), **ENVIRON}, cwd=tmp_path, config=Path("gateway.yaml")).alerts
    rules = {rule.name: rule for rule in plan.rules}
    assert rules["failing"].threshold == 0.05
    assert rules["model_down"].hold == 600.0
    assert "key_expires" not in rules
    assert [hook.format for hook in plan.webhooks] == ["json", "slack"]


def test_the_payload_is_what_is_sent() -> None:
    shown = json.loads(block(PAGE, "payload"))
    reading = Reading(shown["subject"], shown["value"])
    _, (notice,) = step(Book(), [BUILT_IN["budget_80"]], {"budget_80": [reading]}, shown["started_at"], 1.0)
    assert payload(notice, shown["gateway"]) == {**shown, "id": notice.alert.id}
    assert len(notice.alert.id) == len(shown["id"])


def test_the_check_of_the_signature_tells_right_from_wrong() -> None:
    namespace: dict[str, Callable[..., bool]] = {}
    exec(block(PAGE, "verify"), namespace)
    verified, body, now = namespace["verified"], b'{"id":"a"}', time.time()
    good = signature(SECRET, now, body)
    assert verified(SECRET, good, body)
    assert not verified(SECRET, good, body + b" ")
    assert not verified("another-secret-here", good, body)
    assert not verified(SECRET, signature(SECRET, now - 3600, body), body)
    assert not verified(SECRET, good.replace("t=", "t=1"), body)
    for nonsense in ("", "t=,v1=", "v1=00", "t=x,v1=00", "t=1"):
        assert not verified(SECRET, nonsense, body)


def test_the_tables_know_every_metric_and_every_rule() -> None:
    text = (ROOT / PAGE).read_text()
    assert [name for name in [*METRICS, *BUILT_IN] if f"`{name}`" not in text] == []
    conditions = {"key_expires": "7 days", "budget_80": "80 %", "disk_nearly_full": "5 %", "log_rows_dropped": "10 min"}
    for name, said in conditions.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` | ") and "Narrowed" not in line][
            :1
        ]
        assert said in line


def test_the_command_gives_a_model_its_price(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLM_GATEWAY_DATA_DIR", str(tmp_path))
    words = re.split(r"\s+", block(PAGE, "prices").strip())
    assert call(words[1:]) == 0
    assert "0.05 in, 0.2 out" in capsys.readouterr().out
