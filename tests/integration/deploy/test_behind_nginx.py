"""Stories of a gateway behind a real nginx, with the files of `deploy/nginx` and the settings that belong to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import httpx
import nginx_proxy
import pytest
from net import wait_until
from nginx_proxy import SITE_NAME, Nginx
from rogues import StartRogue, rogue
from served import KEY, Served, project, serve

from llm_gateway.testing.rogue import Rogue

pytestmark = pytest.mark.skipif(nginx_proxy.NGINX is None, reason=nginx_proxy.WHY_NOT)
MODEL = "recite"
ASK = {"model": MODEL, "messages": [{"role": "user", "content": "Recite."}]}
SITE = f"https://{SITE_NAME}"

__all__ = ["rogue"]  # the fixture
Start = Callable[..., tuple[Served, Nginx]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a gateway with these settings in front of these servers, and nginx in front of it."""
    with ExitStack() as stack:

        def both(*servers: Rogue, path: str = "", **environ: str) -> tuple[Served, Nginx]:
            config = project(
                servers=[
                    {"name": f"s{n}", "url": s.url, "kind": "ollama", "trust": "own"} for n, s in enumerate(servers)
                ]
            )
            gateway: AbstractContextManager[Served] = serve(
                tmp_path / "data", config=config, LLM_TEST_KEY=KEY, **environ
            )
            served = stack.enter_context(gateway)
            prefix = tmp_path / "nginx"
            prefix.mkdir()
            return served, stack.enter_context(nginx_proxy.running(prefix, gateway_port=served.port, path=path))

        yield both


def client(nginx: Nginx, **options: object) -> httpx.AsyncClient:
    headers = {"Host": nginx.host, "X-API-Key": KEY}
    return httpx.AsyncClient(base_url=nginx.url, headers=headers, timeout=30, **options)  # type: ignore[arg-type]


@pytest.fixture
async def server(rogue: StartRogue) -> Rogue:
    return await rogue(models=[MODEL])


async def ready(http: httpx.AsyncClient) -> None:
    """Until the model may be asked for."""

    async def listed() -> bool:
        answer = await http.get("/v1/models")
        return any(model["status"] == "ready" for model in answer.json()["data"])

    await wait_until(listed, within=15.0, every=0.05)


@pytest.mark.parametrize("path", ["", "/llm"])
def test_nginx_accepts_the_shipped_files(tmp_path: Path, path: str) -> None:
    main = nginx_proxy.site(tmp_path, gateway_port=8000, port=8080, path=path)
    assert "test is successful" in nginx_proxy.check(tmp_path, main)


async def test_chats_and_streams_pass_whole(start: Start, server: Rogue) -> None:
    _, nginx = start(server)
    async with client(nginx) as http:
        await ready(http)
        whole = await http.post("/v1/chat", json=ASK)
        streamed = await http.post("/v1/chat/stream", json=ASK)
    text = whole.json()["choices"][0]["message"]["content"]
    events = [line.removeprefix("data: ") for line in streamed.text.splitlines() if line.startswith("data: ")]
    parts = [json.loads(event)["choices"][0]["delta"].get("content", "") for event in events[:-1]]
    assert events[-1] == "[DONE]"
    assert "".join(parts) == text != ""


async def test_tokens_arrive_while_the_model_still_speaks(start: Start, server: Rogue) -> None:
    _, nginx = start(server)
    server.mood = "stall_mid"
    async with client(nginx) as http:
        await ready(http)
        async with http.stream("POST", "/v1/chat/stream", json=ASK) as answer:
            first = await anext(line async for line in answer.aiter_lines() if '"content":"' in line)
            assert server.in_flight == 1
    assert first.startswith("data: ")


async def test_a_client_that_leaves_nginx_frees_the_server(start: Start, server: Rogue) -> None:
    _, nginx = start(server)
    server.mood = "stall_mid"
    async with client(nginx) as http:
        await ready(http)
        async with http.stream("POST", "/v1/chat/stream", json=ASK) as answer:
            await anext(answer.aiter_lines())
    await server.until(lambda s: s.in_flight == 0, within=5.0)
    assert server.aborted == 1


async def test_a_body_that_is_too_large_is_refused_by_the_gateway_in_its_own_words(start: Start, server: Rogue) -> None:
    _, nginx = start(server)
    async with client(nginx) as http:
        answer = await http.post("/v1/chat", json={**ASK, "metadata": {"filler": "x" * 5_000_000}})
    assert answer.status_code == 413
    assert answer.json()["error"]["request_id"]


async def wrong_keys(nginx: Nginx, address: str, count: int) -> set[int]:
    """The statuses that many requests with a wrong key get, sent from this address with a made-up forwarded one."""
    forged = {"X-API-Key": "wrong", "X-Forwarded-For": "192.0.2.77"}
    async with client(nginx, transport=httpx.AsyncHTTPTransport(local_address=address)) as http:
        return {(await http.get("/v1/models", headers=forged)).status_code for _ in range(count)}


async def test_a_trusted_proxy_tells_clients_apart_whatever_they_claim(start: Start) -> None:
    _, nginx = start(LLM_GATEWAY_TRUSTED_PROXIES="127.0.0.1")
    assert await wrong_keys(nginx, "127.0.0.2", 30) == {401, 429}
    assert await wrong_keys(nginx, "127.0.0.3", 1) == {401}
    assert await wrong_keys(nginx, "127.0.0.2", 1) == {429}


async def test_headers_of_a_proxy_that_nobody_trusts_mean_nothing(start: Start) -> None:
    _, nginx = start()
    assert await wrong_keys(nginx, "127.0.0.2", 30) == {401, 429}
    assert await wrong_keys(nginx, "127.0.0.3", 1) == {429}


async def test_the_public_url_is_what_the_api_description_and_the_admin_api_go_by(start: Start) -> None:
    served, nginx = start(LLM_GATEWAY_PUBLIC_URL=SITE, LLM_GATEWAY_TRUSTED_PROXIES="127.0.0.1")
    token = {"Authorization": f"Bearer {served.admin_token}"}
    async with client(nginx) as http:
        description = await http.get("/openapi.json")
        admin = await http.get("/admin/api/projects", headers=token)
        elsewhere = await http.get("/admin/api/projects", headers={**token, "Host": "rebound.example.net"})
    assert description.json()["servers"] == [{"url": SITE}]
    assert admin.status_code == 200
    assert elsewhere.status_code == 403


async def test_below_a_path_everything_is_found_there(start: Start, server: Rogue) -> None:
    _, nginx = start(server, path="/llm", LLM_GATEWAY_ROOT_PATH="/llm", LLM_GATEWAY_PUBLIC_URL=f"{SITE}/llm")
    async with client(nginx) as http:
        await ready(http)
        chat = await http.post("/v1/chat", json=ASK)
        docs = await http.get("/docs")
    assert chat.status_code == 200
    assert "/llm/openapi.json" in docs.text


async def test_pages_of_named_origins_may_call_the_api_and_others_may_not(start: Start) -> None:
    _, nginx = start(LLM_GATEWAY_CORS_ORIGINS="https://chat.example.org")
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    async with client(nginx) as http:
        ours = await http.options("/v1/chat", headers={**asked, "Origin": "https://chat.example.org"})
        other = await http.options("/v1/chat", headers={**asked, "Origin": "https://evil.example.org"})
    assert ours.headers["access-control-allow-origin"] == "https://chat.example.org"
    assert "access-control-allow-origin" not in other.headers
