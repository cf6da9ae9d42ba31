"""What was asked and answered is kept where a project says so: redacted before it touches a disk, and bounded."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from llm_gateway.testing.rogue import Rogue
from llm_gateway.wire.notes import FORMAT_INVALID
from support.gateway import BOTH_WAYS, HELLO, Live, StartGateway, Wire, words
from support.net import wait_until

KEEPS: dict[str, Any] = {"store_payloads": True}
SECRET = "My mail is ada@example.org, my card 4111 1111 1111 1111, and the word is xyzzy-42."


async def payload(live: Live, count: int = 1) -> dict[str, Any]:
    """What is kept of the last of `count` requests, as soon as it is."""
    row = (await live.rows(count))[-1]
    found: dict[str, Any] = {}

    async def there() -> bool:
        answer = await live.http.get(f"/admin/api/requests/{row['id']}/payload", headers=live.admin())
        found.update(answer.json())
        return answer.status_code == 200

    await wait_until(there, 10.0)
    return found


async def test_a_project_that_says_nothing_keeps_nothing(start: StartGateway) -> None:
    async with Rogue() as server:
        live = await start(server)
        await live.chat()
        await live.stream()
        rows = await live.rows(2)
        for row in rows:
            answer = await live.http.get(f"/admin/api/requests/{row['id']}/payload", headers=live.admin())
            assert answer.status_code == 404
            assert "kept" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream"])
async def test_question_and_answer_are_kept(start: StartGateway, path: str) -> None:
    async with Rogue() as server:
        live = await start(server, project=KEEPS)
        await live.chat(path, user="ada")
        kept = await payload(live)
        assert kept["request"]["messages"] == HELLO
        assert kept["response"]["text"] == words()
        assert kept["response"]["finish"] == "stop"
        assert "error" not in kept["response"]
        assert (kept["redactions"], kept["cut"]) == (0, False)
        assert kept["project_id"] == (await live.row())["project_id"]


@BOTH_WAYS
async def test_of_a_stream_whose_words_come_one_by_one_all_is_kept_judged_and_counted(start: StartGateway) -> None:
    async with Rogue(words=30, delay=0.005) as server:
        live = await start(server, project=KEEPS)
        told = await live.stream("/v1/chat/completions", response_format={"type": "json_object"})
        kept = await payload(live)
        assert kept["response"]["text"] == told.text == words(30)
        assert kept["response"]["finish"] == "stop"
        row = await live.row()
        assert row["tokens_output"] == 30
        assert FORMAT_INVALID in row["notes"]


async def test_secrets_and_own_patterns_never_reach_the_disk(start: StartGateway) -> None:
    async with Rogue() as server:
        live = await start(server, project={**KEEPS, "redact": [r"xyzzy-\d+"]})
        await live.chat(messages=[{"role": "user", "content": SECRET}])
        kept = await payload(live)
        assert kept["request"]["messages"][0]["content"] == (
            "My mail is [email], my card [card], and the word is [redacted]."
        )
        assert kept["redactions"] == 3
        for file in live.running.settings.data_dir.rglob("*"):
            if file.is_file():
                content = file.read_bytes()
                assert not any(secret in content for secret in (b"ada@example", b"4111 1111", b"xyzzy-42")), file


async def test_what_was_said_of_a_broken_stream_is_kept(start: StartGateway) -> None:
    async with Rogue(mood="cut_no_terminator") as server:
        live = await start(server, project=KEEPS)
        told = await live.stream()
        assert told.error is not None
        kept = await payload(live)
        assert kept["response"]["finish"] is None
        assert kept["response"]["text"] == told.text != ""
        assert kept["response"]["error"]["code"] == told.error["code"]


async def test_an_error_is_kept_where_there_was_no_answer(start: StartGateway) -> None:
    async with Rogue() as server:
        live = await start(server, project=KEEPS)
        await live.http.post("/v1/chat", content=b"this is no JSON but from eve@example.com")
        kept = await payload(live)
        assert kept["request"] == "this is no JSON but from [email]"
        assert kept["response"]["error"]["code"] == "invalid_json"


async def test_a_client_that_left_had_heard_a_part(start: StartGateway) -> None:
    async with Rogue(words=200, delay=0.05) as server:
        live = await start(server, project=KEEPS)
        wire = Wire(live)
        await wire.send("/v1/chat/stream")
        assert wire._reader is not None
        await wire._reader.readuntil(b"w")
        wire.leave(reset=True)
        kept = await payload(live)
        assert kept["response"]["finish"] is None
        assert "error" not in kept["response"]


async def test_vectors_are_counted_not_kept(start: StartGateway) -> None:
    async with Rogue() as server:
        live = await start(server, project=KEEPS)
        answer = await live.http.post("/v1/embeddings", json={"model": "recite", "input": ["one", "two"]})
        assert answer.status_code == 200, answer.text
        kept = await payload(live)
        assert kept["request"]["input"] == ["one", "two"]
        assert kept["response"]["vectors"] == 2
        assert kept["response"]["dimensions"] == len(answer.json()["data"][0]["embedding"])


async def test_a_pattern_that_never_ends_loses_the_payload_and_nothing_else(start: StartGateway) -> None:
    async with Rogue() as server:
        live = await start(server, project={**KEEPS, "redact": ["(x+x+)+y"]})
        await live.chat(messages=[{"role": "user", "content": "x" * 5000}])
        await live.rows(1)
        payloads = live.gateway.payloads
        assert payloads is not None
        await wait_until(lambda: payloads.dropped == 1, 10.0)
        await live.chat()
        assert (await payload(live, 2))["request"]["messages"] == HELLO


async def test_what_waits_is_written_when_the_gateway_ends(start: StartGateway, tmp_path: Any) -> None:
    from support.gateway import gateway

    async with Rogue() as server:
        async with gateway(tmp_path / "ends", server, project=KEEPS) as live:
            for _ in range(5):
                await live.chat()
        with sqlite3.connect(tmp_path / "ends" / "data" / "gateway.db") as database:
            assert database.execute("SELECT count(*) FROM payload").fetchone() == (5,)
        journals = (tmp_path / "ends" / "data" / "journal").iterdir()
        assert {left.name for left in journals} <= {"ballast"}  # of disks with room for it


async def test_bad_patterns_are_refused_when_the_project_is_saved(start: StartGateway) -> None:
    async with Rogue() as server:
        live = await start(server)
        for pattern, why in {
            "(": "regular expression",
            "a*": "empty text",
            "(a{500}){500}": "repeat",
            "(?R)?a": "call itself",
        }.items():
            answer = await live.http.post(
                "/admin/api/projects", json={"name": "other", "redact": ["fine", pattern]}, headers=live.admin()
            )
            assert answer.status_code == 400
            assert answer.json()["error"]["param"] == "redact[1]"
            assert why in answer.json()["error"]["message"]
