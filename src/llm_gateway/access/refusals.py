"""What is said to those whom a limit refuses: which limit, whose, what is left, when it helps to ask again."""

from __future__ import annotations

from typing import Final, NamedTuple

from llm_gateway.access.accounts import MINUTE, NANOS, Account, Budget, Rules
from llm_gateway.access.periods import Periods
from llm_gateway.access.policy import LimitName
from llm_gateway.access.standing import spell, whole_milliseconds
from llm_gateway.errors import (
    BudgetExceeded,
    BudgetReserved,
    ConcurrencyLimited,
    RateLimited,
    TokensLimited,
)

RETRY_PLACE: Final = 1.0
"""Seconds: nobody knows when a running request ends, and it is soon worth asking again."""
NAMES: Final[dict[str, LimitName]] = {
    "requests": "rate_limit_per_minute",
    "tokens": "tokens_per_minute",
    "running": "max_concurrency",
    "day_tokens": "daily_tokens",
    "month_tokens": "monthly_tokens",
    "day_nanos": "daily_cost",
    "month_nanos": "monthly_cost",
}
"""Fields of `Rules` -> what people call the limit."""


class Ask(NamedTuple):
    """What one step of a request takes: a request and a place when it is admitted, tokens when it is known how many."""

    requests: int = 0
    """1 or 0, as `places`."""
    places: int = 0
    rate: int = 0
    """Tokens that are expected, for tokens per minute."""
    tokens: int = 0
    """The most that it can use, for budgets; so is `nanos`, of costs."""
    nanos: int = 0


ADMITTED: Final = Ask(requests=1, places=1)


def refused(rules: Rules, limit: str, ask: Ask, account: Account, at: Periods, wall: float, wait: float) -> RateLimited:
    """`limit`: the field of `rules` that has no room. `wait`: seconds until a rate has it, where it ever has."""
    error = _refused(rules, limit, ask, account, at, wall, wait)
    error.limit = NAMES[limit]
    if error.retry_after is None:  # what OpenAI's and Anthropic's clients go by
        error.retryable = False
        error.headers.append((b"x-should-retry", b"false"))
    return error


def _refused(
    rules: Rules, limit: str, ask: Ask, account: Account, at: Periods, wall: float, wait: float
) -> RateLimited:
    who = f"{rules.whose.capitalize()} `{rules.name}`"
    most: int = getattr(rules, limit)
    about: dict[str, object] = {"name": NAMES[limit], "of": rules.whose, "limit": most}
    if limit == "running":
        return ConcurrencyLimited(
            f"{who} may have {most} requests running at a time, and has. Wait for one to end.",
            retry_after=RETRY_PLACE,
            details={"limited": about},
        )
    if limit == "requests":
        if most < 1:
            return RateLimited(f"{who} may make no requests: its rate limit is {most}.", details={"limited": about})
        wait = whole_milliseconds(wait) / 1000  # as it is sent: a retry at exactly that time must pass
        return RateLimited(
            f"{who} may make {most} requests per minute. The next one passes in {spell(wait)}.",
            retry_after=wait,
            details={"limited": about},
        )
    if limit == "tokens":
        if ask.rate > most:
            return TokensLimited(
                f"{who} may use {most} tokens per minute, and this request alone is expected to use {ask.rate}. "
                "Send less, or set a lower `max_tokens`.",
                details={"limited": about},
            )
        wait = whole_milliseconds(wait) / 1000
        text = "and has. The next request passes"
        if ask.rate:
            text = f"and this request is expected to use {ask.rate}. It passes"
        return TokensLimited(
            f"{who} may use {most} tokens per minute, {text} in {spell(wait)}.",
            retry_after=wait,
            details={"limited": about},
        )
    return _out_of_budget(rules, limit, ask, account, at, wall, who, about)


def _out_of_budget(
    rules: Rules, limit: str, ask: Ask, account: Account, at: Periods, wall: float, who: str, about: dict[str, object]
) -> RateLimited:
    name: Budget = limit  # type: ignore[assignment]  # the only ones that are left
    daily, tokens = limit.startswith("day"), limit.endswith("tokens")
    span, ends = ("day", at.day_end) if daily else ("month", at.month_end)
    spent = account.spent("day" if daily else "month", at.day if daily else at.month)
    most: int = getattr(rules, limit)
    used = spent.all_tokens if tokens else spent.all_nanos
    wanted = max(1, ask.tokens if tokens else ask.nanos)
    left = account.left(rules, name, at)
    unit = 1 if tokens else NANOS
    about |= {"limit": most / unit if unit > 1 else most, "left": left / unit if unit > 1 else left, "resets_at": ends}
    budget = f"{who} may use {most} tokens" if tokens else f"{who} may spend {money(most)}"
    rest = f"{left}" if tokens else money(left)
    if used + wanted <= most:
        return BudgetReserved(
            f"{budget} per {span} (UTC), and what is left is reserved for requests under way. Ask again when one of "
            "them has ended.",
            retry_after=RETRY_PLACE,
            details={"limited": about},
        )
    text = f"{budget} per {span} (UTC), of which {rest} is left; the next {span} begins in {spell(ends - wall)}."
    if left and (ask.tokens or ask.nanos):
        needs = f"{ask.tokens} tokens" if tokens else money(ask.nanos)
        text += f" This request can use up to {needs}: one with less text or a lower `max_tokens` may fit."
    return BudgetExceeded(text, details={"limited": about})


def money(nanos: int) -> str:
    """All digits and no more, never `1e+06`."""
    whole, part = divmod(nanos, NANOS)
    return f"{whole}.{part:09d}".rstrip("0").rstrip(".")


def seconds_until(over: float, limit: int) -> float:
    """Until so much too much has drained from a minute's bucket."""
    return over * MINUTE / limit
