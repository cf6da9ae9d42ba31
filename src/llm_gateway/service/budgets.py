"""Budgets outlive a process: what the database says was used is taken over at the start, and again every now and then.

The roll-ups are the truth, a little late: what ended a moment ago is not in them yet. So figures are only ever raised
to theirs. A process that restarts finds what it had used; one that crashed finds the rest as soon as its journal is in
the database, some seconds after the start; and with Redis away each process hears here what the others have used.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import structlog

from llm_gateway.access.limits import Figure, figures
from llm_gateway.access.policy import ApiKey, Project, Snapshot
from llm_gateway.errors import GatewayError
from llm_gateway.gateway import Gateway
from llm_gateway.storage import budgets
from llm_gateway.storage.sessions import Sessions

if TYPE_CHECKING:  # a gateway without Redis never loads its client
    from llm_gateway.shared.limits import SharedLimits

SOON: Final = (2.0, 3.0, 5.0)
"""Seconds between the first looks: the journals of dead processes are on their way then."""
EVERY: Final = 30.0

log = structlog.get_logger(__name__)


class Budgets:
    """Keeps a gateway's budgets in step with the database. `run` is one task."""

    def __init__(self, gateway: Gateway, sessions: Sessions) -> None:
        self._gateway = gateway
        self._sessions = sessions
        self._away = False

    async def load(self, snapshot: Snapshot) -> None:
        """Takes over what the database says of these projects and keys, before they are the ones that ask. Where it is
        away, what is known here goes on to count: nothing, at a start."""
        gateway = self._gateway
        everyone: list[Project | ApiKey] = [*snapshot.projects.values(), *snapshot.keys.values()]
        budgeted = {
            of.project_id if isinstance(of, ApiKey) else of.id
            for of in everyone
            if (rules := gateway.limits.rules(of)) is not None and rules.budgeted
        }
        if not budgeted:
            return
        at = gateway.limits.periods(gateway.clock.wall())
        try:
            async with self._sessions.read() as s:
                found = await budgets.used(s, at, budgeted)
        except GatewayError as error:
            if not self._away:
                log.warning("budgets_not_loaded", error=error.message)
            self._away = True
            return
        self._away = False
        spent: dict[tuple[str, str], list[int]] = {}
        """(Project, project or key) -> tokens and costs of the day, of the month."""
        for project, key, *figures_of in found:
            for id in (project, key):
                known = spent.setdefault((project, id), [0, 0, 0, 0])
                known[:] = [a + b for a, b in zip(known, figures_of, strict=True)]
        for (_, id), (day_tokens, day_nanos, month_tokens, month_nanos) in spent.items():
            account = gateway.limits.account(id, gateway.clock.now())
            account.spent("day", at.day).stored(day_tokens, day_nanos)
            account.spent("month", at.month).stored(month_tokens, month_nanos)
            if gateway.shared_limits is None or not gateway.shared_limits.up:  # it has become a part of these figures
                account.elsewhere_tokens = account.elsewhere_nanos = 0
        if gateway.shared_limits is not None:
            await gateway.shared_limits.stored(spent, at)

    async def run(self) -> None:
        """Until cancelled: looks again, soon after the start and then every now and then."""
        pauses = iter(SOON)
        while True:
            await asyncio.sleep(next(pauses, EVERY))
            try:
                await self.load(self._gateway.snapshot)
            except Exception:  # the outermost edge: budgets depend on this loop going on
                log.exception("budgets_not_loaded")


@asynccontextmanager
async def sharing_limits(
    gateway: Gateway, redis_url: str, instances: Callable[[], int] = lambda: 1
) -> AsyncIterator[SharedLimits]:
    """The gateway shares its limits over Redis until the block ends. `instances`: how many processes do."""
    from llm_gateway.shared.client import Away, Client
    from llm_gateway.shared.limits import SharedLimits

    process = gateway.ids().hex[-16:]
    gateway.limits.process = f"{process}:"
    client = Client(redis_url, gateway.clock.now)
    shared = gateway.shared_limits = SharedLimits(gateway.limits, client, gateway.clock, process, instances)
    await shared.prepare()
    task = asyncio.create_task(shared.run(), name="shared limits")
    try:
        yield shared
    finally:
        task.cancel()
        await asyncio.wait((task,))
        with suppress(Away):
            await shared.flush()
        gateway.shared_limits = None
        await client.aclose()


def budget_figures(gateway: Gateway, of: Project | ApiKey) -> list[Figure]:
    """Each limit of a project or key, and how much of it is used, as far as this process knows."""
    limits, now = gateway.limits, gateway.clock.now()
    at = limits.periods(gateway.clock.wall())
    return list(figures(limits.rules(of), limits.account(of.id, now), at, now))
