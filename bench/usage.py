#!/usr/bin/env python3
"""Figures and log pages over many rows, and what the ledger's batches cost beside a bare COPY.

    python bench/usage.py                                        # 10 million rows on PostgreSQL, 1 million on SQLite
    python bench/usage.py --postgresql 1000000 --sqlite 0        # of one of them, and smaller
    python bench/usage.py --directory /var/tmp                   # where the databases are made; 10 GB for 10 million

The rows are made up: 90 days up to now, 20 projects with 40 keys (the largest has a fifth of all requests), 12 models,
three classes of servers, 4 % errors of seven kinds, one of them once in 100,000 rows; a third of the rows have a
correlation id and an end user. Roll-ups are derived from the rows by the database, those by the minute for the last 14
days. The databases are our own, on the disk, durable, with the settings of `POSTGRESQL` below.

Measured is `storage.usage` and `storage.requests` as the admin API calls them, with the beginning of the transaction,
each question 40 times with other ends, projects and names, one after the other. 100 ms at the 95th percentile and one
query are wanted. Then batches of 10,000 rows that came in within ten seconds: `DatabaseStore.ship` (dicts as the
journal has them, rows, roll-ups, position, commit) in turns with a bare COPY or `executemany` and a commit of the same
rows, ready as tuples, into an empty table of the same definition with all its indexes; and into one without any index.
The first of the two ratios is wanted to be 0.4 or more. Beside the first batches, which are not timed, a task that
wants a turn every millisecond shows for how long a batch holds the event loop, in CPU time.

Exits with 1 when a figure is missed. Needs no network.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID, uuid4

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "support")]

from databases import CannotRun, OwnServer  # noqa: E402 - the path comes first
from sqlalchemy import event, func, insert, literal, select, text  # noqa: E402
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession  # noqa: E402
from startup import machine  # noqa: E402

from llm_gateway.ledger.journal import Position  # noqa: E402
from llm_gateway.ledger.shipper import BATCH, Batch  # noqa: E402
from llm_gateway.ledger.store import DatabaseStore  # noqa: E402
from llm_gateway.storage import records, requests  # noqa: E402
from llm_gateway.storage.audit import derived  # noqa: E402
from llm_gateway.storage.bulk import driver, on_postgresql  # noqa: E402
from llm_gateway.storage.columns import EPOCH  # noqa: E402
from llm_gateway.storage.engine import open_engine  # noqa: E402
from llm_gateway.storage.requests import RequestFilters  # noqa: E402
from llm_gateway.storage.rollups import DAY, HOUR, MINUTE, NOBODY  # noqa: E402
from llm_gateway.storage.sessions import Sessions  # noqa: E402
from llm_gateway.storage.tables import COARSE, GROUPED, ROLLED, request_log, usage_rollup  # noqa: E402
from llm_gateway.storage.upgrade import upgrade  # noqa: E402
from llm_gateway.storage.usage import UsageFilters, overview, tops, usage  # noqa: E402

WANTED = 0.100
RATIO = 0.4
DAYS = 90
MINUTE_DAYS = 14
ROUNDS = 40
BATCHES = 14
WATCHED = 3
"""Of these, at the beginning: not timed, for who watches takes time as well."""
BLOCK = 20_000
PART = 200_000
"""Rows that are sent; PostgreSQL makes the others of them."""
POSTGRESQL = """
fsync = on
full_page_writes = on
synchronous_commit = on
wal_level = replica
max_wal_size = 4GB
shared_buffers = 1GB
effective_cache_size = 4GB
maintenance_work_mem = 512MB
random_page_cost = 1.1
autovacuum = on
"""
dice = random.Random(7)
PROJECTS = [str(UUID(int=dice.getrandbits(128))) for _ in range(20)]
KEYS = {project: [str(UUID(int=dice.getrandbits(128))) for _ in range(2)] for project in PROJECTS}
MODELS = [f"{name}:{size}b" for name in ("llama3.2", "qwen2.5", "gemma3", "mistral") for size in (3, 8, 70)]
USERS = [f"user-{n}" for n in range(5_000)]
ERRORS = {
    "no_healthy_upstream": 503,
    "upstream_timeout": 504,
    "client_closed": 499,
    "model_not_found": 404,
    "invalid_request": 400,
    "upstream_error": 502,
    "internal_error": 500,
}
RARE = "internal_error"
KINDS = [
    (project, key, model, tier, endpoint)
    for project in PROJECTS
    for key in KEYS[project]
    for model in dice.sample(MODELS, 4)
    for tier in (("public", "own") if dice.random() < 0.5 else ("public",))
    for endpoint in (("/v1/chat/completions", "/v1/chat") if dice.random() < 0.3 else ("/v1/chat/completions",))
]
WEIGHTS = [1 / (1 + PROJECTS.index(kind[0])) for kind in KINDS]


def made_up(count: int, since: float, until: float) -> Iterator[list[dict[str, Any]]]:
    """Rows in the order of time, a block at a time."""
    step = (until - since) / count
    for first in range(0, count, BLOCK):
        size = min(BLOCK, count - first)
        kinds = dice.choices(KINDS, WEIGHTS, k=size)
        errors = dice.choices([None, *ERRORS], [0.96, 0.015, 0.01, 0.01, 0.003, 0.00199, 0.00001, 0.00001], k=size)
        yield [_row(since + (first + n) * step, *kinds[n], errors[n]) for n in range(size)]


def _row(at: float, project: str, key: str, model: str, tier: str, endpoint: str, error: str | None) -> dict[str, Any]:
    chance = dice.random()
    latency = 150 / (chance + 0.0005)  # a long tail
    told = dice.random() < 0.33
    return {
        "id": _id(at),
        "project_id": project,
        "key_id": key,
        "timestamp": at,
        "endpoint": endpoint,
        "model": model,
        "backend_model": None if error else model,
        "server_id": None if error else f"srv_{int(chance * 300):010d}",
        "tier": None if error else tier,
        "stream": chance < 0.5,
        "status": ERRORS[error] if error else 200,
        "outcome": "error" if error else "ok",
        "error_code": error,
        "finish_reason": None if error else "stop",
        "latency_ms": round(latency, 1),
        "ttft_ms": None if error else round(latency / 4, 1),
        "attempts": 1 if chance > 0.1 else 2,
        "tokens_input": int(chance * 4_000),
        "tokens_output": 0 if error else int(chance * 700),
        "tokens_estimated": False,
        "end_user": USERS[int(chance * 5_000)] if told else None,
        "correlation_id": f"{dice.getrandbits(64):016x}" if told else None,
        "project_context": None,
        "client_request_id": f"{dice.getrandbits(128):032x}" if chance < 0.05 else None,
        "continuations": 0,
        "notes": None,
        "failovers": 0 if chance > 0.1 else 1,
        "cost_nanos": 0,
    }


def _id(at: float) -> str:
    """A UUIDv7."""
    bits = int(at * 1000) << 80 | 7 << 76 | dice.getrandbits(12) << 64 | 2 << 62 | dice.getrandbits(62)
    return f"{bits >> 96:08x}-{bits >> 80 & 0xFFFF:04x}-{bits >> 64 & 0xFFFF:04x}-{bits >> 48 & 0xFFFF:04x}-" + (
        f"{bits & 0xFFFFFFFFFFFF:012x}"
    )


async def build(sessions: Sessions, count: int, now: float) -> None:
    """Rows and their roll-ups. Indexes are made after the rows."""
    began = time.monotonic()
    async with sessions.write() as s:
        indexes = await _drop_indexes(s)
        length = DAYS * DAY - 1
        parts = max(1, count // PART) if on_postgresql(s) else 1
        for block in made_up(count // parts, now - length, now - length + length / parts):
            await requests.insert(s, records.parts(block))
        if parts > 1:
            await s.execute(text(_more("request_log", length / parts, parts)))
        rows = time.monotonic()
        for statement in indexes:
            await s.execute(text(statement))
        indexed = time.monotonic()
        await _roll_up(s, now)
    ended = time.monotonic()
    print(
        f"built in {ended - began:.0f} s: rows {rows - began:.0f}, indexes {indexed - rows:.0f}, "
        f"roll-ups {ended - indexed:.0f}"
    )


def _more(table: str, step: float, parts: int) -> str:
    """The rows that are there again and again, `step` seconds later each time, under new ids: PostgreSQL does it ten
    times as fast as we could send them."""
    later = f"(timestamp + k * interval '{step} seconds')"
    fresh = "md5(id::text || k)"
    columns = {column.name: column.name for column in request_log.columns} | {
        "id": f"(lpad(to_hex((extract(epoch FROM {later}) * 1000)::bigint), 12, '0') || '7' || substr({fresh}, 1, 3) "
        f"|| '8' || substr({fresh}, 4, 15))::uuid",
        "timestamp": later,
        "correlation_id": f"CASE WHEN correlation_id IS NULL THEN NULL ELSE substr({fresh}, 5, 16) END",
        "client_request_id": f"CASE WHEN client_request_id IS NULL THEN NULL ELSE {fresh} END",
    }
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns.values())} "
        f"FROM generate_series(1, {parts - 1}) k, (SELECT * FROM {table} ORDER BY timestamp) part"
    )


async def _roll_up(s: AsyncSession, now: float) -> None:
    columns = [column.name for column in usage_rollup.columns]
    r = usage_rollup.c
    sums = [func.sum(r[name]) for name in ROLLED]
    recent = request_log.c.timestamp >= _day(now - MINUTE_DAYS * DAY)
    await s.execute(insert(usage_rollup).from_select(columns, derived(s, MINUTE, 1).where(recent)))
    await s.execute(insert(usage_rollup).from_select(columns, derived(s, HOUR, 1)))
    day = [r.detail, (r.bucket - r.bucket % DAY).label("day"), *(r[name] for name in GROUPED)]
    days = select(literal(DAY), *day, *sums).where(r.seconds == HOUR).group_by(*day)
    await s.execute(insert(usage_rollup).from_select(columns, days))
    kept = [r.seconds, r.bucket, *(r[name] for name in COARSE)]
    empty = {name: literal(NOBODY, r.key_id.type) if name == "key_id" else literal("") for name in GROUPED}
    group = [r[name] if name in COARSE else empty[name] for name in GROUPED]
    coarse = select(r.seconds, literal(0), r.bucket, *group, *sums).group_by(*kept)
    await s.execute(insert(usage_rollup).from_select(columns, coarse))


def _day(at: float) -> float:
    return float(at // DAY * DAY)


async def _drop_indexes(s: AsyncSession) -> list[str]:
    """The statements that make them again."""
    if on_postgresql(s):
        found = (
            await s.execute(text("SELECT indexname, indexdef FROM pg_indexes WHERE indexname LIKE 'ix_request_log%'"))
        ).all()
    else:
        found = (await s.execute(text("SELECT name, sql FROM sqlite_master WHERE name LIKE 'ix_request_log%'"))).all()
    for name, _ in found:
        await s.execute(text(f"DROP INDEX {name}"))
    return [sql for _, sql in found]


Question = Callable[[AsyncSession], Awaitable[Any]]


def questions(now: float, some: list[dict[str, Any]]) -> dict[str, Callable[[], Question]]:
    """Name -> makes a question with other values each time."""
    kept = now - MINUTE_DAYS * DAY

    def ends(days: float) -> dict[str, float]:
        until = now - dice.random() * 3_600
        return {"since": until - days * DAY, "until": until, "minutes_from": kept}

    def uses(days: float, **how: Any) -> Question:
        until = ends(days)
        return lambda s: usage(s, **until, **how)

    def overviews(days: float, **how: Any) -> Question:
        until = ends(days)
        return lambda s: overview(s, **until, **how)

    def largest(days: float, **how: Any) -> Question:
        until = ends(days)
        return lambda s: tops(s, **until, **how)

    def project() -> UsageFilters:
        return UsageFilters(project_id=dice.choice(PROJECTS))

    def looks(**filters: Any) -> Question:
        return lambda s: requests.page(s, filters=RequestFilters(**filters))

    def one(name: str) -> Any:
        return dice.choice([row[name] for row in some if row[name] is not None])

    def behind(**filters: Any) -> Question:
        at = now - dice.random() * DAYS * DAY
        return lambda s: requests.page(
            s, filters=RequestFilters(**filters), before=requests.Cursor(at, PROJECTS[0]), limit=100
        )

    return {
        "overview of 24 hours": lambda: overviews(1),
        "overview of 7 days": lambda: overviews(7),
        "overview of 30 days": lambda: overviews(30),
        "overview of 7 days, compared": lambda: overviews(7, compare=True),
        "tops of 24 hours": lambda: largest(1),
        "tops of 7 days": lambda: largest(7),
        "tops of 30 days": lambda: largest(30),
        "overview of 30 days, a project": lambda: overviews(30, filters=project()),
        "series of an hour by minutes": lambda: uses(1 / 24, bucket="minute"),
        "series of 24 hours by model": lambda: uses(1, by=["model"], bucket="hour"),
        "series of 7 days by hours": lambda: uses(7, bucket="hour"),
        "series of 30 days by project": lambda: uses(30, by=["project"], bucket="day"),
        "series of 90 days": lambda: uses(90, bucket="day"),
        "series of 7 days, top 5 models": lambda: uses(7, by=["model"], bucket="day", top=5),
        "top 10 models of 30 days": lambda: uses(30, by=["model"], top=10),
        "top 10 keys and errors of 7 days": lambda: uses(7, by=["key", "error_code"], top=10),
        "top 10 models of 90 days, a project": lambda: uses(90, by=["model"], top=10, filters=project()),
        "page: newest": looks,
        "page: from anywhere": behind,
        "page: a project": lambda: behind(project_id=dice.choice(PROJECTS)),
        "page: a project's model": lambda: behind(project_id=PROJECTS[-1], model=dice.choice(MODELS)),
        "page: a model": lambda: behind(model=dice.choice(MODELS)),
        "page: a model that nobody asked for": lambda: behind(model="none"),
        "page: a key": lambda: behind(key_id=one("key_id")),
        "page: a server": lambda: behind(server_id=one("server_id")),
        "page: 5xx": lambda: behind(status_class=5),
        "page: 500, one in 100,000": lambda: behind(status=500),
        "page: an error code": lambda: behind(error_code="upstream_timeout"),
        "page: a rare error code": lambda: behind(error_code=RARE),
        "page: an error code of a project": lambda: behind(error_code="client_closed", project_id=PROJECTS[-1]),
        "page: an end user": lambda: looks(end_user=one("end_user")),
        "page: an end user's failures": lambda: looks(end_user=one("end_user"), status_class=5),
        "page: a correlation id": lambda: looks(correlation_id=one("correlation_id")),
        "page: a client's request id": lambda: looks(client_request_id=one("client_request_id")),
        "page: slower than 10 s": lambda: behind(min_latency_ms=10_000),
        "page: slower than ever": lambda: behind(min_latency_ms=10**9),
        "page: a day, streamed, slow": lambda: looks(
            since=_day(now - 40 * DAY), until=_day(now - 39 * DAY), stream=True, min_latency_ms=5_000
        ),
    }


async def asked(engine: AsyncEngine, now: float, some: list[dict[str, Any]]) -> bool:
    sessions, queries, good = Sessions(engine), 0, True

    def count(_: Any, __: Any, statement: str, *___: Any) -> None:
        nonlocal queries
        queries += not statement.startswith("BEGIN")

    event.listen(engine.sync_engine, "before_cursor_execute", count)
    print(f"\n{'':42}{'median':>8} {'p95':>8} {'CPU':>8}   queries; ms")
    pid = await _behind(sessions)
    for name, make in questions(now, some).items():
        took, worked = [], []
        for _ in range(ROUNDS):
            question = make()
            work = _cpu(pid)
            queries, began = 0, time.perf_counter()
            async with sessions.read() as s:
                await question(s)
            took.append(time.perf_counter() - began)
            worked.append(_cpu(pid) - work)
        took.sort()
        p95 = took[int(ROUNDS * 0.95) - 1]
        fine = p95 <= WANTED and queries == 1
        good &= fine
        ms = f"{median(took) * 1e3:8.1f} {p95 * 1e3:8.1f} {median(worked) * 1e3:8.1f}"
        print(f"{name:42}{ms} {queries:9}{'' if fine else '   MISSED'}")
    event.remove(engine.sync_engine, "before_cursor_execute", count)
    return good


def _cpu(pid: int | None) -> float:
    """Seconds of CPU time that this process and, of PostgreSQL, the process behind the connection have had: what is
    left of a figure where other work on the machine disturbs it. Parallel workers are not in it."""
    others = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9 if pid else 0.0
    return time.process_time() + others


async def _behind(sessions: Sessions) -> int | None:
    """The process of the pool's only connection."""
    async with sessions.read() as s:
        return (await s.execute(text("SELECT pg_backend_pid()"))).scalar_one() if on_postgresql(s) else None


async def inserted(sessions: Sessions, now: float) -> bool:
    store, took = DatabaseStore(sessions), {"ship": 0.0, "bare": 0.0, "bare, no index": 0.0}
    await _bare_tables(sessions)
    async with sessions.read() as s:
        postgresql = on_postgresql(s)
    batches = [next(made_up(BATCH, now + 10 * n, now + 10 * n + 10)) for n in range(BATCHES)]
    worked = dict.fromkeys(took, 0.0)
    pid = await _behind(sessions)
    gc.collect()
    gc.freeze()  # a collection of the rows that wait here would be taken for a batch that holds the loop
    held = 0.0
    for n, rows in enumerate(batches):
        ready = _as_tuples(await records.ready(rows), postgresql)
        for table, name in (("bare", "bare"), ("bare_heap", "bare, no index")):
            began, work = time.perf_counter(), _cpu(pid)
            await _bare(sessions, table, ready)
            if n >= WATCHED:
                took[name] += time.perf_counter() - began
                worked[name] += _cpu(pid) - work
        batch = Batch(rows, [], [])
        if n < WATCHED:
            async with _watched() as longest:
                await store.ship("bench", batch, Position(1, n))
            held = max(held, *longest)
            continue
        began, work = time.perf_counter(), _cpu(pid)
        await store.ship("bench", batch, Position(1, n))
        took["ship"] += time.perf_counter() - began
        worked["ship"] += _cpu(pid) - work
    count = (BATCHES - WATCHED) * BATCH
    print(f"\n{count:,} rows in batches of {BATCH:,}; the event loop was held for at most {held * 1e3:.1f} ms")
    for name, seconds in took.items():
        speed = f"{count / seconds:10,.0f} rows/s   ratio {seconds / took['ship']:.2f}"
        print(f"{name:42}{speed}   CPU {worked[name] / count * 1e6:6.1f} µs a row, {worked[name] / worked['ship']:.2f}")
    return took["bare"] / took["ship"] >= RATIO


def _as_tuples(rows: records.Records, postgresql: bool) -> list[tuple[Any, ...]]:
    """As the driver takes them."""
    if not postgresql:
        return list(requests._for_sqlite(rows))
    times = [EPOCH + timedelta(microseconds=micros) for micros in rows.columns["timestamp"]]
    return list(zip(*(rows.columns | {"timestamp": times}).values(), strict=True))


async def _bare_tables(sessions: Sessions) -> None:
    async with sessions.write() as s:
        if on_postgresql(s):
            await s.execute(text("CREATE TABLE bare (LIKE request_log INCLUDING ALL)"))
            await s.execute(text("CREATE TABLE bare_heap (LIKE request_log INCLUDING DEFAULTS)"))
            return
        made = await s.execute(text("SELECT sql FROM sqlite_master WHERE tbl_name = 'request_log' AND sql IS NOT NULL"))
        for sql in made.scalars().all():
            await s.execute(text(sql.replace("request_log", "bare")))
        await s.execute(text("CREATE TABLE bare_heap AS SELECT * FROM request_log LIMIT 0"))


async def _bare(sessions: Sessions, table: str, ready: list[tuple[Any, ...]]) -> None:
    columns = [column.name for column in request_log.columns]
    async with sessions.write() as s:
        connection = await driver(s)
        if on_postgresql(s):
            await connection.copy_records_to_table(table, columns=columns, records=ready)
        else:
            places = ", ".join("?" * len(columns))
            await connection.executemany(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})",
                ready,
            )


@asynccontextmanager
async def _watched() -> AsyncIterator[list[float]]:
    """Seconds of CPU time between two turns of a task that wants one each millisecond."""
    waits = [0.0]

    async def look() -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0.001)
            waits.append(time.thread_time() - began)

    task = asyncio.create_task(look())
    await asyncio.sleep(0)
    try:
        yield waits
    finally:
        task.cancel()


async def measured(url: str, count: int, place: Path) -> bool:
    now = time.time()
    await upgrade(url, place)
    engine = open_engine(url, data_dir=place, patience=3_600)
    try:
        sessions = Sessions(engine)
        await build(sessions, count, now)
        async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            for sql in ("VACUUM ANALYZE", "CHECKPOINT") if url.startswith("postgresql") else ("ANALYZE",):
                await connection.execute(text(sql))
        async with sessions.read() as s:
            sizes = (
                await s.execute(
                    select(usage_rollup.c.seconds, func.count()).group_by(usage_rollup.c.seconds).order_by(text("1"))
                )
            ).all()
            print("roll-ups:", ", ".join(f"{rows:,} of {seconds} s" for seconds, rows in sizes))
            if on_postgresql(s):
                wanted = "pg_size_pretty(pg_table_size('{0}')), pg_size_pretty(pg_indexes_size('{0}'))"
                for table in ("request_log", "usage_rollup"):
                    size = (await s.execute(text(f"SELECT {wanted.format(table)}"))).one()
                    print(f"{table}: table {size[0]}, indexes {size[1]}")
            some, _ = await requests.page(s, limit=500)
            far, _ = await requests.page(s, before=requests.Cursor(now - 45 * DAY, str(uuid4())), limit=500)
        fast = await asked(engine, now, [*some, *far])
        cheap = await inserted(sessions, now)
    finally:
        await engine.dispose()
    return fast and cheap


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, help="on each of the two databases")
    parser.add_argument("--postgresql", type=int, default=10_000_000, metavar="ROWS", help="0: leave it out")
    parser.add_argument("--sqlite", type=int, default=1_000_000, metavar="ROWS", help="0: leave it out")
    parser.add_argument("--directory", type=Path, default=None, help="where the databases are made")
    options = parser.parse_args()
    print(machine())
    good = True
    with tempfile.TemporaryDirectory(prefix="usage-bench-", dir=options.directory) as name:
        place = Path(name)
        place.chmod(0o755)
        if count := options.rows or options.sqlite:
            print(f"\nSQLite, {count:,} rows")
            good &= asyncio.run(measured(f"sqlite:///{place / 'bench.db'}", count, place))
            (place / "bench.db").unlink()
        if count := options.rows or options.postgresql:
            try:
                server = OwnServer(place, POSTGRESQL)
            except CannotRun as error:
                print(error)
                return 1
            try:
                print(f"\nPostgreSQL, {count:,} rows")
                good &= asyncio.run(measured(server.create("bench"), count, place))
            finally:
                server.close()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
