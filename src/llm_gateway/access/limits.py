"""How much each project and each of its keys may ask: requests and tokens per minute, requests at a time, budgets of
tokens and costs per day and month.

A request takes twice: a request and a place when it is admitted, tokens and costs when it is known how many it may
use. When it ends it gives back what it did not use. A key's limits lie within its project's: both must have room, and
what is refused takes nothing from either.

Times come in and nothing awaits, so between checking and counting no other request gets in: the limits are exact under
any concurrency of one event loop. With several processes these are the figures of one of them: `shared.limits`
counts for all, and falls back on these, where each process then takes as if the others did the same (`sharing`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator
from types import TracebackType
from typing import Final, NamedTuple, Self

from llm_gateway.access.accounts import (
    BUDGETS,
    MINUTE,
    NANOS,
    SLACK,
    Account,
    Bucket,
    Rules,
    Standing,
    remaining,
    rules_of,
)
from llm_gateway.access.periods import Periods, periods
from llm_gateway.access.policy import ApiKey, Caller, LimitName, Project
from llm_gateway.access.refusals import ADMITTED, NAMES, Ask, refused, seconds_until
from llm_gateway.access.standing import (
    Headers,
    rate_headers,
    rate_lines,
    spelled,
    template_of,
    whole_milliseconds,
)

MOST_RULES: Final = 10_000
"""Projects and keys whose limits are kept ready."""


class Holder(NamedTuple):
    """A project or key, for one request."""

    rules: Rules | None
    """None = nothing is limited."""
    account: Account


class Holders(tuple[Holder, Holder]):
    """A project and its key, with what follows of their limits, made once for all requests."""

    caller: Caller
    project: Project
    key: ApiKey
    limited: tuple[Holder, ...]
    """Those of them who have any limit."""
    counted: bool
    """Has either a limit on tokens or costs?"""
    rate: Rate | None
    """None = they have other limits than one, or none."""
    minutes: Minutes | None
    """None = headers tell of other limits, too, or of none."""


class Rate(NamedTuple):
    """The only limit of a project and its key together, of requests per minute: as nearly all have it."""

    limit: int
    """At least 1."""
    bucket: Bucket


class Minutes(NamedTuple):
    """All that headers tell of a project and its key, where that is limits per minute, none of which both have."""

    template: bytes
    """As of `template_of`."""
    buckets: tuple[Rate, ...]
    """In the order of the headers."""


def _together(caller: Caller, project: Holder, key: Holder) -> Holders:
    both = Holders((project, key))
    both.caller, (both.project, both.key) = caller, caller
    both.limited = tuple(holder for holder in both if holder.rules is not None)
    limited = [(rules, account) for rules, account in both if rules is not None]
    both.counted = any(rules.counted for rules, _ in limited)
    both.rate, both.minutes = None, None
    if any(rules.day_tokens is not None or rules.month_tokens is not None for rules, _ in limited):
        return both
    requests = [Rate(rules.requests, account.requests) for rules, account in limited if rules.requests]
    tokens = [Rate(rules.tokens, account.tokens) for rules, account in limited if rules.tokens]
    if (requests or tokens) and len(requests) < 2 and len(tokens) < 2:
        shape = [("rpm", rate.limit) for rate in requests] + [("tpm", rate.limit) for rate in tokens]
        both.minutes = Minutes(template_of(tuple(shape)), (*requests, *tokens))
    limits = [limit for rules, _ in limited for limit in rules.limits if limit is not None]
    if requests and len(limits) == 1 and requests[0].limit > 0:
        both.rate = requests[0]
    return both


class Lease:
    """One admitted request, which takes its place by being made. Gives back once what it holds: at the end of a `with`
    block or by `release`."""

    __slots__ = ("_running", "at", "caller", "counted", "holders", "id", "rate_elsewhere", "spent", "taken", "told")

    def __init__(self, holders: Holders, at: Periods, sharing: int) -> None:
        for rules, account in holders:
            account.running += 1
            if rules is None or (limit := rules.requests) is None:
                account.requests.used = 0.0
            else:
                account.requests.used += sharing if sharing < limit else limit
        self._running = True
        self.id = ""
        """For those who count it together with other processes."""
        self.caller = holders.caller
        self.holders = holders
        """The project and the key."""
        self.counted = holders.counted
        """Is it to be known how many tokens the request may use?"""
        self.at = at
        """The day and month whose budgets pay: those in which it was admitted, as in the roll-ups."""
        self.taken = ADMITTED
        """What it holds; afterwards what it held."""
        self.spent: tuple[int, int] | None = None
        """Tokens and costs that it has used in the end."""
        self.rate_elsewhere = 0
        """Tokens per minute that others count for it."""
        self.told: Callable[[Lease], None] | None = None
        """Hears of its end, once."""

    def spend(self, tokens: int, nanos: int) -> None:
        """What it has used in the end; counts at `release`."""
        self.spent = (tokens, nanos)

    def release(self) -> None:
        """Ends the request. Calling it again does nothing."""
        if not self._running:
            return
        self._running = False
        (_, project), (_, key) = self.holders
        project.running -= 1
        key.running -= 1
        if self.counted or self.taken is not ADMITTED:
            self._give_back()
        if self.told is not None:
            self.told(self)

    def _give_back(self) -> None:
        """What it holds of tokens and costs; what it has used is counted."""
        _, _, rate, most_tokens, most_nanos = self.taken
        tokens, nanos = self.spent or (0, 0)
        for rules, account in self.holders:
            account.held_tokens -= most_tokens
            account.held_nanos -= most_nanos
            if rules is None or not rules.counted:
                continue
            if rules.tokens is not None:
                account.tokens.used = max(0.0, account.tokens.used + tokens - rate)
            if rules.budgeted:
                account.spent("day", self.at.day).add(tokens, nanos)
                account.spent("month", self.at.month).add(tokens, nanos)

    def lines(self, now: float, wall: float) -> bytes:
        """`rate_lines` as of now, which may be long after the request was admitted."""
        if (minutes := self.holders.minutes) is None:
            return rate_lines(standings(self.holders, self.at, now, wall))
        states: list[int] = []
        times: list[int | bytes] = []
        for limit, bucket in minutes.buckets:
            used = bucket.drain(limit, now)
            left, reset = remaining(limit, used), used * MINUTE / limit
            states += left, math.ceil(reset)
            times += left, spelled(whole_milliseconds(reset))
        return minutes.template % (*states, *times)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._running:  # as nearly never: its entry has closed
            self.release()


class Limits:
    """The accounts of all projects and keys. A limit that a new snapshot changes holds from the next request on."""

    __slots__ = ("_accounts", "_at", "_holders", "_ids", "_rules", "process")

    def __init__(self) -> None:
        self.process = ""
        """What sets the ids of its leases apart from those of others."""
        self._accounts: dict[str, Account] = {}
        self._rules: dict[int, tuple[Project | ApiKey, Rules | None]] = {}
        self._holders: dict[int, Holders] = {}
        """By id of the key's object: `holders` as it was last asked for."""
        self._at = periods(0.0)
        self._ids = 0

    def next_id(self) -> str:
        self._ids += 1
        return f"{self.process}{self._ids}"

    def admit(self, caller: Caller, now: float, wall: float, *, sharing: int = 1) -> Lease:
        """Counts one request. A refused one costs nothing.

        `now`: monotonic seconds, `wall`: Unix seconds. Raises RateLimited, ConcurrencyLimited, TokensLimited,
        BudgetExceeded, BudgetReserved, with the seconds after which exactly one more passes where they are known.
        """
        project, key = caller
        holders = self._holders.get(id(key))
        if holders is None or holders.key is not key or holders.project is not project:
            holders = self.holders(caller, now)
        at = self._at
        if not at.day <= wall < at.day_end:
            at = self.periods(wall)
        rate = holders.rate
        if rate is None or rate.bucket.drain(rate.limit, now) + sharing - rate.limit > SLACK:
            for holder in holders.limited:
                _check(holder, ADMITTED, at, now, wall, sharing)
        return Lease(holders, at, sharing)

    def reserve(self, lease: Lease, ask: Ask, now: float, wall: float, *, sharing: int = 1) -> None:
        """Keeps room for what an admitted request may use. Raises TokensLimited, BudgetExceeded, BudgetReserved; then
        nothing is kept."""
        for holder in lease.holders.limited:
            _check(holder, ask, lease.at, now, wall, sharing)
        for rules, account in lease.holders:
            if rules is not None and rules.tokens is not None:
                account.tokens.used += min(ask.rate * sharing, rules.tokens)
        self.kept(lease, ask)

    @staticmethod
    def kept(lease: Lease, ask: Ask) -> None:
        """The lease holds what was reserved for it."""
        lease.taken = ask
        for _, account in lease.holders:
            account.held_tokens += ask.tokens
            account.held_nanos += ask.nanos

    def holders(self, caller: Caller, now: float) -> Holders:
        """Kept as long as both are the same objects, and `keep` has not looked through the accounts."""
        project, key = caller.project, caller.key
        found = self._holders.get(id(key))
        if found is None or found.key is not key or found.project is not project:
            if len(self._holders) >= MOST_RULES:
                self._holders.clear()
            found = self._holders[id(key)] = _together(
                caller,
                Holder(self.rules(project), self.account(project.id, now)),
                Holder(self.rules(key), self.account(key.id, now)),
            )
        return found

    def account(self, id: str, now: float) -> Account:
        found = self._accounts.get(id)
        if found is None:
            found = self._accounts[id] = Account(now)
        return found

    def rules(self, of: Project | ApiKey) -> Rules | None:
        """`rules_of`, kept as long as it is the same object."""
        found = self._rules.get(id(of))
        if found is None or found[0] is not of:
            if len(self._rules) >= MOST_RULES:
                self._rules.clear()
            found = self._rules[id(of)] = (of, rules_of(of))
        return found[1]

    def periods(self, wall: float) -> Periods:
        at = self._at
        if not at.hold(wall):
            at = self._at = periods(wall)
        return at

    def headers(self, caller: Caller, now: float, wall: float) -> Headers:
        """`rate_headers`, counting nothing."""
        return rate_headers(standings(self.holders(caller, now), self.periods(wall), now, wall))

    def running(self, id: str) -> int:
        """How many requests of the project or key run now."""
        account = self._accounts.get(id)
        return account.running if account else 0

    def keep(self, ids: Container[str]) -> None:
        """Forgets the accounts of projects and keys that are gone and have nothing running."""
        self._rules.clear()
        self._holders.clear()
        gone = [id for id, account in self._accounts.items() if id not in ids and not account.running]
        for id in gone:
            del self._accounts[id]

    def __len__(self) -> int:
        return len(self._accounts)


def _check(holder: Holder, ask: Ask, at: Periods, now: float, wall: float, sharing: int) -> None:
    """Raises what `Limits.admit` does where there is no room. `sharing`: so many processes take what this one takes."""
    rules, account = holder
    if rules is None:
        return
    if (limit := rules.requests) is not None and ask.requests:
        if limit < 1:
            raise refused(rules, "requests", ask, account, at, wall, 0.0)
        over = account.requests.drain(limit, now) + (sharing if sharing < limit else limit) - limit
        if over > SLACK:
            raise refused(rules, "requests", ask, account, at, wall, seconds_until(over, limit))
    if (limit := rules.running) is not None and ask.places and account.running and account.running >= limit // sharing:
        raise refused(rules, "running", ask, account, at, wall, 0.0)
    if (limit := rules.tokens) is not None:
        taken = (ask.rate or 1) * sharing
        wanted = ask.rate if ask.rate > limit else taken if taken < limit else limit
        over = account.tokens.drain(limit, now) + wanted - limit
        if over > SLACK:
            raise refused(rules, "tokens", ask, account, at, wall, seconds_until(over, limit))
    if not rules.budgeted:
        return
    for name, limit in zip(BUDGETS, rules.budgets, strict=True):
        if limit is None:
            continue
        spent = account.spent("day", at.day) if name in DAILY else account.spent("month", at.month)
        if name in TOKENS:
            used = spent.tokens + account.elsewhere_tokens
            used += sharing * (spent.own_tokens + account.held_tokens + max(1, ask.tokens))
        else:
            used = spent.nanos + account.elsewhere_nanos
            used += sharing * (spent.own_nanos + account.held_nanos + max(1, ask.nanos))
        if used > limit:
            raise refused(rules, name, ask, account, at, wall, 0.0)


DAILY: Final = frozenset({"day_tokens", "day_nanos"})
TOKENS: Final = frozenset({"day_tokens", "month_tokens"})


def standings(holders: tuple[Holder, Holder], at: Periods, now: float, wall: float) -> dict[str, Standing]:
    """Of each policy the tightest of project and key."""
    found: dict[str, Standing] = {}
    for rules, account in holders:
        if rules is None:
            continue
        if rules.requests:
            _tell(found, "rpm", account.requests.standing(rules.requests, now))
        if rules.tokens:
            _tell(found, "tpm", account.tokens.standing(rules.tokens, now))
        if rules.day_tokens is not None:
            left = account.left(rules, "day_tokens", at)
            _tell(found, "day", Standing(rules.day_tokens, left, max(0.0, at.day_end - wall)))
        if rules.month_tokens is not None:
            left = account.left(rules, "month_tokens", at)
            _tell(found, "month", Standing(rules.month_tokens, left, max(0.0, at.month_end - wall)))
    return found


def _tell(found: dict[str, Standing], name: str, standing: Standing) -> None:
    known = found.get(name)
    if known is None or standing.remaining < known.remaining:
        found[name] = standing


class Figure(NamedTuple):
    """One limit of a project or key, and how much of it is used."""

    name: LimitName
    limit: float
    used: float
    reserved: float
    resets_at: float | None
    """Unix seconds; None = it flows back all the time, or with each request that ends."""


def figures(rules: Rules | None, account: Account, at: Periods, now: float) -> Iterator[Figure]:
    """Of each limit that there is, in the order in which people read them. Costs in the unit of prices."""
    if rules is None:
        return
    for name in NAMES:
        limit = getattr(rules, name)
        if limit is None:
            continue
        if name in ("requests", "tokens"):
            bucket = account.requests if name == "requests" else account.tokens
            bucket.drain(limit, now)
            yield Figure(NAMES[name], limit, round(bucket.used, 3), 0, None)
        elif name == "running":
            yield Figure(NAMES[name], limit, account.running, 0, None)
        else:
            daily = name in DAILY
            spent = account.spent("day", at.day) if daily else account.spent("month", at.month)
            ends = at.day_end if daily else at.month_end
            if name in TOKENS:
                held = account.held_tokens + account.elsewhere_tokens
                yield Figure(NAMES[name], limit, spent.all_tokens, held, ends)
            else:
                held = account.held_nanos + account.elsewhere_nanos
                yield Figure(NAMES[name], limit / NANOS, spent.all_nanos / NANOS, held / NANOS, ends)
