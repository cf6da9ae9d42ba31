#!/usr/bin/env python3
"""The database goes away in every way that we know, under load: does any client notice, is any row lost or doubled?

    python bench/chaos/database_outages.py [--seconds 12] [--databases postgresql,sqlite]

PostgreSQL is stopped with `-m immediate`, frozen, made read-only, out of connections, and failed over to another server
at the same port; it is away at a start, with a snapshot and without, and frozen at a SIGTERM. SQLite is locked by
another process, and its disk is full (needs root, for a tmpfs). The load is 20 requests a second; the client's own
ledger is the judge (`tests/support/witness.py`). Exits with 1 when a good request fails, a row is lost, doubled or
wrong, when rows and figures contradict each other, or when it takes more than ten seconds after the database's return
until every row is in it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import asyncpg
from ledgers import agrees, health, postgresql, settled, tmpfs
from stage import Promises, Servers, gateway, key_of, looked_at, run

from support.databases import OwnServer
from support.served import Served
from support.stored import rows_of
from support.witness import Witness

SERVERS = [{"models": ["recite"], "words": 30, "rate": 60.0, "delay": 0.02}] * 4
BACK = 10.0
CALM = 3.0
"""Seconds of load before and after."""


@asynccontextmanager
async def stopped(server: OwnServer, url: str) -> AsyncIterator[None]:
    server.execute("CHECKPOINT")
    server.stop(at_once=True)
    yield
    server.start()


@asynccontextmanager
async def frozen(server: OwnServer, url: str) -> AsyncIterator[None]:
    server.freeze()
    yield
    server.thaw()


@asynccontextmanager
async def read_only(server: OwnServer, url: str) -> AsyncIterator[None]:
    admin = await asyncpg.connect(url)
    await admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    await admin.execute("SELECT pg_reload_conf()")
    yield
    await admin.execute("SET default_transaction_read_only = off")
    await admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
    await admin.execute("SELECT pg_reload_conf()")
    await admin.close()


@asynccontextmanager
async def out_of_connections(server: OwnServer, url: str) -> AsyncIterator[None]:
    """Every place is taken by others, the gateway's connections end."""
    held: list[Any] = []

    async def take_all() -> None:
        while True:
            try:
                held.append(await asyncpg.connect(url))
            except (asyncpg.PostgresError, OSError):
                with suppress(asyncpg.PostgresError, IndexError):
                    await held[0].execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'llm-gateway'"
                    )
                await asyncio.sleep(0.02)

    task = asyncio.create_task(take_all())
    yield
    task.cancel()
    for connection in held:
        connection.terminate()


@asynccontextmanager
async def failed_over(server: OwnServer, url: str) -> AsyncIterator[None]:
    yield
    await asyncio.to_thread(server.fail_over)


OUTAGES = {
    "stopped -m immediate": stopped,
    "frozen": frozen,
    "read-only": read_only,
    "out of connections": out_of_connections,
    "failed over": failed_over,
}


async def missed(served: Served) -> bool:
    return (await health(served))["status"] != "ok"


async def back(served: Served, place: Path) -> float:
    """Seconds until the gateway knows its database again and every row is there."""
    began = time.monotonic()
    await settled(served, place)
    return time.monotonic() - began


class Load:
    """One phase: what the client saw, and whether it was promised."""

    def __init__(self, promises: Promises, served: Served, place: Path, url: str | None) -> None:
        self._promises, self._served, self._place, self._url = promises, served, place, url
        self._witness = Witness(key=key_of("tests"))
        self._known: set[str] = set()

    async def through(self, name: str, outage: Any, seconds: float, *, notices: bool = True) -> None:
        self._known = {str(row["id"]) for row in await rows_of(self._url, self._place)}
        self._witness = witness = Witness(key=key_of("tests"))
        noticed, recovery = None, 0.0
        async with witness.asking(lambda: self._served.port):
            await asyncio.sleep(CALM)
            began = time.monotonic()
            async with outage:
                while time.monotonic() - began < seconds:
                    if noticed is None and await missed(self._served):
                        noticed = time.monotonic() - began
                    await asyncio.sleep(0.1)
            recovery = await back(self._served, self._place)
            await asyncio.sleep(CALM)
        await settled(self._served, self._place)
        rows = [row for row in await rows_of(self._url, self._place) if str(row["id"]) not in self._known]
        judgement = witness.judge(rows)
        known = f"said `degraded` after {noticed:.1f} s" if noticed is not None else "was always ok"
        print(f"{name}: {len(witness.all)} requests; {judgement}")
        print(f"  health {known}; recovered {recovery:.1f} s after")
        for seen in witness.failed[:3]:
            print(f"  FAILED: {seen}")
        self._promises.most("good requests that failed", len(witness.failed), 0)
        self._promises.most("rows lost, doubled, wrong or of nobody", judgement.wrongs, 0)
        await agrees(self._promises, self._url, self._place)
        self._promises.most("seconds to recover", recovery, BACK)


async def on_postgresql(promises: Promises, seconds: float) -> None:
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llmgw-outages-")))
        server, url = stack.enter_context(postgresql())
        async with Servers(SERVERS) as servers:
            with gateway(place, servers.entries(), database_url=url) as served:
                await looked_at(served)
                load = Load(promises, served, place, url)
                for name, outage in OUTAGES.items():
                    await load.through(f"PostgreSQL {name}", outage(server, url), seconds)
                await frozen_at_the_end(promises, served, server, url, place)
            await away_at_a_start(promises, server, servers, url, place)


async def frozen_at_the_end(promises: Promises, served: Served, server: OwnServer, url: str, place: Path) -> None:
    """SIGTERM while the database is frozen."""
    witness = Witness(key=key_of("tests"))
    before = {str(row["id"]) for row in await rows_of(url, place)}
    server.freeze()
    port: int | None = served.port
    async with witness.asking(lambda: port):
        await asyncio.sleep(CALM)
        began = time.monotonic()
        port = None  # as a load balancer does that hears of it
        served.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(served.process.wait, 90)
        took = time.monotonic() - began
    server.thaw()
    print(f"PostgreSQL frozen at a SIGTERM: ended with {code} after {took:.1f} s; {len(witness.all)} requests")
    promises.most("exit code", code, 0)
    promises.most("seconds to the end", took, 20)
    promises.most("good requests that failed", len(witness.failed), 0)
    frozen_at_the_end.left = (witness, before)  # type: ignore[attr-defined]  # judged after the next start


async def away_at_a_start(promises: Promises, server: OwnServer, servers: Servers, url: str, place: Path) -> None:
    kept = place / "snapshot.json"
    for name, snapshot in (("with a snapshot", True), ("without one", False)):
        if not snapshot:
            kept.unlink()
        server.execute("CHECKPOINT")
        server.stop(at_once=True)
        with gateway(place, servers.entries(), database_url=url) as served:
            witness = Witness(key=key_of("tests"))
            async with witness.asking(lambda served=served: served.port):
                await asyncio.sleep(5)
                if not snapshot:
                    refused = list(witness.all)
                server.start()
                recovery = await back(served, place)
            await settled(served, place)
            statuses = witness.outcomes()
            print(
                f"PostgreSQL away at a start, {name}: {dict(statuses.most_common())}; recovered {recovery:.1f} s after"
            )
            promises.most("401", sum(seen.status == 401 for seen in witness.all), 0)
            await agrees(promises, url, place)
            promises.most("seconds to recover", recovery, BACK)
            if snapshot:
                promises.most("good requests that failed", len(witness.failed), 0)
                old, before = frozen_at_the_end.left  # type: ignore[attr-defined]
                rows = [row for row in await rows_of(url, place) if str(row["id"]) not in before]
                witness.all = old.all + witness.all
                judgement = witness.judge(rows)
                print(f"  with those of the SIGTERM: {judgement}")
                promises.most("rows lost, doubled, wrong or of nobody", judgement.wrongs, 0)
            else:
                good = [seen for seen in refused if seen.whole]
                promises.least("refused with 503", sum(s.status == 503 for s in good) / max(1, len(good)), 1.0)


async def on_sqlite(promises: Promises, seconds: float) -> None:
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llmgw-outages-")))
        disk = stack.enter_context(tmpfs(16)) if os.geteuid() == 0 else None
        file = (disk or place) / "gateway.db"
        url = f"sqlite:///{file}"
        async with Servers(SERVERS) as servers:
            with gateway(place, servers.entries(), database_url=url) as served:
                await looked_at(served)
                load = Load(promises, served, place, url)
                await load.through("SQLite locked by another process", locked(file), seconds)
                if disk is not None:
                    await load.through("SQLite on a full disk", full(disk), seconds)


@asynccontextmanager
async def locked(file: Path) -> AsyncIterator[None]:
    other = sqlite3.connect(file, isolation_level=None, timeout=30)
    other.execute("BEGIN EXCLUSIVE")
    yield
    other.execute("ROLLBACK")
    other.close()


@asynccontextmanager
async def full(disk: Path) -> AsyncIterator[None]:
    filler = disk / "filler"
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4k"], check=False, capture_output=True)  # noqa: ASYNC221
    yield
    filler.unlink()


async def main(options: argparse.Namespace) -> int:
    promises = Promises()
    wanted = options.databases.split(",")
    if "postgresql" in wanted:
        await on_postgresql(promises, options.seconds)
    if "sqlite" in wanted:
        await on_sqlite(promises, options.seconds)
    return 1 if promises.broken else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=12.0, help="that each outage lasts")
    parser.add_argument("--databases", default="postgresql,sqlite")
    sys.exit(run(main(parser.parse_args())))
