"""The API's description is true: what programs are generated from it read what is really sent. And what changes
something leaves its row in the audit log."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httpx
import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import func, select

from llm_gateway.storage.tables import audit_log
from support.described import Description, Operation
from support.gateway import KEY, MODEL, Live, StartGateway, entry
from support.net import wait_until
from support.receivers import Receive, receive
from support.rogues import StartRogue

__all__ = ["receive"]

ADMIN = "/admin/api"
PASSWORD = "seven unlikely green words"
NOT_IN_THE_AUDIT_LOG: Final = {
    ("POST", "/servers/{server}/probe"): "it looks at a server, as the gateway does by itself all the time",
    ("POST", "/servers/verify"): "it looks at an address, and keeps nothing",
    ("POST", "/models/test"): "its row is in the request log",
    ("POST", "/playground/chat"): "its row is in the request log",
    ("POST", "/alerts/rules/{name}/test"): "it reads figures, and tells nobody",
    ("POST", "/config/diff"): "it compares, and changes nothing",
}
"""Operations that are no `GET` and write no row there, each with its reason."""


class Told:
    """The administrator; each answer is compared with its description."""

    def __init__(self, live: Live, description: Description) -> None:
        self._live = live
        self._description = description
        self.noted: set[Operation] = set()
        """Operations that wrote into the audit log."""

    async def __call__(
        self, method: str, path: str, body: Any = None, status: int = 200, headers: Any = None, **query: Any
    ) -> Any:
        before = await self._noted()
        headers = headers if headers is not None else self._live.admin()
        answer = await self._live.http.request(method, ADMIN + path, json=body, params=query, headers=headers)
        assert answer.status_code == status, answer.text
        operation = self._description.compare(answer)
        if operation is not None and await self._noted() > before:
            self.noted.add(operation)
        return answer.json() if answer.headers.get("content-type") == "application/json" else answer.text

    async def begun(self, path: str) -> None:
        """The first words of an answer that never ends."""
        async with self._live.http.stream("GET", ADMIN + path, headers=self._live.admin()) as answer:
            first = await anext(answer.aiter_bytes())
            kept = {"content-type": answer.headers["content-type"]}
            self._description.compare(httpx.Response(200, headers=kept, content=first, request=answer.request))

    async def _noted(self) -> int:
        async with self._live.running.sessions.read() as s:
            return int((await s.execute(select(func.count()).select_from(audit_log))).scalar_one())


async def described(live: Live) -> Description:
    return Description((await live.http.get("/openapi.json")).json())


async def test_every_answer_of_the_admin_api_is_as_it_is_described_and_every_change_is_in_the_audit_log(
    start: StartGateway, rogue: StartRogue, receive: Receive, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LLM_TEST_KEY", KEY)  # of the config file, which is read again
    good, dead = await rogue(), await rogue()
    receiver = await receive()
    live = await start(
        entry(good) | {"name": "good"},
        entry(dead) | {"name": "dead"},
        project={"store_payloads": True, "daily_tokens": 10**6, "monthly_cost": 5.5},
        alerts={"webhooks": [{"name": "ops", "url": receiver.url}]},
    )
    description = await described(live)
    told = Told(live, description)

    dead.mood, dead.everywhere = "html_200", True
    live.prefer(dead)
    assert (await live.chat(user="ada")).status_code == 200
    assert (await live.chat(model="nobody-has-this")).status_code == 404
    row = (await live.rows(2))[0]

    made = await told("POST", "/projects", {"name": "new", "daily_cost": 1, "redact": ["x+"]}, status=201)
    await told("PATCH", "/projects/new", {"allowed_models": [MODEL], "payload_days": 3})
    for path in ("/projects", "/projects/new", "/projects/new/limits", f"/projects/{live.project}/limits"):
        await told("GET", path)
    await told("POST", "/projects", {"name": ""}, status=400)

    key = await told("POST", "/keys", {"project": "new", "max_concurrency": 2}, status=201)
    await told("PATCH", f"/keys/{key['id']}", {"daily_tokens": 5})
    await told("GET", f"/keys/{key['id']}/limits")
    turned = await told("POST", f"/keys/{key['id']}/rotate", status=201)
    await told("POST", f"/keys/{turned['id']}/revoke")
    await told("GET", "/keys")

    price = {"input": 1, "output": 2.5}
    model = await told("POST", "/models", {"name": "law", "backend": [MODEL], "price": price}, status=201)
    await told("PATCH", f"/models/{model['id']}", {"params": {"temperature": 0.5}})
    await told("GET", "/models")
    await told("GET", f"/models/{MODEL}/explain", project=live.project, need="tools")
    await told("DELETE", f"/models/{model['id']}", status=204)

    await told("GET", "/recipes")
    await told("GET", "/recipes", project=live.project, model=MODEL, address="https://llm.example.org/v1/")
    await told("GET", "/recipes", address="nowhere", status=400)

    lab = {"name": "lab", "url": "http://127.0.0.1:1999", "kind": "ollama", "trust": "own"}
    await told("POST", "/servers", lab, status=201)
    await told("POST", "/servers/lab/disable")
    await told("POST", "/servers/lab/enable")
    await told("PATCH", "/servers/lab", {"trust": "partner", "max_concurrency": 3})
    await told("POST", "/servers/lab/drain")
    await told("POST", "/servers/bulk", {"ids": ["lab", "nobody"], "action": "enable"})
    await told("POST", "/servers/bulk", {"ids": ["good", "lab"], "action": "probe"})
    await told("DELETE", "/servers/lab", status=204)
    address = {"url": good.url, "kind": "ollama"}
    assert (await told("POST", "/servers/verify", address))["ok"]
    assert not (await told("POST", "/servers/verify", {"url": "http://127.0.0.1:1999", "kind": "openai"}))["ok"]
    for server in ("good", "dead"):
        await told("POST", f"/servers/{server}/probe")
        await told("GET", f"/servers/{server}")
        await told("GET", f"/servers/{server}/timeline")
    await told("GET", "/servers/timeline")
    await told("GET", "/servers")
    await told("GET", "/sources")
    await told("POST", "/sources/sync")

    await told("GET", "/requests", limit=1)
    tail = await told("GET", "/requests/tail")
    await told("GET", "/requests/tail", cursor=tail["next_cursor"])
    shown = await told("GET", f"/requests/{row['id']}")
    assert [attempt["outcome"] for attempt in shown["attempts"]] == ["not_the_protocol", "ok"]
    await wait_until(lambda: _kept(live, row["id"]), 10.0)
    await told("GET", f"/requests/{row['id']}/payload")
    exported = await told("GET", "/requests/export", payloads="true")
    assert exported.count("\n") == 2
    await told("GET", "/requests/export", format="csv")

    by = "project,key,model,backend_model,tier,endpoint,status_class,error_code"
    for more in ({"by": by, "bucket": "hour"}, {"by": by}, {"by": ""}):
        await told("GET", "/stats", **more)
    await told("GET", "/stats", by="hour_of_week,model")
    await told("GET", "/stats/overview")

    for project in (live.project, "new"):
        await told("POST", "/models/test", {"model": MODEL, "project": project})
    assert not (await told("POST", "/models/test", {"model": "nobody-has-this", "project": live.project}))["ok"]
    chat = {"project": live.project, "model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
    assert "data: " in await told("POST", "/playground/chat", chat)
    await told("GET", "/catalogue", q=MODEL, healthy="true")
    await told("GET", "/onboarding")
    await told("GET", "/doctor")

    good.mood = "stall_mid"
    asking = asyncio.create_task(live.stream())
    await wait_until(lambda: _streams(live), 10.0)
    running = (await told("GET", "/live"))["data"]
    await told("POST", f"/live/{running[0]['request_id']}/cancel")
    await asking
    good.mood = "good"
    await told.begun("/live/feed")

    await live.running.alerts.look()
    await told("POST", "/alerts/test", {})
    await told("GET", "/alerts")
    rule = {"name": "slow_law", "when": "error_share > 5%", "project": live.project, "severity": "info"}
    await told("POST", "/alerts/rules", rule, status=201)
    await told("PATCH", "/alerts/rules/slow_law", {"enabled": False, "for": "2m"})
    await told("GET", "/alerts/rules")
    await told("POST", "/alerts/rules/slow_law/test")
    await told("DELETE", "/alerts/rules/slow_law", status=204)
    written = (await told("GET", "/config/export"))["yaml"]
    await told("POST", "/config/diff", {"yaml": written})
    await told("GET", "/config")
    await told("POST", "/config/reload")

    ann = {"name": "ann", "role": "editor", "password": PASSWORD}
    await told("POST", "/users", ann, status=201)
    await told("PATCH", "/users/ann", {"role": "viewer"})
    await told("GET", "/users")
    await told("GET", "/session/options")
    await told("POST", "/session/links", status=201)
    await told("GET", "/session")
    csrf = (await told("POST", "/session", {"name": "ann", "password": PASSWORD}, status=201))["csrf"]
    both = {"current": PASSWORD, "new": f"{PASSWORD} again"}
    csrf = (await told("POST", "/session/password", both, headers={"X-CSRF-Token": csrf}))["csrf"]
    await told("DELETE", "/session", status=204, headers={"X-CSRF-Token": csrf})
    await told("DELETE", "/users/ann/sessions")
    await told("DELETE", "/users/ann", status=204)
    await told("GET", "/audit")
    assert (await told("GET", "/audit/export")).count("\n") > 20
    await told("GET", "/audit/export", format="csv")

    await told("POST", "/requests/erase", {"project": live.project, "confirm": True})
    await told("GET", "/requests/erasures")
    await told("DELETE", f"/projects/{made['id']}", status=204)
    operations = description.operations(ADMIN)
    assert description.seen == operations
    quiet = {(method, ADMIN + path) for method, path in NOT_IN_THE_AUDIT_LOG}
    assert {(method, path) for method, path in operations if method != "GET"} - told.noted == quiet
    assert {method for method, _ in told.noted} == {"POST", "PATCH", "DELETE"}, "who looks is not written down"


async def test_what_projects_and_probes_are_told_is_as_it_is_described(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), project={"daily_tokens": 10**6})
    description = await described(live)
    assert (await live.chat()).status_code == 200
    await live.rows(1)
    paths = ("/v1/models", f"/v1/models/{MODEL}", "/v1/usage", "/v1/health", "/livez", "/readyz")
    for path in (*paths, "/v1/health?deep=true", "/v1/health?deep=true", "/v1/usage?since=never"):
        description.compare(await live.http.get(path))
    assert len(description.seen) == len(paths)


async def test_operations_have_names_that_are_theirs_alone_and_errors_that_are_described(
    start: StartGateway, rogue: StartRogue
):
    schema = (await (await start(await rogue())).http.get("/openapi.json")).json()
    found = [(path, operation) for path, methods in schema["paths"].items() for operation in methods.values()]
    names = [operation["operationId"] for _, operation in found]
    assert sorted(set(names)) == sorted(names)
    for path, operation in found:
        assert "422" not in operation["responses"], path  # nothing here ever answers so
        if path.startswith(ADMIN):
            assert "default" in operation["responses"], path
            answers = [answer for status, answer in operation["responses"].items() if status != "204"]
            assert all(content["schema"] for answer in answers for content in answer["content"].values()), path


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        mine = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return mine.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


async def test_the_description_leads_nowhere_where_nothing_is(start: StartGateway, rogue: StartRogue):
    schema = (await (await start(await rogue())).http.get("/openapi.json")).json()
    components = schema["components"]["schemas"]
    assert {reference.removeprefix("#/components/schemas/") for reference in references(schema)} <= set(components)
    for name, component in components.items():
        Draft202012Validator.check_schema(component)
        for field, described in component.get("properties", {}).items():
            if "default" in described:
                whole = {**described, "components": schema["components"]}
                assert Draft202012Validator(whole).is_valid(described["default"]), f"{name}.{field}"


async def _streams(live: Live) -> bool:
    found = (await live.http.get(f"{ADMIN}/live", headers=live.admin())).json()["data"]
    return any(row["phase"] == "streaming" for row in found)


async def _kept(live: Live, request_id: str) -> bool:
    answer = await live.http.get(f"{ADMIN}/requests/{request_id}/payload", headers=live.admin())
    return answer.status_code == 200
