"""The plan of one request: told what happened, it says what to do."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace

from msgspec import structs

from llm_gateway.access.policy import Trust
from llm_gateway.errors import Fault, FaultKind
from llm_gateway.fleet.attempts import MAX_COUNTED, QUEUE_WAIT, Check, Clocks, GiveUp, Plan, Queue, Start, Wait
from llm_gateway.fleet.budget import Budget, Budgets
from llm_gateway.fleet.candidate import Candidate, Nobody
from llm_gateway.fleet.facts import ServerSpec
from llm_gateway.fleet.policies.policy import Ask

ASK = Ask(("m",), frozenset(Trust))
NO_RACE = Ask(("m",), frozenset(Trust), hedge=False)


class InOrder:
    """A fleet that always has the same opinion."""

    def __init__(self, shortlist: Sequence[Candidate]) -> None:
        self.shortlist = shortlist
        self.full = False
        self.all_rest = False
        self.busy = 0.0

    def pick(
        self, ask: Ask, tried: Container[str], now: float, *, resting_too: bool = True, race: bool = False
    ) -> Candidate | Nobody:
        left = [c for c in self.shortlist if c.key not in tried and (resting_too or not c.resting)]
        if not left:
            return Nobody.LEFT
        return Nobody.FULL if self.full else left[0]

    def down(self, ask: Ask, now: float) -> bool:
        return self.all_rest

    def busy_for(self, ask: Ask, tried: Container[str], now: float) -> float:
        return self.busy


def candidates(count: int, slow_wait: float | None = None, **more: object) -> list[Candidate]:
    specs = [ServerSpec(f"s{i}", f"s{i}", f"http://127.0.0.1:{9000 + i}", "ollama", Trust.OWN) for i in range(count)]
    return [
        Candidate(spec, "m", slow_wait=slow_wait, samples=50, key=spec.id, **more)  # type: ignore[arg-type]
        for spec in specs
    ]


def plan_of(shortlist: list[Candidate], started: float = 0.0, ask: Ask = NO_RACE, **clocks: float) -> Plan:
    times = Clocks(**clocks)
    return Plan(InOrder(shortlist), ask, times, started, started + times.total, dice=lambda: 0.0)


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
    plan.failed(a, Fault(FaultKind.SERVER_ERROR), 0.0)
    assert started(plan) is b


def test_when_all_have_failed_the_error_says_so_and_names_nobody():
    shortlist = candidates(3)
    plan = plan_of(shortlist)
    for _ in shortlist:
        plan.failed(started(plan), Fault(FaultKind.REFUSED, "127.0.0.1:9000"), 0.0)
    decision = plan.next(0.0)
    assert isinstance(decision, GiveUp)
    assert (decision.error.code, decision.error.status) == ("no_healthy_upstream", 503)
    assert "127.0.0.1" not in decision.error.message


def test_an_attempt_that_makes_a_long_tool_call_gets_no_company_until_it_falls_silent():
    a, b = candidates(2, slow_wait=2.0)
    plan = plan_of([a, b], stall=5.0)
    assert started(plan) is a
    for now in (1.5, 5.0, 31.0):
        plan.speaks(a, now)
        assert isinstance(plan.next(now + 2.5), Wait)
    assert started(plan, 36.5) is b


def test_nobody_to_ask_is_no_healthy_upstream_at_once():
    assert given_up(plan_of([]), 0.0) == "no_healthy_upstream"


def test_servers_that_all_answered_nonsense_are_an_upstream_error():
    plan = plan_of(candidates(1))
    plan.failed(started(plan), Fault(FaultKind.NOT_THE_PROTOCOL), 0.0)
    assert given_up(plan, 0.1) == "upstream_error"


def test_the_callers_own_mistake_is_not_tried_elsewhere():
    a, b = candidates(2)
    plan = plan_of([a, b])
    plan.failed(started(plan), Fault(FaultKind.CALLER, said="`format` is not a schema"), 0.0)
    decision = plan.next(0.0)
    assert isinstance(decision, GiveUp)
    assert (decision.error.status, decision.error.message) == (400, "`format` is not a schema")


def test_a_prompt_that_is_too_long_has_its_own_code():
    plan = plan_of(candidates(2))
    plan.failed(started(plan), Fault(FaultKind.CONTEXT, said="too long"), 0.0)
    assert given_up(plan, 0.0) == "context_length_exceeded"


def test_a_prompt_too_long_for_what_one_server_lists_goes_to_the_next():
    a, b = candidates(2)
    plan = plan_of([a, b])
    plan.failed(started(plan), Fault(FaultKind.CONTEXT, "about 9000 tokens for 4096"), 0.0)
    assert started(plan, 0.1) is b
    plan.failed(b, Fault(FaultKind.CONTEXT, "about 9000 tokens for 4096"), 0.1)
    assert given_up(plan, 0.3) == "context_length_exceeded"


def test_a_prompt_that_two_servers_cut_is_too_long():
    plan = plan_of(candidates(4))
    plan.failed(started(plan), Fault(FaultKind.PROMPT_CUT), 0.0)
    plan.failed(started(plan, 0.1), Fault(FaultKind.PROMPT_CUT), 0.1)
    assert given_up(plan, 0.2) == "context_length_exceeded"


def test_a_request_that_nobody_answers_well_is_not_answered_badly_by_all():
    plan = plan_of(candidates(9))
    for now in range(4):
        plan.failed(started(plan, now), Fault(FaultKind.UNFIT), now)
    assert given_up(plan, 5.0) == "upstream_error"


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
    plan.failed(a, Fault(FaultKind.FIRST_TOKEN_TIMEOUT), 12.0)
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
                    plan.failed(candidate, Fault(FaultKind.FIRST_TOKEN_TIMEOUT), 0.0)
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
        plan.failed(started(plan), Fault(FaultKind.REFUSED), 0.0)
    for _ in range(MAX_COUNTED):
        plan.failed(started(plan), Fault(FaultKind.SERVER_ERROR), 0.0)
    assert isinstance(plan.next(0.0), GiveUp)
    assert plan.attempts == 10 + MAX_COUNTED


def test_a_full_server_is_waited_for_and_then_the_client_is_told_to_come_back():
    pool = InOrder(candidates(1))
    pool.full = True
    plan = Plan(pool, ASK, Clocks(), 0.0, 600.0, dice=lambda: 0.0)
    assert plan.next(0.0) == Queue(QUEUE_WAIT)
    assert plan.place(5.0) is None
    assert given_up(plan, QUEUE_WAIT) == "queue_timeout"
    pool.full = False
    fresh = Plan(pool, ASK, Clocks(), 0.0, 600.0, dice=lambda: 0.0)
    assert started(fresh).key == "s0"


def test_a_broken_answer_that_was_not_delivered_is_asked_for_elsewhere_with_a_new_budget():
    a, b = candidates(2)
    plan = plan_of([a, b])
    plan.won(started(plan))
    plan.lost(a, Fault(FaultKind.CUT), now=100.0)
    assert started(plan, 100.0) is b


def test_one_strangers_word_that_the_request_is_wrong_is_not_believed():
    a, b, c = (structs.replace(one, spec=replace(one.spec, trust=Trust.PUBLIC)) for one in candidates(3))
    plan = plan_of([a, b, c])
    plan.failed(started(plan), Fault(FaultKind.CALLER, said="nonsense"), 0.0)
    plan.failed(started(plan), Fault(FaultKind.SERVER_ERROR), 0.0)
    assert started(plan) is c


def test_two_strangers_that_agree_are_believed():
    a, b, c = (structs.replace(one, spec=replace(one.spec, trust=Trust.PUBLIC)) for one in candidates(3))
    plan = plan_of([a, b, c])
    plan.failed(started(plan), Fault(FaultKind.CALLER, said="`format` is wrong"), 0.0)
    plan.failed(started(plan), Fault(FaultKind.CALLER, said="`format` is wrong"), 0.0)
    assert given_up(plan, 0.0) == "invalid_request"


def test_a_mistake_that_everybody_who_was_asked_names_is_told_in_their_words():
    (a,) = (structs.replace(one, spec=replace(one.spec, trust=Trust.PUBLIC)) for one in candidates(1))
    plan = plan_of([a])
    plan.failed(started(plan), Fault(FaultKind.CONTEXT, said="too long"), 0.0)
    assert given_up(plan, 0.0) == "context_length_exceeded"


def test_who_comes_while_others_wait_waits_behind_them():
    waiting = True
    plan = Plan(InOrder(candidates(1)), ASK, Clocks(), 0.0, 600.0, dice=lambda: 0.0, crowded=lambda: waiting)
    assert isinstance(plan.next(0.0), Queue)
    placed = plan.place(1.0)
    assert placed is not None
    assert isinstance(plan.next(1.0), Wait)


def test_who_has_nobody_left_to_ask_does_not_wait_behind_others():
    (a,) = candidates(1)
    waiting = False
    plan = Plan(InOrder([a]), ASK, Clocks(), 0.0, 600.0, dice=lambda: 0.0, crowded=lambda: waiting)
    assert started(plan) is a
    plan.failed(a, Fault(FaultKind.SERVER_ERROR), 1.0)
    waiting = True
    assert given_up(plan, 1.0) == "upstream_error"


def test_a_request_with_little_time_left_waits_a_third_of_it_for_a_place():
    pool = InOrder(candidates(1))
    pool.full = True
    plan = Plan(pool, ASK, Clocks(), 0.0, 6.0, dice=lambda: 0.0)
    assert plan.next(0.0) == Queue(2.0)


def test_when_all_say_that_they_are_busy_for_longer_than_it_may_wait_it_is_refused_at_once():
    pool = InOrder(candidates(1))
    pool.full, pool.busy = True, 30.5
    decision = Plan(pool, ASK, Clocks(), 0.0, 600.0, dice=lambda: 0.0).next(0.0)
    assert isinstance(decision, GiveUp)
    assert (decision.error.code, decision.error.retry_after) == ("queue_timeout", 31)


def test_a_second_server_is_raced_when_the_first_is_slower_than_it_usually_is():
    a, b, c, d = candidates(4, slow_wait=0.7)
    plan = plan_of([a, b, c, d], ask=ASK)
    assert started(plan) is a
    assert plan.next(0.0) == Wait(0.7)
    assert started(plan, 0.7) is b
    assert plan.next(0.7) == Wait(1.4)
    assert started(plan, 1.4) is c
    assert plan.next(1.5) == Wait(4.0)  # two races are enough; later a further one keeps the slow ones company


def test_the_race_begins_after_a_second_where_too_little_is_known():
    a, b = candidates(2)
    plan = plan_of([a, b], ask=ASK)
    started(plan)
    assert plan.next(0.0) == Wait(1.0)


def test_servers_that_are_paid_for_take_no_part_in_races():
    paid = ServerSpec("p", "p", "http://127.0.0.1:9", "openai", Trust.OWN, hedge=False)
    plan = plan_of([Candidate(paid, "m", key="p"), *candidates(1)], ask=ASK)
    started(plan)
    assert plan.next(5.0) == Wait(10.0)


def test_races_end_with_their_budget():
    shortlist = candidates(3, slow_wait=0.5)
    plan = plan_of(shortlist, ask=ASK)
    plan.budgets.races = Budget(share=0.0, reserve=0.1)
    started(plan)
    assert isinstance(plan.next(0.5), Start)
    assert isinstance(plan.next(1.0), Wait)


def test_retries_wait_for_their_budget_and_say_so_when_it_stays_empty():
    poor = Budgets(retries=Budget(share=0.0, reserve=0.0))
    plan = Plan(InOrder(candidates(2)), NO_RACE, Clocks(), 0.0, 600.0, dice=lambda: 0.0, budgets=poor)
    plan.failed(started(plan), Fault(FaultKind.SERVER_ERROR), 0.0)
    now = 0.0
    while isinstance(decision := plan.next(now), Wait):
        now = decision.until
    assert isinstance(decision, GiveUp)
    assert (decision.error.code, now) == ("retry_budget_exhausted", 30.0)


def test_going_on_with_an_answer_pays_nothing_into_the_budgets():
    budgets = Budgets(retries=Budget(share=1.0, reserve=0.0))
    Plan(InOrder(candidates(1)), ASK, Clocks(), 0.0, 600.0, lambda: 0.0, budgets, underway=True)
    assert not budgets.retries.enough(0.0)
    Plan(InOrder(candidates(1)), ASK, Clocks(), 0.0, 600.0, lambda: 0.0, budgets)
    assert budgets.retries.enough(0.0)


def test_finding_out_about_an_unknown_server_costs_no_budget():
    poor = Budgets(retries=Budget(share=0.0, reserve=0.0))
    shortlist = candidates(2, unproven=True)
    plan = Plan(InOrder(shortlist), NO_RACE, Clocks(), 0.0, 600.0, dice=lambda: 0.0, budgets=poor)
    plan.failed(started(plan), Fault(FaultKind.SERVER_ERROR), 0.0)
    assert isinstance(plan.next(0.0), Start)


def test_a_refused_connection_costs_no_budget_and_no_pause():
    poor = Budgets(retries=Budget(share=0.0, reserve=0.0))
    plan = Plan(InOrder(candidates(3)), NO_RACE, Clocks(), 0.0, 600.0, dice=lambda: 0.9, budgets=poor)
    plan.failed(started(plan), Fault(FaultKind.REFUSED), 0.0)
    plan.failed(started(plan), Fault(FaultKind.RESET), 0.0)
    assert isinstance(plan.next(0.0), Start)


def test_the_next_attempt_follows_a_blink_after_one_that_a_server_may_have_worked_on():
    plan = Plan(InOrder(candidates(2)), NO_RACE, Clocks(), 0.0, 600.0, dice=lambda: 0.5)
    plan.failed(started(plan), Fault(FaultKind.SERVER_ERROR), 1.0)
    assert plan.next(1.0) == Wait(1.05)
    assert isinstance(plan.next(1.05), Start)


def test_servers_that_rest_are_asked_twelve_times_at_most_whatever_they_do():
    plan = plan_of(candidates(40, resting=True))
    for _ in range(MAX_COUNTED):
        plan.failed(started(plan), Fault(FaultKind.REFUSED), 0.0)
    assert given_up(plan, 0.0) == "no_healthy_upstream"


def test_a_long_prompt_and_a_model_that_must_be_loaded_have_more_time():
    (quick,) = candidates(1, slow_wait=30.0)
    plan = plan_of([quick], ask=Ask(("m",), frozenset(Trust), prompt_tokens=4000, hedge=False))
    started(plan)
    assert plan.next(79.9 - 60) == Wait(30.0)
    (cold,) = candidates(1, cold=True)
    plan = plan_of([cold], budget=100.0)
    started(plan)
    assert plan.next(0.0) == Wait(60.0)


def test_a_quick_servers_silence_is_shorter():
    quick, unknown = candidates(1, speed=50.0)[0], candidates(1)[0]
    slow = candidates(1, speed=1.0)[0]
    plan = plan_of([quick])
    assert (plan.stall(quick), plan.stall(slow), plan.stall(unknown)) == (5.0, 10.0, 20.0)


def test_when_all_are_down_and_being_tried_nobody_is_told_that_they_are_busy():
    pool = InOrder(candidates(1, resting=True))
    pool.full = pool.all_rest = True
    plan = Plan(pool, ASK, Clocks(), 0.0, 600.0, dice=lambda: 0.0)
    assert plan.next(0.0) == Queue(QUEUE_WAIT)
    assert given_up(plan, QUEUE_WAIT) == "no_healthy_upstream"


def test_a_retry_waits_for_a_place_no_longer_than_all_attempts_may_take():
    pool = InOrder(candidates(2))
    plan = Plan(pool, NO_RACE, Clocks(budget=3.0), 0.0, 600.0, dice=lambda: 0.0)
    plan.failed(started(plan), Fault(FaultKind.REFUSED), 0.0)
    pool.full = True
    assert plan.next(1.0) == Queue(3.0)
    assert given_up(plan, 3.0) == "queue_timeout"


def test_a_reliable_server_that_slipped_is_asked_again_before_those_that_rest():
    good, doubtful = candidates(1, success=0.99)[0], candidates(2, resting=True)[1]
    plan = plan_of([good, doubtful])
    plan.failed(started(plan), Fault(FaultKind.CUT), 0.0)
    assert started(plan) is good
    plan.failed(good, Fault(FaultKind.CUT), 0.0)
    assert started(plan) is doubtful


def test_no_attempt_is_begun_when_all_their_time_is_over():
    a, b = candidates(2, slow_wait=20.0)
    plan = plan_of([a, b])
    started(plan)
    assert plan.next(20.0) == Check(a)
    assert plan.next(25.0) == Start(b)
    assert plan.next(30.0) == Check(b)
    assert isinstance(plan.next(31.0), Wait)
    for dead in (a, b):
        plan.checked(dead, alive=False, now=32.0)
        plan.failed(dead, Fault(FaultKind.FIRST_TOKEN_TIMEOUT), 32.0)
    assert given_up(plan, 32.0) == "upstream_timeout"
