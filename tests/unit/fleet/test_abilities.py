"""Who is able to what a request needs: by its own word, by that of others with the same model, and by refusals."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from msgspec import structs

from llm_gateway.access.policy import Trust
from llm_gateway.errors import CapabilityMissing, Fault, FaultKind, InvalidRequest
from llm_gateway.fleet.abilities import LACK_LASTS
from llm_gateway.fleet.attempts import Clocks, GiveUp, Plan, Start
from llm_gateway.fleet.candidate import Candidate, Nobody
from llm_gateway.fleet.facts import AttemptStarted, FirstToken, Lacks, Listed, ListedModel, ServerSpec, Shown
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.fleet.policies import POLICIES
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.wire.models import ModelShow

MODEL = "llama3.2:3b"
DIGEST = "a" * 64
SILENT = ListedModel(MODEL, digest=DIGEST)
PLAIN = replace(SILENT, capabilities=("completion",))
TOOLS = replace(SILENT, capabilities=("completion", "tools"))
NEEDS = frozenset({"tools"})
ASK = Ask((MODEL,), frozenset(Trust), needs=NEEDS)


def spec(id: str, trust: Trust = Trust.OWN) -> ServerSpec:
    return ServerSpec(id, id, f"http://{id}", "ollama", trust)


def listed(fleet: Fleet, server: str, model: ListedModel, at: float = 0.0, version: str = "0.33.0") -> None:
    fleet.apply(Listed(server, at, (model,), version))


def fleet_of(policy: str = "p2c", **models: ListedModel) -> Fleet:
    """Own servers."""
    fleet = Fleet(Random(1).random, policy)
    fleet.describe([spec(id) for id in models])
    for id, model in models.items():
        listed(fleet, id, model)
    return fleet


def strangers(**models: ListedModel) -> Fleet:
    fleet = Fleet(Random(1).random)
    fleet.describe([spec(id, Trust.PUBLIC) for id in models])
    for id, model in models.items():
        listed(fleet, id, model)
    return fleet


def able(fleet: Fleet, server: str, now: float = 1.0, needs: frozenset[str] = NEEDS) -> bool | None:
    return fleet.servers[server].models[MODEL].abilities.able(needs, now)


def picked(fleet: Fleet, now: float = 1.0, ask: Ask = ASK, tried: tuple[str, ...] = ()) -> str:
    found = fleet.pick(ask, tried, now)
    return found.spec.id if isinstance(found, Candidate) else found.value


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_a_request_with_needs_goes_to_whom_they_are_known_of_however_slow(policy: str):
    fleet = fleet_of(policy, quick=PLAIN, slow=TOOLS)
    fleet.apply(FirstToken("quick", MODEL, 0.0, 0.1))
    fleet.apply(FirstToken("slow", MODEL, 0.0, 9.0))
    assert Counter(picked(fleet) for _ in range(50)) == {"slow": 50}


def test_one_of_which_nobody_knows_comes_after_and_one_that_lacks_it_never():
    other = replace(SILENT, digest=None)
    fleet = fleet_of(unknown=other, plain=PLAIN, tools=TOOLS)
    assert picked(fleet) == "tools"
    fleet.apply(AttemptStarted("tools", MODEL, 1.0))
    assert picked(fleet) == "unknown", "rather than wait for a place"
    assert picked(fleet, tried=("tools " + MODEL, "unknown " + MODEL)) == Nobody.LEFT.value
    assert picked(fleet, ask=structs.replace(ASK, needs=frozenset())) in ("plain", "unknown")


def test_the_preferred_model_comes_first_even_where_nobody_knows_what_it_is_able_to():
    fleet = Fleet(Random(1).random)
    fleet.describe([spec("a"), spec("b")])
    listed(fleet, "a", ListedModel("big", digest="1" * 64))
    listed(fleet, "b", ListedModel("small", digest="2" * 64, capabilities=("completion", "tools")))
    assert picked(fleet, ask=structs.replace(ASK, backends=("big", "small"))) == "a"
    fleet.apply(Lacks("a", 1.0, "big", "tools"))
    assert picked(fleet, ask=structs.replace(ASK, backends=("big", "small"))) == "b"


def test_who_lacks_it_is_not_even_asked_when_all_rest():
    fleet = fleet_of(plain=PLAIN)
    assert fleet.lacking(ASK, 1.0) == NEEDS
    assert picked(fleet) == Nobody.LEFT.value


def test_a_need_that_one_may_have_is_not_lacking_and_neither_is_one_of_a_model_that_nobody_holds():
    assert fleet_of(plain=PLAIN, tools=TOOLS).lacking(ASK, 1.0) == frozenset()
    assert fleet_of(plain=PLAIN, unknown=replace(SILENT, digest=None)).lacking(ASK, 1.0) == frozenset()
    assert fleet_of(plain=PLAIN).lacking(structs.replace(ASK, backends=("other",)), 1.0) == frozenset()


def test_needs_that_nobody_has_together_are_all_lacking():
    vision = replace(PLAIN, capabilities=("completion", "vision"), digest=None)
    both = frozenset({"tools", "vision"})
    assert fleet_of(a=TOOLS, b=vision).lacking(structs.replace(ASK, needs=both), 1.0) == both
    assert fleet_of(a=TOOLS, b=PLAIN).lacking(structs.replace(ASK, needs=both), 1.0) == {"vision"}


def test_equal_digests_are_able_to_the_same():
    fleet = fleet_of(new=TOOLS, old=SILENT)
    assert able(fleet, "old") is True
    assert able(fleet, "old", needs=frozenset({"vision"})) is False


def test_what_an_older_version_does_not_know_may_be_there_in_a_newer_one():
    fleet = Fleet(Random(1).random)
    fleet.describe([spec("old"), spec("new")])
    listed(fleet, "old", PLAIN, version="0.6.5")
    listed(fleet, "new", SILENT, version="0.12.0")
    assert able(fleet, "new") is None
    assert able(fleet, "new", needs=frozenset({"completion"})) is True


def test_no_stranger_speaks_for_our_own_servers():
    fleet = Fleet(Random(1).random)
    fleet.describe([spec("own"), *(spec(f"s{n}", Trust.PUBLIC) for n in range(5))])
    listed(fleet, "own", SILENT)
    for n in range(5):
        listed(fleet, f"s{n}", PLAIN)
    assert able(fleet, "own") is None


def test_one_stranger_alone_does_not_put_the_others_out():
    fleet = strangers(liar=PLAIN, a=SILENT, b=SILENT)
    assert (able(fleet, "liar"), able(fleet, "a")) == (False, None)
    listed(fleet, "b", PLAIN)
    assert able(fleet, "a") is False, "two agree"


def test_our_own_server_knows_better_than_strangers():
    fleet = Fleet(Random(1).random)
    fleet.describe([spec("own"), *(spec(f"s{n}", Trust.PUBLIC) for n in range(3))])
    listed(fleet, "own", TOOLS)
    for n, model in enumerate((PLAIN, PLAIN, SILENT)):
        listed(fleet, f"s{n}", model)
    assert able(fleet, "s2") is True
    assert able(fleet, "s0") is False, "by its own word"


def test_what_is_shown_counts_where_the_list_is_silent():
    fleet = fleet_of(a=SILENT)
    fleet.apply(Shown("a", 1.0, MODEL, "b" * 64, ModelShow(("completion", "tools"))))
    assert able(fleet, "a") is None, "that was another model"
    fleet.apply(Shown("a", 1.0, MODEL, DIGEST, ModelShow(("completion", "tools"))))
    assert able(fleet, "a") is True
    listed(fleet, "a", replace(SILENT, size=7), at=2.0)
    assert able(fleet, "a") is True, "another list of the same model changes nothing"


def test_a_refusal_is_believed_for_a_day_and_of_that_server_only():
    fleet = fleet_of(a=TOOLS, b=TOOLS)
    fleet.apply(Lacks("a", 1.0, MODEL, "tools"))
    assert (able(fleet, "a", 2.0), able(fleet, "b", 2.0)) == (False, True)
    assert able(fleet, "a", 1.0 + LACK_LASTS) is True


@pytest.mark.parametrize("change", ["digest", "version"])
def test_a_refusal_is_forgotten_with_the_digest_or_the_version(change: str):
    fleet = fleet_of(a=SILENT)
    fleet.apply(Lacks("a", 1.0, MODEL, "tools"))
    listed(fleet, "a", SILENT, at=2.0)
    assert able(fleet, "a", 2.0) is False
    if change == "digest":
        listed(fleet, "a", replace(SILENT, digest="b" * 64), at=3.0)
    else:
        listed(fleet, "a", SILENT, at=3.0, version="0.34.0")
    assert able(fleet, "a", 3.0) is None


def test_what_was_shown_and_refused_outlives_a_restart():
    before = fleet_of(a=SILENT)
    before.apply(Shown("a", 1.0, MODEL, DIGEST, ModelShow(("completion", "tools"), "llama", "Llama", 8192, 3072)))
    before.apply(Lacks("a", 1.0, MODEL, "thinking"))
    kept = json.loads(json.dumps(before.snapshot(11.0)))

    def restarted(**more: object) -> Fleet:
        after = Fleet(Random(1).random)
        after.describe([replace(spec("a"), models=(replace(SILENT, **more),))])  # type: ignore[arg-type]  # by name
        after.restore(kept, 1_000.0, age=5.0)
        listed(after, "a", replace(SILENT, **more), at=1_001.0)  # type: ignore[arg-type]  # by name
        return after

    after, thinking = restarted(), frozenset({"thinking"})
    assert able(after, "a", 1_001.0) is True
    assert able(after, "a", 1_001.0, thinking) is False
    assert able(after, "a", 990.0 + LACK_LASTS, thinking) is False, "by what it shows"
    details = after.details(MODEL)
    assert details is not None
    assert (details.basename, details.context_length, details.embedding_length) == ("Llama", 8192, 3072)
    assert able(restarted(digest="b" * 64), "a", 1_001.0) is None


@pytest.mark.parametrize("odd", [7, {"lacks": 7}, {"lacks": {"tools": "x", "y": 5}, "shown": []}, {"shown": {"x": 1}}])
def test_an_odd_memory_is_left_out(odd: object):
    before = fleet_of(a=SILENT)
    before.apply(Lacks("a", 1.0, MODEL, "tools"))
    kept = before.snapshot(2.0)
    kept["servers"]["a"]["models"][MODEL]["abilities"] = odd
    after = fleet_of(a=SILENT)
    after.restore(kept, 2.0)
    assert able(after, "a", 2.0) is None


def plan_of(fleet: Fleet, ask: Ask = ASK) -> Plan:
    plan = Plan(fleet, ask, Clocks(), 0.0, 600.0, lambda: 0.0)
    plan.unable = lambda needs: CapabilityMissing(", ".join(sorted(needs)))
    return plan


def refused(plan: Plan, lacks: str | None) -> object:
    """All that the plan asks refuse."""
    now = 0.0
    while isinstance(decision := plan.next(now), Start):
        plan.failed(decision.candidate, Fault(FaultKind.INCAPABLE, lacks=lacks), now)
        now += 1.0
    assert isinstance(decision, GiveUp)
    return decision.error


def test_when_all_that_were_asked_refuse_the_caller_is_told_what_is_lacking():
    error = refused(plan_of(fleet_of(a=SILENT, b=SILENT)), "tools")
    assert isinstance(error, CapabilityMissing)
    assert error.message == "tools"
    error = refused(plan_of(fleet_of(a=SILENT), structs.replace(ASK, needs=frozenset())), "completion")
    assert isinstance(error, CapabilityMissing)
    assert error.message == "completion"


def test_a_refusal_that_names_nothing_for_a_request_that_needs_nothing_stays_a_plain_one():
    error = refused(plan_of(fleet_of(a=SILENT), structs.replace(ASK, needs=frozenset())), None)
    assert type(error) is InvalidRequest


def test_it_is_explained_who_lacks_what():
    fleet = fleet_of(plain=PLAIN, unknown=replace(SILENT, digest=None), tools=TOOLS)
    told = [(v.spec.id, v.standing, v.reason) for v in fleet.explain((MODEL,), frozenset(Trust), 1.0, NEEDS)]
    assert told == [("tools", "usable", ""), ("unknown", "usable", ""), ("plain", "incapable", "lacks tools")]
    assert {v.standing for v in fleet.explain((MODEL,), frozenset(Trust), 1.0)} == {"usable"}
