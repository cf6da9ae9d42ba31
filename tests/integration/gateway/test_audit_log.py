"""What administrators change is written down with the change: who, what, from what to what, from where."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from typing import Any

import pytest

from llm_gateway.access.roles import Operator, Role
from llm_gateway.storage import trail
from llm_gateway.storage.trail import Thing
from support.gateway import ADMIN_TOKEN, KEY, Live, StartGateway
from support.net import wait_until
from support.rogues import StartRogue

PASSWORD = "seven unlikely green words"


@pytest.fixture
async def live(start: StartGateway) -> Live:
    return await start()


async def ask(live: Live, method: str, path: str, body: Any = None) -> Any:
    answer = await live.http.request(method, f"/admin/api/{path}", json=body, headers=live.admin())
    assert answer.status_code < 300, answer.text
    if answer.headers.get("content-type") == "application/x-ndjson":
        return [json.loads(line) for line in answer.text.splitlines()]
    return answer.json() if answer.content else None


async def audit(live: Live, **query: str | int) -> list[dict[str, Any]]:
    answer = await live.http.get("/admin/api/audit", params=query, headers=live.admin())
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


async def test_consent_to_public_servers_can_be_seen_later(live: Live):
    made = await ask(live, "POST", "projects", {"name": "legal"})
    await ask(live, "PATCH", "projects/legal", {"trust": ["own", "public"], "name": "law"})
    (row,) = await audit(live, action="project.update")
    assert row["before"] == {"name": "legal", "trust": ["own", "partner"]}
    assert row["after"] == {"name": "law", "trust": ["own", "public"]}
    assert (row["who"], row["role"], row["how"], row["address"]) == ("token", "owner", "token", "127.0.0.1")
    assert (row["object_type"], row["object_id"], row["object_name"]) == ("project", made["id"], "law")
    (first,) = await audit(live, action="project.create")
    assert first["before"] is None
    assert first["after"]["name"] == "legal"


async def test_every_kind_of_change_leaves_its_row_and_no_secret(live: Live, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LLM_TEST_KEY", KEY)  # the file names it, and is read again
    project = await ask(live, "POST", "projects", {"name": "legal"})
    key = await ask(live, "POST", "keys", {"project": "legal", "name": "ci"})
    await ask(live, "PATCH", f"keys/{key['id']}", {"daily_tokens": 5})
    rotated = await ask(live, "POST", f"keys/{key['id']}/rotate", {"overlap_seconds": 0})
    await ask(live, "POST", f"keys/{rotated['id']}/revoke")
    model = await ask(live, "POST", "models", {"name": "law", "backend": ["llama3.2:3b"], "project": "legal"})
    await ask(live, "PATCH", f"models/{model['id']}", {"description": "For lawyers."})
    await ask(live, "DELETE", f"models/{model['id']}")
    server = await ask(
        live, "POST", "servers", {"name": "lab", "url": "http://127.0.0.1:65000", "kind": "ollama", "trust": "own"}
    )
    await ask(live, "POST", f"servers/{server['id']}/disable")
    await ask(live, "POST", f"servers/{server['id']}/enable")
    await ask(live, "PATCH", f"servers/{server['id']}", {"name": "attic", "max_concurrency": 2})
    await ask(live, "POST", "servers/attic/drain")
    await ask(live, "POST", "servers/bulk", {"ids": ["attic", "nobody"], "action": "enable"})
    await ask(live, "DELETE", f"servers/{server['id']}")
    await ask(live, "POST", "alerts/rules", {"name": "slow", "when": "error_share > 5%"})
    await ask(live, "PATCH", "alerts/rules/slow", {"for": "2m", "enabled": False})
    await ask(live, "DELETE", "alerts/rules/slow")
    await ask(live, "POST", "sources/sync")
    await ask(live, "POST", "config/reload")
    await ask(live, "POST", "requests/erase", {"project": "legal", "end_user": "user-77", "confirm": True})
    await ask(live, "POST", "users", {"name": "ann", "role": "viewer", "password": PASSWORD})
    await ask(live, "PATCH", "users/ann", {"role": "editor"})
    await ask(live, "DELETE", "users/ann/sessions")
    await ask(live, "DELETE", "users/ann")
    await ask(live, "DELETE", "projects/legal")
    rows = await audit(live, who="token")
    assert [row["action"] for row in reversed(rows)] == [
        *("project.create", "key.create", "key.update", "key.rotate", "key.revoke"),
        *("model.create", "model.update", "model.delete"),
        *("server.create", "server.disable", "server.enable"),
        *("server.update", "server.drain", "server.enable", "server.delete"),
        *("alert_rule.create", "alert_rule.update", "alert_rule.delete"),
        *("sources.sync", "config.reload", "requests.erase"),
        *("user.create", "user.update", "user.sign_out", "user.delete", "project.delete"),
    ]
    by_action = {row["action"]: row for row in rows}
    assert by_action["key.update"]["after"] == {"daily_tokens": 5}
    assert by_action["server.disable"]["after"] == {"enabled": False}
    assert by_action["server.update"]["before"] == {"name": "lab", "max_concurrency": None}
    assert by_action["server.drain"]["after"] == {"enabled": False}
    assert by_action["alert_rule.update"]["before"] == {"enabled": True}
    assert by_action["alert_rule.update"]["after"] == {"enabled": False, "for": "2m"}
    assert by_action["model.update"]["object_name"] == "legal/law"
    assert by_action["user.update"]["before"] == {"role": "viewer"}
    assert by_action["project.delete"]["before"]["id"] == project["id"]
    for secret in (key["key"], rotated["key"], PASSWORD, "argon2", ADMIN_TOKEN, "user-77"):
        assert secret not in json.dumps(rows)


async def test_a_change_that_fails_leaves_no_row(live: Live):
    await ask(live, "POST", "projects", {"name": "legal"})
    again = await live.http.post("/admin/api/projects", json={"name": "legal"}, headers=live.admin())
    assert again.status_code == 409
    assert len(await audit(live, action="project")) == 1


async def test_the_config_file_is_somebody_too(live: Live):
    (row,) = await audit(live, who="config file")
    assert (row["action"], row["how"], row["address"]) == ("config.apply", "file", None)
    assert f"project {live.project}" in row["after"]["created"]


async def test_pages_of_the_audit_log_are_bounded_and_follow_each_other(live: Live):
    for n in range(7):
        await ask(live, "POST", "projects", {"name": f"p{n}"})
    seen: list[str] = []
    query: dict[str, str | int] = {"action": "project.create", "limit": 3}
    while True:
        answer = await live.http.get("/admin/api/audit", params=query, headers=live.admin())
        page = answer.json()
        seen += [row["object_name"] for row in page["data"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == [f"p{n}" for n in reversed(range(7))]
    for wrong in ({"limit": 201}, {"cursor": "x"}, {"since": "yesterday"}, {"action": "x" * 65}):
        answer = await live.http.get("/admin/api/audit", params=wrong, headers=live.admin())
        assert answer.status_code == 400, wrong


async def test_the_audit_log_is_exported_as_lines_and_as_a_sheet_that_runs_nothing(live: Live):
    await ask(live, "POST", "projects", {"name": "legal", "description": "=cmd|' /C calc'!A0"})
    await ask(live, "PATCH", "projects/legal", {"description": "second"})
    async with live.running.sessions.write() as s:
        by = Operator("+cmd", Role.OWNER, "file")
        await trail.note(s, by, time.time(), "server.update", Thing("server", name="=1+1"), after={"@": "=1"})
    listed = await audit(live, action="project")
    lines = await ask(live, "GET", "audit/export?action=project")
    assert lines == listed[::-1]

    answer = await live.http.get("/admin/api/audit/export", params={"format": "csv"}, headers=live.admin())
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert list(rows[0]) == list(listed[0])
    assert [row["action"] for row in rows][-3:] == ["project.create", "project.update", "server.update"]
    assert json.loads(rows[-2]["after"]) == {"description": "second"}
    assert (rows[-1]["who"], rows[-1]["object_name"]) == ("'+cmd", "'=1+1")
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())

    nobodys = await live.http.get("/admin/api/audit/export?format=csv&who=nobody", headers=live.admin())
    assert nobodys.text == ",".join(rows[0]) + "\r\n"
    assert await ask(live, "GET", "audit/export?who=nobody") == []
    for wrong in ("format=xlsx", "since=yesterday", f"action={'x' * 65}"):
        answer = await live.http.get(f"/admin/api/audit/export?{wrong}", headers=live.admin())
        assert answer.status_code == 400, wrong


async def test_names_of_users_are_plain_and_nobody_elses(live: Live):
    for name in ("token", "link", "unknown", "gateway", "Ann", "a b", "../x", "", "x" * 65, "a\n"):
        body = {"name": name, "role": "viewer", "password": PASSWORD}
        answer = await live.http.post("/admin/api/users", json=body, headers=live.admin())
        assert answer.status_code == 400, name
    body = {"name": "ann", "role": "viewer", "password": "annannannannann"}
    answer = await live.http.post("/admin/api/users", json=body, headers=live.admin())
    assert answer.json()["error"]["param"] == "password"
    assert "annann" not in answer.text


async def test_many_servers_at_once_leave_a_row_each(live: Live):
    for name in ("a", "b"):
        body = {"name": name, "url": f"http://127.0.0.1:65{ord(name)}", "kind": "ollama", "trust": "own"}
        await ask(live, "POST", "servers", body)
    await ask(live, "POST", "servers/bulk", {"ids": ["a", "nobody", "b"], "action": "drain"})
    assert {row["object_name"] for row in await audit(live, action="server.drain")} == {"a", "b"}


async def test_ending_a_request_is_written_down_and_ending_none_is_not(start: StartGateway, rogue: StartRogue):
    server = await rogue(mood="stall_mid")
    live = await start(server)
    asking = asyncio.create_task(live.stream())
    await wait_until(lambda: server.in_flight == 1, 10.0)
    (running,) = (await ask(live, "GET", "live"))["data"]
    await ask(live, "POST", f"live/{running['request_id']}/cancel")
    await asking
    gone = await live.http.post(f"/admin/api/live/{running['request_id'][::-1]}/cancel", headers=live.admin())
    assert gone.status_code == 404
    (row,) = await audit(live, action="request.cancel")
    assert (row["object_type"], row["object_id"]) == ("request", running["request_id"])
