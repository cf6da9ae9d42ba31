"""`llm-gateway doctor`: what is wrong with an installation, and how to mend it.

It looks at this machine, the database, Redis and the gateway's own server. Model servers are never contacted by it.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from llm_gateway import __version__, checkup
from llm_gateway.cli.client import ADMIN_TOKEN, Api, Runtime, connect_to_server, find_server
from llm_gateway.cli.exits import Exit, Stop, explained
from llm_gateway.cli.frame import Json, Where
from llm_gateway.cli.show import as_json, plain
from llm_gateway.findings import Check, State

if TYPE_CHECKING:
    from llm_gateway.config.load import Loaded
    from llm_gateway.settings import Settings

MARKS: Final[dict[State, str]] = {"ok": "✓", "warning": "!", "error": "✗"}


async def doctor(
    where: Where,
    ask: Annotated[bool, typer.Option("--ask", help="Have the running server ask a light model for a word.")] = False,
    json: Json = False,
) -> None:
    """Look for what is wrong, and say how to mend it. Ends with 1 when something is."""
    checks = []
    async for check in examine(where, ask=ask):
        checks.append(check)
        if not json:
            print(plain(f"{MARKS[check.state]} {check.name:<16} {check.text}"))
            if check.fix:
                print(plain(f"  {'':<16} → {check.fix}"))
    failed = any(check.state == "error" for check in checks)
    if json:
        as_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    if failed:
        raise typer.Exit(Exit.ERROR)


async def examine(where: Where, *, ask: bool = False) -> AsyncIterator[Check]:
    """One check after the other, the ground first. With mistakes in the configuration it ends there."""
    from llm_gateway.config.mistakes import ConfigMistakes

    yield Check("python", "ok", f"{sys.version.split()[0]}; llm-gateway {__version__}")
    try:
        loaded = where.load()
    except ConfigMistakes as mistakes:
        for mistake in mistakes.mistakes:
            yield Check("configuration", "error", str(mistake), "Mend it; `llm-gateway config check` looks again.")
        return
    yield Check("configuration", "ok", str(loaded.config or "no config file"))
    for warning in loaded.warnings:
        yield Check("configuration", "warning", str(warning))
    settings = loaded.settings
    token = settings.data_dir / ADMIN_TOKEN
    for check in (
        *checkup.data_dir(settings.data_dir),
        *checkup.admin_token(settings, token),
        *checkup.listens_on(settings),
        *_catalogues(settings),
    ):
        yield check
    async for check in _database(settings):
        yield check
    async for check in checkup.redis(settings):
        yield check
    server = await find_server(loaded)
    if server is None:
        yield _port(settings)
        if ask:
            yield Check("model", "error", "no server runs that could ask one", "`llm-gateway serve` starts one.")
        return
    yield _server(server, loaded)
    async for check in _fleet(where, ask=ask):
        yield check


def _catalogues(settings: Settings) -> Iterator[Check]:
    from llm_gateway.upstream.sources import CATALOGUES

    for name, read in CATALOGUES.items():
        wanted = getattr(settings.sources, name)
        yield from checkup.catalogue(name, read(wanted.path, wanted.trust, time.time()) if wanted.enabled else None)


async def _database(settings: Settings) -> AsyncIterator[Check]:
    from llm_gateway.errors import GatewayError
    from llm_gateway.storage.engine import open_engine

    file = settings.data_dir.absolute() / settings.database.partition("///")[2]
    if settings.database.startswith("sqlite") and not file.exists():
        yield Check("database", "ok", "SQLite, will be made at the first start")
        return
    try:
        engine = open_engine(settings.database, data_dir=settings.data_dir)
        try:
            async for check in checkup.database(engine):
                yield check
        finally:
            await engine.dispose()
    except GatewayError as error:
        known = explained(error)
        yield Check("database", "error", known.message, known.hint)


def _port(settings: Settings) -> Check:
    if settings.port == 0:
        return Check("server", "ok", "not running; it will take any free port")
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            text = f"not running, and {settings.host}:{settings.port} cannot be used: {error.strerror}"
            return Check("server", "error", text, "Choose another one: LLM_GATEWAY_PORT or --port.")
    return Check("server", "ok", f"not running; port {settings.port} is free")


def _server(server: Runtime, loaded: Loaded) -> Check:
    if server.version != __version__:
        text = f"at {server.url} is version {server.version or 'unknown'}, this command is {__version__}"
        return Check("server", "warning", text, "Start it anew.")
    with_file = f" with {server.config}" if server.config else ""
    return Check("server", "ok", f"at {server.url}, process {server.pid}{with_file}")


async def _alerts(api: Api) -> Check:
    try:
        found = await api.get("/admin/api/alerts")
    except Stop as stop:
        return Check("alerts", "warning", stop.message, stop.hint)
    firing = {alert["rule"] for alert in found["data"] if alert["state"] == "firing"}
    return checkup.alerts(firing, [hook["name"] for hook in found["webhooks"]])


async def _fleet(where: Where, *, ask: bool) -> AsyncIterator[Check]:
    try:
        async with connect_to_server(where) as api:
            health = await api.get("/v1/health")
            alerts = await _alerts(api)
            deep = (await api.get("/v1/health", deep="true"))["deep"] if ask else None
    except Stop as stop:
        yield Check("fleet", "error", stop.message, stop.hint)
        return
    yield checkup.fleet(health)
    yield checkup.log_rows(health)
    yield alerts
    if deep is not None and deep["status"] == "ok":
        yield Check("model", "ok", f"{deep['model']} answered within {deep['ttft_ms']:.0f} ms")
    elif deep is not None:
        yield Check("model", "error", deep["message"], "`llm-gateway servers list` says how its servers are.")
