"""A prober with a fleet, and everything that it told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from probed_server import Server

from llm_gateway.access.policy import Trust
from llm_gateway.clock import Clock, SystemClock
from llm_gateway.errors import DatabaseUnavailable
from llm_gateway.fleet.facts import Fact, Listed, ListedModel, ProbeFailed, ServerSpec
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.upstream.guard import Guard
from llm_gateway.upstream.looks import Looks, user_agent
from llm_gateway.upstream.prober import Prober
from llm_gateway.upstream.transport import Transport


def spec(server: Server | str, name: str = "a", **more: object) -> ServerSpec:
    url = server if isinstance(server, str) else server.url
    return replace(ServerSpec(id=name, name=name, url=url, kind="ollama", trust=Trust.PUBLIC), **more)  # type: ignore[arg-type]  # free keywords of a test


@dataclass
class Watch:
    """A prober and what it told."""

    prober: Prober
    fleet: Fleet
    specs: list[ServerSpec]
    facts: list[Listed | ProbeFailed] = field(default_factory=list)
    others: list[Fact] = field(default_factory=list)
    remembered: list[tuple[str, tuple[ListedModel, ...]]] = field(default_factory=list)

    def of(self, server_id: str) -> list[Listed | ProbeFailed]:
        return [fact for fact in self.facts if fact.server == server_id]

    def kick(self) -> None:
        """`specs` may have changed, or the clock."""
        self.fleet.describe(self.specs)
        self.prober.kick()


@asynccontextmanager
async def watching(
    specs: Sequence[ServerSpec],
    *,
    every: float = 60.0,
    timeout: float = 5.0,
    clock: Clock | None = None,
    lost: int = 0,
    slow: asyncio.Event | None = None,
    run: bool = True,
) -> AsyncIterator[Watch]:
    """A prober over `specs`; the first `lost` lists cannot be remembered, and none before `slow` is set."""
    clock = clock or SystemClock()
    guard = Guard(only_networks=["127.0.0.0/8"], allow_private=["127.0.0.0/8"])
    transport = Transport(guard, now=clock.now, user_agent=user_agent("https://gateway.example/"))
    fleet = Fleet(lambda: 0.5)

    async def remember(server: str, models: tuple[ListedModel, ...]) -> None:
        watch.remembered.append((server, models))
        if slow is not None:
            await slow.wait()
        if len(watch.remembered) <= lost:
            raise DatabaseUnavailable("The database does not answer.")

    def apply(fact: Fact) -> None:
        fleet.apply(fact)
        if isinstance(fact, Listed | ProbeFailed):
            watch.facts.append(fact)
        else:
            watch.others.append(fact)

    looks = Looks(transport, guard, clock, timeout)
    prober = Prober(looks, fleet, apply, clock, lambda: 0.5, every, remember=remember)
    watch = Watch(prober, fleet, list(specs))
    fleet.describe(specs)
    task = asyncio.create_task(prober.run(), name="prober") if run else None
    try:
        yield watch
    finally:
        if task is not None:
            assert not task.done(), task
            task.cancel()
            await asyncio.wait((task,))
        await transport.aclose()
