"""Why a server would be asked now or not: for people who wonder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from llm_gateway.access.policy import Trust
from llm_gateway.fleet.facts import ListedModel, ServerSpec
from llm_gateway.fleet.rest import Rest
from llm_gateway.fleet.score import ALIKE, Score, score
from llm_gateway.fleet.server import ModelState, ServerState, is_lie
from llm_gateway.names import SHORTEST_PIN, Pinned, canonical, pinned
from llm_gateway.said import Said, Template, Value, say
from llm_gateway.wire.models import CAPABILITIES

Standing = Literal[
    "usable",
    "returning",
    "doubted",
    "full",
    "busy",
    "resting",
    "quarantined",
    "incapable",
    "not_pinned",
    "not_permitted",
    "disabled",
]
ReasonCode = Literal[
    "returning",
    "returning_after",
    "doubted",
    "one_at_a_time",
    "server_full",
    "full",
    "busy",
    "resting",
    "resting_after",
    "wrong_digest",
    "misnamed",
    "incapable",
    "not_pinned",
    "not_permitted",
    "disabled",
]
REASONS: Final[dict[ReasonCode, Template]] = {
    "returning": "back from a rest: {fault}",
    "returning_after": "back from a rest: {fault} ({detail})",
    "doubted": "it lists more than can be believed and comes last until it was tried",
    "one_at_a_time": "one attempt shows whether it is back",
    "server_full": "{in_flight} of {limit} requests that it may have run",
    "full": "{in_flight} of {limit} places taken",
    "busy": "it said that it is busy",
    "resting": "{part}: {fault}",
    "resting_after": "{part}: {fault} ({detail})",
    "wrong_digest": "identity: wrong_digest: {detail}",
    "misnamed": "identity: misnamed: {detail}",
    "incapable": "lacks {lacks}",
    "not_pinned": "its digest is {digest}, pinned is {pin}",
    "not_permitted": "trust class {trust} is not permitted",
    "disabled": "taken out of service",
}
"""`fault` is a `FaultKind`, `part` what rests of `server`, `probe`, `trial`, `model` and `identity`."""
_UNKNOWN: Final = "unknown"

RANK: Final[dict[Standing, int]] = {
    "usable": 0,
    "returning": 0,  # chosen among the usable ones, as `Fleet.pick` does
    "doubted": 1,
    "full": 2,
    "busy": 2,
    "resting": 3,
    "quarantined": 4,
    "incapable": 5,
    "not_pinned": 6,
    "not_permitted": 7,
    "disabled": 8,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One server and one model on it."""

    spec: ServerSpec
    model: str
    """The name as that server lists it."""
    digest: str | None
    standing: Standing
    said: Said[ReasonCode] | None
    """Why; None for a usable one."""
    again_in: float | None
    """Seconds until it is tried next, where it is out for a time."""
    preference: int
    """Place of its model among those that were asked for, from 0."""
    score: Score
    in_flight: int
    limit: int
    waits: int
    """First-token times that `score.wait` is known from; 0 = it is a guess."""
    speed_known: bool
    """Was `score.speed` measured, by us or by a catalogue?"""
    results: int
    """Answers, whole or not, that `score.success` is known from; 0 = it is a guess."""
    order: tuple[float, ...]
    """Best first."""
    able: tuple[str, ...] = ()
    """What it is said to be able to; empty = nobody knows."""
    lacks: tuple[str, ...] = ()
    """What it is known not to be able to."""

    @property
    def reason(self) -> str:
        """Empty for a usable one."""
        return self.said.text if self.said else ""

    @property
    def rank(self) -> int:
        """0 = may be asked now, 1 = when nobody else may, 2 = at its limit, 3 = rests, more = never."""
        return RANK[self.standing]


def verdict(
    state: ModelState,
    trust: frozenset[Trust],
    preference: int,
    now: float,
    prompt_tokens: int = 0,
    *,
    pin: Pinned,
    needs: frozenset[str] = frozenset(),
) -> Verdict:
    """How this model on this server stands for a project that may use servers of `trust`, for a name with `pin`, and
    for a request with such needs."""
    standing, said, until = _standing(state, trust, pin, now, needs)
    scored = score(state, prompt_tokens, now)
    lacks, able = state.abilities.lacking(now), state.abilities.able(needs, now)
    order: tuple[float, ...] = (RANK[standing], preference, able is None, scored.cost)
    if standing == "resting":  # when all rest: the idle ones, those that did not lie, the least recently failed
        latest = max((rest for _, rest in _rests(state)), key=lambda rest: rest.last_fault_at)
        order = (RANK[standing], state.in_flight > 0, is_lie(latest), latest.last_fault_at)
    return Verdict(
        state.server.spec,
        state.listed.name,
        state.listed.digest,
        standing,
        said,
        None if until is None else max(0.0, until - now),
        preference,
        scored,
        state.in_flight,
        state.slots.limit,
        state.waits,
        (state.tokens_per_second or state.listed.tokens_per_second) is not None,
        state.successes + state.failures,
        order,
        tuple(name for name in CAPABILITIES if name in state.abilities.has),
        tuple(name for name in CAPABILITIES if name in lacks),
    )


def verdicts(
    servers: Iterable[ServerState], backends: Iterable[str], trust: frozenset[Trust], now: float, needs: frozenset[str]
) -> list[Verdict]:
    """Why each holder of the models would be asked now or not, by a request with these needs, the best first; those
    of other trust classes and disabled ones last."""
    pins = [pinned(name) for name in dict.fromkeys(map(canonical, backends))]
    return ranked(
        verdict(server.models[pin.name], trust, preference, now, pin=pin, needs=needs)
        for server in servers
        for preference, pin in enumerate(pins)
        if pin.name in server.models
    )


def ranked(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """As the fleet would choose if it looked at all of them: by `order`, and of those that cost about as little as the
    best, the ones that have the model in memory first."""
    found = sorted(verdicts, key=lambda v: v.order)
    if found:
        best, bound = found[0].order[:3], ALIKE * found[0].score.cost
        found.sort(key=lambda v: not (v.order[:3] == best and v.score.cost <= bound and v.score.warm))
    return found


def described(state: ModelState, alike: Iterable[ModelState]) -> ListedModel:
    """The model as it is listed there, with all that this server, or others that hold the very same (`alike`), show of
    it and the list does not tell."""
    listed, has = state.listed, state.abilities.has
    show = state.abilities.shown or next((s.abilities.shown for s in alike if s.abilities.shown is not None), None)
    if show is None and has == frozenset(listed.capabilities):
        return listed
    known = [*CAPABILITIES, *listed.capabilities, *(show.capabilities if show else ())]
    listed = replace(listed, capabilities=tuple(name for name in dict.fromkeys(known) if name in has))
    if show is None:
        return listed
    return replace(
        listed,
        context_length=listed.context_length or show.context_length,
        embedding_length=listed.embedding_length or show.embedding_length,
        architecture=show.architecture,
        basename=show.basename,
    )


def _standing(
    state: ModelState, trust: frozenset[Trust], pin: Pinned, now: float, needs: frozenset[str]
) -> tuple[Standing, Said[ReasonCode] | None, float | None]:
    server = state.server
    if not server.spec.enabled:
        return "disabled", _say("disabled"), None
    if server.spec.trust not in trust:
        return "not_permitted", _say("not_permitted", trust=server.spec.trust.value), None
    if not pin.fits(state.listed.digest):
        listed, wanted = ((digest or _UNKNOWN)[:SHORTEST_PIN] for digest in (state.listed.digest, pin.digest))
        return "not_pinned", _say("not_pinned", digest=listed, pin=wanted), None
    if state.doubt is not None and pin.digest is None:
        return "quarantined", _say(state.doubt.kind, detail=state.doubt.reason), None
    if state.abilities.able(needs, now) is False:
        missing = needs & state.abilities.lacking(now)
        return "incapable", _say("incapable", lacks=tuple(name for name in CAPABILITIES if name in missing)), None
    for part, rest in _rests(state):
        if rest.resting(now):
            return "resting", _after("resting", "resting_after", rest, part=part), rest.until
    if now < state.busy_until:
        return "busy", _say("busy"), state.busy_until
    returning = state.half_open(now) or server.half_open(now)
    if not state.has_place(now):
        return "full", _taken(state, returning), None
    if returning:
        latest = max((rest for _, rest in _rests(state)), key=lambda r: r.last_fault_at)
        return "returning", _after("returning", "returning_after", latest), None
    if server.doubted:
        return "doubted", _say("doubted"), None
    return "usable", None, None


def _say(code: ReasonCode, **values: Value) -> Said[ReasonCode]:
    return say(REASONS, code, **values)


def _after(without: ReasonCode, detailed: ReasonCode, rest: Rest, **values: Value) -> Said[ReasonCode]:
    """What the rest is for: its last fault, and what was seen of that if anything was."""
    fault = rest.last_fault.value if rest.last_fault is not None else _UNKNOWN
    if not rest.detail:
        return _say(without, **values, fault=fault)
    return _say(detailed, **values, fault=fault, detail=rest.detail)


def _taken(state: ModelState, returning: bool) -> Said[ReasonCode]:
    server = state.server
    if returning:
        return _say("one_at_a_time")
    if server.full():
        return _say("server_full", in_flight=server.in_flight, limit=server.spec.max_concurrency or server.in_flight)
    return _say("full", in_flight=state.in_flight, limit=state.slots.limit)


def _rests(state: ModelState) -> list[tuple[str, Rest]]:
    """The longest first: it decides when the candidate is tried next."""
    server = state.server
    rests = [
        ("server", server.rest),
        ("probe", server.probe_rest),
        ("trial", server.trial),
        ("model", state.rest),
        ("identity", state.identity),
    ]
    return sorted(rests, key=lambda item: -item[1].until)
