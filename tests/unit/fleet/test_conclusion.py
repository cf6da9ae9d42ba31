"""What all verdicts about a model come to, in the order in which the fleet chooses."""

from __future__ import annotations

from msgspec import structs
from test_choice import ASK, LLAMA, MODEL, begin, fail, fleet_of, often, picked, spec, succeed

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet.conclusion import Conclusion, conclude
from llm_gateway.fleet.facts import ListedModel, Warm
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.fleet.policies.policy import Ask

OTHER = ListedModel("mistral:7b")
OWN = frozenset({Trust.OWN})


def concluded(fleet: Fleet, now: float, ask: Ask = ASK) -> Conclusion:
    return conclude(fleet.explain(ask.backends, ask.trust, now), ask.backends, ask.trust)


def first(fleet: Fleet, now: float, ask: Ask = ASK) -> str:
    return fleet.explain(ask.backends, ask.trust, now)[0].spec.id


def test_one_that_comes_back_is_asked_before_one_with_the_second_choice():
    fleet = fleet_of(spec("a"), spec("b", models=(OTHER,)))
    fail(fleet, "a", FaultKind.RESET, 0.0)
    both = Ask((MODEL, OTHER.name), frozenset(Trust))
    assert picked(fleet, 20.0, both) == first(fleet, 20.0, both) == "a"
    assert concluded(fleet, 20.0, both).text == "Would ask `a` (llama3.2:3b) first, then `b` (mistral:7b)."


def test_of_two_alike_the_one_with_the_model_in_memory_comes_first():
    fleet = fleet_of(spec("a"), spec("b"))
    succeed(fleet, "a", 0.0, wait=1.0)
    succeed(fleet, "b", 0.0, wait=1.1)
    fleet.apply(Warm("a", 1.0, ()))
    for name, wait in (("a", 1.0), ("b", 1.1)):
        fleet.servers[name].models[MODEL].cold_waits.add(wait, 1.0)
    assert often(fleet, 1.0) == {"b": 200}
    assert first(fleet, 1.0) == "b"


def test_what_is_preferred_and_cannot_be_served_is_said():
    fleet = fleet_of(spec("a"), spec("b", models=(OTHER,)))
    begin(fleet, "a")
    both = Ask((MODEL, OTHER.name), frozenset(Trust))
    assert concluded(fleet, 1.0, both).text == (
        "Would ask `b` (mistral:7b), and nobody else. Nobody can serve `llama3.2:3b` now."
    )


def test_of_many_it_is_said_that_chance_takes_part():
    fleet = fleet_of(*(spec(name) for name in "abcde"))
    succeed(fleet, "d", 0.0, wait=0.1)
    text = concluded(fleet, 1.0).text
    assert text.startswith("Would ask `d` first, then ")
    assert ", and 2 more. (Of 5 servers a few are drawn by chance" in text


def test_all_full_means_waiting():
    fleet = fleet_of(spec("a"), spec("b"))
    begin(fleet, "a")
    fail(fleet, "b", FaultKind.BUSY, 0.0)
    told = concluded(fleet, 0.5)
    assert (told.outcome, told.text) == (
        "waits",
        "All 2 servers that may serve it and do not rest are full or busy: a request waits up to 10 s for a place.",
    )


def test_all_resting_are_asked_in_the_order_that_is_shown():
    fleet = fleet_of(spec("a"), spec("b"), spec("c"))
    fail(fleet, "a", FaultKind.NOT_THE_PROTOCOL, 0.0)
    fail(fleet, "b", FaultKind.REFUSED, 2.0)
    fail(fleet, "c", FaultKind.RESET, 1.0)
    assert [v.spec.id for v in fleet.explain(ASK.backends, ASK.trust, 3.0)] == ["c", "b", "a"]
    assert picked(fleet, 3.0) == "c"
    begin(fleet, "c", 3.0)
    assert picked(fleet, 3.0) == first(fleet, 3.0) == "b"
    assert concluded(fleet, 3.0).outcome == "tries_resting"


def test_one_that_rests_alone_is_asked_all_the_same():
    fleet = fleet_of(spec("a"))
    fail(fleet, "a", FaultKind.RESET, 0.0)
    assert concluded(fleet, 1.0).text.startswith(
        "The only server that may serve it rests. It is asked all the same. Its rest ends in "
    )


def test_a_server_at_what_its_owner_allows_says_so():
    fleet = fleet_of(spec("a", max_concurrency=1, models=(LLAMA, OTHER)))
    succeed(fleet, "a", 0.0)
    begin(fleet, "a")
    (told,) = fleet.explain((OTHER.name,), ASK.trust, 1.0)
    assert (told.standing, told.reason) == ("full", "1 of 1 requests that it may have run")


def test_why_nobody_can_serve_it():
    foreign = fleet_of(spec("a", trust=Trust.PUBLIC), spec("b", trust=Trust.PARTNER), spec("c", enabled=False))
    assert concluded(foreign, 0.0, structs.replace(ASK, trust=OWN)).text == (
        "Nobody may serve it. All 2 servers in service that hold it are `partner` or `public`, and permitted is `own`."
    )
    assert concluded(fleet_of(spec("a", enabled=False)), 0.0).outcome == "disabled"
    nowhere = Ask(("gone:1b", "lost:2b"), OWN)
    told = concluded(foreign, 0.0, nowhere)
    assert (told.outcome, told.text) == (
        "not_held",
        "Nobody can serve it: no known server lists `gone:1b` or `lost:2b`.",
    )


def test_a_model_that_nobody_believes_and_a_pin_that_nobody_holds_are_said():
    liar = ListedModel("gpt-oss:20b", digest="b" * 64, family="gemma3", parameter_size="4.3B")
    fleet = fleet_of(spec("a", models=(liar,), trust=Trust.PUBLIC))
    told = concluded(fleet, 1.0, Ask(("gpt-oss:20b",), frozenset(Trust)))
    assert told.outcome == "quarantined"
    assert told.text.startswith("Nobody may serve it. The only server that may serve it is quarantined")
    pinned = concluded(fleet, 1.0, Ask((f"gpt-oss:20b@{'a' * 12}",), frozenset(Trust)))
    assert pinned.outcome == "not_pinned"
