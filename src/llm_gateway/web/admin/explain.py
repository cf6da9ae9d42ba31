"""Who would serve a model now, and why not the others: each candidate with what it is judged by."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Annotated, Final

from fastapi import Query
from pydantic import BaseModel, Field

from llm_gateway.access.policy import Owner, Project, Trust
from llm_gateway.errors import InvalidRequest, ModelNotFound
from llm_gateway.exposures import Target, resolve
from llm_gateway.fleet.conclusion import Conclusion, Outcome, conclude
from llm_gateway.fleet.explain import Standing, Verdict
from llm_gateway.gateway import Gateway
from llm_gateway.names import SHORTEST_PIN, canonical, pinned
from llm_gateway.said import Said, say
from llm_gateway.storage import projects
from llm_gateway.web.admin.common import Live, admin_router
from llm_gateway.web.admin.sentences import ADVICE, AdviceCode, Sentence, sentence
from llm_gateway.wire.models import CAPABILITIES

router = admin_router("models")
SHOWN: Final = 20
"""Names that an error message lists."""
EVERYBODY: Final = frozenset(Trust)


class Candidate(BaseModel):
    """One server and one of the physical models on it."""

    server: str
    server_id: str
    trust: Trust
    model: str = Field(description="As that server lists it.")
    digest: str | None
    preference: int = Field(description="1 = of the model that is preferred.")
    standing: Standing = Field(
        description="usable, returning (from a rest: one attempt at a time), doubted (asked when nobody else may), "
        "full, busy (it said so), resting, "
        "quarantined (another model under that name), incapable (it lacks what is needed), not_pinned (another "
        "digest), not_permitted (its trust class), disabled."
    )
    reason: str | None
    reason_said: Sentence | None
    again_in_s: float | None = Field(description="Seconds until it is tried next, where that is known.")
    in_flight: int
    limit: int = Field(description="Attempts that it can bear at a time, as far as was learnt.")
    first_token_s: float = Field(description="Expected seconds to the first content, were it idle.")
    first_token_known: bool = Field(description="False: a guess, for none was seen.")
    tokens_per_second: float
    tokens_per_second_known: bool
    success_rate: float = Field(description="Share of its answers that are whole, of late.")
    success_rate_known: bool
    warm: bool | None = Field(description="Is the model in its memory? null = unknown.")
    capabilities: list[str] = Field(description="What the model is said to be able to there; empty = unknown.")
    lacks: list[str] = Field(description="What it is known not to be able to: by the same words, or by refusals.")
    cost: float = Field(description="What the choice goes by, the lower the better: made of the figures before.")


class Explained(BaseModel):
    name: str
    project: str | None
    logical: bool
    backends: list[str] = Field(description="Physical models in order of preference.")
    trust: list[Trust] = Field(description="Classes of servers that may be used.")
    outcome: Outcome = Field(
        description="serves, waits (all are full or busy), tries_resting (all rest), or why nobody can: quarantined "
        "(another model under that name), incapable (all lack what is needed), not_pinned (another digest), "
        "not_permitted, disabled, not_held."
    )
    conclusion: str
    conclusion_said: list[Sentence]
    advice: str | None = Field(description="What would change it.")
    advice_said: Sentence | None
    data: list[Candidate] = Field(description="In the order in which the fleet would choose; who is out comes last.")


@router.get("/{name:path}/explain", summary="Who would serve a model now, and why not the others")
async def explain_model(
    running: Live,
    name: str,
    project: Annotated[
        str | None, Query(description="Id or name. Absent: shared and physical names, all trust classes.")
    ] = None,
    need: Annotated[
        list[str] | None, Query(description=f"What a request needs, of {', '.join(CAPABILITIES)}; may be repeated.")
    ] = None,
) -> Explained:
    """404 names what there is instead."""
    needs = _needs(need or ())
    gw = running.gateway
    of: Project | None = None
    if project is not None:
        async with running.sessions.read() as s:
            of = await projects.get_project(s, project)
    target = _meaning(gw, of, name)
    trust = of.trust if of else EVERYBODY
    verdicts = gw.fleet.explain(target.backends, trust, gw.clock.now(), needs)
    concluded = conclude(verdicts, target.backends, trust)
    advice = _advice(concluded, target, verdicts, of)
    return Explained(
        name=target.logical,
        project=of.name if of else None,
        logical=target.exposure is not None,
        backends=list(target.backends),
        trust=sorted(trust),
        outcome=concluded.outcome,
        conclusion=concluded.text,
        conclusion_said=[sentence(said) for said in concluded.said],
        advice=advice.text if advice else None,
        advice_said=sentence(advice),
        data=[_candidate(v) for v in verdicts],
    )


def _meaning(gw: Gateway, of: Project | None, name: str) -> Target:
    """As a request of the project resolves it, but servers that it may not use, or that are out of service, count as
    well: that they are is what shall be explained. Raises ModelNotFound."""
    seen_by = replace(of, trust=EVERYBODY) if of else Project(id="", name="", trust=EVERYBODY)

    def meant(as_project: Project) -> Target:
        return resolve(
            gw.snapshot,
            as_project,
            name,
            lambda model: frozenset(spec_trust for spec_trust, _ in _holders(gw, model)),
            lambda model: next((listed for _, listed in _holders(gw, model)), None),
            lambda: gw.visible(of) if of else (),
        )

    try:
        return meant(seen_by)
    except ModelNotFound as unknown:
        if of is None:
            raise _unknown(gw, name) from unknown
        try:
            meant(replace(seen_by, allowed_models=None))
        except ModelNotFound:
            raise unknown from None
        raise ModelNotFound(
            f"The model `{name}` exists, but the `allowed_models` of project `{of.name}` leave it out. They are: "
            f"{_list(sorted(of.allowed_models or ()))}.",
            param="name",
        ) from unknown


def _holders(gw: Gateway, model: str) -> Iterable[tuple[Trust, str]]:
    """Of all servers, also those out of service: trust class, and the model's name there, pinned if `model` is."""
    pin = pinned(canonical(model))
    return (
        (server.spec.trust, f"{listed.name}@sha256:{listed.digest}" if pin.digest else listed.name)
        for server in gw.fleet.servers.values()
        if pin.name in server.models and pin.fits((listed := server.models[pin.name].listed).digest)
    )


def _digests(gw: Gateway, name: str) -> list[str]:
    """Of the models that servers list by this name, the first 12 digits."""
    held = (server.models[name].listed.digest for server in gw.fleet.servers.values() if name in server.models)
    return sorted({digest[:SHORTEST_PIN] for digest in held if digest})


def _unknown(gw: Gateway, name: str) -> ModelNotFound:
    owners = [gw.snapshot.projects[of].name for of, known in gw.snapshot.exposures if known == name and of]
    if owners:
        return ModelNotFound(
            f"`{name}` is a logical name of project {_list(sorted(owners))} only: say as which project.", param="name"
        )
    if pinned(name).digest and (digests := _digests(gw, pinned(canonical(name)).name)):
        return ModelNotFound(f"No server lists `{name[:120]}`. Listed under that name: {_list(digests)}.", param="name")
    shared = sorted(known for of, known in gw.snapshot.exposures if of is None)
    physical = sorted(known for known, _ in gw.fleet.names())
    by_stem = {known.removesuffix(":latest"): known for known in (*physical, *shared)}
    close = get_close_matches(name.removesuffix(":latest"), by_stem, n=3)
    if close:
        there_is = f"Did you mean {' or '.join(f'`{by_stem[stem]}`' for stem in close)}?"
    elif shared or physical:
        there_is = f"There are: {_list([*shared, *physical])}."
    else:
        there_is = "No logical name is shared, and no server lists a model yet."
    return ModelNotFound(f"There is no model `{name[:120]}`. {there_is}", param="name")


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"`{name}`" for name in names[:SHOWN]) + more


def _needs(named: Sequence[str]) -> frozenset[str]:
    """Raises InvalidRequest for one that there is not."""
    for name in named:
        if name not in CAPABILITIES:
            raise InvalidRequest(f"`need` must be one of {_list(CAPABILITIES)}; you sent {name[:60]!r}.", param="need")
    return frozenset(named)


def _advice(
    concluded: Conclusion, target: Target, verdicts: Sequence[Verdict], of: Project | None
) -> Said[AdviceCode] | None:
    """What an administrator can do about it, as commands where there are some."""
    if of is not None and not of.is_active:
        return say(ADVICE, "project_is_disabled", project=of.name)
    match concluded.outcome:
        case "not_permitted" if of is not None:
            more = sorted({v.spec.trust for v in verdicts if v.standing == "not_permitted"})
            if of.owner is Owner.FILE:
                return say(ADVICE, "permit_in_file", project=of.name, trust=tuple(f"`{each}`" for each in more))
            flags = " ".join(f"--trust {each}" for each in sorted({*of.trust, *more}))
            return say(ADVICE, "permit", command=f"llm-gateway projects update {shlex.quote(of.name)} {flags}")
        case "disabled":
            return say(ADVICE, "enable", command=f"llm-gateway servers enable {shlex.quote(verdicts[0].spec.name)}")
        case "not_held" if target.exposure is not None:
            return say(ADVICE, "map_again", command=f"llm-gateway models map {target.logical} MODEL… --replace")
        case "not_held":
            return say(ADVICE, "probe_all", command="llm-gateway servers probe --all")
        case "serves" | "waits" | "tries_resting" if of is not None and not of.public_tools:
            permitted = [v for v in verdicts if v.rank <= 3]
            if all(v.spec.trust is Trust.PUBLIC for v in permitted):
                return say(ADVICE, "tools_are_refused")
    return None


def _candidate(v: Verdict) -> Candidate:
    return Candidate(
        server=v.spec.name,
        server_id=v.spec.id,
        trust=v.spec.trust,
        model=v.model,
        digest=v.digest,
        preference=v.preference + 1,
        standing=v.standing,
        reason=v.reason or None,
        reason_said=sentence(v.said),
        again_in_s=None if v.again_in is None else round(v.again_in, 1),
        in_flight=v.in_flight,
        limit=v.limit,
        first_token_s=round(v.score.wait, 3),
        first_token_known=v.waits > 0,
        tokens_per_second=round(v.score.speed, 1),
        tokens_per_second_known=v.speed_known,
        success_rate=round(v.score.success, 3),
        success_rate_known=v.results > 0,
        warm=v.score.warm,
        capabilities=list(v.able),
        lacks=list(v.lacks),
        cost=float(f"{v.score.cost:.3g}"),
    )
