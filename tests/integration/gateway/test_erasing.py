"""What is erased is gone: from the tables, from the files, and it does not come back out of a journal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llm_gateway.ledger.journal import Journal
from llm_gateway.ledger.shipper import Shipper
from llm_gateway.ledger.store import DatabaseStore
from llm_gateway.storage import erasures
from llm_gateway.storage.audit import audit
from llm_gateway.testing.rogue import Rogue
from support.gateway import Live, StartGateway
from support.net import wait_until

KEEPS: dict[str, Any] = {"store_payloads": True}


async def ask(live: Live, end_user: str, text: str) -> None:
    answer = await live.chat(messages=[{"role": "user", "content": text}], metadata={"user_id": end_user})
    assert answer.status_code == 200, answer.text


async def erase(live: Live, **body: Any) -> dict[str, Any]:
    answer = await live.http.post("/admin/api/requests/erase", json={"confirm": True, **body}, headers=live.admin())
    assert answer.status_code == 200, answer.text
    last: dict[str, Any] = json.loads(answer.text.splitlines()[-1])
    assert last["done"], last
    return last


def files_with(directory: Path, *needles: bytes) -> list[str]:
    """Files below it that hold one of these bytes."""
    found = []
    for file in directory.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            found += [f"{file.name}: {needle!r}" for needle in needles if needle in content]
    return found


async def test_an_end_users_requests_are_gone_from_every_file_and_others_stay(start: StartGateway) -> None:
    async with Rogue() as server:
        live = await start(server, project=KEEPS)
        for n in range(30):
            await ask(live, "eve-4711", f"the zebra {n} of Eve")
            await ask(live, "bob", f"the okapi {n} of Bob")
        await live.rows(60)
        payloads = live.gateway.payloads
        assert payloads is not None
        await wait_until(lambda: payloads.kept == 60, 10.0)
        await wait_until(lambda: live.gateway.ledger.waiting == 0, 10.0)
        directory = live.running.settings.data_dir
        assert files_with(directory, b"eve-4711", b"zebra")

        last = await erase(live, project=live.project, end_user="eve-4711")

        assert (last["rows"], last["gone"]) == (30, True)
        await wait_until(lambda: not files_with(directory, b"eve-4711", b"zebra"), 10.0)
        assert {row["end_user"] for row in await live.rows(30)} == {"bob"}
        assert files_with(directory, b"okapi")
        days = await _erased_days(live)
        assert sum(days.values()) == 30
        async with live.running.sessions.read() as s:
            assert await audit(s) == []
        told = await live.http.get("/admin/api/requests/erasures", headers=live.admin())
        [one] = told.json()["data"]
        assert (one["of"], one["rows"], one["done"]) == ("end_user", 30, True)


async def _erased_days(live: Live) -> dict[tuple[int, str], int]:
    async with live.running.sessions.read() as s:
        return await erasures.erased_days(s)


async def test_a_whole_project_is_erased_also_when_it_is_deleted_already(start: StartGateway) -> None:
    async with Rogue() as server:
        live = await start(server, project=KEEPS)
        await ask(live, "eve", "one")
        await live.row()
        project_id = (await live.row())["project_id"]
        assert (await erase(live, project=project_id))["rows"] == 1
        await live.rows(0)
        unknown = "00000000-0000-4000-8000-000000000000"
        assert (await erase(live, project=unknown))["rows"] == 0


async def test_it_wants_to_be_confirmed(start: StartGateway) -> None:
    async with Rogue() as server:
        live = await start(server)
        for body in ({"project": live.project}, {"project": live.project, "confirm": False}):
            answer = await live.http.post("/admin/api/requests/erase", json=body, headers=live.admin())
            assert answer.status_code == 400
            assert "confirm" in answer.text
        answer = await live.http.post(
            "/admin/api/requests/erase", json={"project": "nobody", "confirm": True}, headers=live.admin()
        )
        assert answer.status_code == 404


async def test_what_is_in_another_process_journal_does_not_arrive_afterwards(
    start: StartGateway, tmp_path: Path
) -> None:
    async with Rogue() as server:
        live = await start(server, project=KEEPS)
        await ask(live, "eve", "one")
        row = await live.row()
        other = Journal(tmp_path / "other" / "host")
        before, after = row["timestamp"] - 5, row["timestamp"] + 3600
        for user, at, said in (("eve", before, "zebra"), ("bob", before, "okapi"), ("eve", after, "later")):
            id = live.gateway.ids()
            other.closed(id, {**row, "id": str(id), "end_user": user, "timestamp": at})
            other.kept(id, _payload(str(id), row["project_id"], user, at, said))
        id = live.gateway.ids()
        other.opened(id, {**row, "id": str(id), "timestamp": before})
        other.end()

        await erase(live, project=live.project, end_user="eve")
        shipper = Shipper(live.gateway.ledger, DatabaseStore(live.running.sessions))
        await shipper.recover(tmp_path / "other")

        rows = await live.rows(2)
        assert sorted((row["end_user"], row["outcome"]) for row in rows) == [("bob", "ok"), ("eve", "ok")]
        assert max(row["timestamp"] for row in rows) == after
        for row in rows:
            answer = await live.http.get(f"/admin/api/requests/{row['id']}/payload", headers=live.admin())
            assert answer.json()["request"] in ("okapi", "later")


def _payload(id: str, project_id: str, end_user: str, at: float, said: str) -> dict[str, Any]:
    return {
        "request_id": id, "project_id": project_id, "timestamp": at, "expires_at": at + 1e6, "end_user": end_user,
        "request": json.dumps(said), "response": "{}", "redactions": 0, "cut": False,
    }  # fmt: skip


async def test_what_is_known_of_an_end_user_can_be_exported_with_what_was_said(start: StartGateway) -> None:
    async with Rogue() as server:
        live = await start(server, project=KEEPS)
        await ask(live, "eve", "the zebra")
        await ask(live, "bob", "the okapi")
        await live.rows(2)
        payloads = live.gateway.payloads
        assert payloads is not None
        await wait_until(lambda: payloads.kept == 2 and live.gateway.ledger.waiting == 0, 10.0)
        url = "/admin/api/requests/export?end_user=eve&payloads=true"

        async def exported() -> list[dict[str, Any]]:
            answer = await live.http.get(url, headers=live.admin())
            lines = [json.loads(line) for line in answer.text.splitlines()]
            return lines if all(line["payload"] for line in lines) else []

        [line] = await wait_until(exported, 10.0)
        assert line["end_user"] == "eve"
        assert line["payload"]["request"]["messages"][0]["content"] == "the zebra"
        refused = await live.http.get(f"{url}&format=csv", headers=live.admin())
        assert refused.status_code == 400
