"""The plan of one request: told what happened, it says what to do."""

from __future__ import annotations

from dataclasses import replace

from llm_gateway.access.policy import Trust
from llm_gateway.errors import Fault, FaultKind
from llm_gateway.fleet.attempts import MAX_COUNTED, QUEUE_WAIT, Check, Clocks, GiveUp, Plan, Start, Wait
from llm_gateway.fleet.facts import ServerSpec
from llm_gateway.fleet.fleet import Candidate


def candidates(count: int, slow_wait: float | None = None) -> list[Candidate]:
    return [
        Candidate(
            ServerSpec(f"s{i}", f"s{i}", f"http://127.0.0.1:{9000 + i}", "ollama", Trust.OWN), "m", False, slow_wait
        )
        for i in range(count)
    ]


def plan_of(shortlist: list[Candidate], started: float = 0.0, **clocks: float) -> Plan:
    times = Clocks(**clocks)
    return Plan(shortlist, times, started, started + times.total)


def started(plan: Plan, now: float = 0.0) -> Candidate:
    decision = plan.next(now)
    assert isinstance(decision, Start)
    return decision.candidate


def given_up(plan: Plan, now: float) -> str:
    decision = plan.next(now)
    assert isinstance(decision, GiveUp)
    return decision.error.code


def test_a_failed_attempt_is_followed_by_the_next_candidate_at_once():
    a, b = candidates(2)
    plan = plan_of([a, b])
    assert started(plan) is a
    assert isinstance(plan.next(0.0), Wait)
    plan.failed(a, Fault(FaultKind.SERVER_ERROR))
    assert started(plan) is b


def test_when_all_have_failed_the_error_says_so_and_names_nobody():
    shortlist = candidates(3)
    plan = plan_of(shortlist)
    for _ in shortlist:
        plan.failed(started(plan), Fault(FaultKind.REFUSED, "127.0.0.1:9000"))
    decision = plan.next(0.0)
    assert isinstance(decision, GiveUp)
    assert (decision.error.code, decision.error.status) == ("no_healthy_upstream", 503)
    assert "127.0.0.1" not in decision.error.message


def test_nobody_to_ask_is_no_healthy_upstream_at_once():
    assert given_up(plan_of([]), 0.0) == "no_healthy_upstream"


def test_servers_that_all_answered_nonsense_are_an_upstream_error():
    plan = plan_of(candidates(1))
    plan.failed(started(plan), Fault(FaultKind.NOT_THE_PROTOCOL))
    assert given_up(plan, 0.1) == "upstream_error"


def test_the_callers_own_mistake_is_not_tried_elsewhere():
    a, b = candidates(2)
    plan = plan_of([a, b])
    plan.failed(started(plan), Fault(FaultKind.CALLER, said="`format` is not a schema"))
    decision = plan.next(0.0)
    assert isinstance(decision, GiveUp)
    assert (decision.error.status, decision.error.message) == (400, "`format` is not a schema")


def test_a_prompt_that_is_too_long_has_its_own_code():
    plan = plan_of(candidates(2))
    plan.failed(started(plan), Fault(FaultKind.CONTEXT, said="too long"))
    assert given_up(plan, 0.0) == "context_length_exceeded"


def test_an_attempt_slow_to_its_first_content_gets_company_and_is_not_given_up():
    a, b = candidates(2, slow_wait=2.0)
    plan = plan_of([a, b])
    assert started(plan) is a
    assert plan.next(5.9) == Wait(6.0)  # three times its usual slow case
    assert plan.next(6.0) == Check(a)
    assert started(plan, 6.0) is b
    assert not plan.checked(a, alive=True, now=6.1)
    assert isinstance(plan.next(6.2), Wait)


def test_patience_with_an_unknown_server_is_no_longer_than_with_any_other():
    a, b = candidates(2)
    plan = plan_of([a, b], first_token_max=0.5)
    assert started(plan) is a
    assert plan.next(0.5) == Check(a)
    assert started(plan, 0.5) is b


def test_a_live_but_silent_server_does_not_keep_a_request_from_the_untried_ones_after_the_budget():
    a, b = candidates(2, slow_wait=20.0)
    plan = plan_of([a, b], budget=5.0)
    assert started(plan) is a
    assert plan.next(5.0) == Check(a)
    plan.checked(a, alive=True, now=5.1)
    assert plan.next(5.2) == Wait(20.0)
    assert started(plan, 20.0) is b


def test_a_silent_server_that_is_dead_on_a_second_connection_is_given_up():
    (a,) = candidates(1)
    plan = plan_of([a])
    started(plan)
    assert plan.next(10.0) == Check(a)
    assert plan.checked(a, alive=False, now=12.0)
    plan.failed(a, Fault(FaultKind.FIRST_TOKEN_TIMEOUT))
    assert given_up(plan, 12.0) == "upstream_timeout"


def test_a_server_that_is_alive_but_loading_is_waited_for_when_nobody_else_can_serve():
    (a,) = candidates(1)
    plan = plan_of([a])
    started(plan)
    assert plan.next(10.0) == Check(a)
    plan.checked(a, alive=True, now=10.1)
    assert isinstance(plan.next(29.0), Wait)
    assert plan.next(31.0) == Check(a)  # asked again from time to time
    plan.checked(a, alive=True, now=31.1)
    assert isinstance(plan.next(45.0), Wait)


def test_the_budget_ends_a_request_that_only_met_silence():
    shortlist = candidates(8)
    plan = plan_of(shortlist)
    now = 0.0
    while now < 60:
        match plan.next(now):
            case Check(candidate):
                if plan.checked(candidate, alive=False, now=now):
                    plan.failed(candidate, Fault(FaultKind.FIRST_TOKEN_TIMEOUT))
            case Wait(until):
                assert until > now
                now = until
            case GiveUp(error):
                assert error.code == "upstream_timeout"
                break
    assert now <= 35


def test_the_deadline_of_the_whole_request_is_kept():
    plan = plan_of(candidates(1), total=5.0)
    started(plan)
    assert plan.next(1.0) == Wait(5.0)
    assert given_up(plan, 5.0) == "upstream_timeout"


def test_attempts_that_servers_may_have_worked_on_are_bounded_and_refusals_are_free():
    shortlist = candidates(40)
    plan = plan_of(shortlist)
    for _ in range(10):
        plan.failed(started(plan), Fault(FaultKind.REFUSED))
    for _ in range(MAX_COUNTED):
        plan.failed(started(plan), Fault(FaultKind.SERVER_ERROR))
    assert isinstance(plan.next(0.0), GiveUp)
    assert plan.attempts == 10 + MAX_COUNTED


def test_a_full_server_is_waited_for_and_then_the_client_is_told_to_come_back():
    (a,) = candidates(1)
    full = True
    plan = Plan([a], Clocks(), 0.0, 600.0, full=lambda _: full)
    assert plan.next(0.0) == Wait(QUEUE_WAIT)
    assert given_up(plan, QUEUE_WAIT) == "queue_timeout"
    full = False
    fresh = Plan([a], Clocks(), 0.0, 600.0, full=lambda _: full)
    assert started(fresh) is a


def test_a_broken_answer_that_was_not_delivered_is_asked_for_elsewhere_with_a_new_budget():
    a, b = candidates(2)
    plan = plan_of([a, b])
    plan.won(started(plan))
    plan.lost(a, Fault(FaultKind.CUT), now=100.0)
    assert started(plan, 100.0) is b


def test_one_strangers_word_that_the_request_is_wrong_is_not_believed():
    a, b, c = (replace(one, spec=replace(one.spec, trust=Trust.PUBLIC)) for one in candidates(3))
    plan = plan_of([a, b, c])
    plan.failed(started(plan), Fault(FaultKind.CALLER, said="nonsense"))
    plan.failed(started(plan), Fault(FaultKind.SERVER_ERROR))
    assert started(plan) is c


def test_two_strangers_that_agree_are_believed():
    a, b, c = (replace(one, spec=replace(one.spec, trust=Trust.PUBLIC)) for one in candidates(3))
    plan = plan_of([a, b, c])
    plan.failed(started(plan), Fault(FaultKind.CALLER, said="`format` is wrong"))
    plan.failed(started(plan), Fault(FaultKind.CALLER, said="`format` is wrong"))
    assert given_up(plan, 0.0) == "invalid_request"


def test_a_mistake_that_everybody_who_was_asked_names_is_told_in_their_words():
    (a,) = (replace(one, spec=replace(one.spec, trust=Trust.PUBLIC)) for one in candidates(1))
    plan = plan_of([a])
    plan.failed(started(plan), Fault(FaultKind.CONTEXT, said="too long"))
    assert given_up(plan, 0.0) == "context_length_exceeded"
