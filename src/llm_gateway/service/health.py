"""How the gateway and its fleet are: always answered from memory, except for the deep check."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Annotated, Final, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from llm_gateway.access.policy import Trust
from llm_gateway.errors import Fault, GatewayError
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.gateway import Gateway
from llm_gateway.names import canonical
from llm_gateway.observe.figures import Figures
from llm_gateway.service.models import healthy_servers
from llm_gateway.service.timeline import Timeline
from llm_gateway.upstream.drive import Work
from llm_gateway.wire.neutral import ChatRequest, Message

Trusts = frozenset[Trust]
ADMIN_TRUST: Final[Trusts] = frozenset(Trust)
LOOK = 1.0
"""Seconds between looks at the servers' states."""
DEEP_CACHE = 60.0
"""Seconds that the answer of a deep check is good for."""
DEEP_TIMEOUT = 30.0


class DeepHealthView(TypedDict):
    """What became of a question to a light model."""

    status: Literal["ok", "failed"]
    model: NotRequired[str]
    ttft_ms: NotRequired[float]
    code: NotRequired[str]
    message: NotRequired[str]
    age_s: NotRequired[Annotated[float, Field(description="Of an answer that was kept.")]]


class DeepHealthAnswer(DeepHealthView):
    cached: bool


class ModelCounts(TypedDict):
    total: int
    with_healthy_servers: int


class HealthView(TypedDict):
    """How the gateway and its fleet are."""

    status: Literal["ok", "degraded", "down"]
    database: Literal["ok", "unavailable"]
    configuration: Annotated[str, Field(description="Where it comes from: `database`, `snapshot` or `none`.")]
    servers: Annotated[dict[str, int], Field(description="`total`, and how many are in each state.")]
    models: ModelCounts
    log: Annotated[
        Literal["ok", "waiting", "failing"],
        Field(description="`waiting`: the database takes no rows; `failing`: the journal cannot be written."),
    ]
    log_rows_waiting: int
    log_rows_dropped: int
    deep: NotRequired[DeepHealthAnswer]


def report(gw: Gateway, *, database_ok: bool, configuration: str) -> HealthView:
    """`ok`: database and at least one server answer, and rows can be written down; `degraded`: one of them does not;
    `down`: no server can be asked at all. `log`: `waiting` while the database takes no rows, `failing` while the
    journal cannot be written. `configuration`: where it comes from, `database`, `snapshot` or `none`."""
    now = gw.clock.now()
    servers = gw.fleet.servers.values()
    states = Counter(s.state(now) for s in servers)
    held = {name for s in servers if s.spec.enabled for name in s.models}
    usable = states["healthy"] + states["unknown"]
    status: Literal["ok", "degraded", "down"]
    if not usable or not gw.knows_keys:
        status = "down"
    elif not database_ok or gw.ledger.troubled or gw.ledger.stuck or not states["healthy"] or gw.draining:
        status = "degraded"
    else:
        status = "ok"
    return {
        "status": status,
        "database": "ok" if database_ok else "unavailable",
        "configuration": configuration,
        "servers": {"total": len(gw.fleet.servers), **dict(sorted(states.items()))},
        "models": {"total": len(held), "with_healthy_servers": len(healthy_servers(gw, ADMIN_TRUST, now))},
        "log": "failing" if gw.ledger.troubled else "waiting" if gw.ledger.stuck else "ok",
        "log_rows_waiting": gw.ledger.waiting,
        "log_rows_dropped": gw.ledger.dropped,
    }


def figures(gw: Gateway) -> Figures:
    """What the fleet and the ledger are like now, for the metrics page."""
    now = gw.clock.now()
    healthy = healthy_servers(gw, ADMIN_TRUST, now)
    return replace(
        queues(gw),
        servers=Counter(s.state(now) for s in gw.fleet.servers.values()),
        healthy={name: healthy[canonical(name)] for name, _ in gw.fleet.names()},
        resting=_resting(gw, now),
    )


def queues(gw: Gateway) -> Figures:
    """The part of it that every process has of its own, and that costs nothing to look up."""
    return Figures(
        queue=gw.drive.waiting,
        log_queue=gw.ledger.waiting,
        tasks=len(asyncio.all_tasks()),
        log_rows={
            "written": gw.ledger.in_database,
            "dropped": gw.ledger.dropped,
            "repeated": gw.ledger.repeated,
        },
    )


async def watch_states(gw: Gateway, timeline: Timeline) -> None:
    """Until cancelled: counts, and notes, once a second, which servers are in another state than before."""
    while True:
        now = gw.clock.now()
        states = {server.spec.id: server.state(now) for server in gw.fleet.servers.values()}
        gw.metrics.server_states(states)
        timeline.look(gw.fleet.servers, states, now, gw.clock.wall())
        await asyncio.sleep(LOOK)


def _resting(gw: Gateway, now: float) -> Counter[tuple[str, str]]:
    """(whole `server` or one `model` on a server that is well otherwise, fault) -> how many rest for it."""
    found: Counter[tuple[str, str]] = Counter()
    for server in gw.fleet.servers.values():
        if (rest := server.rests(now)) is not None:
            found["server", str(rest.last_fault)] += 1
            continue
        for model in server.models.values():
            longest = max(model.rests(), key=lambda rest: rest.until)
            if longest.resting(now):
                found["model", str(longest.last_fault)] += 1
    return found


class DeepHealth:
    """Asks the lightest model with a healthy server for one token; one question at a time, cached."""

    def __init__(self, gw: Gateway) -> None:
        self._gw = gw
        self._one = asyncio.Lock()
        self._cached: dict[Trusts, tuple[float, DeepHealthView]] = {}

    async def ask(self, trust: Trusts) -> DeepHealthAnswer:
        """`{"status": "ok", "model", "ttft_ms"}` or `{"status": "failed", "code", "message"}`."""
        async with self._one:
            now = self._gw.clock.now()
            if (last := self._cached.get(trust)) is not None and now - last[0] < DEEP_CACHE:
                return {**last[1], "cached": True, "age_s": round(now - last[0], 1)}
            fresh = await self._ask(trust)
            self._cached[trust] = (self._gw.clock.now(), fresh)
            return {**fresh, "cached": False}

    async def _ask(self, trust: Trusts) -> DeepHealthView:
        gw, began = self._gw, self._gw.clock.now()
        model = self._lightest(trust, began)
        if model is None:
            return {"status": "failed", "code": "no_healthy_upstream", "message": "No permitted server holds a model."}
        question = ChatRequest(model, [Message("user", "Say ok.")], stream=True)
        plan = gw.drive.plan(Ask((model,), trust), DEEP_TIMEOUT)
        work = Work(question, {"max_tokens": 4, "temperature": 0.0}, plan, sizes=gw.drive.context)
        while True:  # a broken answer is asked for again elsewhere, as for a client that wants it whole
            try:
                async with gw.drive.open(work) as stream:
                    waited = gw.clock.now() - began
                    try:
                        while await stream.next():
                            pass
                    except Fault as fault:
                        plan.lost(stream.candidate, fault, gw.clock.now())
                        continue
            except GatewayError as error:
                return {"status": "failed", "model": model, "code": error.code, "message": error.message}
            return {"status": "ok", "model": model, "ttft_ms": round(waited * 1000, 1)}

    def _lightest(self, trust: Trusts, now: float) -> str | None:
        healthy = healthy_servers(self._gw, trust, now)

        def weight(name: str) -> tuple[bool, float]:
            details = self._gw.fleet.details(name)
            size = details.size if details and details.size else float("inf")
            return (not healthy[canonical(name)], size)

        names = [name for name, trusts in self._gw.fleet.names() if trusts & trust]
        return min(names, key=weight, default=None)
