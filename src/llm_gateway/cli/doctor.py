"""`llm-gateway doctor`: what is wrong with an installation, and how to mend it.

It looks at this machine, the database, Redis and the gateway's own server. Model servers are never contacted by it.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from llm_gateway import __version__
from llm_gateway.cli.client import ADMIN_TOKEN, Api, Runtime, connect_to_server, find_server
from llm_gateway.cli.exits import Exit, Stop, explained
from llm_gateway.cli.frame import Json, Where
from llm_gateway.cli.show import as_json, plain

if TYPE_CHECKING:
    from llm_gateway.config.load import Loaded
    from llm_gateway.settings import Settings

State = Literal["ok", "warning", "error"]
MARKS: Final[dict[State, str]] = {"ok": "✓", "warning": "!", "error": "✗"}
LITTLE_SPACE: Final = 2**30
"""Bytes."""
SKEW: Final = 2.0
"""Seconds between this machine's clock and the database's."""
OLDEST_POSTGRESQL: Final = 14
OLDEST_REDIS: Final = (6, 2)
REDIS_PATIENCE: Final = 2.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, what was seen, and what to do about it."""

    name: str
    state: State
    text: str
    fix: str = ""


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
    for check in (*_data_dir(settings.data_dir), *_admin_token(settings), *_exposure(settings), *_catalogue(settings)):
        yield check
    async for check in _database(settings):
        yield check
    async for check in _redis(settings):
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


def _data_dir(path: Path) -> Iterator[Check]:
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        yield Check("data directory", "error", f"{path} cannot be written", "Choose another one: --data-dir DIR.")
        return
    if place != path:
        yield Check("data directory", "ok", f"{path} will be made at the first start")
    elif stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Check("data directory", "warning", f"{path} is open to other users", f"chmod 700 {path}")
    else:
        yield Check("data directory", "ok", str(path))
    free = shutil.disk_usage(place).free
    if free < LITTLE_SPACE:
        yield Check("disk", "warning", f"{free // 2**20} MiB are free at {place}", "Make room: the request log grows.")


def _admin_token(settings: Settings) -> Iterator[Check]:
    file = settings.data_dir / ADMIN_TOKEN
    if settings.admin_token is not None:
        if len(set(settings.admin_token.get_secret_value())) < 10:
            yield Check("admin token", "warning", "easy to guess", "`openssl rand -base64 32` makes a good one.")
        else:
            yield Check("admin token", "ok", "set by you")
    elif not file.exists():
        yield Check("admin token", "ok", "will be made at the first start")
    elif stat.S_IMODE(file.stat().st_mode) & 0o077:
        yield Check("admin token", "error", f"{file} can be read by other users", f"chmod 600 {file}")
    else:
        yield Check("admin token", "ok", f"in {file}")


def _exposure(settings: Settings) -> Iterator[Check]:
    from llm_gateway.settings import is_loopback

    if is_loopback(settings.host):
        yield Check("listens on", "ok", f"{settings.host}: this machine only")
    elif (settings.public_url or "").startswith("https://"):
        yield Check("listens on", "ok", f"{settings.host}, behind {settings.public_url}")
    else:
        fix = "Put a proxy with TLS in front and set LLM_GATEWAY_PUBLIC_URL to its https:// address."
        yield Check("listens on", "warning", f"{settings.host}: keys, passwords and prompts travel readable", fix)
    if settings.only_networks:
        yield Check("egress", "ok", f"model servers only in {', '.join(settings.only_networks)}")


def _catalogue(settings: Settings) -> Iterator[Check]:
    from time import time

    from llm_gateway.upstream.sources import CATALOGUES

    for name, read in CATALOGUES.items():
        wanted = getattr(settings.sources, name)
        if not wanted.enabled:
            yield Check(name, "ok", "not used")
            continue
        found = read(wanted.path, wanted.trust, time())
        models = {model.name for spec in found.specs for model in spec.models}
        counts = f"{found.entries} entries, {len(models)} models, {len(found.specs)} servers"
        if not found.specs:
            text = found.problems[0] if found.problems else counts
            yield Check(name, "error", text, f"Install {name}, or disable it.")
        else:
            yield Check(name, "ok", f"{found.version or 'unknown version'}: {counts}, as listed; nobody was asked")
        if found.specs and found.problems:
            yield Check(name, "warning", f"{len(found.problems)} problems, such as: {found.problems[0]}")


async def _database(settings: Settings) -> AsyncIterator[Check]:
    from llm_gateway.errors import GatewayError
    from llm_gateway.storage.engine import open_engine
    from llm_gateway.storage.upgrade import HEAD, check_known, current_revision

    sqlite = settings.database.startswith("sqlite")
    kind = "SQLite" if sqlite else "PostgreSQL"
    if sqlite and not (settings.data_dir.absolute() / settings.database.partition("///")[2]).exists():
        yield Check("database", "ok", f"{kind}, will be made at the first start")
        return
    try:
        engine = open_engine(settings.database, data_dir=settings.data_dir)
        try:
            revision = await current_revision(engine)
            check_known(revision)
            release = 0 if sqlite else await _asked(engine, "SELECT current_setting('server_version_num')::int / 10000")
            skew = 0.0 if sqlite else await _skew(engine)
        finally:
            await engine.dispose()
    except GatewayError as error:
        known = explained(error)
        yield Check("database", "error", known.message, known.hint)
        return
    if revision == HEAD:
        yield Check("database", "ok", f"{kind}, schema {revision}")
    else:
        text = f"{kind}, schema {revision or 'none'}, this version has {HEAD}"
        yield Check("database", "warning", text, "`llm-gateway db upgrade`, or the next start, brings it up to date.")
    if not sqlite and release < OLDEST_POSTGRESQL:
        yield Check("database", "error", f"{kind} {release:.0f}", f"{kind} {OLDEST_POSTGRESQL} or newer is needed.")
    if abs(skew) > SKEW:
        yield Check("clock", "warning", f"{skew:+.0f} s against the database's", "Let both machines keep time by NTP.")


async def _skew(engine: Any) -> float:
    """Seconds that this machine's clock is ahead of the database's."""
    return time.time() - await _asked(engine, "SELECT extract(epoch FROM clock_timestamp())")


async def _asked(engine: Any, sql: str) -> float:
    from sqlalchemy import text

    async with engine.connect() as connection:
        return float((await connection.execute(text(sql))).scalar_one())


async def _redis(settings: Settings) -> AsyncIterator[Check]:
    if settings.redis_url is None:
        return
    from redis.exceptions import RedisError

    from llm_gateway.shared.client import described

    try:
        told = await described(settings.redis_url.get_secret_value(), REDIS_PATIENCE)
    except (RedisError, OSError) as error:
        text = f"does not answer: {type(error).__name__}; each process keeps limits by itself meanwhile"
        yield Check("redis", "error", text, "Start it, or mend LLM_GATEWAY_REDIS_URL.")
        return
    name, version = ("Valkey", told["valkey_version"]) if "valkey_version" in told else ("Redis", told["redis_version"])
    if told.get("redis_mode") == "cluster":
        yield Check("redis", "error", f"{name} {version} in cluster mode", "Take one that is not.")
    elif told.get("role") == "slave":
        yield Check("redis", "error", f"{name} {version}, a replica", "Name the server that takes writes.")
    elif tuple(map(int, str(told["redis_version"]).split(".")[:2])) < OLDEST_REDIS:
        yield Check("redis", "error", f"{name} {version}", "Redis 6.2, Valkey 7.2 or newer is needed.")
    elif told.get("maxmemory") and told.get("maxmemory_policy") != "noeviction":
        text = f"{name} {version} throws keys away when memory is short ({told['maxmemory_policy']}): limits forget"
        yield Check("redis", "warning", text, "Set maxmemory-policy to noeviction.")
    else:
        yield Check("redis", "ok", f"{name} {version}")


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
    firing = sorted({alert["rule"] for alert in found["data"] if alert["state"] == "firing"})
    names = ", ".join(hook["name"] for hook in found["webhooks"])
    told = f"webhooks: {names}" if names else "no webhook is configured, so nobody is told"
    if firing:
        fix = "`llm-gateway alerts list` says for whom and since when."
        return Check("alerts", "warning", f"firing: {', '.join(firing)}; {told}", fix)
    return Check("alerts", "ok", f"nothing fires; {told}")


async def _fleet(where: Where, *, ask: bool) -> AsyncIterator[Check]:
    try:
        async with connect_to_server(where) as api:
            health = await api.get("/v1/health")
            alerts = await _alerts(api)
            deep = (await api.get("/v1/health", deep="true"))["deep"] if ask else None
    except Stop as stop:
        yield Check("fleet", "error", stop.message, stop.hint)
        return
    states = ", ".join(f"{count} {state}" for state, count in health["servers"].items())
    state: State = "error" if health["status"] == "down" else "ok" if health["servers"].get("healthy") else "warning"
    models = health["models"]
    text = f"{states}; {models['with_healthy_servers']} of {models['total']} models have a healthy server"
    yield Check("fleet", state, text, "" if state == "ok" else "`llm-gateway servers list` says why.")
    yield _log(health)
    yield alerts
    if deep is not None and deep["status"] == "ok":
        yield Check("model", "ok", f"{deep['model']} answered within {deep['ttft_ms']:.0f} ms")
    elif deep is not None:
        yield Check("model", "error", deep["message"], "`llm-gateway servers list` says how its servers are.")


def _log(health: dict[str, Any]) -> Check:
    waiting, dropped = health["log_rows_waiting"], health["log_rows_dropped"]
    if health["log"] == "failing":
        fix = "Make room, or make the data directory writable."
        return Check("request log", "error", f"the journal cannot be written; {dropped} rows were lost", fix)
    if health["log"] == "waiting" or health["database"] != "ok":
        text = f"{waiting} rows wait for the database; configuration: {health['configuration']}"
        return Check("request log", "warning", text, "Bring the database back: no restart is needed.")
    if dropped:
        return Check("request log", "warning", f"{dropped} rows were lost", "The server's log says why.")
    return Check("request log", "ok", f"{waiting} rows are on their way to the database")
