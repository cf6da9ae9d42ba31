from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.command import Command
from support.receivers import Receiver


@contextmanager
def receiving(*statuses: int) -> Iterator[Receiver]:
    """A receiver in a thread of its own: commands bring their own loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    receiver = Receiver(*statuses)
    asyncio.run_coroutine_threadsafe(receiver.__aenter__(), loop).result(5)
    try:
        yield receiver
    finally:
        asyncio.run_coroutine_threadsafe(receiver.__aexit__(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def configured(folder: Path, receiver: Receiver) -> Path:
    file = folder / "gateway.yaml"
    hook = {"name": "ops", "url": receiver.url}
    file.write_text(json.dumps({"allow_private_upstreams": ["127.0.0.0/8"], "alerts": {"webhooks": [hook]}}))
    return file


def test_without_a_webhook_nothing_fires_and_nobody_is_told(command: Command):
    ended = command.done("alerts", "list", "--all")
    assert "model_healthy_servers < 1 servers" in ended.out
    assert "nobody is told" in ended.err
    assert {rule["name"] for rule in command.done("alerts", "list", "--json").json["rules"]} >= {
        "budget_80",
        "model_down",
    }


def test_the_value_of_an_alert_is_written_as_its_condition_is(command: Command):
    command.done("projects", "create", "legal", "--monthly-tokens", "100")
    with sqlite3.connect(command.data_dir / "gateway.db") as database:
        alert = {
            "id": "a", "rule": "budget_80", "subject": "project legal monthly_tokens 2027-01", "severity": "warning",
            "state": "firing", "metric": "budget_used", "value": 0.84, "threshold": 0.8,
            "condition": "budget_used >= 80 %", "since": 1.0, "started_at": 1.0,
        }  # fmt: skip
        database.execute("INSERT INTO setting VALUES ('alerts', ?)", (json.dumps({"alerts": [alert]}),))
    assert "budget_used >= 80 %  84 %" in command.done("alerts", "list").out


def test_a_webhook_can_be_tried_without_a_server(command: Command, tmp_path: Path):
    with receiving() as receiver:
        ended = command.done("alerts", "test", "--config", configured(tmp_path, receiver))
        assert ended.out == "The test arrived at ops: status 200.\n"
        assert receiver.heard[0].json["message"] == "test for gateway: this is a test."


def test_a_webhook_that_is_not_there_is_not_found(command: Command, tmp_path: Path):
    with receiving() as receiver:
        ended = command("alerts", "test", "nope", "--config", configured(tmp_path, receiver))
        assert (ended.code, ended.err) == (3, "llm-gateway: There is no webhook 'nope'; there are: ops.\n")


def test_a_test_that_does_not_arrive_ends_with_one(command: Command, tmp_path: Path):
    with receiving(500) as receiver:
        ended = command("alerts", "test", "ops", "--config", configured(tmp_path, receiver))
        assert (ended.code, ended.err.splitlines()[-1]) == (
            1,
            "llm-gateway: The test did not arrive at ops: status 500.",
        )
