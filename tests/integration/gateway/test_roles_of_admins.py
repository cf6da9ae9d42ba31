"""Every route of the admin API x everybody who may ask: who gets how far. The routes are those that the application
has, so that a new one is looked at without a word here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi.params import Depends
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from llm_gateway.web.admin.common import EDITOR, OWNER
from llm_gateway.web.cold import create_cold_app
from llm_gateway.web.peers import Peers
from support.gateway import ADMIN_TOKEN, KEY, Live, StartGateway

PASSWORD = "seven unlikely green words"
SESSION = "/admin/api/session"
FOR_NOBODY = {("POST", SESSION), ("GET", f"{SESSION}/options"), ("DELETE", SESSION)}
"""Whoever is about to sign in, or out, needs these."""
FOR_EVERYBODY = {("POST", f"{SESSION}/password")}
"""Whoever is signed in may change their own password."""
SAFE = {"GET", "HEAD"}
REACHED = {200, 201, 204, 400, 404, 409, 503}
"""What is answered to whoever may come in: the request here is a wrong or an empty one."""


class Asked(NamedTuple):
    method: str
    path: str
    owners: bool
    editors: bool
    """Also where it only looks."""


def leaves(routes: Iterable[BaseRoute]) -> list[APIRoute]:
    """FastAPI may hold the routes of a router as one route."""
    found: list[APIRoute] = []
    for route in routes:
        if isinstance(route, APIRoute):
            found.append(route)
        elif (inner := getattr(getattr(route, "original_router", route), "routes", None)) is not None:
            found += leaves(inner)
    return found


def _needs(route: APIRoute, role: Depends) -> bool:
    return any(needed.call is role.dependency for needed in route.dependant.dependencies)


def asked(live: Live) -> list[Asked]:
    app = create_cold_app(live.running, Peers())
    return [
        Asked(method, route.path, _needs(route, OWNER), _needs(route, EDITOR))
        for route in leaves(app.routes)
        if route.path.startswith("/admin/api")
        for method in sorted(route.methods)
    ]


class Crowd(NamedTuple):
    nobody: httpx.AsyncClient
    project: httpx.AsyncClient
    token: httpx.AsyncClient
    viewer: httpx.AsyncClient
    editor: httpx.AsyncClient
    owner: httpx.AsyncClient
    no_csrf: httpx.AsyncClient
    wrong_origin: httpx.AsyncClient
    ended: httpx.AsyncClient
    wrong_token_beside_a_session: httpx.AsyncClient


@pytest.fixture
async def live(start: StartGateway) -> Live:
    return await start()


@pytest.fixture
async def crowd(live: Live) -> AsyncIterator[Crowd]:
    async with AsyncExitStack() as stack:

        async def client(**headers: str) -> httpx.AsyncClient:
            plain = httpx.AsyncClient(base_url=live.base_url, headers=headers, trust_env=False, timeout=30)
            return await stack.enter_async_context(plain)

        async def signed_in(role: str, *, csrf: bool = True, **headers: str) -> httpx.AsyncClient:
            http = await client()
            answer = await http.post(SESSION, json={"name": role, "password": PASSWORD})
            assert answer.status_code == 201, answer.text
            if csrf:
                http.headers["X-CSRF-Token"] = answer.json()["csrf"]
            http.headers.update(headers)
            return http

        for role in ("viewer", "editor", "owner"):
            body = {"name": role, "role": role, "password": PASSWORD}
            made = await live.http.post("/admin/api/users", json=body, headers=live.admin())
            assert made.status_code == 201
        ended = await signed_in("owner")
        cookies = dict(ended.cookies)
        assert (await ended.delete(SESSION)).status_code == 204
        ended.cookies.update(cookies)
        yield Crowd(
            nobody=await client(),
            project=await client(**{"X-API-Key": KEY, "Authorization": f"Bearer {KEY}"}),
            token=await client(Authorization=f"Bearer {ADMIN_TOKEN}"),
            viewer=await signed_in("viewer"),
            editor=await signed_in("editor"),
            owner=await signed_in("owner"),
            no_csrf=await signed_in("owner", csrf=False),
            wrong_origin=await signed_in("owner", Origin="https://evil.example"),
            ended=ended,
            wrong_token_beside_a_session=await signed_in("owner", Authorization="Bearer not-the-token-of-anybody"),
        )


def allowed(who: str, route: Asked) -> bool:
    looks = route.method in SAFE
    match who:
        case "token" | "owner":
            return True
        case "editor":
            return not route.owners
        case "viewer":
            if route.editors:
                return False
            return not route.owners and (looks or (route.method, route.path) in FOR_EVERYBODY)
        case "no_csrf" | "wrong_origin":
            return looks
    return False


def address(route: Asked) -> str:
    """With ids that nothing has: an object that is there would tell nothing more, for who asks is looked at first."""
    path = route.path
    while "{" in path:
        before, _, rest = path.partition("{")
        path = f"{before}00000000-0000-7000-8000-000000000000{rest.partition('}')[2]}"
    return path


async def test_who_gets_how_far_on_every_route(live: Live, crowd: Crowd):
    live.gateway.failed_keys._limit = 10_000  # wrong tokens are told 401 and, at some time, 429
    routes = [route for route in asked(live) if (route.method, route.path) not in FOR_NOBODY]
    assert len(routes) > 35, "the walk over the routes finds none"
    wrong = []
    for route in routes:
        for who, http in crowd._asdict().items():
            answer = await answered(http, route)
            expected = REACHED if allowed(who, route) else {401, 403}
            if answer not in expected:
                wrong.append(f"{who}: {route.method} {route.path} -> {answer}")
    assert not wrong, "\n".join(wrong)


async def answered(http: httpx.AsyncClient, route: Asked) -> int:
    """The status alone: some answers never end."""
    kept = dict(http.cookies)
    body: dict[str, Any] = {"json": {"no_such_field": 1}} if route.method not in SAFE else {}
    async with http.stream(route.method, address(route), **body) as answer:
        status = answer.status_code
    http.cookies.clear()
    http.cookies.update(kept)
    return status


async def test_what_people_wrote_is_not_for_viewers(live: Live, crowd: Crowd):
    path = "/admin/api/requests/00000000-0000-7000-8000-000000000000/payload"
    assert [(await http.get(path)).status_code for http in (crowd.viewer, crowd.editor)] == [403, 404]
    export = "/admin/api/requests/export"
    rows = [(await http.get(export)).status_code for http in (crowd.viewer, crowd.editor)]
    texts = [(await http.get(export, params={"payloads": "true"})).status_code for http in (crowd.viewer, crowd.editor)]
    assert (rows, texts) == ([200, 200], [403, 200])


async def test_users_and_links_are_the_owners(live: Live):
    owners = {(route.method, route.path) for route in asked(live) if route.owners}
    assert {("GET", "/admin/api/users"), ("DELETE", "/admin/api/users/{name}"), ("POST", f"{SESSION}/links")} <= owners


async def test_nobody_is_told_what_exists(live: Live, crowd: Crowd):
    there, not_there = [
        await crowd.nobody.get(f"/admin/api/projects/{name}") for name in (live.project, "nothing-of-that-name")
    ]
    bodies = [answer.json()["error"] for answer in (there, not_there)]
    for body in bodies:
        body.pop("request_id")
    assert bodies[0] == bodies[1]
