"""What may be wrong with an installation, and how to mend it: the checks that the `doctor` command and the admin API
share. Each looks at one thing; model servers are never contacted.

What is heavy is imported where it is used: a command that only prints its help loads none of it.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from llm_gateway.settings import Settings
    from llm_gateway.upstream.sources import Catalogue

State = Literal["ok", "warning", "error"]
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


def data_dir(path: Path) -> Iterator[Check]:
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


def admin_token(settings: Settings, file: Path) -> Iterator[Check]:
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


def listens_on(settings: Settings) -> Iterator[Check]:
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


def catalogue(name: str, found: Catalogue | None) -> Iterator[Check]:
    """What was read of it; None = it is not used."""
    if found is None:
        yield Check(name, "ok", "not used")
        return
    models = {model.name for spec in found.specs for model in spec.models}
    counts = f"{found.entries} entries, {len(models)} models, {len(found.specs)} servers"
    if not found.specs:
        text = found.problems[0] if found.problems else counts
        yield Check(name, "error", text, f"Install {name}, or disable it.")
    else:
        yield Check(name, "ok", f"{found.version or 'unknown version'}: {counts}, as listed; nobody was asked")
    if found.specs and found.problems:
        yield Check(name, "warning", f"{len(found.problems)} problems, such as: {found.problems[0]}")


async def database(engine: AsyncEngine) -> AsyncIterator[Check]:
    """Raises GatewayError where it cannot be asked."""
    from llm_gateway.storage.upgrade import HEAD, check_known, current_revision

    sqlite = engine.dialect.name == "sqlite"
    kind = "SQLite" if sqlite else "PostgreSQL"
    revision = await current_revision(engine)
    check_known(revision)
    release = 0 if sqlite else await _asked(engine, "SELECT current_setting('server_version_num')::int / 10000")
    skew = 0.0 if sqlite else await _skew(engine)
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


async def redis(settings: Settings) -> AsyncIterator[Check]:
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


def fleet(health: Mapping[str, Any]) -> Check:
    """`health`: as `service.health.report`."""
    states = ", ".join(f"{count} {state}" for state, count in health["servers"].items())
    state: State = "error" if health["status"] == "down" else "ok" if health["servers"].get("healthy") else "warning"
    models = health["models"]
    text = f"{states}; {models['with_healthy_servers']} of {models['total']} models have a healthy server"
    return Check("fleet", state, text, "" if state == "ok" else "`llm-gateway servers list` says why.")


def alerts(firing: Collection[str], webhooks: Sequence[str]) -> Check:
    """`firing`: rules."""
    names = ", ".join(webhooks)
    told = f"webhooks: {names}" if names else "no webhook is configured, so nobody is told"
    if firing:
        fix = "`llm-gateway alerts list` says for whom and since when."
        return Check("alerts", "warning", f"firing: {', '.join(sorted(firing))}; {told}", fix)
    return Check("alerts", "ok", f"nothing fires; {told}")


def log_rows(health: Mapping[str, Any]) -> Check:
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
