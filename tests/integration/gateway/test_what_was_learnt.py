"""What was learnt about the servers outlives a restart, and a file that is spoilt hurts nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_gateway.learnt import FILE
from llm_gateway.testing.rogue import Rogue
from support.gateway import MODEL, gateway, words
from support.net import wait_until
from support.rogues import StartRogue


async def test_a_server_that_rests_still_rests_after_a_restart(tmp_path: Path, rogue: StartRogue):
    bad, good = await rogue(mood="html_200", prefix="b"), await rogue()
    async with gateway(tmp_path, bad, good) as live:
        live.prefer(bad)
        assert (await live.chat()).json()["choices"][0]["message"]["content"] == words()
        assert bad.chats == 1
    kept = tmp_path / "data" / FILE
    assert kept.stat().st_mode & 0o777 == 0o600
    assert not list(kept.parent.glob(f".{FILE}*"))

    async with gateway(tmp_path, bad, good, wait_for_fleet=False) as live:
        now = live.gateway.clock.now()
        assert live.state(bad).state(now) == "quarantined"
        assert live.state(good).models[f"{MODEL}:latest"].successes == 1
        (first, *_) = live.fleet.shortlist((MODEL,), frozenset({live.state(good).spec.trust}), now)
        assert first.spec == live.state(good).spec
        for _ in range(10):
            assert (await live.chat()).headers["x-gateway-attempts"] == "1"
        await wait_until(lambda: live.state(bad).listed_at is not None)
        assert live.state(bad).state(live.gateway.clock.now()) == "quarantined", "a good list is no proof"
        assert bad.chats == 1


@pytest.mark.parametrize(
    "spoilt",
    [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"at": "now"}', b'{"at": 1e999, "fleet": {}}', b"[" * 100_000],
    ids=["empty", "cut", "binary", "list", "null", "no time", "infinite", "deep"],
)
async def test_a_spoilt_file_is_reported_and_the_gateway_starts(
    tmp_path: Path, rogue: StartRogue, spoilt: bytes, capsys: pytest.CaptureFixture[str]
):
    server: Rogue = await rogue()
    (tmp_path / "data").mkdir()
    kept = tmp_path / "data" / FILE
    kept.write_bytes(spoilt)
    async with gateway(tmp_path, server) as live:
        assert (await live.chat()).status_code == 200
    out = capsys.readouterr()
    assert "learnt_not_recalled" in out.out + out.err
    assert json.loads(kept.read_bytes())["fleet"]["servers"]


async def test_a_file_that_cannot_be_written_does_not_keep_the_gateway_from_ending(tmp_path: Path, rogue: StartRogue):
    (tmp_path / "data" / FILE).mkdir(parents=True)
    async with gateway(tmp_path, await rogue()) as live:
        assert (await live.chat()).status_code == 200
    assert [path.name for path in (tmp_path / "data").glob(f".{FILE}*")] == []
