"""Servers as the admin API shows them: what their sources say, and what the fleet believes of each and of its models.

Times that are ahead are given in seconds from now.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from llm_gateway.access.policy import Owner, Trust
from llm_gateway.fleet.rest import Rest
from llm_gateway.fleet.server import ModelState, ServerState, State, is_lie
from llm_gateway.fleet.versions import leaks
from llm_gateway.running import Running
from llm_gateway.storage.servers import StoredServer
from llm_gateway.web.admin.common import when

ModelStanding = Literal["healthy", "unknown", "returning", "busy", "resting", "quarantined"]


class ModelOnServer(BaseModel):
    """One model on one server, whatever the server as a whole is like."""

    name: str
    digest: str | None
    family: str | None
    parameter_size: str | None
    quantization: str | None
    context_length: int | None
    state: ModelStanding = Field(description="quarantined: it is not what its name says; unknown: it was never asked.")
    successes: int
    failures: int
    success_rate: float | None = Field(description="Share of its answers that were whole, of late; null: none yet.")
    in_flight: int
    limit: int = Field(description="Attempts that it can bear at a time, as far as was learnt.")
    warm: bool | None = Field(description="Is it in memory? null = unknown.")
    first_token_s: float | None = Field(description="Expected seconds to its first content; null: none was seen.")
    tokens_per_second: float | None
    reason: str | None = Field(description="Why it rests: of several rests, the one that ends last.")
    rests_for_s: float | None


class ServerView(BaseModel):
    id: str
    name: str
    url: str
    kind: str
    trust: Trust
    source: str
    owner: Owner
    enabled: bool
    country: str | None
    max_concurrency: int | None
    api_key_env: str | None
    first_seen: str | None = Field(description="In the list of its source.")
    last_seen: str | None = Field(description="In the list of its source.")
    looked_at: str | None = Field(description="When it last answered a look with its list of models.")
    next_look_s: float | None = Field(description="null: none is planned, or another process plans it.")
    state: State
    models: list[str]
    models_resting: int = Field(description="Of these, models that rest by themselves while the server is well.")
    models_quarantined: int = Field(description="Of these, models that are not what their names say.")
    models_out: dict[str, Literal["resting", "quarantined"]] = Field(description="Those two by name.")
    models_warm: list[str] = Field(description="Of these, models that are known to be in its memory.")
    in_flight: int = Field(description="Attempts that run on it now, also when it is out of service.")
    draining: bool = Field(description="It is out of service, and these still run on it.")
    version: str | None
    leaks: bool = Field(description="Its version shows strangers what others asked (Ollama before 0.17.1).")
    reason: str | None = Field(description="Why it rests as a whole.")
    rests_for_s: float | None
    success_rate: float | None = Field(description="Of all its answers of late; null: none yet.")
    first_token_s: float | None = Field(description="Of the model that it has served most; as `tokens_per_second`.")
    tokens_per_second: float | None


class ServerDetail(ServerView):
    model_list: list[ModelOnServer]


class Probe(BaseModel):
    """What came of a look at a server's list of models."""

    ok: bool
    models: int | None = None
    version: str | None = None
    fault: str | None = None
    detail: str | None = None


class ProbedServer(ServerDetail):
    probe: Probe


class ServerList(BaseModel):
    data: list[ServerView]


def server_view(running: Running, stored: StoredServer) -> ServerView:
    return ServerView(**_fields(running, stored))


def server_detail(running: Running, stored: StoredServer) -> ServerDetail:
    return ServerDetail(**_fields(running, stored), model_list=_model_list(running, stored))


def probed_server(running: Running, stored: StoredServer, probe: Probe) -> ProbedServer:
    return ProbedServer(**_fields(running, stored), model_list=_model_list(running, stored), probe=probe)


def _fields(running: Running, stored: StoredServer) -> dict[str, Any]:
    state = running.gateway.fleet.servers.get(stored.id)
    now = running.gateway.clock.now()
    return {
        "id": stored.id,
        "name": stored.name,
        "url": stored.url,
        "kind": stored.kind,
        "trust": stored.trust,
        "source": stored.source,
        "owner": stored.owner,
        "enabled": stored.enabled,
        "country": stored.country,
        "max_concurrency": stored.max_concurrency,
        "api_key_env": stored.api_key_env,
        "first_seen": when(stored.first_seen),
        "last_seen": when(stored.last_seen),
        "looked_at": _looked_at(running, state),
        "next_look_s": _next_look(running, stored.id),
        "state": state.state(now) if state else ("unknown" if stored.enabled else "disabled"),
        **_believed(state, now),
    }


def _looked_at(running: Running, state: ServerState | None) -> str | None:
    clock = running.gateway.clock
    if state is None or state.listed_at is None:
        return None
    return when(clock.wall() - (clock.now() - state.listed_at))


def _next_look(running: Running, id: str) -> float | None:
    wait = running.prober.next_look(id) if running.others.leads else None
    return None if wait is None else round(wait, 1)


def _believed(state: ServerState | None, now: float) -> dict[str, Any]:
    models = list(state.models.values()) if state else []
    out = {
        m.listed.name: "quarantined" if _lies(m, now) else "resting"
        for m in models
        if m.resting(now) or m.doubt is not None
    }
    return {
        "models": [m.listed.name for m in models],
        "models_resting": len(out),
        "models_quarantined": sum(why == "quarantined" for why in out.values()),
        "models_out": out,
        "models_warm": [m.listed.name for m in models if m.warm(now)],
        "in_flight": state.in_flight if state else 0,
        "draining": state is not None and not state.spec.enabled and state.in_flight > 0,
        "version": state.version if state else None,
        "leaks": state is not None and leaks(state.spec.kind, state.version),
        **_out(state.rests(now) if state else None, state.quarantined(now) if state else None, now),
        "success_rate": _success(models),
        **_pace(max(models, key=lambda m: m.successes, default=None), now),
    }


def _model_list(running: Running, stored: StoredServer) -> list[ModelOnServer]:
    state = running.gateway.fleet.servers.get(stored.id)
    now = running.gateway.clock.now()
    return [_model(m, now) for m in state.models.values()] if state else []


def _model(model: ModelState, now: float) -> ModelOnServer:
    longest = _longest(model)
    return ModelOnServer(
        name=model.listed.name,
        digest=model.listed.digest,
        family=model.listed.family,
        parameter_size=model.listed.parameter_size,
        quantization=model.listed.quantization,
        context_length=model.listed.context_length,
        state=_standing(model, longest, now),
        successes=model.successes,
        failures=model.failures,
        success_rate=_success([model]),
        in_flight=model.in_flight,
        limit=model.slots.limit,
        warm=model.warm(now),
        **_pace(model, now),
        **_out(longest if longest.resting(now) else None, model.quarantined(now), now),
    )


def _standing(model: ModelState, longest: Rest, now: float) -> ModelStanding:
    if _lies(model, now):
        return "quarantined"
    if longest.resting(now):
        return "resting"
    if now < model.busy_until:
        return "busy"
    if model.half_open(now):
        return "returning"
    return "unknown" if model.unproven else "healthy"


def _longest(model: ModelState) -> Rest:
    return max(model.rests(), key=lambda rest: rest.until)


def _lies(model: ModelState, now: float) -> bool:
    """Is it another than its name says, or its server not what it claims to be?"""
    longest = _longest(model)
    return model.quarantined(now) is not None or (longest.resting(now) and is_lie(longest))


def _out(rest: Rest | None, doubt: str | None, now: float) -> dict[str, Any]:
    """Why it is out, and for how long; a doubt about what it is ends with what caused it."""
    if rest is None:
        return {"reason": doubt, "rests_for_s": None}
    reason = f"{rest.last_fault}: {rest.detail}" if rest.detail else str(rest.last_fault)
    return {"reason": reason, "rests_for_s": round(rest.until - now, 1)}


def _success(models: Sequence[ModelState]) -> float | None:
    """Without any prior: only what was seen."""
    results = sum(m.results for m in models)
    return round(sum(m.good for m in models) / results, 3) if results else None


def _pace(model: ModelState | None, now: float) -> dict[str, Any]:
    wait = model.expected_wait(now) if model is not None and model.waits else None
    speed = model.tokens_per_second if model is not None else None
    return {
        "first_token_s": None if wait is None else round(wait, 3),
        "tokens_per_second": round(speed, 1) if speed else None,
    }
