"""The real catalogue, on a machine that has only loopback: all of it is listed, and not one packet wants to leave."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LONELY = Path(__file__).with_name("lonely.py")


def alone() -> list[str] | None:
    """The command that runs another one without a network, None where the kernel does not let us."""
    if shutil.which("unshare") and shutil.which("ip"):
        for options in (["-n"], ["-r", "-n"]):
            command = ["unshare", *options]
            if (
                subprocess.run([*command, "ip", "link", "set", "lo", "up"], capture_output=True, check=False).returncode
                == 0
            ):
                return command
    return None


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the program saw."""
    command = alone()
    if command is None:
        pytest.skip("needs `unshare -n` and `ip`, to be root or to have user namespaces")
    folder = tmp_path_factory.mktemp("lonely")
    ran = subprocess.run(
        [*command, sys.executable, LONELY, folder / "data", "LLM_GATEWAY_ONLY_NETWORKS=127.0.0.0/8"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    seen: dict[str, Any] = json.loads(ran.stdout)
    return seen


def test_no_packet_leaves_the_machine(told: dict[str, Any]):
    assert told["seen_of_a_test"] >= 2, "the spy is blind"
    assert told["packets"] == []


def test_all_of_the_catalogue_is_listed(told: dict[str, Any]):
    (source,) = (s for s in told["sources"] if s["name"] == "ollamafreeapi")
    assert (source["version"], source["entries"], source["servers"]) == ("0.1.4", 16, 5)
    assert len(told["models"]) == 10
    assert len(told["servers"]) == 5
    assert {s["trust"] for s in told["servers"]} == {"public"}
    assert sum(len(s["models"]) for s in told["servers"]) == 16


def test_every_request_ends_at_once_in_a_typed_error_that_names_no_server(told: dict[str, Any]):
    assert len(told["answers"]) == 20
    hosts = {s["url"].split("/")[2].rpartition(":")[0] for s in told["servers"]}
    for answer in told["answers"]:
        assert answer["status"] == 503, answer
        error = json.loads(answer["text"])["error"]
        assert error["code"] == "no_healthy_upstream"
        assert error["retryable"] is True
        assert answer["seconds"] < 1.0
        assert not [host for host in hosts if host in answer["text"]]


def test_every_request_has_a_row(told: dict[str, Any]):
    assert len(told["rows"]) == 20
    assert {(row["status"], row["outcome"], row["error_code"]) for row in told["rows"]} == {
        (503, "error", "no_healthy_upstream")
    }
    assert {row["model"] for row in told["rows"]} == set(told["models"])


def test_health_says_that_nobody_can_be_asked(told: dict[str, Any]):
    assert told["health"]["status"] == "down"
    assert told["health"]["database"] == "ok"
