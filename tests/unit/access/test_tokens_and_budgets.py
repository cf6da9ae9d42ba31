"""Tokens per minute, budgets, and keys within their projects, in one process."""

from __future__ import annotations

from typing import Any

import pytest

from llm_gateway.access.limits import Lease, Limits, figures
from llm_gateway.access.policy import ApiKey, Caller, Project
from llm_gateway.access.refusals import Ask
from llm_gateway.access.standing import headers_of
from llm_gateway.errors import BudgetExceeded, BudgetReserved, ConcurrencyLimited, RateLimited, TokensLimited

NOON = 1_780_056_000.0
"""A day of UTC is half over, in the middle of a month."""
HALF_A_DAY = 43_200.0


def caller(key: dict[str, Any] | None = None, id: str = "k", **project: Any) -> Caller:
    return Caller(
        Project(id="p", name="legal", **project),
        ApiKey(id=id, project_id="p", name="ci", hash=b"", prefix="", last4="", **(key or {})),
    )


def ask(tokens: int, nanos: int = 0) -> Ask:
    return Ask(rate=tokens, tokens=tokens, nanos=nanos)


def runs(limits: Limits, who: Caller, tokens: int, now: float = 0.0, wall: float = NOON) -> Lease:
    lease = limits.admit(who, now, wall)
    try:
        limits.reserve(lease, ask(tokens), now, wall)
    except RateLimited:
        lease.release()
        raise
    return lease


def uses(limits: Limits, who: Caller, tokens: int, now: float = 0.0, wall: float = NOON, nanos: int = 0) -> None:
    lease = runs(limits, who, tokens, now, wall)
    lease.spend(tokens, nanos)
    lease.release()


def test_a_budget_lets_as_much_pass_as_it_has():
    limits, who = Limits(), caller(daily_tokens=100)
    for _ in range(10):
        uses(limits, who, 10)
    with pytest.raises(BudgetExceeded, match=r"`legal` may use 100 tokens per day .UTC., of which 0 is left") as caught:
        uses(limits, who, 10)
    assert caught.value.retry_after is None
    assert (b"x-should-retry", b"false") in caught.value.headers
    assert caught.value.limit == "daily_tokens"


def test_what_is_reserved_counts_until_it_is_known_what_was_used():
    limits, who = Limits(), caller(monthly_tokens=100)
    lease = runs(limits, who, 90)
    with pytest.raises(BudgetReserved) as caught:
        runs(limits, who, 20)
    assert caught.value.retry_after == 1.0
    lease.spend(15, 0)
    lease.release()
    uses(limits, who, 85)
    with pytest.raises(BudgetExceeded):
        limits.admit(who, 0.0, NOON)


def test_a_request_that_is_refused_reserves_nothing():
    limits, who = Limits(), caller(daily_tokens=100, tokens_per_minute=1000)
    for _ in range(50):
        with pytest.raises(BudgetExceeded, match=r"100 is left.* lower `max_tokens` may fit"):
            runs(limits, who, 101)
    uses(limits, who, 100)


def test_a_request_without_an_answer_costs_nothing():
    limits, who = Limits(), caller(daily_tokens=100, tokens_per_minute=100)
    for _ in range(50):
        runs(limits, who, 100).release()
    uses(limits, who, 100)


def test_a_new_day_brings_a_new_budget_and_the_month_goes_on():
    limits, who = Limits(), caller(daily_tokens=100, monthly_tokens=150)
    uses(limits, who, 100)
    with pytest.raises(BudgetExceeded, match="per day"):
        uses(limits, who, 50)
    uses(limits, who, 50, wall=NOON + HALF_A_DAY)
    with pytest.raises(BudgetExceeded, match="per month"):
        uses(limits, who, 50, wall=NOON + HALF_A_DAY)


def test_the_day_of_its_admission_pays_for_a_request():
    limits, who = Limits(), caller(daily_tokens=100)
    late = runs(limits, who, 60, wall=NOON + HALF_A_DAY - 1)
    late.spend(60, 0)
    late.release()
    uses(limits, who, 100, wall=NOON + HALF_A_DAY)


def test_a_clock_that_goes_back_finds_what_was_used_that_day():
    limits, who = Limits(), caller(daily_tokens=100)
    uses(limits, who, 100)
    uses(limits, who, 100, wall=NOON + HALF_A_DAY)
    with pytest.raises(BudgetExceeded):
        uses(limits, who, 1)


def test_costs_are_counted_in_billionths():
    limits, who = Limits(), caller(daily_cost=0.000_000_003)
    for _ in range(3):
        uses(limits, who, 10, nanos=1)
    with pytest.raises(BudgetExceeded, match=r"may spend 0\.000000003 per day .UTC., of which"):
        limits.admit(who, 0.0, NOON)


def test_tokens_per_minute_flow_back_all_the_time():
    limits, who = Limits(), caller(tokens_per_minute=600)
    uses(limits, who, 500)
    with pytest.raises(TokensLimited, match=r"this request is expected to use 200\. It passes in 10s") as caught:
        runs(limits, who, 200)
    assert caught.value.retry_after == 10.0
    uses(limits, who, 200, now=10.0)
    with pytest.raises(TokensLimited, match="The next request passes in 100ms"):
        limits.admit(who, 10.0, NOON)


def test_an_answer_longer_than_expected_is_paid_for_by_later_requests():
    limits, who = Limits(), caller(tokens_per_minute=600)
    lease = runs(limits, who, 100)
    lease.spend(1200, 0)
    lease.release()
    with pytest.raises(TokensLimited):
        runs(limits, who, 1, now=60.0)
    runs(limits, who, 1, now=61.0)


def test_a_request_larger_than_a_minutes_tokens_is_told_so_and_not_to_come_back():
    limits, who = Limits(), caller(tokens_per_minute=600)
    with pytest.raises(TokensLimited, match="this request alone is expected to use 601") as caught:
        runs(limits, who, 601)
    assert (caught.value.retry_after, caught.value.retryable) == (None, False)


def test_a_cost_is_said_with_all_its_digits():
    limits, who = Limits(), caller(monthly_cost=1_234_567.5)
    lease = limits.admit(who, 0.0, NOON)
    with pytest.raises(BudgetExceeded, match=r"may spend 1234567\.5 per month .* up to 2000000: one with less text"):
        limits.reserve(lease, Ask(nanos=2_000_000 * 10**9), 0.0, NOON)


@pytest.mark.parametrize(
    ("limit", "error"),
    [
        ({"rate_limit_per_minute": 1}, RateLimited),
        ({"max_concurrency": 1}, ConcurrencyLimited),
        ({"tokens_per_minute": 10}, TokensLimited),
        ({"daily_tokens": 10}, RateLimited),
    ],
)
def test_a_keys_limit_holds_within_its_projects_and_leaves_the_others_alone(
    limit: dict[str, int], error: type[RateLimited]
):
    limits = Limits()
    runs(limits, caller(limit, rate_limit_per_minute=100), 10)
    with pytest.raises(error, match="Key `ci`"):
        runs(limits, caller(limit, rate_limit_per_minute=100), 10)
    runs(limits, caller(id="other", rate_limit_per_minute=100), 10)


def test_what_a_project_refuses_takes_nothing_from_the_key():
    limits = Limits()
    who = caller({"rate_limit_per_minute": 2}, max_concurrency=1)
    lease = limits.admit(who, 0.0, NOON)
    for _ in range(5):
        with pytest.raises(ConcurrencyLimited, match="Project `legal`"):
            limits.admit(who, 0.0, NOON)
    lease.release()
    limits.admit(who, 0.0, NOON)


@pytest.mark.parametrize("instances", [2, 3, 10])
def test_processes_that_cannot_talk_stay_within_the_limits_together(instances: int):
    who = caller(rate_limit_per_minute=60, max_concurrency=30, tokens_per_minute=6000, daily_tokens=3000)
    passed = 0
    for _ in range(instances):
        limits = Limits()
        for _ in range(100):
            try:
                lease = limits.admit(who, 0.0, NOON, sharing=instances)
                limits.reserve(lease, ask(100), 0.0, NOON, sharing=instances)
            except RateLimited:
                continue
            passed += 1
    assert 20 <= passed <= 30


def test_what_the_database_knows_is_never_counted_twice():
    limits, who = Limits(), caller(daily_tokens=100)
    uses(limits, who, 30)
    account = limits.account("p", 0.0)
    day = account.spent("day", limits.periods(NOON).day)
    day.stored(30, 0)
    day.stored(20, 0)  # a row is on its way
    assert day.all_tokens == 30
    day.stored(50, 0)  # others used some
    uses(limits, who, 50)
    with pytest.raises(BudgetExceeded):
        uses(limits, who, 1)


def test_the_headers_tell_of_the_tightest_of_project_and_key():
    limits = Limits()
    who = caller({"daily_tokens": 50}, rate_limit_per_minute=60, tokens_per_minute=600, daily_tokens=1000)
    lease = runs(limits, who, 20)
    told = dict(headers_of(lease.lines(0.0, NOON)))
    assert told[b"ratelimit-policy"] == b'"rpm";q=60;w=60, "tpm";q=600;qu="tokens";w=60, "day";q=50;qu="tokens";w=86400'
    assert told[b"ratelimit"] == b'"rpm";r=59;t=1, "tpm";r=580;t=2, "day";r=30;t=43200'
    assert told[b"x-ratelimit-remaining-tokens"] == b"580"


def test_figures_tell_what_is_used_and_what_is_reserved():
    limits, who = Limits(), caller(daily_tokens=100, monthly_cost=2.5, max_concurrency=3)
    uses(limits, who, 30, nanos=500_000_000)
    runs(limits, who, 20)
    rules, account = limits.holders(who, 0.0)[0]
    told = {f.name: f for f in figures(rules, account, limits.periods(NOON), 0.0)}
    assert told["daily_tokens"][1:] == (100, 30, 20, NOON + HALF_A_DAY)
    assert told["monthly_cost"][1:4] == (2.5, 0.5, 0)
    assert told["max_concurrency"].used == 1


def test_a_month_is_remembered_to_its_end_however_many_days_it_has():
    limits, who = Limits(), caller(daily_tokens=10, monthly_tokens=310)
    first = limits.periods(NOON).month + HALF_A_DAY
    for day in range(28):
        uses(limits, who, 10, wall=first + day * 2 * HALF_A_DAY)
    account = limits.account("p", 0.0)
    assert account.spent("month", limits.periods(NOON).month).all_tokens == 280


def test_what_was_not_told_to_others_yet_is_remembered_over_many_days():
    account = Limits().account("p", 0.0)
    month = account.spent("month", 0)
    month.pending_tokens = 7
    for day in range(20):
        account.spent("day", day)
        account.spent("month", 0)
    assert account.spent("month", 0) is month


def test_whose_account_was_forgotten_is_counted_in_the_one_that_others_see():
    limits, who = Limits(), caller(max_concurrency=1)
    limits.admit(who, 0.0, NOON).release()
    limits.keep(())
    limits.admit(who, 1.0, NOON)
    assert limits.running("p") == 1
    with pytest.raises(ConcurrencyLimited):
        limits.admit(who, 1.0, NOON)
