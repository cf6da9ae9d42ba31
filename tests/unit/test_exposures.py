from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm_gateway.access.policy import Exposure, Project, Snapshot, Trust
from llm_gateway.errors import InvalidRequest, ModelNotFound, NoPermittedUpstream
from llm_gateway.exposures import Target, check_backends, merge, resolve, visible
from llm_gateway.names import canonical

OWN, PARTNER, PUBLIC = Trust.OWN, Trust.PARTNER, Trust.PUBLIC
EMPTY = Snapshot()
LEGAL = Project(id="p1", name="legal")


class Held:
    """Who holds which model, as the fleet would say it."""

    def __init__(self, **held: Iterable[Trust]) -> None:
        self.held = {name.replace("__", ":"): frozenset(trusts) for name, trusts in held.items()}

    def holders(self, name: str) -> frozenset[Trust]:
        return next((t for n, t in self.held.items() if canonical(n) == canonical(name)), frozenset())

    def spelling(self, name: str) -> str | None:
        return next((n for n in self.held if canonical(n) == canonical(name)), None)

    def names(self) -> list[tuple[str, frozenset[Trust]]]:
        return list(self.held.items())


FLEET = Held(llama__70b=[OWN], qwen__32b=[PARTNER, PUBLIC], gemma__4b=[PUBLIC])


def exposure(name: str, *backend: str, project: str | None = "p1", **params: object) -> Exposure:
    return Exposure(f"e-{project}-{name}", project, name, backend, f"about {name}", params)


def config(*exposures: Exposure) -> Snapshot:
    return Snapshot(exposures={(e.project_id, e.logical_name): e for e in exposures})


def ask(name: str, snapshot: Snapshot = EMPTY, project: Project = LEGAL, fleet: Held = FLEET) -> Target:
    listing = partial(visible, snapshot, project, fleet.names)
    return resolve(snapshot, project, name, fleet.holders, fleet.spelling, listing)


def listed(snapshot: Snapshot = EMPTY, project: Project = LEGAL, fleet: Held = FLEET) -> list[str]:
    return [entry.name for entry in visible(snapshot, project, fleet.names)]


def only(*names: str) -> Project:
    return replace(LEGAL, allowed_models=frozenset(names))


def test_a_logical_name_means_its_backends_in_order_with_its_defaults():
    assistant = exposure("law-assistant", "llama:70b", "qwen:32b", temperature=0.2)
    target = ask("law-assistant", config(assistant))
    assert target == Target("law-assistant", ("llama:70b", "qwen:32b"), {"temperature": 0.2}, assistant)


def test_a_projects_own_name_wins_over_a_shared_one():
    both = config(exposure("fast", "llama:70b", project=None), exposure("fast", "qwen:32b"))
    assert ask("fast", both).backends == ("qwen:32b",)


def test_a_shared_name_is_everybodys():
    shared = config(exposure("fast", "llama:70b", project=None))
    assert ask("fast", shared, replace(LEGAL, id="another")).backends == ("llama:70b",)


def test_another_projects_name_does_not_exist():
    others = config(exposure("secret-plan", "llama:70b", project="p2"))
    with pytest.raises(ModelNotFound) as caught:
        ask("secret-plan", others)
    assert "`secret-plan` is not exposed to project `legal`" in caught.value.message
    assert listed(others) == ["llama:70b", "qwen:32b"]


def test_a_physical_name_may_be_used_directly():
    assert ask("llama:70b") == Target("llama:70b", ("llama:70b",))


@pytest.mark.parametrize("asked", ["Llama3.2", "llama3.2:latest", "llama3.2", "LLAMA3.2:LATEST"])
def test_a_physical_name_is_found_in_every_spelling_and_known_by_the_servers_own(asked: str):
    fleet = Held(**{"llama3.2__latest": [OWN]})
    assert ask(asked, fleet=fleet) == Target("llama3.2:latest", ("llama3.2:latest",))


PINNED = Held(**{"llama__70b": [OWN], f"llama__70b@{'a' * 64}": [OWN]})
"""What the fleet says of a model and of the digest that is asked for."""


def test_a_model_may_be_pinned_by_whoever_may_ask_for_it():
    asked = f"Llama:70B@sha256:{'A' * 64}"
    for project in (LEGAL, only("llama:70b"), only(f"llama:70b@{'a' * 64}")):
        assert ask(asked, fleet=PINNED, project=project).backends == (f"llama:70b@{'a' * 64}",)
    for project in (only("qwen:32b"), only(f"llama:70b@{'b' * 64}")):
        with pytest.raises(ModelNotFound):
            ask(asked, fleet=PINNED, project=project)


def test_who_may_ask_for_one_digest_may_ask_for_no_other():
    project = only(f"llama:70b@{'a' * 64}")
    for asked in ("llama:70b", f"llama:70b@{'b' * 64}"):
        with pytest.raises(ModelNotFound):
            ask(asked, fleet=PINNED, project=project)


@pytest.mark.parametrize("project", [LEGAL, only("llama:70b")])
def test_a_digest_that_nobody_holds_is_no_model_unless_somebody_exposed_it(project: Project):
    asked = f"llama:70b@{'b' * 12}"
    with pytest.raises(ModelNotFound):
        ask(asked, project=project)
    assert ask("tested", config(exposure("tested", asked))).backends == (asked,)
    assert ask(asked, project=only(asked)).backends == (asked,)


def test_a_list_of_allowed_digests_shows_those_that_the_project_may_reach():
    own, public = f"llama:70b@{'a' * 12}", f"gemma:4b@{'a' * 12}"
    assert listed(project=only(own, public)) == [own]


def test_what_is_meant_as_a_pin_and_is_none_is_refused():
    check_backends(["llama:70b", f"llama:70b@sha256:{'a' * 12}", "claude@20240620"])
    with pytest.raises(InvalidRequest) as caught:
        check_backends(["llama:70b", "llama:70b@sha256:abc"])
    assert caught.value.param == "backend[1]"


def test_names_of_openai_servers_keep_their_capitals():
    fleet = Held(**{"Qwen/Qwen2.5-7B": [OWN]})
    assert ask("Qwen/Qwen2.5-7B", fleet=fleet).backends == ("Qwen/Qwen2.5-7B",)
    assert ask("qwen/qwen2.5-7b", fleet=fleet).backends == ("Qwen/Qwen2.5-7B",)


def test_a_logical_name_may_equal_a_physical_one_and_wins():
    same = config(exposure("qwen:32b", "llama:70b"))
    assert ask("qwen:32b", same).backends == ("llama:70b",)
    assert listed(same) == ["qwen:32b", "llama:70b"]


def test_an_unknown_name_is_answered_with_what_is_exposed():
    with pytest.raises(ModelNotFound) as caught:
        ask("gpt-5", config(exposure("law-assistant", "llama:70b")))
    assert caught.value.message == (
        "The model `gpt-5` is not exposed to project `legal`. Exposed are: `law-assistant`, `llama:70b`, `qwen:32b`."
    )
    assert caught.value.param == "model"


def test_the_answer_to_an_unknown_name_stays_short():
    fleet = Held(**{f"model__{i:03}": [OWN] for i in range(50)})
    with pytest.raises(ModelNotFound) as caught:
        ask("x" * 100_000, fleet=fleet)
    assert "`model:019` and 30 more" in caught.value.message
    assert "`model:020`" not in caught.value.message
    assert len(caught.value.message) < 1000


def test_a_project_without_any_model_is_told_so():
    with pytest.raises(ModelNotFound, match="No model is exposed to it yet"):
        ask("gpt-5", fleet=Held())


def test_a_list_of_allowed_models_allows_nothing_else():
    names = config(exposure("law-assistant", "qwen:32b"), exposure("other", "qwen:32b"))
    project = only("law-assistant", "llama:70b")
    assert listed(names, project) == ["law-assistant", "llama:70b"]
    assert ask("law-assistant", names, project).backends == ("qwen:32b",)
    assert ask("Llama:70b", names, project).backends == ("llama:70b",)
    for forbidden in ("other", "qwen:32b"):
        with pytest.raises(ModelNotFound):
            ask(forbidden, names, project)


def test_an_empty_list_of_allowed_models_is_no_list():
    assert listed(project=only()) == listed(project=LEGAL)


def test_not_allowed_and_not_existing_look_the_same():
    project = only("law-assistant")
    answers = set()
    for name in ("qwen:32b", "nosuch:32b"):
        with pytest.raises(ModelNotFound) as caught:
            ask(name, project=project)
        answers.add(caught.value.message.replace(name, "…"))
    assert len(answers) == 1


def test_allowing_a_logical_name_does_not_allow_a_physical_one_that_is_called_alike():
    fleet = Held(**{"llama3.2__latest": [OWN]})
    names, project = config(exposure("llama3.2", "other:1b")), only("llama3.2")
    assert ask("llama3.2", names, project, fleet).backends == ("other:1b",)
    with pytest.raises(ModelNotFound):
        ask("llama3.2:latest", names, project, fleet)
    assert listed(names, project, fleet) == ["llama3.2"]


def test_a_logical_name_is_known_with_the_tag_that_clients_complete_unless_that_is_a_physical_model():
    fleet = Held(**{"llama3.2__latest": [OWN]})
    names = config(exposure("law", "other:1b"), exposure("llama3.2", "other:1b"))
    assert ask("law:latest", names, fleet=fleet) == ask("law", names, fleet=fleet)
    assert ask("llama3.2:latest", names, fleet=fleet).backends == ("llama3.2:latest",)
    for name in ("law:7b", "LAW:latest", "law:latest:latest"):
        with pytest.raises(ModelNotFound):
            ask(name, names, fleet=fleet)
    with pytest.raises(ModelNotFound):
        ask("law:latest", names, only("other"), fleet)


def test_a_model_on_servers_of_a_forbidden_class_is_refused_with_how_to_change_it():
    with pytest.raises(NoPermittedUpstream) as caught:
        ask("gemma:4b")
    assert caught.value.status == 403
    assert "served only by `public` servers" in caught.value.message
    assert "project `legal` may use: `own`, `partner`" in caught.value.message
    assert "add `public` to the `trust`" in caught.value.message
    assert "gemma:4b" not in listed()


def test_once_the_class_is_permitted_the_model_is_there():
    project = replace(LEGAL, trust=frozenset(Trust))
    assert ask("gemma:4b", project=project).backends == ("gemma:4b",)
    assert "gemma:4b" in listed(project=project)


def test_a_logical_name_is_refused_when_all_holders_of_its_backends_are_forbidden():
    cheap = config(exposure("cheap", "gemma:4b", "nobody:1b"))
    with pytest.raises(NoPermittedUpstream):
        ask("cheap", cheap)
    assert "cheap" in listed(cheap)


def test_one_permitted_holder_is_enough():
    mixed = config(exposure("mixed", "gemma:4b", "qwen:32b"))
    assert ask("mixed", mixed).backends == ("gemma:4b", "qwen:32b")


def test_what_an_administrator_exposed_or_allowed_resolves_though_nobody_holds_it_now():
    names = config(exposure("sleeping", "away:70b"))
    assert ask("sleeping", names).backends == ("away:70b",)
    assert ask("Away:70b", names, only("away:70b")) == Target("away:70b", ("away:70b",))
    assert listed(names, only("away:70b")) == ["away:70b"]


def test_the_list_is_logical_names_first_and_each_part_in_order():
    names = config(exposure("zeta", "llama:70b"), exposure("alpha", "llama:70b", project=None, top_k=5))
    first, *rest = visible(names, LEGAL, FLEET.names)
    assert [entry.name for entry in rest] == ["zeta", "llama:70b", "qwen:32b"]
    assert (first.name, first.backends, first.logical) == ("alpha", ("llama:70b",), True)
    assert (first.description, first.params) == ("about alpha", {"top_k": 5})
    assert not rest[-1].logical


def test_defaults_win_only_where_the_request_is_silent():
    assert merge({"temperature": 0.2, "max_tokens": 1500}, {"temperature": 0}) == {"temperature": 0, "max_tokens": 1500}


NAMES = ["a", "A", "a:latest", "b:1", "B:1", "c", "nosuch"]
TRUSTS = st.frozensets(st.sampled_from(list(Trust)))


@given(
    own=st.frozensets(st.sampled_from(NAMES)),
    shared=st.frozensets(st.sampled_from(NAMES)),
    allowed=st.none() | st.frozensets(st.sampled_from(NAMES)),
    trust=TRUSTS,
    held=st.dictionaries(st.sampled_from(["a:latest", "B:1", "c:latest"]), TRUSTS.filter(bool)),
)
@example(
    own=frozenset({"a"}),
    shared=frozenset(),
    allowed=frozenset({"a", "a:latest"}),
    trust=frozenset(),
    held={"B:1": frozenset({Trust.OWN})},
)
def test_the_list_and_the_answers_agree(
    own: frozenset[str],
    shared: frozenset[str],
    allowed: frozenset[str] | None,
    trust: frozenset[Trust],
    held: dict[str, frozenset[Trust]],
):
    fleet = Held(**held)
    project = replace(LEGAL, trust=trust, allowed_models=allowed)
    snapshot = config(*(exposure(n, "b:1") for n in own), *(exposure(n, "c", project=None) for n in shared))
    shown = listed(snapshot, project, fleet)
    assert len(shown) == len(set(shown))
    for name in shown:
        try:
            target = ask(name, snapshot, project, fleet)
        except NoPermittedUpstream:
            assert {name, name.removesuffix(":latest")} & (own | shared)  # untagged: what nobody holds means that one
        else:
            assert target.logical == name or canonical(target.logical) == canonical(name)
    for name in NAMES:
        try:
            target = ask(name, snapshot, project, fleet)
        except (ModelNotFound, NoPermittedUpstream):
            continue
        assert target.logical in shown or canonical(target.logical) in {canonical(n) for n in shown}
