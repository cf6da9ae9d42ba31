"""What is wrong with the running installation, and how to mend it: as `llm-gateway doctor`, from within."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from typing_extensions import TypedDict

from llm_gateway import checkup
from llm_gateway.errors import GatewayError
from llm_gateway.findings import Check, State, found
from llm_gateway.running import Running
from llm_gateway.service import health
from llm_gateway.upstream.sources import CATALOGUES
from llm_gateway.web.admin.common import Live, admin_router
from llm_gateway.web.admin.sentences import Sentence, sentence

router = admin_router("doctor")

SECONDS: Final = 10.0
"""For all checks together."""


class Checked(TypedDict):
    name: str
    state: State
    text: str
    fix: str
    """What to do about it; empty where nothing is to be done."""
    said: Sentence | None
    """The text for programs; null: it is said in English only."""
    fix_said: Sentence | None


class Examined(TypedDict):
    ok: bool
    """Is no check an error?"""
    data: list[Checked]


@router.get("", summary="What is wrong with this installation, and how to mend it")
async def examine(running: Live) -> Examined:
    """This process, its machine, database and Redis, and what is known of the fleet; nobody's server is asked. Takes
    10 s at most: a check that is not done by then says so."""
    checks: list[Check] = []
    try:
        async with asyncio.timeout(SECONDS):
            async for check in _checks(running):
                checks.append(check)  # noqa: PERF401  # what is done before the time is over counts
    except TimeoutError:
        if checks:
            late = found("doctor", "error", "check_too_slow", "look_from_here", check=checks[-1].name)
        else:
            late = found("doctor", "error", "nothing_answered", "look_from_here")
        checks.append(late)
    return {"ok": all(check.state != "error" for check in checks), "data": [_shown(check) for check in checks]}


async def _checks(running: Running) -> AsyncIterator[Check]:
    settings = running.settings
    for check in await asyncio.to_thread(_ground, running):
        yield check
    for check in checkup.listens_on(settings):
        yield check
    for name in CATALOGUES:
        for check in checkup.catalogue(name, running.roster.catalogues.get(name)):
            yield check
    try:
        async for check in checkup.database(running.sessions.engine):
            yield check
    except GatewayError as error:
        yield found("database", "error", "database_away", "bring_database_back", problem=error.message)
    async for check in checkup.redis(settings):
        yield check
    report = health.report(running.gateway, database_ok=running.database_ok, configuration=running.configuration)
    yield checkup.fleet(report)
    yield checkup.log_rows(report)
    alerts = running.alerts
    firing = {name for name, count in alerts.firing().items() if count}
    yield checkup.alerts(firing, [hook.name for hook in alerts.courier.hooks])


def _ground(running: Running) -> list[Check]:
    """The disk may be slow."""
    settings = running.settings
    file = running.admin_token_file or settings.data_dir
    return [*checkup.data_dir(settings.data_dir), *checkup.admin_token(settings, file)]


def _shown(check: Check) -> Checked:
    return {
        "name": check.name,
        "state": check.state,
        "text": check.text,
        "fix": check.fix,
        "said": sentence(check.said),
        "fix_said": sentence(check.fix_said),
    }
