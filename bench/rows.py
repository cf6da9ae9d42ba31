#!/usr/bin/env python3
"""What writing a request down costs: its two records in the journal, and its row on the way from there to SQLite.

    python bench/rows.py [--rounds 7]

*journal* is `Ledger.opened` and `Ledger.closed` of one request, on the disk of the temporary directory: this is on the
path of the request. *shipped* is what the `Shipper` does afterwards: the same records read from the journal, checked,
and written as rows and roll-ups into a SQLite database of the current schema, in all threads. CPU time counts, and of
the rounds the median. The rows are those of `usage.py`. Needs no network.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from usage import made_up  # it makes the package and the tests' support importable

from startup import machine  # isort: skip

from llm_gateway.ledger.journal import Journal
from llm_gateway.ledger.ledger import Ledger
from llm_gateway.ledger.shipper import Shipper
from llm_gateway.ledger.store import DatabaseStore
from llm_gateway.storage.engine import open_engine
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.upgrade import upgrade

ROWS = 10_000
"""Of a round."""
SECONDS = 5.0
"""In which they come in, as their times say."""


def written(ledger: Ledger, rows: list[tuple[UUID, dict[str, Any]]]) -> float:
    """Microseconds a request."""
    began = time.process_time()
    for id, row in rows:
        ledger.opened(id, row)
        ledger.closed(id, row)
    return (time.process_time() - began) / len(rows) * 1e6


async def shipped(ledger: Ledger, sessions: Sessions, count: int) -> float:
    """Microseconds a request, all threads."""
    shipper = Shipper(ledger, DatabaseStore(sessions, ledger.doubled))
    began = time.process_time()
    task = asyncio.create_task(shipper.run())
    await shipper.stop(task, grace=120.0)
    used = time.process_time() - began
    assert ledger.in_database == count, f"{ledger.in_database} of {count} rows are in the database"
    return used / count * 1e6


async def measured(place: Path, rounds: int) -> tuple[list[float], list[float]]:
    url = f"sqlite:///{place / 'rows.db'}"
    await upgrade(url, place)
    engine = open_engine(url, data_dir=place)
    journal_costs, shipping_costs = [], []
    try:
        for n in range(rounds + 1):  # the first warms up
            since = time.time() + n * SECONDS
            rows = [(UUID(row["id"]), row) for row in next(made_up(ROWS, since, since + SECONDS))]
            gc.collect()
            gc.freeze()  # as `serve` does with what it has when it is ready
            ledger = Ledger(Journal(place / f"journal-{n}"))
            journal_costs.append(written(ledger, rows))
            shipping_costs.append(await shipped(ledger, Sessions(engine), ROWS))
            ledger.end(empty=True)
    finally:
        await engine.dispose()
    return journal_costs[1:], shipping_costs[1:]


def main() -> None:
    options = argparse.ArgumentParser(description="Times the ledger, per request.")
    options.add_argument("--rounds", type=int, default=7)
    rounds = options.parse_args().rounds
    print(machine())
    with tempfile.TemporaryDirectory(prefix="rows-") as place:
        costs = asyncio.run(measured(Path(place), rounds))
    print(f"CPU per request, {ROWS:,} requests a round, {rounds} rounds: median (min … max)")
    for name, each in zip(("journal", "shipped"), costs, strict=True):
        print(f"{name:8} {statistics.median(each):6.1f} µs ({min(each):.1f} … {max(each):.1f})")


if __name__ == "__main__":
    main()
