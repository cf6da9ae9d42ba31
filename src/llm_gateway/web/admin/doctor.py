"""What is wrong with the running installation, and how to mend it: as `llm-gateway doctor`, from within."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Final

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from llm_gateway import checkup
from llm_gateway.checkup import Check, State
from llm_gateway.errors import GatewayError
from llm_gateway.running import Running
from llm_gateway.service import health
from llm_gateway.upstream.sources import CATALOGUES
from llm_gateway.web.admin.common import Live, admin_router

router = admin_router("doctor")

SECONDS: Final = 10.0
"""For all checks together."""


class Checked(TypedDict):
    name: str
    state: State
    text: str
    fix: str
    """What to do about it; empty where nothing is to be done."""


class Examined(TypedDict):
    ok: bool
    """Is no check an error?"""
    data: list[Checked]


_CHECKED: Final = TypeAdapter(Checked)


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
        text = f"the check after `{checks[-1].name}` took too long" if checks else "nothing answered"
        checks.append(Check("doctor", "error", text, "Look at the database and Redis from this machine."))
    rows = [_CHECKED.validate_python(asdict(check)) for check in checks]
    return {"ok": all(check.state != "error" for check in checks), "data": rows}


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
        yield Check("database", "error", error.message, "Bring it back: no restart is needed.")
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
