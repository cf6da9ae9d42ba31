#!/usr/bin/env python3
"""What it takes to export a large request log, and to follow one.

    python bench/export.py [--rows 1000000] [--database postgresql] [--format csv]

A real `llm-gateway serve` streams the whole log while another process writes rows and the oldest ones are pruned.
Judged, with exit code 1: a row twice, a row missing that was there throughout, more than 64 MiB above the idle server,
on PostgreSQL a transaction of more than 2 s. Printed besides: rows per second, and how long a follower's look takes
when the last hour holds a twentieth of the rows.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests"), str(ROOT / "tests/support"), str(ROOT / "bench")]

import asyncpg  # noqa: E402 - the path comes first
import httpx  # noqa: E402
from databases import OwnServer  # noqa: E402
from startup import machine  # noqa: E402

from llm_gateway.clock import Ids  # noqa: E402
from support.served import Served, serve  # noqa: E402

PROJECT = uuid4()
HOUR = 3600.0
MOST_MEMORY = 64.0
LONGEST = 2.0
BLOCK = 10_000
COLUMNS = (
    *("id", "project_id", "timestamp", "endpoint", "model", "backend_model", "server_id", "tier", "stream", "status"),
    *("outcome", "latency_ms", "ttft_ms", "attempts", "tokens_input", "tokens_output", "tokens_estimated"),
)


def rows(ids: Ids, count: int, begin: float, end: float) -> Iterator[list[Any]]:
    for n in range(count):
        at = begin + (end - begin) * n / count
        told = ["/v1/chat", f"model-{n % 40}", f"backend-{n % 40}:7b", f"srv_{n % 15:010}", "own", False, 200, "ok"]
        yield [ids(), PROJECT, at, *told, 812.5 + n % 900, 90.25, 1, 250, 120, False]


class Sqlite:
    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, timeout=30, check_same_thread=False)

    def put(self, block: list[list[Any]]) -> None:
        marks = ", ".join("?" * len(COLUMNS))
        stored = [[r[0].hex, r[1].hex, round(r[2] * 1e6), *r[3:]] for r in block]
        with self._connection:
            self._connection.executemany(f"INSERT INTO request_log ({', '.join(COLUMNS)}) VALUES ({marks})", stored)

    def prune(self, count: int) -> set[str]:
        oldest = "SELECT id FROM request_log ORDER BY timestamp, id LIMIT ?"
        with self._connection:
            gone = [row[0] for row in self._connection.execute(oldest, (count,))]
            self._connection.executemany("DELETE FROM request_log WHERE id = ?", [(id,) for id in gone])
        return {str(UUID(id)) for id in gone}

    def longest_transaction(self) -> float:
        return 0.0

    def close(self) -> None:
        self._connection.close()


class Postgresql:
    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._connection = self._run(asyncpg.connect(url))

    def _run(self, work: Any) -> Any:
        return self._loop.run_until_complete(work)

    def put(self, block: list[list[Any]]) -> None:
        from datetime import UTC, datetime

        stored = [[r[0], r[1], datetime.fromtimestamp(r[2], UTC), *r[3:]] for r in block]
        self._run(self._connection.copy_records_to_table("request_log", records=stored, columns=COLUMNS))

    def prune(self, count: int) -> set[str]:
        gone = self._run(
            self._connection.fetch(
                "DELETE FROM request_log WHERE id IN (SELECT id FROM request_log ORDER BY timestamp, id LIMIT $1) "
                "RETURNING id",
                count,
            )
        )
        return {str(row["id"]) for row in gone}

    def longest_transaction(self) -> float:
        age = self._run(
            self._connection.fetchval(
                "SELECT max(extract(epoch FROM clock_timestamp() - xact_start)) FROM pg_stat_activity "
                "WHERE application_name = 'llm-gateway'"
            )
        )
        return float(age or 0)

    def close(self) -> None:
        self._run(self._connection.close())
        self._loop.close()


def memory(served: Served, field: str) -> float:
    """MiB of the server."""
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    return float(next(line for line in status.splitlines() if line.startswith(f"{field}:")).split()[1]) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--format", choices=["ndjson", "csv"], default="ndjson")
    options = parser.parse_args()
    print(machine(), flush=True)
    environ = {"PYTHONPATH": str(ROOT / "src")}
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="export-")))
        if options.database == "postgresql":
            server = stack.enter_context(closing(OwnServer()))
            environ["LLM_GATEWAY_DATABASE_URL"] = server.create("logs")
        config = {"sources": {"ollamafreeapi": {"enabled": False}}}
        served = stack.enter_context(serve(place / "data", config=config, **environ))
        url = environ.get("LLM_GATEWAY_DATABASE_URL", "")

        def database() -> Any:
            return stack.enter_context(closing(Postgresql(url) if url else Sqlite(place / "data/gateway.db")))

        return judged(served, database(), database, options.rows, options.format)


def judged(served: Served, database: Any, another: Any, count: int, form: str) -> int:
    ids, now = Ids(), time.time()
    made: list[str] = []
    block: list[list[Any]] = []
    old = count * 19 // 20
    for source in (rows(ids, old, now - 40 * 86_400, now - HOUR), rows(ids, count - old, now - HOUR, now)):
        for row in source:
            block.append(row)
            if len(block) == BLOCK:
                database.put(block)
                made += [str(row[0]) for row in block]
                block = []
    database.put(block)
    made += [str(row[0]) for row in block]
    idle = memory(served, "VmRSS")
    gone: set[str] = set()
    longest = [0.0]
    done = threading.Event()

    def disturb() -> None:
        mine = another()
        while not done.wait(0.05):
            mine.put(list(rows(ids, 50, time.time(), time.time())))
            gone.update(mine.prune(50))
            longest[0] = max(longest[0], mine.longest_transaction())

    thread = threading.Thread(target=disturb)
    thread.start()
    began = time.monotonic()
    seen = list(exported(served, form))
    seconds = time.monotonic() - began
    done.set()
    thread.join()
    peak = memory(served, "VmHWM")
    once = set(seen)
    missing = set(made) - gone - once
    looks = followed(served)
    print(
        f"{len(seen):,} rows as {form} in {seconds:.1f} s: {len(seen) / seconds:,.0f} a second; {len(gone):,} pruned "
        f"meanwhile\nmemory {idle:.0f} MiB before, {peak:.0f} at most; longest transaction {longest[0]:.2f} s\n"
        f"twice {len(seen) - len(once)}, missing {len(missing)}\n"
        f"a follower's look: median {statistics.median(looks) * 1000:.0f} ms, slowest {max(looks) * 1000:.0f} ms"
    )
    good = len(seen) == len(once) and not missing and peak - idle <= MOST_MEMORY and longest[0] <= LONGEST
    print("as wanted" if good else "NOT as wanted")
    return 0 if good else 1


def exported(served: Served, form: str) -> Iterator[str]:
    headers = {"authorization": f"Bearer {served.admin_token}"}
    url = f"{served.url}/admin/api/requests/export?format={form}"
    with httpx.stream("GET", url, headers=headers, timeout=60, trust_env=False) as answer:
        lines = answer.iter_lines()
        if form == "csv":
            for row in csv.DictReader(io.StringIO("\r\n".join(lines))):
                yield row["request_id"]
        else:
            for line in lines:
                yield json.loads(line)["request_id"]


def followed(served: Served) -> list[float]:
    """Seconds of looks at a log in which nothing happens."""
    headers = {"authorization": f"Bearer {served.admin_token}"}
    taken = []
    with httpx.Client(base_url=served.url, headers=headers, timeout=60, trust_env=False) as http:
        mark = http.get("/admin/api/requests/tail").json()["next_cursor"]
        for _ in range(20):
            began = time.monotonic()
            mark = http.get("/admin/api/requests/tail", params={"cursor": mark}).json()["next_cursor"]
            taken.append(time.monotonic() - began)
    return taken


if __name__ == "__main__":
    os.environ.setdefault("LLM_GATEWAY_ONLY_NETWORKS", "127.0.0.0/8,::1/128")
    sys.exit(main())
