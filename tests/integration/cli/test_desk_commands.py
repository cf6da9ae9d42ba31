"""Commands beside a running gateway for what the dashboard does as well: searching, testing, changing, watching."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator

import pytest
from structlog.testing import capture_logs

from llm_gateway.cli.client import Runtime
from support.command import Command, Ended
from support.gateway import ADMIN_TOKEN, MODEL, Live, StartGateway, start, words
from support.net import free_port
from support.rogues import StartRogue, rogue

__all__ = ["rogue", "start"]

Typed = Callable[..., Awaitable[Ended]]


@pytest.fixture
def typed(command: Command, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Live], Typed]]:
    """Commands beside a gateway of this very process: in a thread, for its loop is the test's."""

    def beside(live: Live) -> Typed:
        monkeypatch.setenv("LLM_GATEWAY_ADMIN_TOKEN", ADMIN_TOKEN)
        command.data_dir.mkdir(exist_ok=True)
        Runtime(live.base_url, os.getpid()).write(command.data_dir)
        return lambda *said: asyncio.to_thread(command, *said)

    with capture_logs():  # the gateway's own would be on the command's stdout
        yield beside


async def test_models_are_searched(start: StartGateway, rogue: StartRogue, typed: Callable[[Live], Typed]):
    live = await start(await rogue(["llama3.2:3b", "qwen2.5:32b"]))
    say = typed(live)
    found = await say("models", "search", "llama", "--max-parameters", "7b", "--json")
    assert [row["name"] for row in found.rows] == ["llama3.2:3b"]
    assert "qwen2.5:32b" in (await say("models", "search", "--min-parameters", "30b", "--healthy")).out
    assert "1 more" in (await say("models", "search", "--limit", "1")).err
    refused = await say("models", "search", "--capability", "flying")
    assert (refused.code, "flying" in refused.err) == (2, True)


async def test_a_model_that_does_not_answer_ends_with_one(
    start: StartGateway, rogue: StartRogue, typed: Callable[[Live], Typed]
):
    live = await start(await rogue(mood="runner_500"))
    say = typed(live)
    ended = await say("models", "test", MODEL)
    assert (ended.code, "models explain" in ended.err) == (1, True)
    assert (await say("models", "test", "nope")).code == 3


async def test_a_chat_is_the_playground(start: StartGateway, rogue: StartRogue, typed: Callable[[Live], Typed]):
    live = await start(await rogue())
    ended = await typed(live)("chat", MODEL, "Hello")
    assert (ended.code, ended.out.strip()) == (0, words().strip())
    assert (await live.row())["endpoint"] == "playground"


async def test_servers_are_verified_changed_and_switched_together(
    start: StartGateway, rogue: StartRogue, typed: Callable[[Live], Typed]
):
    live, other = await start(await rogue()), await rogue(["a:1b"])
    say = typed(live)
    assert (await say("servers", "verify", other.url, "--kind", "ollama", "--json")).json["models"] == ["a:1b"]
    dead = await say("servers", "verify", f"http://127.0.0.1:{free_port()}", "--kind", "ollama")
    assert (dead.code, "refused" in dead.err) == (1, True)
    await say("servers", "add", "box", other.url, "--kind", "ollama", "--trust", "own")
    changed = await say("servers", "update", "box", "--name", "shelf", "--max-concurrency", "2", "--json")
    assert (changed.json["name"], changed.json["max_concurrency"]) == ("shelf", 2)
    assert (await say("servers", "update", "shelf", "--max-concurrency", "0", "--json")).json["max_concurrency"] is None
    assert (await say("servers", "update", "shelf")).code == 2
    ended = await say("servers", "bulk", "drain", "shelf", "nobody", "--json")
    assert (ended.code, [row["ok"] for row in ended.rows]) == (1, [True, False])
    assert (await say("servers", "bulk", "enable", "shelf")).code == 0


async def test_rules_are_kept_paused_and_tried(start: StartGateway, rogue: StartRogue, typed: Callable[[Live], Typed]):
    live = await start(await rogue(), alerts={"rules": [{"name": "fixed", "when": "errors > 5"}]})
    say = typed(live)
    made = await say("alerts", "rules", "create", "slow", "--when", "ttft_p95_ms > 4000", "--for", "5m", "--json")
    assert (made.json["owner"], made.json["for_s"]) == ("database", 300)
    assert "ttft_p95_ms > 4,000 ms" in (await say("alerts", "rules", "list")).out
    assert (await say("alerts", "rules", "update", "slow", "--severity", "critical", "--json")).json["severity"]
    assert (await say("alerts", "rules", "pause", "slow", "--json")).json["enabled"] is False
    assert (await say("alerts", "rules", "resume", "slow", "--json")).json["enabled"] is True
    tried = await say("alerts", "rules", "test", "disk_nearly_full")
    assert " %" in tried.out
    assert (await say("alerts", "rules", "pause", "fixed")).code == 4
    assert (await say("alerts", "rules", "delete", "slow")).out == "Rule slow is deleted.\n"
    assert (await say("alerts", "rules", "delete", "slow")).code == 3
