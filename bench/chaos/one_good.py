#!/usr/bin/env python3
"""The end of the rope: one good server among twenty, none at all, and one that takes 90 s to load its model.

    python bench/chaos/one_good.py [--requests 1000] [--concurrency 32] [--load 90] [--only one|none|loading]

*one*: nineteen of twenty own servers are bad in mixed ways, from the gateway's start on. It is played twice: from the
gateway's first moment, when nothing is known, and as soon as it has looked at each server once. *none*: all twenty are
dead in mixed ways. *loading*: the only server answers `/api/version` and says nothing on `/api/chat` for `--load`
seconds; three more ask a second after the first. Half of the requests stream, half are native and half OpenAI's. The
dead ones never showed a list: the config file says which model they hold (`models`), as a catalogue would. A server
that answers everything but chats does not count as dead: nobody can tell it from one that loads.

Exits with 1 when, of *one*, less than 99.9 % is exact or the 99th percentile of the first word is over 5 s; of *none*,
a request is not refused with a type within 35 s, one has more than 12 attempts besides those at closed ports, or there
are more of them in all than the retry budget allows (1.2 per request, 10 a second, and a first try of each server);
of *loading*, the first is not exact (what the others are told is shown: the server has not proven that it bears more
than one at a time).
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from stage import (
    MODEL,
    WRONG,
    Client,
    Promises,
    Servers,
    Told,
    counted,
    crowd,
    gateway,
    labelled,
    looked_at,
    metrics,
    mixed,
    quantile,
    run,
    spread,
    text,
)

WORDS = 40
GOOD: dict[str, Any] = {"models": [MODEL], "words": WORDS, "delay": 0.05, "rate": 100.0, "warm": [MODEL]}
DEAD: tuple[dict[str, Any], ...] = (
    {"mood": "refuse"},
    {"mood": "connect_hang"},
    {"mood": "accept_close"},
    {"mood": "accept_rst"},
    {"mood": "accept_silence"},
    {"mood": "garbage_banner"},
    {"mood": "tls_alert"},
    {"mood": "close_after_request"},
    {"mood": "html_502", "everywhere": True},
    {"mood": "runner_500"},
)
BAD: tuple[dict[str, Any], ...] = (
    *(dead for dead in DEAD if dead["mood"] != "tls_alert"),
    {"mood": "hang_after_request"},
    {"mood": "html_200", "everywhere": True},
    {"mood": "busy_503"},
    {"mood": "empty_done"},
    {"mood": "wrong_model"},
    {"mood": "cut_anywhere"},
    {"mood": "cut_clean_eof", "cut_after": 7},
    {"mood": "stall_mid", "cut_after": 11},
    {"mood": "bad_chunk"},
    {"delay": 3.0, "rate": 5.0},
)
TYPED_WITHIN = 35.0
NOBODY_THERE = frozenset({"refuse", "connect_hang"})
MOST_ATTEMPTS = 12
"""That a server may have worked on; one more at each port where nobody is there is no attempt in this sense."""
DEADLINE = 120.0


class Case:
    """A fleet from its gateway's start on, and what its clients were told."""

    def __init__(self, title: str, servers: list[dict[str, Any]]) -> None:
        self.title = title
        self.servers = servers
        self.outcomes: Counter[str] = Counter()
        self.answers: dict[int, tuple[str, Told]] = {}
        """By number of the request: verdict and answer."""
        self.metered: dict[str, int] = {}
        self.chats = 0
        self.seconds = 0.0

    async def play(
        self, requests: int, concurrency: int, deadline: float = DEADLINE, *, apart: float = 0.0, cold: bool = True
    ) -> None:
        """`apart`: seconds between the first request and the others. Not `cold`: each server was looked at before."""

        async def ask(client: Client, number: int) -> None:
            if number:
                await asyncio.sleep(apart)
            told = await client.ask(*mixed(number), deadline=deadline)
            verdict = told.verdict(text(WORDS))
            if verdict in WRONG:
                print(f"{verdict}: request {number}, status {told.status}: {told.body[-600:]!r}", file=sys.stderr)
            self.outcomes[verdict] += 1
            self.answers[number] = verdict, told

        with tempfile.TemporaryDirectory() as place:
            async with Servers(self.servers) as servers:
                with gateway(Path(place), servers.entries(models=[MODEL])) as served:
                    if not cold:
                        await looked_at(served)
                    began = time.perf_counter()
                    await crowd(served, requests, concurrency, ask)
                    self.seconds = time.perf_counter() - began
                    self.metered = labelled(await metrics(served), "llmgw_attempts_total", "outcome")
                    self.chats = await servers.total("chats")
        print(f"{self.title}: {requests} requests, {concurrency} at a time, {self.seconds:.1f} s")
        print(f"  {counted(self.outcomes)}")
        print(f"  attempts: {self.metered}", flush=True)

    @property
    def told(self) -> list[Told]:
        return [told for _, told in self.answers.values()]

    @property
    def wrong(self) -> int:
        return sum(self.outcomes[verdict] for verdict in WRONG)


async def one(promises: Promises, options: argparse.Namespace) -> None:
    for cold, when in ((True, "from the first moment"), (False, "after one look at each")):
        await one_good(promises, options, cold, when)


async def one_good(promises: Promises, options: argparse.Namespace, cold: bool, when: str) -> None:
    case = Case(f"one good of twenty, {when}", [*({**GOOD, **bad} for bad in BAD), GOOD])
    await case.play(options.requests, options.concurrency, cold=cold)
    first = [told.first for told in case.told if told.first is not None and told.streams]
    early = first[: options.concurrency]
    print(f"  streams, first word: {spread(first)}; of the first {len(early)}: {spread(early)}")
    promises.least("exact", case.outcomes["exact"] / options.requests, 0.999)
    promises.most("answers that are wrong", case.wrong, 0)
    promises.most("first word, p99, s", quantile(first, 0.99), 5.0)


async def none(promises: Promises, options: argparse.Namespace) -> None:
    requests = max(options.concurrency, options.requests // 5)
    case = Case("none good of twenty", [{"models": [MODEL], **dead} for dead in DEAD * 2])
    await case.play(requests, options.concurrency, TYPED_WITHIN + 10)
    attempts = [int(found[1]) for told in case.told if (found := re.search(rb"\((\d+) tried\)", told.body))]
    total = sum(case.metered.values())
    print(f"  seconds to the refusal: {spread([told.seconds for told in case.told], 1.0, 's')}")
    print(f"  attempts of one request: {spread(attempts, 1.0, 'attempts')}, chats that reached servers {case.chats}")
    typed = sum(count for verdict, count in case.outcomes.items() if verdict.startswith("refused "))
    promises.least("refused with a type", typed / requests, 1.0)
    promises.most("slowest refusal, s", max(told.seconds for told in case.told), TYPED_WITHIN)
    nobody = sum(server["mood"] in NOBODY_THERE for server in case.servers)
    promises.most("attempts of one request", max(attempts, default=0), MOST_ATTEMPTS + nobody)
    promises.most("attempts in all", total, len(case.servers) + 1.2 * requests + 10 * case.seconds)


async def loading(promises: Promises, options: argparse.Namespace) -> None:
    server = {**GOOD, "warm": [], "load": options.load}
    case = Case(f"a model that loads for {options.load:g} s", [server])
    await case.play(4, 4, options.load + 60, apart=1.0)
    for number, (verdict, told) in sorted(case.answers.items()):
        print(f"  request {number}: {verdict} after {told.seconds:.1f} s")
    promises.least("the first is exact", case.answers[0][0] == "exact", 1)


async def main(options: argparse.Namespace) -> int:
    promises = Promises()
    for name, play in (("one", one), ("none", none), ("loading", loading)):
        if options.only in (None, name):
            await play(promises, options)
    return 1 if promises.broken else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--load", type=float, default=90.0, help="seconds")
    parser.add_argument("--only", choices=("one", "none", "loading"))
    sys.exit(run(main(parser.parse_args())))
