"""What a model is able to is asked where no list says so: gently, once, and of those nearest to us first."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from hashlib import sha256

import pytest
from probed_server import MovableClock, Server, reply, tags
from watched import Watch, spec, watching

from llm_gateway.access.policy import Trust
from llm_gateway.fleet.facts import AttemptStarted, Shown
from llm_gateway.upstream.looks import LARGEST_SHOW

Start = Callable[..., Awaitable[Server]]

VERSION = reply(200, b'{"version":"0.12.0"}')
LLAMA = {
    "capabilities": ["completion", "tools"],
    "details": {"family": "llama"},
    "model_info": {
        "general.architecture": "llama",
        "general.basename": "Llama-3.2",
        "llama.context_length": 131072,
        "llama.embedding_length": 3072,
    },
}


def shown(**answer: object) -> bytes:
    return reply(200, json.dumps({**LLAMA, **answer}).encode())


def asked(server: Server) -> list[str]:
    return [json.loads(one.body)["model"] for one in server.asked if one.path == "/api/show"]


def able(watch: Watch, server: str, model: str = "m:latest") -> tuple[set[str], bool]:
    abilities = watch.fleet.servers[server].models[model].abilities
    return set(abilities.has), abilities.sure


async def test_our_own_server_is_asked_once_what_each_of_its_models_is_able_to(start: Start) -> None:
    server = await start(api__tags=differing("a", "b", "c"), api__version=VERSION, api__show=shown())
    async with watching([spec(server, trust=Trust.OWN)], run=False) as watch:
        await watch.prober.probe("a")
        assert asked(server) == ["a", "b"], "never more than two in a look"
        for _ in range(3):
            await watch.prober.probe("a")
        assert asked(server) == ["a", "b", "c"]
        details = watch.fleet.details("a")
    assert details is not None
    assert (details.capabilities, details.architecture, details.basename) == (
        ("completion", "tools"),
        "llama",
        "Llama-3.2",
    )
    assert (details.context_length, details.embedding_length) == (131072, 3072)


def differing(*names: str) -> bytes:
    models = [{"name": name, "model": name, "digest": sha256(name.encode()).hexdigest()} for name in names]
    return reply(200, json.dumps({"models": models}).encode())


async def test_a_server_whose_list_tells_is_not_asked(start: Start) -> None:
    listed = {"name": "m", "digest": "ab" * 32, "capabilities": ["completion"]}
    server = await start(api__tags=reply(200, json.dumps({"models": [listed]}).encode()), api__show=shown())
    async with watching([spec(server, trust=Trust.OWN)], run=False) as watch:
        await watch.prober.probe("a")
        assert able(watch, "a") == ({"completion"}, True)
    assert asked(server) == []


async def test_a_stranger_is_asked_only_about_a_model_that_somebody_wants(start: Start) -> None:
    server, clock = await start(api__tags=differing("m", "d"), api__version=VERSION, api__show=shown()), MovableClock()
    async with watching([spec(server)], clock=clock, run=False) as watch:
        await watch.prober.probe("a")
        assert asked(server) == []
        watch.fleet.apply(AttemptStarted("a", "m", clock.now()))
        await watch.prober.probe("a")
        assert asked(server) == ["m"]
        assert able(watch, "a") == ({"completion", "tools"}, True)


async def test_our_own_server_is_asked_before_a_stranger_and_speaks_for_it(start: Start) -> None:
    own = await start(api__tags=tags("m"), api__version=VERSION, api__show=shown())
    other = await start(api__tags=tags("m"), api__version=VERSION, api__show=shown())
    clock = MovableClock()
    async with watching([spec(other, "other"), spec(own, "own", trust=Trust.OWN)], clock=clock, run=False) as watch:
        watch.fleet.apply(AttemptStarted("other", "m", clock.now()))
        await watch.prober.probe("own")
        await watch.prober.probe("other")
        assert able(watch, "other") == ({"completion", "tools"}, True)
    assert (len(asked(own)), len(asked(other))) == (1, 0)


async def test_another_digest_or_another_version_is_asked_about_anew(start: Start) -> None:
    server, clock = await start(api__tags=differing("m"), api__version=VERSION, api__show=shown()), MovableClock()
    async with watching([spec(server, trust=Trust.OWN)], clock=clock, run=False) as watch:
        await watch.prober.probe("a")
        server.answers["/api/tags"] = tags("m")
        server.answers["/api/show"] = shown(capabilities=["completion"])
        await watch.prober.probe("a")
        assert asked(server) == ["m", "m"]
        assert able(watch, "a") == ({"completion"}, True)
        server.answers["/api/version"] = reply(200, b'{"version":"0.13.0"}')
        server.answers["/api/show"] = shown(capabilities=["completion", "vision"])
        clock.ahead += 601
        await watch.prober.probe("a")
        assert asked(server) == ["m", "m", "m"]
        assert able(watch, "a") == ({"completion", "vision"}, True)


@pytest.mark.parametrize(
    "answer",
    [
        reply(404, b"404 page not found", "text/plain"),
        reply(403, b"", "text/plain"),
        reply(500, b'{"error":"x"}'),
        reply(200, b"<html>", "text/html"),
        reply(200, b"[]"),
        reply(200, b'{"error":"unauthorized"}'),
        reply(200, b"{" + b" " * LARGEST_SHOW + b"}"),
    ],
    ids=["missing", "forbidden", "failing", "a page", "no object", "an error", "too large"],
)
async def test_a_server_that_does_not_show_its_models_is_no_worse_for_it_and_not_asked_again(
    start: Start, answer: bytes
) -> None:
    server = await start(api__tags=tags("m"), api__version=VERSION, api__show=answer)
    async with watching([spec(server, trust=Trust.OWN)], run=False) as watch:
        for _ in range(3):
            await watch.prober.probe("a")
        state = watch.fleet.servers["a"]
        assert state.state(watch.facts[-1].at) == "healthy"
        assert able(watch, "a") == (set(), False)
        assert [isinstance(fact, Shown) for fact in watch.others] == [True]
    assert asked(server) == ["m"]
