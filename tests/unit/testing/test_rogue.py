"""The misbehaving server as a whole: what it remembers, counts, lists, and how its mood changes."""

from __future__ import annotations

import asyncio
import json

import pytest
import uvloop

from llm_gateway.testing.catalogue import digest_of
from llm_gateway.testing.rogue import Rogue
from support.net import exchange, http
from support.rogues import StartRogue

ASK = {"model": "recite", "messages": [{"role": "user", "content": "hi"}]}
CHAT = http("POST", "/api/chat", ASK)


async def get(server: Rogue, path: str, method: str = "GET", body: object = None):
    return await exchange(server.port, http(method, path, body))


async def test_requests_are_remembered_with_headers_and_body(rogue: StartRogue):
    server = await rogue()
    body = json.dumps(ASK | {"options": {"temperature": 0.2, "num_predict": 2}}).encode()
    await exchange(
        server.port,
        b"POST /api/chat?x=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
    )
    (heard,) = server.chats_heard()
    assert heard.path == "/api/chat"
    assert heard.headers["authorization"] == "Bearer sk"
    assert heard.json["options"] == {"temperature": 0.2, "num_predict": 2}


async def test_lists_tell_names_digests_and_what_is_warm(rogue: StartRogue):
    server = await rogue(["llama3.2:3b", "recite"], digests={"recite": "ab" * 32})
    assert (await get(server, "/")).body == b"Ollama is running"
    assert (await get(server, "/api/version")).lines == [{"version": "0.33.0"}]
    tags = (await get(server, "/api/tags")).lines[0]["models"]
    assert [(tag["name"], tag["digest"]) for tag in tags] == [
        ("llama3.2:3b", digest_of("llama3.2:3b")),
        ("recite:latest", "ab" * 32),
    ]
    assert tags[0]["details"]["parameter_size"] == "3B"
    assert (await get(server, "/api/ps")).lines == [{"models": []}]
    await exchange(server.port, CHAT)
    assert [model["name"] for model in (await get(server, "/api/ps")).lines[0]["models"]] == ["recite:latest"]
    models = (await get(server, "/v1/models")).lines[0]
    assert [model["id"] for model in models["data"]] == ["llama3.2:3b", "recite"]
    assert (await get(server, "/api/show", "POST", {"model": "recite"})).lines[0]["capabilities"]


async def test_its_models_are_able_to_what_it_is_told_and_refuse_the_rest_in_ollamas_words(rogue: StartRogue):
    server = await rogue(
        capabilities=("completion",), abilities={"calls": ("completion", "tools")}, models=["recite", "calls"]
    )
    tags = (await get(server, "/api/tags")).lines[0]["models"]
    assert [tag["capabilities"] for tag in tags] == [["completion"], ["completion", "tools"]]
    tool = {"type": "function", "function": {"name": "f"}}
    look = [{"role": "user", "content": "What is it?", "images": ["aGk="]}]
    library = "registry.ollama.ai/library/recite:latest does not support"
    for wish, words in {
        "tools": ({"tools": [tool]}, f"{library} tools"),
        "thinking": ({"think": True}, '"recite" does not support thinking'),
        "vision": ({"messages": look}, f"{library} vision"),
    }.values():
        refused = await get(server, "/api/chat", "POST", ASK | wish)
        assert (refused.status, refused.lines) == (400, [{"error": words}])
    assert (await get(server, "/api/chat", "POST", ASK | {"model": "calls", "tools": [tool]})).status == 200
    assert (await get(server, "/api/chat", "POST", ASK | {"tools": [], "think": False})).status == 200


async def test_an_old_server_does_not_tell_what_its_models_are_able_to(rogue: StartRogue):
    server = await rogue(quirks=("silent_tags", "silent_show"))
    (tag,) = (await get(server, "/api/tags")).lines[0]["models"]
    assert "capabilities" not in tag
    assert "context_length" not in tag["details"]
    show = (await get(server, "/api/show", "POST", {"model": "recite"})).lines[0]
    assert "capabilities" not in show
    assert show["model_info"]["general.architecture"] == "llama"


async def test_strange_paths_methods_and_models_are_answered_as_ollama_does(rogue: StartRogue):
    server = await rogue()
    assert ((await get(server, "/nope")).status, (await get(server, "/api/chat")).status) == (404, 405)
    assert (await get(server, "/api/show", "POST", {"model": "other"})).status == 404
    assert (await get(server, "/api/show", "POST")).status == 400
    assert (await get(server, "/api/version", "HEAD")).body == b""
    unknown = await get(server, "/api/chat", "POST", ASK | {"model": "other"})
    assert (unknown.status, unknown.lines) == (404, [{"error": "model 'other' not found"}])
    load = await get(server, "/api/chat", "POST", {"model": "RECITE:latest", "messages": []})
    assert load.lines[0]["done_reason"] == "load"


async def test_a_connection_carries_many_requests(rogue: StartRogue):
    server = await rogue()
    request = http("POST", "/api/chat", ASK, keep=True)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for _ in range(3):
        writer.write(request)
        await reader.readuntil(b"0\r\n\r\n")
    writer.close()
    await server.until(lambda s: s.open == 0)
    assert (server.connections, server.chats, server.answered, server.aborted) == (1, 3, 3, 0)


async def test_a_client_that_hangs_up_frees_the_server_at_once(rogue: StartRogue):
    server = await rogue(mood="stall_mid")
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(CHAT)
    await server.until(lambda s: s.in_flight == 1)
    writer.close()
    await server.until(lambda s: s.in_flight == 0, within=1.0)
    assert (server.answered, server.aborted) == (0, 1)


async def test_until_says_what_it_saw_when_it_gives_up(rogue: StartRogue):
    server = await rogue()
    with pytest.raises(TimeoutError, match=r"0\.05 s.*chats=0"):
        await server.until(lambda s: s.chats == 1, within=0.05)


async def test_the_mood_can_be_changed_per_model_and_live(rogue: StartRogue):
    server = await rogue(["recite", "b"], moods={"b": "busy_503"})
    assert (await get(server, "/api/chat", "POST", ASK)).status == 200
    assert (await get(server, "/api/chat", "POST", ASK | {"model": "b"})).status == 503
    server.mood = "runner_500"
    assert (await get(server, "/api/chat", "POST", ASK)).status == 500
    assert (await get(server, "/api/tags")).status == 200


async def test_everywhere_spoils_the_lists_too(rogue: StartRogue):
    server = await rogue(mood="html_200", everywhere=True)
    assert (await get(server, "/api/tags")).body.startswith(b"<!DOCTYPE")
    server.mood = "good"
    assert (await get(server, "/api/tags")).lines


async def test_a_mix_is_drawn_anew_for_each_chat_and_repeats_with_its_seed(rogue: StartRogue):
    async def statuses(seed: int) -> list[int]:
        server = await rogue(mix={"good": 0.7, "runner_500": 0.3}, seed=seed)
        return [(await exchange(server.port, CHAT)).status for _ in range(30)]

    first = await statuses(7)
    assert 3 <= first.count(500) <= 15
    assert first == await statuses(7)
    assert first != await statuses(8)


async def test_a_mood_that_does_not_exist_is_refused_at_once():
    with pytest.raises(ValueError, match="grumpy"):
        Rogue(mood="grumpy")
    with pytest.raises(ValueError, match="refuse"):
        Rogue(mix={"refuse": 1.0})


async def test_refuse_closes_idle_connections_and_lets_running_answers_end(rogue: StartRogue):
    server = await rogue(delay=0.2)
    idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", server.port)
    running = asyncio.create_task(exchange(server.port, CHAT))
    await server.until(lambda s: s.in_flight == 1)
    server.mood = "refuse"
    assert await idle_reader.read() == b""
    idle_writer.close()
    assert (await running).lines[-1]["done"] is True


async def test_a_crash_resets_everything_and_a_new_mood_brings_it_back(rogue: StartRogue):
    server = await rogue(mood="stall_mid")
    running = asyncio.create_task(exchange(server.port, CHAT, within=5.0))
    await server.until(lambda s: s.in_flight == 1)
    server.crash()
    assert (await running).end == "reset"
    with pytest.raises(ConnectionRefusedError):
        await exchange(server.port, CHAT)
    server.mood = "good"
    assert (await exchange(server.port, CHAT)).status == 200


async def test_an_accident_inside_a_mood_fails_the_test_that_used_it():
    def broken(body: object) -> list[str]:
        raise LookupError("a bug of the fake")

    with pytest.raises(LookupError, match="a bug of the fake"):
        async with Rogue(script=broken) as server:
            await exchange(server.port, CHAT)


async def test_leaving_the_context_ends_every_connection_and_task():
    before = asyncio.all_tasks()
    async with Rogue(mood="accept_silence") as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await server.until(lambda s: s.open == 1)
    assert await reader.read() == b""
    writer.close()
    assert asyncio.all_tasks() == before


def test_bytes_and_ports_are_the_same_on_uvloop_where_the_demo_runs():
    async def story() -> None:
        async with Rogue(mood="cut_rst") as server:
            assert (await exchange(server.port, CHAT)).end == "reset"
            server.mood = "refuse"
            with pytest.raises(ConnectionRefusedError):
                await exchange(server.port, CHAT)
            server.mood = "good"
            assert (await exchange(server.port, CHAT)).lines[-1]["done"] is True

    uvloop.run(story())
