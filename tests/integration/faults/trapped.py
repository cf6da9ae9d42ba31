"""A gateway between one good server and bad ones, asked over every client API at once.

Each API asks for a model of its own (one for each mood, where there are several), which the good server and one bad
server hold; the bad one was seen to be faster, so it is asked first. What a client saw is the same `Seen` for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from llm_gateway.testing.moods import AT_CONNECT
from llm_gateway.testing.rogue import Rogue
from support.apis import APIS, Api
from support.gateway import HELLO, Live, StartGateway, entry, words
from support.net import wait_until
from support.rogues import StartRogue

IMPATIENT = {"connect": 2, "head": 0.5, "first_token": 0.5, "stall": 1.5, "write": 0.5, "budget": 6, "total": 20}
"""Clocks for servers that never come to the point. The good one has to keep `connect` and `stall` even on a machine
with other work to do."""
AT_ONCE = 40
"""Requests: with a server for each of them in the same process, more would not keep to such clocks."""
NEVER_CONTINUE = {"X-Gateway-Continue": "never"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client saw, whichever API it used."""

    case: str
    """API and mood."""
    streams: bool
    status: int
    headers: httpx.Headers = field(repr=False)
    text: str
    thinking: str
    calls: list[tuple[str, str]]
    """Names and arguments of tool calls."""
    finish: str | None
    error: dict[str, Any] | None
    complete: bool
    """A whole answer, or a stream that ended with `[DONE]`."""
    seconds: float
    raw: str = field(repr=False)

    def expect(self, text: str, finish: str = "stop") -> None:
        """Exactly this answer, and nothing that hints at trouble."""
        assert (self.status, self.error, self.text) == (200, None, text), self
        assert (self.complete, self.finish) == (True, finish), self

    def expect_lost(self, text: str | None = None) -> None:
        """A stream whose end was never sold as one: `text`, then one typed error."""
        assert (self.status, self.complete, self.finish) == (200, False, None), self
        assert self.error is not None, self
        assert (self.error["code"], self.error["retryable"]) == ("upstream_stream_lost", True), self
        assert isinstance(self.error["delivered_tokens"], int), self
        assert text is None or self.text == text, self

    def expect_refused(self, *statuses: int) -> None:
        """A typed error that says when to come back, and names no server."""
        assert self.status in statuses, self
        assert self.error is not None, self
        assert self.error["code"] in _CODES[self.status], self
        assert self.error["retryable"] is True, self
        if self.status in (429, 503):
            assert int(self.headers["retry-after"]) >= 1, self
        assert self.headers["x-request-id"] == self.error["request_id"], self
        for secret in ("127.0.0.1", "http://", "ollama-", "openai-1", "Traceback", "llama runner"):
            assert secret not in self.raw, self


_CODES = {
    429: {"queue_full", "queue_timeout"},
    502: {"upstream_error"},
    503: {"no_healthy_upstream"},
    504: {"upstream_timeout"},
}


@dataclass(frozen=True, slots=True)
class Case:
    """One API against one mood."""

    api: Api
    mood: str
    model: str
    bad: Rogue


class Trap:
    """`cases` are asked at once; the good server holds the models of all."""

    def __init__(self, live: Live, good: Rogue, cases: Sequence[Case]) -> None:
        self.live = live
        self.good = good
        self.cases = cases

    def __iter__(self) -> Iterator[Rogue]:
        """The bad servers."""
        return (case.bad for case in self.cases)

    async def ask(self, case: Case, headers: Mapping[str, str] | None = None, **body: Any) -> Seen:
        return await asked(self.live, case.api, case.model, f"{case.api.name} {case.mood}", headers, **body)

    async def ask_all(self, headers: Mapping[str, str] | None = None, **body: Any) -> list[Seen]:
        places = asyncio.Semaphore(AT_ONCE)

        async def ask(case: Case) -> Seen:
            async with places:
                return await self.ask(case, headers, **body)

        return await asyncio.gather(*(ask(case) for case in self.cases))

    async def expect_exact(self, text: str | None = None, *, met: bool = True, **body: Any) -> list[Seen]:
        """Every API gives exactly the right answer although a bad server was asked; one row each, and then peace."""
        before = [contacts(bad) for bad in self]
        answers = await self.ask_all(**body)
        for seen in answers:
            seen.expect(words() if text is None else text)
        if met:
            for case, then in zip(self.cases, before, strict=True):
                assert contacts(case.bad) > then, f"the bad server was not asked: {case.mood} over {case.api.name}"
        await self.expect_rows("ok")
        await self.expect_at_rest()
        return answers

    async def expect_rows(self, *outcomes: str) -> None:
        """As many rows as requests, each with one of these outcomes."""
        rows = await self.live.rows(len(self.cases))
        assert {row["outcome"] for row in rows} <= set(outcomes), rows

    async def expect_ejected(self) -> list[Seen]:
        """Met once already, the bad servers are asked at most once more. Gives what was seen without them."""
        await self.ask_all()
        before = [contacts(bad) for bad in self]
        answers = await self.ask_all()
        for seen in answers:
            seen.expect(words())
            assert seen.headers["x-gateway-attempts"] == "1", seen
        for case, then in zip(self.cases, before, strict=True):
            assert contacts(case.bad) == then, f"asked for a third time: {case.mood} over {case.api.name}"
        return answers

    async def expect_at_rest(self) -> None:
        """Nothing is in flight any more, neither here nor at any server."""
        await wait_until(lambda: self.live.in_flight == 0, 1.0)
        for server in (*self, self.good):
            await server.until(lambda s: s.in_flight == 0, within=1.0)

    async def standing(self, server: Rogue) -> dict[str, Any]:
        """What an administrator is told about a server."""
        return await standing(self.live, server)


SetTrap = Callable[..., Awaitable[Trap]]


async def trap_for(
    start: StartGateway,
    rogue: StartRogue,
    moods: Sequence[str],
    *,
    kind: str = "ollama",
    apis: Sequence[Api] = APIS,
    good: Mapping[str, Any] | None = None,
    bad: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Trap:
    """A trap for every API and mood. `good` and `bad` are arguments of the servers (the bad ones speak with voice "b"
    unless told otherwise, so that no word of theirs passes unseen); `settings` those of the gateway. The bad ones turn
    bad when they have been looked at."""
    made = []
    for mood in moods:
        for api in apis:
            model = f"{api.name}-{mood}"
            made.append(Case(api, mood, model, await rogue([model], **{"prefix": "b", **(bad or {})})))
    honest = await rogue([case.model for case in made], **(good or {}))
    live = await start(entry(honest, kind=kind), *(entry(case.bad, kind=kind) for case in made), **settings)
    for case in made:
        live.prefer(case.bad, case.model)
        case.bad.mood = case.mood
    return Trap(live, honest, made)


def contacts(server: Rogue) -> int:
    """How often a request came to it. A port that refuses or hangs sees nobody."""
    return server.connections if server.mood in AT_CONNECT else server.chats


async def asked(
    live: Live, api: Api, model: str, case: str, headers: Mapping[str, str] | None = None, **question: Any
) -> Seen:
    """One request over one API."""
    body = api.write(model, {"messages": HELLO, **question})
    began = asyncio.get_running_loop().time()
    answer = await live.http.post(api.path, json=body, headers=headers)
    seconds = asyncio.get_running_loop().time() - began
    heard = api.read(answer)
    return Seen(
        case,
        api.streams,
        answer.status_code,
        answer.headers,
        heard.text,
        heard.thinking,
        heard.calls,
        heard.finish,
        heard.error,
        heard.complete,
        seconds,
        answer.text,
    )


async def standing(live: Live, server: Rogue) -> dict[str, Any]:
    name = next(s.spec.name for s in live.fleet.servers.values() if s.spec.url in (server.url, server.openai_url))
    answer = await live.http.get(f"/admin/api/servers/{name}", headers=live.admin())
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def is_out(told: dict[str, Any]) -> bool:
    """Whether requests pass this server, or the only model it has, by."""
    return told["state"] in ("resting", "quarantined") or any(m["rests_for_s"] for m in told["model_list"])
