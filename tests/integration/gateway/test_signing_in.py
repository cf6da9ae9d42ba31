"""Signing in to the admin API: how, for how long, and what whoever guesses learns."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from llm_gateway.storage import logins
from support.gateway import ADMIN_TOKEN, Live, StartGateway

PASSWORD = "seven unlikely green words"
ANOTHER = "eight unlikely blue words"
SESSION = "/admin/api/session"
COOKIE = "llm_gateway_session"


@pytest.fixture
async def live(start: StartGateway) -> Live:
    return await start(trusted_proxies=["127.0.0.1/32"])


def browser(live: Live, **headers: str) -> httpx.AsyncClient:
    """Keeps cookies, as a browser does."""
    return httpx.AsyncClient(base_url=live.base_url, headers=headers, trust_env=False)


async def ask(live: Live, method: str, path: str, body: Any = None) -> Any:
    """As the holder of the token."""
    answer = await live.http.request(method, path, json=body, headers=live.admin())
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


async def add(live: Live, name: str = "ann", role: str = "editor") -> None:
    await ask(live, "POST", "/admin/api/users", {"name": name, "role": role, "password": PASSWORD})


async def sign_in(http: httpx.AsyncClient, name: str = "ann", password: str = PASSWORD) -> httpx.Response:
    return await http.post(SESSION, json={"name": name, "password": password})


async def signed_in(live: Live, http: httpx.AsyncClient, **how: str) -> str:
    """Returns the CSRF token."""
    answer = await http.post(SESSION, json=how or {"name": "ann", "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["csrf"])


async def link(live: Live) -> str:
    url: str = (await ask(live, "POST", f"{SESSION}/links"))["url"]
    address, _, secret = url.partition("/admin/#/login?t=")
    assert address == live.base_url or address.startswith("http://127.0.0.1")
    return secret


class Stopped:
    """A clock that the test moves."""

    def __init__(self, live: Live) -> None:
        self._now, self._wall = live.gateway.clock.now(), live.gateway.clock.wall()

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._wall += seconds


def stopped(live: Live) -> Stopped:
    """The gateway's clock from now on."""
    clock = live.gateway.clock = Stopped(live)
    return clock


async def audit(live: Live, **query: str) -> list[dict[str, Any]]:
    answer = await live.http.get("/admin/api/audit", params=query, headers=live.admin())
    return list(answer.json()["data"])


async def test_a_user_signs_in_looks_changes_and_signs_out(live: Live):
    await add(live)
    async with browser(live) as http:
        nobody = await http.get(SESSION)
        assert (nobody.status_code, nobody.json()["error"]["options"]) == (401, {"encrypted": False, "local": True})
        answer = await sign_in(http)
        assert answer.status_code == 201
        said = answer.json()
        assert said["user"] == {"name": "ann", "role": "editor", "how": "password"}
        assert (await http.get(SESSION)).json() == said
        assert (await http.get("/admin/api/projects")).status_code == 200
        body = {"name": "made-by-ann"}
        assert (await http.post("/admin/api/projects", json=body)).status_code == 403
        headers = {"X-CSRF-Token": said["csrf"]}
        assert (await http.post("/admin/api/projects", json=body, headers=headers)).status_code == 201
        assert (await http.delete(SESSION)).status_code == 403, "signing out is a change, too"
        kept = http.cookies[COOKIE]
        assert (await http.delete(SESSION, headers=headers)).status_code == 204
        assert COOKIE not in http.cookies
        old = {"Cookie": f"{COOKIE}={kept}"}
        assert (await http.get("/admin/api/projects", headers=old)).status_code == 401


async def test_the_cookie_over_plain_http_is_one_that_browsers_keep(live: Live):
    await add(live)
    async with browser(live) as http:
        told = (await sign_in(http)).headers["set-cookie"]
    assert told.startswith(f"{COOKIE}=")
    assert "HttpOnly" in told
    assert "SameSite=strict" in told
    assert "Path=/;" in told
    assert "Secure" not in told
    assert "Domain" not in told


async def test_behind_tls_the_cookie_is_secure_and_bound_to_this_host(live: Live):
    await add(live)
    async with browser(live, **{"X-Forwarded-Proto": "https"}) as http:
        answer = await sign_in(http)
        told = answer.headers["set-cookie"]
        assert told.startswith(f"__Host-{COOKIE}=")
        assert "; Secure" in told
        assert answer.headers["strict-transport-security"]
        value = told.partition("=")[2].partition(";")[0]
        right, wrong = ({"Cookie": f"{name}={value}"} for name in (f"__Host-{COOKIE}", COOKIE))
        assert (await http.get(SESSION, headers=right)).status_code == 200
        assert (await http.get(SESSION, headers=wrong)).status_code == 401, "a neighbouring host could have set it"
        assert (await http.get(f"{SESSION}/options")).json()["encrypted"] is True


async def test_who_is_no_trusted_proxy_makes_no_cookie_secure(start: StartGateway):
    live = await start()
    await add(live)
    async with browser(live, **{"X-Forwarded-Proto": "https"}) as http:
        assert "Secure" not in (await sign_in(http)).headers["set-cookie"]


async def test_a_link_signs_one_person_in_as_owner_once(live: Live):
    secret = await link(live)
    async with browser(live) as first, browser(live) as second:
        answers = await asyncio.gather(*(http.post(SESSION, json={"link": secret}) for http in (first, second)))
        assert sorted(a.status_code for a in answers) == [201, 401]
        won = next(a for a in answers if a.status_code == 201)
        assert won.json()["user"] == {"name": "link", "role": "owner", "how": "link"}
        lost = next(a for a in answers if a.status_code == 401)
        assert lost.json()["error"]["code"] == "login_failed"


async def test_a_link_is_good_for_a_quarter_of_an_hour(live: Live):
    clock, secret = stopped(live), await link(live)
    clock.advance(logins.LINK_LIFE)
    async with browser(live) as http:
        assert (await http.post(SESSION, json={"link": secret})).status_code == 401


async def test_the_token_signs_in_as_well_and_another_token_ends_that(live: Live):
    async with browser(live) as http:
        await signed_in(live, http, token=ADMIN_TOKEN)
        assert (await http.get(SESSION)).json()["user"]["name"] == "token"
        live.running.admin_token = "another-token-of-the-operator"
        assert (await http.get(SESSION)).status_code == 200, "remembered for some seconds"
        stopped(live).advance(11)
        assert (await http.get(SESSION)).status_code == 401


@pytest.mark.parametrize(
    "body", [{}, {"name": "ann"}, {"link": "x", "token": "y"}, {"password": "x"}, {"name": "a", "password": 3}, []]
)
async def test_one_way_at_a_time(live: Live, body: object):
    answer = await live.http.post(SESSION, json=body)
    assert answer.status_code == 400, answer.text


async def test_a_session_ends_when_nobody_uses_it_for_half_an_hour(live: Live):
    await add(live)
    clock = stopped(live)
    async with browser(live) as http:
        await signed_in(live, http)
        for _ in range(3):
            clock.advance(logins.IDLE - 1)
            assert (await http.get(SESSION)).status_code == 200
        clock.advance(logins.IDLE)
        assert (await http.get(SESSION)).status_code == 401


async def test_a_session_ends_after_twelve_hours_whatever_happens(live: Live):
    await add(live)
    clock = stopped(live)
    async with browser(live) as http:
        await signed_in(live, http)
        for _ in range(48):
            assert (await http.get(SESSION)).status_code == 200
            clock.advance(logins.LONGEST / 48)
        assert (await http.get(SESSION)).status_code == 401


async def test_signing_in_again_gives_another_session_and_ends_the_one_before(live: Live):
    await add(live)
    async with browser(live) as http:
        await signed_in(live, http)
        old = http.cookies[COOKIE]
        await signed_in(live, http)
        assert http.cookies[COOKIE] != old
    async with browser(live, Cookie=f"{COOKIE}={old}") as http:
        assert (await http.get(SESSION)).status_code == 401


async def test_a_new_password_ends_all_sessions_and_begins_one(live: Live):
    await add(live)
    async with browser(live) as http, browser(live) as other:
        csrf = await signed_in(live, http)
        await signed_in(live, other)
        headers = {"X-CSRF-Token": csrf}
        wrong = {"current": ANOTHER, "new": ANOTHER}
        answer = await http.post(f"{SESSION}/password", json=wrong, headers=headers)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "current")
        weak = {"current": PASSWORD, "new": "short"}
        answer = await http.post(f"{SESSION}/password", json=weak, headers=headers)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "new")
        right = {"current": PASSWORD, "new": ANOTHER}
        answer = await http.post(f"{SESSION}/password", json=right, headers=headers)
        assert answer.status_code == 200
        assert answer.json()["csrf"] != csrf
        assert (await http.get(SESSION)).status_code == 200
        assert (await other.get(SESSION)).status_code == 401
        assert (await sign_in(other)).status_code == 401
        assert (await sign_in(other, password=ANOTHER)).status_code == 201


async def test_whoever_may_not_come_in_any_more_is_out_at_once(live: Live):
    await add(live)
    async with browser(live) as http:
        for path, body in (
            ("/admin/api/users/ann", {"is_active": False}),
            ("/admin/api/users/ann", {"role": "viewer"}),
        ):
            csrf = await signed_in(live, http)
            headers = {"X-CSRF-Token": csrf}
            await ask(live, "PATCH", path, body)
            answer = await http.post("/admin/api/projects", json={"name": "x"}, headers=headers)
            assert answer.status_code == (401 if "is_active" in body else 403)
            await ask(live, "PATCH", path, {"is_active": True})
        csrf = await signed_in(live, http)
        assert (await ask(live, "DELETE", "/admin/api/users/ann/sessions")) == {"ended": 1}
        assert (await http.get(SESSION)).status_code == 401
        await signed_in(live, http)
        await ask(live, "DELETE", "/admin/api/users/ann")
        assert (await http.get(SESSION)).status_code == 401
        assert (await sign_in(http)).status_code == 401


async def test_five_failures_lock_an_account_and_an_address_for_a_quarter_of_an_hour(live: Live):
    await add(live)
    await add(live, "bob")
    clock = stopped(live)
    here, there = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "198.51.100.1"}
    async with browser(live) as http:

        async def status(name: str, password: str, headers: dict[str, str]) -> int:
            body = {"name": name, "password": password}
            answer = await http.post(SESSION, json=body, headers=headers)
            if answer.status_code == 429:
                assert 1 <= int(answer.headers["retry-after"]) <= 900
                assert answer.json()["error"]["code"] == "too_many_failed_logins"
            return answer.status_code

        wrong = await asyncio.gather(*(status("ANN ", "wrong", here) for _ in range(8)))
        assert sorted(wrong) == [401] * 5 + [429] * 3, "eight at the same time are eight"
        assert await status("ann", PASSWORD, here) == 429
        assert await status("ann", PASSWORD, there) == 429, "the account"
        assert await status("bob", PASSWORD, here) == 429, "the address"
        assert await status("bob", PASSWORD, there) == 201
        secret = await link(live)
        assert (await http.post(SESSION, json={"link": secret}, headers=here)).status_code == 201
        assert (await http.post(SESSION, json={"link": secret}, headers=here)).status_code == 429
        clock.advance(901)
        assert await status("ann", PASSWORD, here) == 201


async def test_success_forgives_what_was_typed_wrong_for_the_account(live: Live):
    await add(live)
    async with browser(live) as http:

        async def status(password: str, address: str) -> int:
            headers = {"X-Forwarded-For": address}
            body = {"name": "ann", "password": password}
            return (await http.post(SESSION, json=body, headers=headers)).status_code

        for n in range(3):
            assert [await status("wrong", f"192.0.2.{n}") for _ in range(4)] == [401] * 4
            assert await status(PASSWORD, f"192.0.2.{n}") == 201
        assert [await status("wrong", "192.0.2.0") for _ in range(2)] == [401, 429], "the address is not forgiven"


async def test_unknown_users_wrong_passwords_and_disabled_users_get_the_same_words(live: Live):
    await add(live)
    await add(live, "bob")
    await ask(live, "PATCH", "/admin/api/users/bob", {"is_active": False})
    async with browser(live) as http:
        told = [
            await sign_in(http, name, password)
            for name, password in (("nobody", PASSWORD), ("ann", "wrong"), ("bob", PASSWORD), ("x\0", PASSWORD))
        ]
    bodies = []
    for answer in told:
        error = answer.json()["error"]
        error.pop("request_id")
        bodies.append((answer.status_code, error))
    assert bodies[0][0] == 401
    assert all(body == bodies[0] for body in bodies)


async def test_the_audit_log_knows_who_came_who_failed_and_no_secret(live: Live):
    await add(live)
    secret = await link(live)
    async with browser(live) as http:
        await sign_in(http, "hunter2-is-my-password", "x")
        await sign_in(http, "ann", "wrong-password-of-ann")
        csrf = await signed_in(live, http)
        cookie = http.cookies[COOKIE]
        body = {"current": PASSWORD, "new": ANOTHER}
        await http.post(f"{SESSION}/password", json=body, headers={"X-CSRF-Token": csrf})
    rows = [row for row in await audit(live) if row["how"] not in ("start", "file")]
    assert [(row["action"], row["who"]) for row in rows] == [
        ("login.ok", "ann"),
        ("user.password", "ann"),
        ("login.ok", "ann"),
        ("login.failed", "ann"),
        ("login.failed", "unknown"),
        ("link.create", "token"),
        ("user.create", "token"),
    ]
    assert rows[4]["role"] is None
    assert {row["address"] for row in rows} == {"127.0.0.1"}
    for hidden in (PASSWORD, ANOTHER, secret, cookie, csrf, "hunter2", "wrong-password", "argon2", ADMIN_TOKEN):
        assert hidden not in str(rows)


async def test_other_sites_pages_get_nothing_done(live: Live):
    await add(live)
    async with browser(live) as http:
        for foreign in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            body = {"name": "ann", "password": PASSWORD}
            assert (await http.post(SESSION, json=body, headers=foreign)).status_code == 403, foreign
        csrf = await signed_in(live, http)
        for foreign in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            headers = {"X-CSRF-Token": csrf, **foreign}
            assert (await http.post("/admin/api/projects", json={"name": "x"}, headers=headers)).status_code == 403
        own = {"X-CSRF-Token": csrf, "Origin": live.base_url, "Sec-Fetch-Site": "same-origin"}
        assert (await http.post("/admin/api/projects", json={"name": "x"}, headers=own)).status_code == 201


async def test_an_open_tab_does_not_ask_the_database(live: Live):
    await add(live)
    reads = 0
    async with browser(live) as http:
        await signed_in(live, http)
        plain = live.running.sessions.read

        def counted() -> Any:
            nonlocal reads
            reads += 1
            return plain()

        clock = stopped(live)
        live.running.sessions.read = counted  # type: ignore[method-assign]
        for _ in range(30):
            clock.advance(1)
            assert (await http.get(SESSION)).status_code == 200
        assert reads <= 4
        live.running.sessions.ready = False  # as while the database is away
        clock.advance(60)
        assert (await http.get(SESSION)).status_code == 200, "who was signed in stays so"
    async with browser(live, Cookie=f"{COOKIE}={'x' * 43}") as http:
        assert (await http.get(SESSION)).status_code == 503


async def test_credentials_of_one_side_open_nothing_on_the_other(live: Live):
    await add(live)
    async with browser(live) as http:
        await signed_in(live, http)
        assert (await http.get("/v1/models")).status_code == 401
        assert (await http.post("/v1/chat", json={"model": "m", "messages": []})).status_code == 401
        assert (await http.get("/metrics")).status_code == 401
        assert (await http.get("/admin/api/projects", headers={"Authorization": "Bearer wrong"})).status_code == 401


async def test_answers_of_the_admin_api_are_kept_and_framed_by_nobody(live: Live):
    for path in (SESSION, f"{SESSION}/options", "/admin/api/projects", "/admin/api/nothing", "/admin"):
        headers = (await live.http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert "strict-transport-security" not in headers
        if path.startswith("/admin/api"):
            assert headers["cache-control"] == "no-store"
    assert "x-frame-options" not in (await live.http.get("/v1/models")).headers
