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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from llm_gateway.findings import Check, State, found

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from llm_gateway.settings import Settings
    from llm_gateway.upstream.sources import Catalogue

LITTLE_SPACE: Final = 2**30
"""Bytes."""
SKEW: Final = 2.0
"""Seconds between this machine's clock and the database's."""
OLDEST_POSTGRESQL: Final = 14
OLDEST_REDIS: Final = (6, 2)
REDIS_PATIENCE: Final = 2.0
"""Seconds."""


def data_dir(path: Path) -> Iterator[Check]:
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    name, text = "data directory", str(path)
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        yield found(name, "error", "data_dir_unwritable", "choose_data_dir", path=text)
        return
    if place != path:
        yield found(name, "ok", "data_dir_to_be_made", path=text)
    elif stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield found(name, "warning", "data_dir_open", "close_data_dir", path=text)
    else:
        yield found(name, "ok", "data_dir_good", path=text)
    free = shutil.disk_usage(place).free
    if free < LITTLE_SPACE:
        yield found("disk", "warning", "disk_low", "make_room", mib=free // 2**20, path=str(place))


def admin_token(settings: Settings, file: Path) -> Iterator[Check]:
    name = "admin token"
    if settings.admin_token is not None:
        if len(set(settings.admin_token.get_secret_value())) < 10:
            yield found(name, "warning", "token_easy", "make_token")
        else:
            yield found(name, "ok", "token_set")
    elif not file.exists():
        yield found(name, "ok", "token_to_be_made")
    elif stat.S_IMODE(file.stat().st_mode) & 0o077:
        yield found(name, "error", "token_readable", "close_token", path=str(file))
    else:
        yield found(name, "ok", "token_in_file", path=str(file))


def listens_on(settings: Settings) -> Iterator[Check]:
    from llm_gateway.settings import is_loopback

    name, url = "listens on", settings.public_url or ""
    if is_loopback(settings.host):
        yield found(name, "ok", "listens_here_only", host=settings.host)
    elif url.startswith("https://"):
        yield found(name, "ok", "listens_behind_tls", host=settings.host, url=url)
    else:
        yield found(name, "warning", "listens_unprotected", "put_tls_in_front", host=settings.host)
    if settings.only_networks:
        yield found("egress", "ok", "egress", networks=tuple(map(str, settings.only_networks)))


def catalogue(name: str, catalogue: Catalogue | None) -> Iterator[Check]:
    """What was read of it; None = it is not used."""
    if catalogue is None:
        yield found(name, "ok", "catalogue_unused")
        return
    models = {model.name for spec in catalogue.specs for model in spec.models}
    counts = {"entries": catalogue.entries, "models": len(models), "servers": len(catalogue.specs)}
    if catalogue.specs:
        yield found(name, "ok", "catalogue_read", version=catalogue.version or "unknown version", **counts)
    elif catalogue.problems:
        yield found(
            name, "error", "catalogue_broken", "install_catalogue", problem=catalogue.problems[0], catalogue=name
        )
    else:
        yield found(name, "error", "catalogue_empty", "install_catalogue", **counts, catalogue=name)
    if catalogue.specs and (problems := catalogue.problems):
        yield found(name, "warning", "catalogue_problems", problems=len(problems), problem=problems[0])


async def database(engine: AsyncEngine) -> AsyncIterator[Check]:
    """Raises GatewayError where it cannot be asked."""
    from llm_gateway.storage.upgrade import HEAD, check_known, current_revision

    sqlite = engine.dialect.name == "sqlite"
    name, kind = "database", "SQLite" if sqlite else "PostgreSQL"
    revision = await current_revision(engine)
    check_known(revision)
    release = 0 if sqlite else await _asked(engine, "SELECT current_setting('server_version_num')::int / 10000")
    skew = 0.0 if sqlite else await _skew(engine)
    if revision == HEAD:
        yield found(name, "ok", "schema_current", database=kind, schema=revision)
    elif revision is None:
        yield found(name, "warning", "schema_missing", "upgrade_schema", database=kind, head=HEAD)
    else:
        yield found(name, "warning", "schema_other", "upgrade_schema", database=kind, schema=revision, head=HEAD)
    if not sqlite and release < OLDEST_POSTGRESQL:
        versions = {"release": int(release), "oldest": OLDEST_POSTGRESQL}
        yield found(name, "error", "database_old", "newer_postgresql", database=kind, **versions)
    if abs(skew) > SKEW:
        yield found("clock", "warning", "clock_skewed", "keep_time", skew=f"{skew:+.0f}")


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

    name = "redis"
    try:
        told = await described(settings.redis_url.get_secret_value(), REDIS_PATIENCE)
    except (RedisError, OSError) as error:
        yield found(name, "error", "redis_silent", "mend_redis", problem=type(error).__name__)
        return
    valkey = told.get("valkey_version")
    version = f"Valkey {valkey}" if valkey is not None else f"Redis {told['redis_version']}"
    if told.get("redis_mode") == "cluster":
        yield found(name, "error", "redis_cluster", "redis_without_cluster", version=version)
    elif told.get("role") == "slave":
        yield found(name, "error", "redis_replica", "redis_that_writes", version=version)
    elif tuple(map(int, str(told["redis_version"]).split(".")[:2])) < OLDEST_REDIS:
        yield found(name, "error", "redis_old", "newer_redis", version=version)
    elif told.get("maxmemory") and (policy := str(told.get("maxmemory_policy"))) != "noeviction":
        yield found(name, "warning", "redis_evicts", "redis_without_eviction", version=version, policy=policy)
    else:
        yield found(name, "ok", "redis_good", version=version)


def fleet(health: Mapping[str, Any]) -> Check:
    """`health`: as `service.health.report`."""
    states = tuple(f"{count} {state}" for state, count in health["servers"].items())
    state: State = "error" if health["status"] == "down" else "ok" if health["servers"].get("healthy") else "warning"
    models = health["models"]
    counts = {"healthy": models["with_healthy_servers"], "models": models["total"]}
    return found("fleet", state, "fleet_is", None if state == "ok" else "list_servers", states=states, **counts)


def alerts(firing: Collection[str], webhooks: Sequence[str]) -> Check:
    """`firing`: rules."""
    rules, told = tuple(sorted(firing)), tuple(webhooks)
    if rules and told:
        return found("alerts", "warning", "alerts_fire", "list_alerts", rules=rules, webhooks=told)
    if rules:
        return found("alerts", "warning", "alerts_fire_unheard", "list_alerts", rules=rules)
    return (
        found("alerts", "ok", "alerts_quiet", webhooks=told) if told else found("alerts", "ok", "alerts_quiet_unheard")
    )


def log_rows(health: Mapping[str, Any]) -> Check:
    name, waiting, dropped = "request log", health["log_rows_waiting"], health["log_rows_dropped"]
    if health["log"] == "failing":
        return found(name, "error", "journal_failing", "make_journal_writable", rows=dropped)
    if health["log"] == "waiting" or health["database"] != "ok":
        source = health["configuration"]
        return found(name, "warning", "rows_wait", "bring_database_back", rows=waiting, configuration=source)
    if dropped:
        return found(name, "warning", "rows_lost", "read_the_log", rows=dropped)
    return found(name, "ok", "rows_arrive", rows=waiting)
