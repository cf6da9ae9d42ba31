"""The API's description is true: what programs are generated from it read what is really sent."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from support.described import Description
from support.gateway import KEY, MODEL, Live, StartGateway, entry
from support.net import wait_until
from support.receivers import Receive, receive
from support.rogues import StartRogue

__all__ = ["receive"]

ADMIN = "/admin/api"
PASSWORD = "seven unlikely green words"


class Told:
    """The administrator; each answer is compared with its description."""

    def __init__(self, live: Live, description: Description) -> None:
        self._live = live
        self._description = description

    async def __call__(self, method: str, path: str, body: Any = None, status: int = 200, **query: Any) -> Any:
        answer = await self._live.http.request(
            method, ADMIN + path, json=body, params=query, headers=self._live.admin()
        )
        assert answer.status_code == status, answer.text
        self._description.compare(answer)
        return answer.json() if answer.headers.get("content-type") == "application/json" else answer.text


async def described(live: Live) -> Description:
    return Description((await live.http.get("/openapi.json")).json())


async def test_every_answer_of_the_admin_api_is_as_it_is_described(
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
    await told("DELETE", "/servers/lab", status=204)
    for server in ("good", "dead"):
        await told("POST", f"/servers/{server}/probe")
        await told("GET", f"/servers/{server}")
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
    await told("GET", "/stats/overview")

    await live.running.alerts.look()
    await told("POST", "/alerts/test", {})
    await told("GET", "/alerts")
    await told("GET", "/config")
    await told("POST", "/config/reload")

    ann = {"name": "ann", "role": "editor", "password": PASSWORD}
    await told("POST", "/users", ann, status=201)
    await told("PATCH", "/users/ann", {"role": "viewer"})
    await told("GET", "/users")
    await told("GET", "/session/options")
    await told("POST", "/session/links", status=201)
    await told("GET", "/session")
    await told("DELETE", "/session", status=204)
    csrf = (await told("POST", "/session", {"name": "ann", "password": PASSWORD}, status=201))["csrf"]
    both = {"current": PASSWORD, "new": f"{PASSWORD} again"}
    description.compare(await live.http.post(f"{ADMIN}/session/password", json=both, headers={"X-CSRF-Token": csrf}))
    await told("DELETE", "/users/ann/sessions")
    await told("DELETE", "/users/ann", status=204)
    await told("GET", "/audit")

    await told("POST", "/requests/erase", {"project": live.project, "confirm": True})
    await told("GET", "/requests/erasures")
    await told("DELETE", f"/projects/{made['id']}", status=204)
    assert description.seen == description.operations(ADMIN)


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


async def _kept(live: Live, request_id: str) -> bool:
    answer = await live.http.get(f"{ADMIN}/requests/{request_id}/payload", headers=live.admin())
    return answer.status_code == 200
