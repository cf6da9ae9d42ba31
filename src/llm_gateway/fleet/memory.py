"""What was learnt, as plain JSON values that outlive a restart. Times are kept as ages and rests as what is left.

A snapshot is read with distrust: it may be of an older version, cut, or edited. What is not as expected is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from llm_gateway.errors import FaultKind
from llm_gateway.fleet import abilities
from llm_gateway.fleet.rest import Rest
from llm_gateway.fleet.server import ModelState, ServerState
from llm_gateway.fleet.waits import CLASSES

VERSION: Final = 1
LARGEST: Final = 1e12
"""Of a number that can be believed."""
LONGEST_LEFT: Final = 2 * 86_400.0
"""Seconds: no rest is longer."""
FRESH: Final = 60.0
"""Seconds for which it is believed how much a server bears."""
STANDS_FOR: Final = (0, *(bound + 1 for bound in CLASSES))
"""A length of prompt for each class of first-token times."""


def snapshot(servers: Mapping[str, ServerState], now: float) -> dict[str, Any]:
    """Rests and figures of all servers of which anything is known."""
    return {"version": VERSION, "servers": {id: _server(state, now) for id, state in servers.items()}}


def _server(server: ServerState, now: float) -> dict[str, Any]:
    models = {name: _model(state, now) for name, state in server.models.items() if not _untouched(state)}
    return {
        "url": server.spec.url,
        "version": server.version,
        "rest": _rest(server.rest, now),
        "trial": _rest(server.trial, now),
        "judged": now - server.judged_at if server.judged_at is not None else None,
        "alive_for": now - server.alive_since if server.alive_since is not None else None,
        "models": models,
    }


def _untouched(state: ModelState) -> bool:
    if state.abilities.shown is not None or state.abilities.lacks:
        return False
    return state.unproven and not state.waits and not state.rest.faults and not state.identity.faults


def _model(state: ModelState, now: float) -> dict[str, Any]:
    return {
        "digest": state.listed.digest,
        "rest": _rest(state.rest, now),
        "identity": _rest(state.identity, now),
        "successes": state.successes,
        "failures": state.failures,
        "good": state.good,
        "results": state.results,
        "tokens_per_second": state.tokens_per_second,
        "limit": state.slots.limit,
        "careful": state.slots.careful,
        "loads": state.cold_waits.values(),
        "abilities": abilities.snapshot(state.abilities, now),
        "waits": [samples.values() if samples is not None else [] for samples in state.warm_waits.classes()],
    }


def _rest(rest: Rest, now: float) -> dict[str, Any] | None:
    if not rest.faults:
        return None
    return {
        "first": rest.first,
        "left": max(0.0, rest.until - now),
        "rests": rest.rests,
        "faults": rest.faults,
        "fault": rest.last_fault,
        "fault_age": now - rest.last_fault_at,
        "detail": rest.detail,
        "returning": rest.returning,
    }


def restore(servers: Mapping[str, ServerState], learnt: object, now: float, age: float) -> int:
    """Fills in what a snapshot of `age` seconds ago knew. Returns how many of the servers were in it."""
    if not isinstance(learnt, dict) or learnt.get("version") != VERSION:
        return 0
    found = 0
    for id, kept in _objects(learnt.get("servers")).items():
        server = servers.get(id)
        if server is None or kept.get("url") != server.spec.url:
            continue
        found += 1
        version = kept.get("version")
        server.version = server.version or (version[:64] if isinstance(version, str) else None)
        _restore_rest(server.rest, kept.get("rest"), now, age)
        if (alive_for := _number(kept.get("alive_for"))) is not None:
            server.alive_since = now - age - alive_for
            server.reckon()
        _restore_rest(server.trial, kept.get("trial"), now, age)
        if (judged := _number(kept.get("judged"))) is not None:
            server.judged_at = now - age - judged
            server.doubted = server.trial.faults > 0
        for name, model in _objects(kept.get("models")).items():
            state = server.models.get(name)
            if state is not None and model.get("digest") in (None, state.listed.digest):
                _restore_model(state, model, now, age)
    return found


def restore_limits(servers: Mapping[str, ServerState], learnt: object, now: float, age: float) -> None:
    """How much the servers bear, after `restore` and all that was heard since: of those of which nothing bad was. Who
    rested begins with one attempt at a time."""
    if not 0 <= age <= FRESH or not isinstance(learnt, dict) or learnt.get("version") != VERSION:
        return
    for id, kept in _objects(learnt.get("servers")).items():
        server = servers.get(id)
        if server is None or kept.get("url") != server.spec.url or not _well(server.rest, now - age):
            continue
        for name, model in _objects(kept.get("models")).items():
            state = server.models.get(name)
            if state is None or model.get("digest") not in (None, state.listed.digest):
                continue
            if _well(state.rest, now - age) and _well(state.identity, now - age) and not state.slots.careful:
                limit = int(_number(model.get("limit")) or 1)
                state.slots.heard(limit, model.get("careful") is True)


def _well(rest: Rest, since: float) -> bool:
    return not rest.faults and (rest.last_fault is None or rest.last_fault_at <= since)


def _restore_model(state: ModelState, kept: Mapping[str, Any], now: float, age: float) -> None:
    _restore_rest(state.rest, kept.get("rest"), now, age)
    _restore_rest(state.identity, kept.get("identity"), now, age)
    state.successes = int(_number(kept.get("successes")) or 0)
    state.failures = int(_number(kept.get("failures")) or 0)
    state.results = _number(kept.get("results")) or 0.0
    state.good = min(_number(kept.get("good")) or 0.0, state.results)
    state.rate = None
    state.tokens_per_second = _number(kept.get("tokens_per_second")) or None
    if isinstance(able := kept.get("abilities"), dict):
        abilities.restore(state.abilities, able, now, age)
    for wait in _numbers(kept.get("loads")):
        state.cold_waits.add(wait, now - age)
    classes = kept.get("waits")
    for stands_for, waits in zip(STANDS_FOR, classes if isinstance(classes, list) else (), strict=False):
        for wait in _numbers(waits):
            state.warm_waits.add(wait, stands_for, now - age)


def _restore_rest(rest: Rest, kept: Any, now: float, age: float) -> None:
    if not isinstance(kept, dict) or kept.get("fault") not in list(FaultKind):
        return
    rest.until = now - age + min(_number(kept.get("left")) or 0.0, LONGEST_LEFT)
    rest.first = _number(kept.get("first")) or 0.0
    rest.rests = int(_number(kept.get("rests")) or 0)
    rest.faults = int(_number(kept.get("faults")) or 0)
    rest.last_fault = FaultKind(kept["fault"])
    rest.last_fault_at = now - age - (_number(kept.get("fault_age")) or 0.0)
    rest.detail = str(kept.get("detail", ""))[:500]
    rest.returning = kept.get("returning") is True


def _objects(value: Any) -> dict[str, dict[str, Any]]:
    return {k: v for k, v in value.items() if isinstance(v, dict)} if isinstance(value, dict) else {}


def _numbers(value: Any) -> list[float]:
    return [n for n in map(_number, value) if n is not None] if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    """A number that is not negative and not beyond all measure, or nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST:
        return None
    return float(value)
