"""Every route there is, with every kind of credential: who gets in, and what is in front of the doors."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Mount, Route

from llm_gateway.access.identify import FailedKeys
from llm_gateway.web.cold import create_cold_app
from llm_gateway.web.peers import Peers
from llm_gateway.web.surfaces import ROUTES
from llm_gateway.web.surfaces.ollama_lists import BLOCKED
from support.gateway import ADMIN_TOKEN, HELLO, KEY, Live, StartGateway
from support.net import exchange
from support.rogues import StartRogue

OPEN = {
    ("GET", path)
    for path in (
        *("/v1/health", "/livez", "/healthz", "/health/liveliness", "/readyz", "/health/readiness"),
        *("/docs", "/openapi.json", "/", "/api/version"),
    )
}
"""Everybody's: they tell nothing about projects."""
DASHBOARD = {("GET", path) for path in ("/admin", "/admin/", "/admin/{path:path}")}
"""Its files are the same for everybody; what they show comes from the admin API."""
HOT = [route.path for route in ROUTES]
LISTS = ("/v1/models", "/v1/models/{model_id:path}", "/api/tags", "/api/ps", "/v1/usage")
PROJECTS = {("GET", path) for path in LISTS} | {("POST", path) for path in (*HOT, "/api/show")}
REFUSED = {(method, path) for method in ("GET", "POST", "PUT", "PATCH", "DELETE") for path in BLOCKED}
"""Whoever has a key is told that these are not for clients."""
SESSION = "/admin/api/session"
DOORS = {("POST", SESSION), ("DELETE", SESSION), ("GET", f"{SESSION}/options")}
"""Whoever is about to sign in uses them, and whoever has signed out."""
UUID0 = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
async def live(start: StartGateway, rogue: StartRogue) -> Live:
    return await start(await rogue())


def cold_routes(live: Live) -> list[Route | APIRoute]:
    """Those of FastAPI; mounted is nothing but the assets of the documentation."""
    found: list[Route | APIRoute] = []
    waiting = list(create_cold_app(live.running, Peers()).routes)
    while waiting:
        route = waiting.pop()
        if inner := getattr(route, "original_router", None):  # FastAPI's stand-in for an included router
            waiting += inner.routes
        elif isinstance(route, Mount):
            assert route.path == "/docs/assets"
        else:
            assert isinstance(route, Route | APIRoute)
            found.append(route)
    return found


def routes(live: Live) -> Iterator[tuple[str, str]]:
    """(method, path) of every route, the ones before FastAPI included."""
    for path in HOT:
        yield "POST", path
    for route in cold_routes(live):
        for method in sorted((route.methods or set()) - {"HEAD"}):
            yield method, route.path


def is_admins(path: str) -> bool:
    return path.startswith("/admin/api/") or path == "/metrics"


def filled(path: str) -> str:
    return re.sub(r"\{[^}]+\}", UUID0, path)


async def status(live: Live, method: str, path: str, headers: dict[str, str]) -> int:
    body: Any = {"model": "nobody-has-this", "messages": HELLO} if method in ("POST", "PUT", "PATCH") else None
    headers = {"X-API-Key": "", **headers}
    async with live.http.stream(method, filled(path), json=body, headers=headers) as answer:  # some never end
        return answer.status_code


async def test_every_route_lets_in_whom_it_should_and_nobody_else(live: Live):
    known = set(routes(live))
    assert {route for route in known if not is_admins(route[1])} <= OPEN | DASHBOARD | PROJECTS | REFUSED, (
        "a route nobody has thought about"
    )
    assert len(known) > 30
    wrong: list[str] = []
    for method, path in sorted(known):
        got = {
            "none": await status(live, method, path, {}),
            "project": await status(live, method, path, {"X-API-Key": KEY}),
            "project as bearer": await status(live, method, path, {"Authorization": f"Bearer {KEY}"}),
            "project as admin": await status(live, method, path, {"X-Admin-Key": KEY}),
            "admin": await status(live, method, path, {"Authorization": f"Bearer {ADMIN_TOKEN}"}),
            "admin's own header": await status(live, method, path, {"X-Admin-Key": ADMIN_TOKEN}),
            "bad": await status(live, method, path, {"X-API-Key": "bad", "X-Admin-Key": "bad"}),
        }
        live.gateway.failed_keys = FailedKeys()  # one address tries everything here
        if (method, path) in DOORS:
            ok = set(got.values()) <= {200, 204, 400, 401}
        elif (method, path) in OPEN:
            ok = set(got.values()) <= {200, 404}
        elif (method, path) in DASHBOARD:
            ok = set(got.values()) <= {200, 307, 404}
        elif is_admins(path):
            outside = {name for name, code in got.items() if code in (401, 429)}
            ok = outside == {"none", "project", "project as bearer", "project as admin", "bad"}
        else:
            outside = {name for name, code in got.items() if code == 401}
            ok = outside == {"none", "project as admin", "admin", "admin's own header", "bad"}
        if not ok or max(got.values()) >= 500:
            wrong.append(f"{method} {path}: {got}")
    assert not wrong, "\n".join(wrong)


async def test_probes_of_other_gateways_find_their_paths(live: Live):
    async def told(path: str) -> tuple[int, object]:
        answer = await live.http.get(path, headers={"X-API-Key": ""})
        return answer.status_code, answer.json()

    for draining, ready in ((False, 200), (True, 503)):
        live.gateway.draining = draining
        assert (
            await told("/healthz")
            == await told("/health/liveliness")
            == await told("/livez")
            == (200, {"status": "ok"})
        )
        assert await told("/health/readiness") == await told("/readyz")
        assert (await told("/readyz"))[0] == ready


async def test_no_route_runs_beside_the_event_loop(live: Live):
    """In a thread it would share the gateway's state with the loop, without a lock."""

    def plain(dependant: Any) -> Iterator[Any]:
        if not inspect.iscoroutinefunction(dependant.call) and not inspect.isasyncgenfunction(dependant.call):
            yield dependant.call
        for inner in dependant.dependencies:
            yield from plain(inner)

    for route in cold_routes(live):
        if isinstance(route, APIRoute):
            assert list(plain(route.dependant)) == [], route.path
        else:
            assert inspect.iscoroutinefunction(route.endpoint), route.path


@pytest.mark.parametrize(
    "path",
    [
        *("/admin/api/projects/", "//admin/api/projects", "/admin//api/projects", "/ADMIN/api/projects"),
        *("/v1/../admin/api/projects", "/admin/api/projects%2f", "/admin%2fapi/projects", "/%61dmin/api/projects"),
        *("/admin/api/projects;a=b", "/admin/api/projects?x=/v1/health", "/v1/health/../../admin/api/projects"),
    ],
)
async def test_no_spelling_of_an_admin_path_opens_it_to_a_project(live: Live, path: str):
    for way in (f"X-API-Key: {KEY}", f"Authorization: Bearer {KEY}", f"X-Admin-Key: {KEY}", "X-A: b"):
        raw = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{way}\r\nConnection: close\r\n\r\n"
        got = await exchange(live.port, raw.encode())
        assert got.status in (307, 401, 404), got.data
        assert b'"data"' not in got.data
        if got.status == 307:
            assert b"\r\nlocation: http://127.0.0.1/admin/api/projects\r\n" in got.head


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True),
        ("localhost:8000", True),
        ("[::1]:8000", True),
        ("llm.example.org", True),
        ("llm.example.org:443", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("a/admin?", False),
        ("", False),
        ("llm.example.org@evil.example", False),
        ("[::1", False),
    ],
)
async def test_the_admin_api_answers_only_under_its_own_name(
    start: StartGateway, rogue: StartRogue, host: str, allowed: bool
):
    live = await start(await rogue(), public_url="https://llm.example.org")
    rest = f"HTTP/1.1\r\nHost: {host}\r\nX-Admin-Key: {ADMIN_TOKEN}\r\nConnection: close\r\n\r\n"
    got = await exchange(live.port, f"GET /admin/api/projects {rest}".encode())
    assert got.status == (200 if allowed else 403), got.data
    if not allowed:
        assert b'"code":"forbidden"' in got.data
    assert (await exchange(live.port, f"GET /metrics {rest}".encode())).status == 200  # a scraper's name is its own
    raw = f"GET /v1/models HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {KEY}\r\nConnection: close\r\n\r\n"
    assert (await exchange(live.port, raw.encode())).status == 200  # projects come under any name


async def test_behind_a_proxy_that_keeps_its_prefix_everything_is_where_it_was(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), root_path="/llm")
    for prefix in ("", "/llm"):
        assert (await live.chat(f"{prefix}/v1/chat")).status_code == 200
        assert (await live.stream(f"{prefix}/v1/chat/stream")).done
        assert (await live.http.get(f"{prefix}/v1/models")).status_code == 200
        assert (await live.http.get(f"{prefix}/v1/models/recite")).status_code == 200
        assert (await live.http.get(f"{prefix}/docs")).status_code == 200
        assert (await live.http.get(f"{prefix}/docs/assets/swagger-ui.css")).status_code == 200
        assert (await live.http.get(f"{prefix}/admin/api/projects")).status_code == 401
    assert "/llm/openapi.json" in (await live.http.get("/docs")).text
    assert (await live.http.get("/llmx/v1/models")).status_code == 404


async def test_forwarded_addresses_are_believed_of_configured_proxies_only(start: StartGateway, rogue: StartRogue):
    async def guesses(live: Live) -> list[int]:
        statuses = []
        for n in range(22):
            headers = {"X-API-Key": f"guess-{n}", "X-Forwarded-For": f"203.0.113.{n}"}
            statuses.append((await live.chat(headers=headers)).status_code)
        return statuses

    stranger = await start(await rogue())
    assert (await guesses(stranger)).count(429) == 2  # one address, whatever it says
    trusting = await start(await rogue(), trusted_proxies=["127.0.0.0/8"])
    assert (await guesses(trusting)).count(429) == 0  # 22 addresses
    spoofed = []
    for n in range(22):
        headers = {"X-API-Key": f"guess-{n}", "X-Forwarded-For": f"198.51.100.{n}, 203.0.113.99"}
        spoofed.append((await trusting.chat(headers=headers)).status_code)
    assert spoofed.count(429) == 2  # what the client wrote before the proxy's word is not believed


async def test_browsers_of_other_origins_get_no_access_by_default(live: Live):
    for path in ("/v1/chat", "/v1/models", "/admin/api/projects"):
        headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        asked = await live.http.options(path, headers=headers)
        assert asked.status_code in (401, 405)
        assert not [name for name in asked.headers if name.startswith("access-control")]


async def test_listed_origins_may_call_and_read_streams(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), cors_origins=["https://chat.example.org"])
    friend, stranger = "https://chat.example.org", "https://evil.example"
    asked = await live.http.options(
        "/v1/chat/completions",
        headers={
            "Origin": friend,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == friend
    answer = await live.chat("/v1/chat/stream", headers={"Origin": friend})
    assert answer.headers["access-control-allow-origin"] == friend
    assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()
    assert answer.text.endswith("data: [DONE]\n\n")
    other = await live.chat(headers={"Origin": stranger})
    assert "access-control-allow-origin" not in other.headers
    assert answer.headers.get("access-control-allow-credentials") is None


async def test_no_origin_may_reach_the_admin_api_from_a_browser(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), cors_origins=["https://chat.example.org"])
    friend = {"Origin": "https://chat.example.org", "Access-Control-Request-Method": "GET"}
    asked = await live.http.options("/admin/api/projects", headers=friend)
    assert "access-control-allow-origin" not in asked.headers
    answer = await live.http.get("/admin/api/projects", headers={**live.admin(), "Origin": friend["Origin"]})
    assert "access-control-allow-origin" not in answer.headers


async def test_the_description_lists_every_client_route(live: Live):
    described = (await live.http.get("/openapi.json", headers={"X-API-Key": ""})).json()["paths"]
    for method, path in routes(live):
        shown = path.replace(":path", "")
        if (method, path) in REFUSED | DASHBOARD:
            assert shown not in described
        elif not is_admins(path) and path not in ("/docs", "/openapi.json", "/", "/healthz") and "/health/" not in path:
            assert method.lower() in described[shown], path


async def test_the_documentation_needs_nothing_from_elsewhere(live: Live):
    page = (await live.http.get("/docs")).text
    assert "https://" not in page.replace("https://github.com", "")
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert (await live.http.get(f"/docs/assets/{asset}")).status_code == 200
