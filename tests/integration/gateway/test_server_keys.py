"""Keys of servers that an administrator adds: the admin API is no way to read the process's environment."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from support.gateway import ADMIN_TOKEN, Live, StartGateway
from support.rogues import StartRogue

ENVIRON = {
    "UPSTREAM_LAB_KEY": "s3cret-of-the-lab",
    "UPSTREAM_EMPTY": " ",
    "AWS_SECRET_ACCESS_KEY": "aws-secret",
    "VLLM_KEY": "of the config file's server",
}


@pytest.fixture
async def live(start: StartGateway, rogue: StartRogue) -> Live:
    return await start(await rogue(), environ=ENVIRON)


async def add(live: Live, url: str, variable: str) -> httpx.Response:
    body: dict[str, Any] = {"name": "added", "url": url, "kind": "openai", "trust": "own", "api_key_env": variable}
    return await live.http.post("/admin/api/servers", json=body, headers={"X-Admin-Key": ADMIN_TOKEN})


async def test_a_variable_that_is_meant_for_servers_is_sent_as_the_key(live: Live, rogue: StartRogue):
    added = await add(live, (await rogue()).openai_url, "UPSTREAM_LAB_KEY")
    assert added.status_code == 201, added.text
    spec = live.fleet.servers[added.json()["id"]].spec
    assert spec.api_key == "s3cret-of-the-lab"
    assert "s3cret-of-the-lab" not in added.text + repr(spec)


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("AWS_SECRET_ACCESS_KEY", "UPSTREAM_"),
        ("VLLM_KEY", "UPSTREAM_"),
        ("LLM_GATEWAY_ADMIN_TOKEN", "UPSTREAM_"),
        ("upstream_lab_key", "UPSTREAM_"),
        ("UPSTREAM_", "UPSTREAM_"),
        ("UPSTREAM_LAB KEY", "UPSTREAM_"),
        ("UPSTREAM_NOT_THERE", "not set"),
        ("UPSTREAM_EMPTY", "not set"),
    ],
)
async def test_any_other_variable_is_refused(live: Live, rogue: StartRogue, variable: str, said: str):
    before = len(live.fleet.servers)
    refused = await add(live, (await rogue()).openai_url, variable)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["code"], error["param"]) == ("invalid_request", "api_key_env")
    assert said in error["message"]
    assert not any(secret in refused.text for secret in ENVIRON.values() if secret.strip())
    assert len(live.fleet.servers) == before
