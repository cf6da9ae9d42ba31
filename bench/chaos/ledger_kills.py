#!/usr/bin/env python3
"""The gateway is killed at random moments under load: has every request one row, and does the row say what happened?

    python bench/chaos/ledger_kills.py [--kills 200] [--databases sqlite,postgresql]

`llm-gateway serve` gets kill -9 a moment after each start, under 20 requests a second: whole answers, streams, bad
requests and clients that hang up. The client's own ledger is the judge (`tests/support/witness.py`): every request
whose status line it saw has one row with the right outcome, any other at most one. Exits with 1 when a row is lost,
doubled or wrong, when rows and figures contradict each other, or when a journal waited for more than five seconds after
a start.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ledgers import agrees, database, everything, settled
from stage import Promises, Servers, gateway, key_of, run, spread

from support.stored import rows_of
from support.witness import Witness

SERVERS = [{"models": ["recite"], "words": 30, "rate": 60.0, "delay": 0.02}] * 4
ALIVE = (0.2, 2.5)
"""Seconds between a start and the next kill."""
RECOVERED = 5.0


async def kills(promises: Promises, options: argparse.Namespace, backend: str) -> None:
    dice = random.Random(options.seed)
    witness = Witness(rate=options.rate, seed=options.seed, key=key_of("tests"))
    port: int | None = None
    recoveries: list[float] = []
    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llmgw-kills-")))
        url = stack.enter_context(database(backend))
        servers = await stack.enter_async_context(Servers(SERVERS))
        settings = {"database_url": url} if url else {}
        began = time.monotonic()
        async with witness.asking(lambda: port):
            for _ in range(options.kills):
                left = everything(place)
                with ExitStack() as life:
                    served = await asyncio.to_thread(
                        lambda life=life: life.enter_context(gateway(place, servers.entries(), **settings))
                    )
                    port, ready = served.port, time.monotonic()
                    dies = ready + dice.uniform(*ALIVE)
                    while time.monotonic() < dies:
                        if left and not left & everything(place):
                            recoveries.append(time.monotonic() - ready)
                            left = set()
                        await asyncio.sleep(min(0.02, max(0.0, dies - time.monotonic())))
                    if left and time.monotonic() - ready > RECOVERED:
                        recoveries.append(time.monotonic() - ready)
                    served.process.send_signal(signal.SIGKILL)
                    await asyncio.to_thread(served.process.wait)
                    port = None
                (place / "runtime.json").unlink(missing_ok=True)
        seconds = time.monotonic() - began
        left = everything(place)
        with gateway(place, servers.entries(), **settings) as served:
            ready = time.monotonic()
            await settled(served, place, left)
            last = time.monotonic() - ready
            rows = await rows_of(url, place)
            await agrees(promises, url, place)
    judgement = witness.judge(rows)
    print(f"{options.kills} kills on {backend}, {len(witness.all)} requests in {seconds:.0f} s")
    print(f"  {judgement}")
    print(f"  what the client saw: {dict(witness.outcomes().most_common())}")
    print(f"  what a dead process left was in the database after: {spread(recoveries, 1000)}; at the end {last:.2f} s")
    for seen, row in judgement.wrong[:5]:
        print(f"  WRONG: {seen.kind} {seen.status} whole={seen.whole} said {len(seen.said)}, the row says {row}")
    for seen in judgement.lost[:5]:
        print(f"  LOST: {seen.kind} {seen.status} {seen.id}")
    promises.most("rows lost", len(judgement.lost), 0)
    promises.most("rows doubled", judgement.doubled, 0)
    promises.most("rows with a wrong outcome", len(judgement.wrong), 0)
    promises.most("rows of nobody", judgement.strangers, 0)
    promises.most("requests that hang", sum(seen.hung for seen in witness.all), 0)
    promises.most("seconds until what a dead process left was there", max([*recoveries, last]), RECOVERED)


async def main(options: argparse.Namespace) -> int:
    promises = Promises()
    for backend in options.databases.split(","):
        await kills(promises, options, backend)
    return 1 if promises.broken else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="on each database")
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--rate", type=float, default=20.0, help="requests per second")
    parser.add_argument("--seed", type=int, default=1)
    sys.exit(run(main(parser.parse_args())))
