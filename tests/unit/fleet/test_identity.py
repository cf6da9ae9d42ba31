"""Who is held for another model than its name says, by what the servers list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet.candidate import Candidate, Nobody
from llm_gateway.fleet.facts import (
    AttemptEnded,
    AttemptStarted,
    Judged,
    Listed,
    ListedModel,
    ProbeFailed,
    ServerSpec,
    Warm,
)
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.fleet.identity import ALIASES, VOTE_LASTS, Claim, Noticed, contradiction, judge
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.fleet.twins import Twins, twins, voice_of

ALL = frozenset(Trust)
OWN, PARTNER, PUBLIC = Trust.OWN, Trust.PARTNER, Trust.PUBLIC
MODEL = "llama3.3:70b"
A, B, C = "a" * 64, "b" * 64, "c" * 64
DAY = 86_400.0


class Net:
    """A fleet of servers that each list what the test says."""

    def __init__(self) -> None:
        self.noticed: list[Noticed] = []
        self.fleet = Fleet(lambda: 0.5, told=self.noticed.append)
        self.specs: list[ServerSpec] = []

    def add(self, id: str, trust: Trust = PUBLIC, kind: str = "ollama") -> None:
        self.specs.append(ServerSpec(id, f"name-{id}", f"http://{id}", kind, trust))
        self.fleet.describe(self.specs)

    def lists(self, id: str, digest: str | None, at: float = 0.0, name: str = MODEL, **details: str) -> None:
        self.fleet.apply(Listed(id, at, (ListedModel(name, digest, **details),)))  # type: ignore[arg-type]

    def of(self, at: float = 0.0, trust: Trust = PUBLIC, **digests: str | None) -> Net:
        for id, digest in digests.items():
            self.add(id, trust)
            self.lists(id, digest, at)
        return self

    def asked(self, now: float = 0.0, model: str = MODEL) -> set[str]:
        """Whom requests may meet, in the order of the panic when all rest."""
        tried: set[str] = set()
        met = set()
        while isinstance(found := self.fleet.pick(Ask((model,), ALL), tried, now), Candidate):
            tried.add(found.key)
            met.add(found.spec.id)
        assert found is Nobody.LEFT
        return met

    def out(self) -> dict[str, str]:
        """Server -> why a model on it is not believed."""
        states = ((s.spec.id, m.doubt) for s in self.fleet.servers.values() for m in s.models.values())
        return {id: doubt.kind for id, doubt in states if doubt is not None}


# digests


def test_a_digest_against_the_majority_is_never_asked():
    net = Net().of(x=A, y=A, liar=B)
    assert net.asked() == {"x", "y"}
    (noticed,) = net.noticed
    assert (noticed.name, noticed.model, noticed.reason) == ("name-liar", MODEL, "wrong_digest")
    assert noticed.detail == f"its digest is {B[:12]}, most servers list {A[:12]}"


def test_not_even_when_all_others_are_down():
    net = Net().of(x=A, y=A, liar=B)
    for id in "xy":
        net.fleet.apply(ProbeFailed(id, 1.0, FaultKind.REFUSED, again_in=300.0))
    assert net.asked(2.0) == {"x", "y"}


@pytest.mark.parametrize("digests", [{"x": A, "y": B}, {"x": A, "y": A, "z": B, "w": B}, {"x": A, "y": B, "z": C}])
def test_without_a_majority_nobody_is_doubted(digests: dict[str, str]):
    assert Net().of(**digests).asked() == set(digests)


def test_servers_that_list_no_digest_neither_vote_nor_are_judged():
    assert Net().of(x=None, y=None, z=None, a=A, b=A, liar=B).out() == {"liar": "wrong_digest"}
    assert Net().of(x=None, y=A, z=B).out() == {}


def test_any_number_of_strangers_cannot_outvote_an_own_server():
    net = Net().of(trust=OWN, mine=A).of(u=B, v=B, w=B, same=A)
    assert net.asked() == {"mine", "same"}


def test_own_servers_are_measured_by_own_servers():
    net = Net().of(trust=OWN, x=A, y=A, odd=B).of(u=B, v=B, w=B)
    assert net.out() == dict.fromkeys(["odd", "u", "v", "w"], "wrong_digest")


def test_where_own_servers_differ_either_digest_will_do():
    assert Net().of(trust=OWN, x=A, y=B).of(u=A, v=B, w=C).out() == {"w": "wrong_digest"}


def test_an_updated_tag_takes_over_the_fleet_and_never_all_of_it_is_out():
    ids = [f"s{n}" for n in range(10)]
    net = Net().of(**dict.fromkeys(ids, A))
    for n, id in enumerate(ids, 1):
        at = 60.0 * n
        for other in ids:  # everybody is looked at every minute
            known = net.fleet.servers[other].models[MODEL].listed.digest
            net.lists(other, B if other == id else known, at)
        newer, older = set(ids[:n]), set(ids[n:])
        asked = {id for id in ids if id not in net.out()}
        assert asked == (set(ids) if n == 5 else newer if n > 5 else older)
    assert net.out() == {}
    assert net.asked(1200.0) == set(ids)


@given(st.lists(st.tuples(st.sampled_from([OWN, PARTNER, PUBLIC]), st.sampled_from([A, B, C, None])), min_size=1))
def test_digests_never_put_everybody_out_and_strangers_never_an_own_server(servers: list[tuple[Trust, str | None]]):
    claims = [Claim(f"s{n}", trust, ListedModel(MODEL, digest)) for n, (trust, digest) in enumerate(servers)]
    judgement = judge(MODEL, claims)
    assert len(judgement.doubts) < len(claims)
    own = [claim for claim in claims if claim.trust is OWN]
    alone = judge(MODEL, own).doubts
    assert {c.server for c in own if c.server in judgement.doubts} == set(alone)


def test_a_doubt_ends_with_its_evidence_and_the_same_evidence_is_told_once():
    net = Net().of(x=A, y=A, odd=B)
    for minute in range(1, 5):
        for id, digest in {"x": A, "y": A, "odd": B}.items():
            net.lists(id, digest, minute * 60.0)
    assert [noticed.server for noticed in net.noticed] == ["odd"]
    net.lists("odd", A, 300.0)
    assert net.asked(300.0) == {"x", "y", "odd"}


def test_a_list_counts_for_a_day():
    net = Net().of(x=A, y=A, other=B)
    for hour in range(1, 24):
        net.lists("other", B, hour * 3600.0)
    assert net.out() == {"other": "wrong_digest"}
    net.lists("other", B, VOTE_LASTS + 1)
    assert net.out() == {}
    net.lists("x", A, VOTE_LASTS + 2)
    net.lists("y", A, VOTE_LASTS + 3)
    assert net.out() == {"other": "wrong_digest"}


def test_what_a_catalogue_says_counts_until_the_first_look_fails():
    fleet = Fleet(lambda: 0.5)
    believed = (ListedModel(MODEL, A),)
    specs = [ServerSpec(id, id, f"http://{id}", "ollama", PUBLIC, models=believed) for id in ("gone", "lost")]
    fleet.describe([*specs, ServerSpec("new", "new", "http://new", "ollama", PUBLIC)])
    fleet.apply(Listed("new", 1.0, (ListedModel(MODEL, B),)))
    assert fleet.servers["new"].models[MODEL].doubt is not None
    fleet.apply(ProbeFailed("gone", 2.0, FaultKind.REFUSED))
    fleet.apply(Listed("new", 700.0, (ListedModel(MODEL, B),)))
    assert fleet.servers["new"].models[MODEL].doubt is None


# changes


def test_a_strangers_digest_that_nobody_else_has_puts_it_out_for_ten_minutes():
    net = Net().of(changing=A, steady=A)
    net.lists("changing", B, 60.0)
    state = net.fleet.servers["changing"].models[MODEL]
    assert state.quarantined(60.0) == f"digest_changed: its digest was {A[:12]} and is {B[:12]}"
    assert state.identity.until == 660.0
    assert net.fleet.servers["changing"].state(61.0) == "quarantined"
    assert [(n.server, n.reason) for n in net.noticed] == [("changing", "digest_changed")]
    net.lists("changing", B, 120.0)
    assert state.identity.until == 660.0


def test_the_next_change_puts_it_out_for_twice_as_long_and_a_change_while_it_is_out_is_no_way_back():
    net = Net().of(changing=A, steady=A)
    net.lists("changing", B, 60.0)
    net.lists("changing", C, 120.0)
    assert net.fleet.servers["changing"].models[MODEL].identity.until == 660.0
    net.lists("changing", B, 1000.0)
    assert net.fleet.servers["changing"].models[MODEL].identity.until == 2200.0


def test_a_change_is_vouched_for_by_the_next_server_that_pulls_the_same():
    net = Net().of(changing=A, steady=A)
    net.lists("changing", B, 60.0)
    net.lists("steady", B, 120.0)
    assert not any(s.models[MODEL].quarantined(120.0) for s in net.fleet.servers.values())


def test_a_digest_that_is_hidden_after_a_look_is_a_change():
    net = Net().of(changing=A, steady=None)
    net.lists("changing", None, 60.0)
    assert "hidden" in (net.fleet.servers["changing"].models[MODEL].quarantined(60.0) or "")


def test_a_change_of_an_own_server_is_noted_and_nothing_else():
    net = Net().of(trust=OWN, x=A, y=A, z=A)
    net.lists("x", B, 60.0)
    assert net.asked(60.0) == {"x", "y", "z"}
    assert [(n.server, n.reason, n.out) for n in net.noticed] == [("x", "digest_changed", False)]


# names and details


@pytest.mark.parametrize(
    ("name", "family", "size"),
    [
        ("gpt-oss:20b", "gptoss", "20.9B"),
        ("gpt-oss:120b", "gptoss", "116.8B"),
        ("gemma3n:e2b", "gemma3n", "4.5B"),
        ("gemma3n:e4b", "gemma3n", "6.9B"),
        ("gemma3:270m", "gemma3", "268.10M"),
        ("gemma3:1b", "gemma3", "999.89M"),
        ("moondream:1.8b", "phi2", "1B"),
        ("qwen3:0.6b", "qwen3", "751.63M"),
        ("qwen3:30b-a3b", "qwen3moe", "30.5B"),
        ("qwen2.5-7b-instruct-1m:latest", "qwen2", "7.6B"),
        ("mixtral:8x7b", "llama", "46.7B"),
        ("mixtral:8x22b", "llama", "140.6B"),
        ("llama4:16x17b", "llama4", "108.6B"),
        ("llama3.2-vision:11b", "mllama", "9.8B"),
        ("deepseek-r1:8b", "qwen3", "8.2B"),
        ("deepseek-r1:70b", "llama", "70.6B"),
        ("kimi-k2:1t", "kimi", "1.0T"),
        ("hf.co/unsloth/llama-3.2-3b-instruct-gguf:q4_k_m", "llama", "3.21B"),
        ("smollm2:360m", "llama", "361.82M"),
        ("llama3.2:latest", "llama", "3.2B"),
        ("mistral:7b", None, None),
        ("mistral:7b", "llama", "unreadable"),
        ("someone/3b-words:latest", "gptoss", "2B"),
    ],
)
def test_names_and_details_that_agree(name: str, family: str | None, size: str | None):
    assert contradiction(name, ListedModel(name, family=family, parameter_size=size)) is None


@pytest.mark.parametrize(
    ("name", "family", "size", "said"),
    [
        ("gpt-oss:20b", "gemma3", "4.3B", "it is called gpt-oss:20b and its family is gemma3"),
        ("llama3.3:70b", "qwen2", "70B", "it is called llama3.3:70b and its family is qwen2"),
        ("llama3.3:70b", "llama", "8.0B", "it is called llama3.3:70b and has 8.0B parameters"),
        ("deepseek-r1:671b", "qwen3", "8.2B", "it is called deepseek-r1:671b and has 8.2B parameters"),
        ("mixtral:8x22b", "llama", "7.2B", "it is called mixtral:8x22b and has 7.2B parameters"),
        ("smollm2:360m", "llama", "1.7B", "it is called smollm2:360m and has 1.7B parameters"),
        ("gemma3n:e4b", "gemma3n", "27B", "it is called gemma3n:e4b and has 27B parameters"),
        ("qwen3:30b-a3b", "qwen3", "4.0B", "it is called qwen3:30b-a3b and has 4.0B parameters"),
    ],
)
def test_details_that_contradict_the_name(name: str, family: str, size: str, said: str):
    assert contradiction(name, ListedModel(name, family=family, parameter_size=size)) == said


@given(st.text(max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_whatever_strangers_write_is_read(name: str, family: str, size: str):
    contradiction(name, ListedModel(name, family=family, parameter_size=size))


def test_a_model_that_contradicts_its_name_is_out_and_does_not_vote():
    net = Net()
    for id, family in (("x", "gemma3"), ("y", "gemma3"), ("z", "gptoss")):
        net.add(id)
        net.lists(id, C if id == "z" else A, name="gpt-oss:20b", family=family)
    assert net.out() == dict.fromkeys("xy", "misnamed")
    assert net.asked(model="gpt-oss:20b") == {"z"}


def test_what_an_own_server_lists_under_a_name_is_what_the_name_means():
    net = Net()
    for id, trust, digest in (("mine", OWN, A), ("same", PUBLIC, A), ("other", PUBLIC, B)):
        net.add(id, trust)
        net.lists(id, digest, name="gpt-oss:20b", family="gemma3")
    assert net.out() == {"other": "misnamed"}


# pins


def test_a_pinned_name_is_asked_of_those_that_list_its_digest_and_of_nobody_else():
    net = Net().of(x=A, y=A, older=B, bare=None)
    assert net.asked(model=f"{MODEL}@sha256:{B}") == {"older"}
    assert net.asked(model=f"{MODEL}@{A[:12]}") == {"x", "y"}
    assert net.asked(model=f"{MODEL}@{C}") == set()
    assert net.fleet.holders(f"{MODEL}@{C}") == frozenset()
    assert net.fleet.holders(f"{MODEL}@{B}") == {PUBLIC}
    assert net.fleet.healthy(f"{MODEL}@{B}", ALL, 0.0) == 1


def test_a_pin_follows_the_lists_and_rests():
    net = Net().of(x=A, y=B)
    pinned = f"{MODEL}@{B}"
    assert net.asked(model=pinned) == {"y"}
    net.lists("y", A, 60.0)
    assert net.asked(60.0, pinned) == set()
    net.lists("x", B, 120.0)
    net.lists("y", B, 120.0)
    assert net.asked(120.0, pinned) == {"x", "y"}
    net.fleet.apply(AttemptStarted("x", MODEL, 121.0))
    net.fleet.apply(AttemptEnded("x", MODEL, 121.0, fault=FaultKind.REFUSED))
    assert net.fleet.healthy(pinned, ALL, 122.0) == 1
    net.fleet.apply(AttemptStarted("y", MODEL, 122.0))
    assert net.fleet.pick(Ask((pinned,), ALL), (), 122.0) is Nobody.FULL


def test_nobody_gets_into_a_pin_by_calling_a_model_like_it():
    net = Net().of(x=A)
    net.add("sly")
    net.lists("sly", B, name=f"{MODEL}@{A}")
    assert net.asked(model=f"{MODEL}@{A}") == {"x"}
    net.lists("sly", B, 60.0, name=f"{MODEL}@{A}")
    assert net.fleet.servers["sly"].models == {}


def test_explain_tells_who_is_not_believed_and_who_is_not_pinned():
    net = Net().of(x=A, y=A, liar=B)
    told = {v.spec.id: (v.standing, v.reason) for v in net.fleet.explain([MODEL], ALL, 0.0)}
    assert told["x"] == ("usable", "")
    assert told["liar"] == (
        "quarantined", f"identity: wrong_digest: its digest is {B[:12]}, most servers list {A[:12]}",
    )  # fmt: skip
    pinned = {v.spec.id: (v.standing, v.reason) for v in net.fleet.explain([f"{MODEL}@{B[:12]}"], ALL, 0.0)}
    assert pinned["liar"] == ("usable", "")
    assert pinned["x"] == ("not_pinned", f"its digest is {A[:12]}, pinned is {B[:12]}")


LISTS = st.lists(
    st.tuples(
        st.sampled_from(["mine", "x", "y", "z"]), st.dictionaries(st.sampled_from("pqr"), st.sampled_from([A, B, None]))
    ),
    max_size=12,
)


@given(LISTS)
def test_lists_that_come_one_by_one_make_the_same_fleet_as_all_at_once(lists: list[tuple[str, dict[str, str | None]]]):
    net = Net()
    for id, trust in (("mine", OWN), ("x", PUBLIC), ("y", PUBLIC), ("z", PARTNER)):
        net.add(id, trust)
    pins = [f"p@{A}", f"q@{B[:12]}"]

    def seen() -> object:
        names = ["p", "q", "r", *pins]
        met = [{(c.spec.id, c.model) for c in net.fleet.shortlist([name], ALL, 100.0)} for name in names]
        memberships = [
            sorted(g.name for g in m.groups) for server in net.fleet.servers.values() for m in server.models.values()
        ]
        return met, [net.fleet.holders(name) for name in names], sorted(net.fleet.names()), memberships, net.out()

    for n, (id, models) in enumerate(lists):
        net.fleet.apply(Listed(id, float(n), tuple(ListedModel(name, digest) for name, digest in models.items())))
        one_by_one = seen()
        net.fleet.enable("x", True)
        assert seen() == one_by_one


# one model under two names


def two_names(trust: Trust = PUBLIC, family: str = "llama") -> Net:
    """Two servers list the model by its name, and one the same digest by another name."""
    net = Net().of(x=A, y=A)
    net.add("z", trust)
    net.lists("z", A, name="Favourite", family=family)
    return net


def test_a_server_that_has_the_model_under_another_name_is_asked_by_that_name():
    net = two_names()
    found = net.fleet.pick(Ask((MODEL,), ALL), {f"{id} {MODEL}" for id in "xy"}, 0.0)
    assert isinstance(found, Candidate)
    assert (found.spec.id, found.model) == ("z", "Favourite")
    net.fleet.apply(AttemptStarted("z", found.model, 0.0))
    assert net.fleet.pick(Ask((MODEL,), ALL), {f"{id} {MODEL}" for id in "xy"}, 0.0) is Nobody.FULL
    assert net.fleet.pick(Ask(("favourite",), ALL), (), 0.0) is Nobody.FULL


def test_strangers_bring_no_own_server_into_play_and_no_digest_a_model_that_contradicts_the_name():
    assert two_names(trust=OWN).asked() == {"x", "y"}
    assert two_names(family="gemma3").asked() == {"x", "y"}
    assert Net().of(trust=OWN, x=A).of(y=A).fleet.holders("other") == frozenset()


def test_an_answer_goes_on_at_whoever_has_the_digest_each_server_once():
    net = two_names()
    both = (ListedModel("copy", A), ListedModel(MODEL, A))
    net.fleet.apply(Listed("y", 1.0, both))
    origin = net.fleet.pick(Ask((MODEL,), ALL), {f"y {MODEL}", "z favourite:latest"}, 1.0)
    assert isinstance(origin, Candidate)
    found = twins(net.fleet, origin, voice_of(net.fleet, origin), ALL, 1.0)
    assert sorted((c.spec.id, c.model) for c in found) == [("x", MODEL), ("y", MODEL), ("z", "Favourite")]


def test_a_model_in_memory_is_found_in_every_group_it_belongs_to():
    net = Net().of(**{f"s{n}": A for n in range(30)})
    pinned = f"{MODEL}@{A}"
    assert len(net.asked(0.0, pinned)) == 30
    net.fleet.apply(Warm("s7", 1.0, (MODEL,)))
    for model in (MODEL, pinned):
        found = net.fleet.pick(Ask((model,), ALL), (), 1.0)
        assert isinstance(found, Candidate)
        assert found.spec.id == "s7"


def test_servers_out_of_service_neither_vote_nor_are_asked():
    net = Net().of(x=A, y=A, odd=B)
    net.fleet.enable("x", False)
    assert net.asked() == {"y", "odd"}
    net.fleet.enable("x", True)
    assert net.asked() == {"x", "y"}


def test_a_server_of_which_no_model_is_believed_is_quarantined():
    net = Net().of(x=A, y=A, liar=B)
    assert net.fleet.servers["liar"].state(0.0) == "quarantined"
    net.fleet.apply(Listed("liar", 60.0, (ListedModel(MODEL, B), ListedModel("mistral:7b"))))
    assert net.fleet.servers["liar"].state(60.0) == "healthy"


def test_a_server_that_was_caught_lying_goes_on_with_nobodys_answer():
    net = Net().of(x=A, y=A, liar=A)
    origin = net.fleet.pick(Ask((MODEL,), ALL), {f"y {MODEL}", f"liar {MODEL}"}, 0.0)
    assert isinstance(origin, Candidate)
    before = twins(net.fleet, origin, voice_of(net.fleet, origin), ALL, 0.0)
    net.fleet.apply(Judged("liar", 1.0, "the same words whatever it was asked"))
    found = twins(net.fleet, origin, voice_of(net.fleet, origin), ALL, 1.0)
    assert {c.spec.id for c in found} == {"x", "y"}
    waited = Twins(net.fleet, [c for c in before if c.spec.id == "liar"], A)
    assert waited.pick(Ask((MODEL,), ALL), (), 1.0) is Nobody.LEFT


def test_a_server_that_became_another_model_meanwhile_goes_on_with_nobodys_answer():
    net = Net().of(x=A, y=A)
    origin = net.fleet.pick(Ask((MODEL,), ALL), {f"y {MODEL}"}, 0.0)
    assert isinstance(origin, Candidate)
    found = twins(net.fleet, origin, voice_of(net.fleet, origin), ALL, 0.0)
    pool = Twins(net.fleet, [c for c in found if c.spec.id == "y"], A)
    assert isinstance(pool.pick(Ask((MODEL,), ALL), (), 0.0), Candidate)
    net.lists("y", B, 1.0)
    assert pool.pick(Ask((MODEL,), ALL), (), 1.0) is Nobody.LEFT


def test_pinned_or_not_requests_for_a_model_share_one_budget():
    fleet = Net().of(x=A, y=A).fleet
    assert fleet.budgets(Ask((f"{MODEL}@{A}",), ALL)) is fleet.budgets(Ask((MODEL,), ALL))


def test_of_a_strangers_hundreds_of_names_for_one_digest_a_few_are_taken_over():
    net = Net().of(x=A)
    names = tuple(ListedModel(f"n{n}:x", A) for n in range(500))
    for id, trust in (("y", PUBLIC), ("z", PUBLIC), ("mine", OWN)):
        net.add(id, trust)
        net.fleet.apply(Listed(id, 0.0, (*names, ListedModel(MODEL, B))))
    assert list(net.fleet.servers["y"].models) == [*(f"n{n}:x" for n in range(ALIASES)), MODEL]
    assert len(net.fleet.servers["mine"].models) == 501


def test_a_list_that_says_a_name_twice_is_no_other_list_the_next_time():
    net = Net().of(x=A)
    twice = (ListedModel("Favourite", A), ListedModel("favourite:latest", B))
    net.fleet.apply(Listed("x", 0.0, twice))
    generation = net.fleet.generation
    net.fleet.apply(Listed("x", 60.0, twice))
    assert net.fleet.generation == generation
    assert net.fleet.servers["x"].models["favourite:latest"].listed.digest == A
