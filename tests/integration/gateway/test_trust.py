"""Who may see a project's prompts: a class of servers that it does not allow never hears from it."""

from __future__ import annotations

from typing import Any

import pytest

from llm_gateway.testing.rogue import Rogue
from support.gateway import StartGateway, entry
from support.rogues import StartRogue

TOOL: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
PATHS = ["/v1/chat", "/v1/chat/stream", "/v1/chat/completions"]


def heard_nothing(server: Rogue) -> bool:
    return server.chats == 0


@pytest.mark.parametrize("path", PATHS)
async def test_a_model_that_only_public_servers_hold_is_refused_with_how_to_change_it(
    start: StartGateway, rogue: StartRogue, path: str
):
    stranger, ours = await rogue(["big"]), await rogue(["small"])
    live = await start(entry(stranger, trust="public"), ours, project={"trust": ["own", "partner"]})
    refused = await live.chat(path, model="big")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "no_permitted_upstream")
    assert "public" in refused.json()["error"]["message"]
    assert refused.json()["error"]["retryable"] is False
    assert heard_nothing(stranger)
    row = await live.row()
    assert (row["status"], row["error_code"], row["attempts"]) == (403, "no_permitted_upstream", 0)


async def test_projects_ask_own_and_partner_servers_unless_public_is_named(start: StartGateway, rogue: StartRogue):
    servers = {trust: await rogue([trust]) for trust in ("own", "partner", "public")}
    live = await start(
        *(entry(server, trust=trust) for trust, server in servers.items()),
        projects=[{"name": "plain", "keys": [{"name": "k", "value_env": "LLM_TEST_KEY"}]}],
    )
    for trust in ("own", "partner"):
        answer = await live.chat(model=trust)
        assert (answer.status_code, answer.headers["x-gateway-tier"]) == (200, trust)
    assert (await live.chat(model="public")).status_code == 403
    assert heard_nothing(servers["public"])
    assert [m["id"] for m in (await live.http.get("/v1/models")).json()["data"]] == ["own:latest", "partner:latest"]


@pytest.mark.parametrize("mood", ["refuse", "runner_500", "html_200", "busy_503", "cut_rst"])
async def test_when_the_own_server_fails_no_public_one_stands_in_for_it(
    start: StartGateway, rogue: StartRogue, mood: str
):
    ours, stranger = await rogue(), await rogue()
    live = await start(ours, entry(stranger, trust="public"))
    ours.mood = mood
    for _ in range(3):
        answer = await live.chat()
        assert answer.status_code in (502, 503)
    assert heard_nothing(stranger)


async def test_a_preferred_model_on_public_servers_is_skipped_not_used(start: StartGateway, rogue: StartRogue):
    stranger, ours = await rogue(["big"]), await rogue(["small"])
    live = await start(entry(stranger, trust="public"), ours, models=[{"name": "smart", "backend": ["big", "small"]}])
    answer = await live.chat(model="smart")
    assert (answer.status_code, answer.json()["model"]) == (200, "small:latest")
    assert heard_nothing(stranger)


async def test_tools_go_to_public_servers_only_where_the_project_says_so(start: StartGateway, rogue: StartRogue):
    path = "/v1/chat/completions"
    stranger = await rogue(mood="tools")
    cautious: dict[str, Any] = {"trust": ["own", "public"]}
    live = await start(
        entry(stranger, trust="public"),
        projects=[
            {"name": "cautious", "keys": [{"name": "k", "value_env": "LLM_TEST_KEY"}], **cautious},
            {"name": "bold", "keys": [{"name": "k", "value_env": "BOLD"}], "public_tools": True, **cautious},
        ],
        environ={"BOLD": "the-key-of-the-bold-project"},
    )
    refused = await live.chat(path, tools=[TOOL])
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "no_permitted_upstream")
    assert "public_tools" in refused.json()["error"]["message"]
    assert heard_nothing(stranger)
    stranger.mood = "good"
    assert (await live.chat(path)).status_code == 200
    stranger.mood = "tools"
    bold = await live.chat(path, tools=[TOOL], headers={"X-API-Key": "the-key-of-the-bold-project"})
    assert bold.status_code == 200
    assert '"tool_calls"' in bold.text


async def test_tools_are_kept_from_public_servers_where_an_own_one_holds_the_model_too(
    start: StartGateway, rogue: StartRogue
):
    stranger, ours = await rogue(mood="tools"), await rogue(mood="tools")
    live = await start(entry(stranger, trust="public"), ours, project={"trust": ["own", "public"]})
    live.prefer(stranger)
    assert (await live.chat("/v1/chat/completions", tools=[TOOL])).status_code == 200
    ours.mood = "runner_500"
    assert (await live.chat("/v1/chat/completions", tools=[TOOL])).status_code == 502
    assert heard_nothing(stranger)
