"""The configuration in its file: all of it comes back, nothing secret is in it, and what does not fit is not used."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_gateway.access.policy import ApiKey, Exposure, Owner, Price, Project, Snapshot, Trust
from llm_gateway.fleet.facts import ListedModel
from llm_gateway.last_known import FILE, LastKnown
from llm_gateway.storage.servers import StoredServer

URL = "postgresql://user:sesame@db.internal:5432/gateway"
DAY = 86_400.0
PROJECT = Project(
    "p1", "legal", "Contract review", True, frozenset({Trust.OWN, Trust.PUBLIC}), True, 600, 200_000, 50, 10**6, 10**7,
    1.5, 20.25, True, 3, ("[A-Z]{3}",), frozenset({"law"}), Owner.FILE, 12.5,
)  # fmt: skip
KEY = ApiKey(
    "k1", "p1", "ci", bytes(range(32)), "llmgw_k3J", "abcd", 5e9, None, 3.0, Owner.DATABASE, 5, 6, 7, 8, 9, 1.0
)
EXPOSURE = Exposure(
    "e1", None, "fast", ("llama3.2:3b", "qwen2.5"), "Quick", {"temperature": 0.7, "stop": ["a"]}, Price(0.1, 0.2)
)
SERVER = StoredServer(
    "srv_0123456789", "lab", "http://127.0.0.1:11434", "ollama", Trust.OWN, "admin", "LAB_KEY", 4, True, True, "DE",
    Owner.DATABASE, 1.0, 2.0, (ListedModel("llama3.2:3b", digest="d" * 12, capabilities=("tools",)),),
)  # fmt: skip
SNAPSHOT = Snapshot(7, {KEY.hash: KEY}, {"p1": PROJECT}, {(None, "fast"): EXPOSURE})


class Clock:
    def __init__(self) -> None:
        self.time = 1_000_000.0

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def kept(folder: Path, clock: Clock, url: str = URL) -> LastKnown:
    known = LastKnown(folder, url, clock)
    await known.save(SNAPSHOT, [SERVER])
    return known


async def test_everything_comes_back(tmp_path: Path, clock: Clock):
    found = (await kept(tmp_path, clock)).read(DAY)
    assert found is not None
    assert found.snapshot == SNAPSHOT
    assert found.servers == (SERVER,)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


async def test_its_owner_alone_reads_it_and_no_secret_is_in_it(tmp_path: Path, clock: Clock):
    known = await kept(tmp_path, clock)
    assert stat.S_IMODE(known.path.stat().st_mode) == 0o600
    assert "sesame" not in known.path.read_text()


@pytest.mark.parametrize(("passed", "used"), [(0.0, True), (DAY - 1, True), (DAY + 1, False), (-DAY, True)])
async def test_its_age_decides(tmp_path: Path, clock: Clock, passed: float, used: bool):
    known = await kept(tmp_path, clock)
    clock.time += passed
    assert (known.read(DAY) is not None) == used


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("postgresql://other:password@db.internal:5432/gateway", True),
        ("postgresql://user:sesame@db.internal:5432/other", False),
        ("postgresql://user:sesame@elsewhere:5432/gateway", False),
        ("sqlite:////gateway", False),
    ],
)
async def test_it_is_of_one_database_whoever_may_use_that(tmp_path: Path, clock: Clock, url: str, used: bool):
    await kept(tmp_path, clock)
    assert (LastKnown(tmp_path, url, clock).read(DAY) is not None) == used


@pytest.mark.parametrize("change", [{"schema": 99}, {"keys": [{}]}, {"at": "noon"}, {"projects": None}], ids=str)
async def test_a_file_that_does_not_fit_is_none(tmp_path: Path, clock: Clock, change: dict[str, Any]):
    known = await kept(tmp_path, clock)
    known.path.write_text(json.dumps(json.loads(known.path.read_text()) | change))
    assert known.read(DAY) is None


async def test_half_a_file_is_none(tmp_path: Path, clock: Clock):
    known = await kept(tmp_path, clock)
    whole = known.path.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        known.path.write_bytes(whole[:size])
        assert known.read(DAY) is None


async def test_a_file_of_a_later_version_with_more_fields_is_used(tmp_path: Path, clock: Clock):
    known = await kept(tmp_path, clock)
    told = json.loads(known.path.read_text())
    told["projects"][0]["fresh"] = 1
    known.path.write_text(json.dumps(told | {"more": []}))
    assert known.read(DAY) is not None


async def test_a_directory_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path, clock: Clock):
    known = LastKnown(tmp_path / "not there", URL, clock)
    await known.save(SNAPSHOT, [replace(SERVER, name="other")])
    assert known.read(DAY) is None


async def test_it_is_due_after_a_while_and_when_something_changed(tmp_path: Path, clock: Clock):
    known = await kept(tmp_path, clock)
    assert not known.due
    known.outdated()
    assert known.due
    await known.save(SNAPSHOT, [SERVER])
    clock.time += 61
    assert known.due
