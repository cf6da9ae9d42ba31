"""How much each project may ask: requests per minute and requests at a time.

Times come in (monotonic seconds) and nothing awaits, so between checking and counting no other request gets in:
the limits are exact under any concurrency of one event loop. The rate is GCRA (ITU-T I.371) in its leaky-bucket
form with a burst of the whole limit: a quiet project may use its minute at once, afterwards one place comes free
every `60 / limit` seconds.
"""

from __future__ import annotations

import math
from collections.abc import Container
from types import TracebackType
from typing import Final, NamedTuple, Self

from llm_gateway.access.policy import Caller, Project
from llm_gateway.errors import ConcurrencyLimited, RateLimited

Headers = list[tuple[bytes, bytes]]

MINUTE: Final = 60.0
SLACK: Final = 1e-6
"""Of a request: below what floats lose in a day of additions, far above what anyone could gain."""
RETRY_CONCURRENCY: Final = 1.0
"""Seconds: nobody knows when a running request ends, and it is soon worth asking again."""


class Standing(NamedTuple):
    """How a project stands against its requests per minute."""

    limit: int
    remaining: int
    """Requests that would pass at once."""
    reset: float
    """Seconds until the whole limit is free again, if nothing more is asked."""


class _Account:
    """What one project has used. Counts requests, not times, so that it means the same under a changed limit."""

    __slots__ = ("at", "running", "used")

    def __init__(self, now: float) -> None:
        self.used = 0.0
        """Requests that still weigh on the limit, as of `at`."""
        self.at = now
        self.running = 0

    def drain(self, limit: int, now: float) -> None:
        """Lets time pass. A lowered limit counts as full at most: nobody pays for a use that was allowed then."""
        elapsed = max(0.0, now - self.at)
        self.used = max(0.0, min(self.used, limit) - elapsed * limit / MINUTE)
        self.at += elapsed

    def standing(self, limit: int) -> Standing:
        return Standing(limit, max(0, math.floor(limit - self.used + SLACK)), self.used * MINUTE / limit)


class Lease:
    """One admitted request. Gives its place back once: at the end of a `with` block or by `release`."""

    __slots__ = ("_account", "_limit", "_running")

    def __init__(self, account: _Account, limit: int | None) -> None:
        self._account = account
        self._limit = limit
        self._running = True
        account.running += 1

    def release(self) -> None:
        """Ends the request for `max_concurrency`. Calling it again does nothing."""
        if self._running:
            self._running = False
            self._account.running -= 1

    def headers(self, now: float) -> Headers:
        """`rate_headers` as of now, which may be long after the request was admitted."""
        if self._limit is None:
            return []
        self._account.drain(self._limit, now)
        return rate_headers(self._account.standing(self._limit))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


class Limits:
    """The accounts of all projects. A limit that a new snapshot changes holds from the next request on."""

    __slots__ = ("_accounts",)

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    def admit(self, caller: Caller, now: float) -> Lease:
        """Counts one request of the caller's project. A refused one costs nothing.

        Raises RateLimited, with the seconds after which exactly one more passes, and ConcurrencyLimited.
        """
        project = caller.project
        account = self._accounts.get(project.id)
        if account is None:
            account = self._accounts[project.id] = _Account(now)
        limit = project.rate_limit_per_minute
        if limit is not None:
            if limit < 1:
                raise RateLimited(f"Project `{project.name}` may make no requests: its rate limit is {limit}.")
            account.drain(limit, now)
            over = account.used + 1 - limit
            if over > SLACK:
                raise _rate_limited(project, limit, over * MINUTE / limit)
        if project.max_concurrency is not None and account.running >= project.max_concurrency:
            raise ConcurrencyLimited(
                f"Project `{project.name}` may have {project.max_concurrency} requests running at a time, and has. "
                "Wait for one to end.",
                retry_after=RETRY_CONCURRENCY,
            )
        account.used = 0.0 if limit is None else account.used + 1
        return Lease(account, limit)

    def standing(self, project: Project, now: float) -> Standing | None:
        """How the project stands, counting nothing; None = no limit on the rate."""
        limit = project.rate_limit_per_minute
        if limit is None or limit < 1:
            return None
        account = self._accounts.get(project.id)
        if account is None:
            return Standing(limit, limit, 0.0)
        account.drain(limit, now)
        return account.standing(limit)

    def running(self, project_id: str) -> int:
        """How many requests of the project run now."""
        account = self._accounts.get(project_id)
        return account.running if account else 0

    def keep(self, projects: Container[str]) -> None:
        """Forgets the accounts of projects (ids) that are gone and have nothing running."""
        gone = [id for id, account in self._accounts.items() if id not in projects and not account.running]
        for id in gone:
            del self._accounts[id]

    def __len__(self) -> int:
        return len(self._accounts)


def _rate_limited(project: Project, limit: int, wait: float) -> RateLimited:
    wait = _milliseconds(wait) / 1000  # as it is sent: a retry at exactly that time must pass
    return RateLimited(
        f"Project `{project.name}` may make {limit} requests per minute. The next one passes in {spell(wait)}.",
        retry_after=wait,
    )


def rate_headers(standing: Standing | None) -> Headers:
    """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11) and OpenAI's `x-ratelimit-*`;
    nothing where there is no limit."""
    if standing is None:
        return []
    limit, remaining, reset = standing
    return [
        (b"ratelimit-policy", b'"rpm";q=%d;w=60' % limit),
        (b"ratelimit", b'"rpm";r=%d;t=%d' % (remaining, math.ceil(reset))),
        (b"x-ratelimit-limit-requests", b"%d" % limit),
        (b"x-ratelimit-remaining-requests", b"%d" % remaining),
        (b"x-ratelimit-reset-requests", spell(reset).encode()),
    ]


def retry_headers(seconds: float | None) -> Headers:
    """`Retry-After` in whole seconds, `retry-after-ms` for clients that know it; both rounded up."""
    if seconds is None:
        return []
    milliseconds = _milliseconds(seconds)
    return [
        (b"retry-after", b"%d" % math.ceil(milliseconds / 1000)),
        (b"retry-after-ms", b"%d" % milliseconds),
    ]


def spell(seconds: float) -> str:
    """A wait as OpenAI writes it, rounded up: `250ms`, `12s`, `6m0s`, `1h0m5s`."""
    milliseconds = _milliseconds(seconds)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, whole = divmod(math.ceil(milliseconds / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{whole}s"


def _milliseconds(seconds: float) -> int:
    """Rounded up, but not for the dust that floats leave behind a whole number."""
    return max(0, math.ceil(round(seconds * 1000, 6)))
