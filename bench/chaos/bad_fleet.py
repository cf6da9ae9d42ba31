#!/usr/bin/env python3
"""A fleet of which most servers are bad: how many answers are exact, what does it cost, and who waits?

    python bench/chaos/bad_fleet.py [--requests 5000] [--concurrency 64]

Twenty own servers, of which twelve go bad in their own ways (`BAD`) after the gateway has seen the list of each; the
good ones take 50 ms to the first word and 10 ms for each of the 40. Half of the requests stream, half of each kind
speak the native API and half OpenAI's. The same load goes over a fleet of only the eight good ones first, in the same
run, for comparison. Each answer is compared word by word (see `stage.Told.verdict`).

Counted: attempts per request as the gateway's metrics have them (all, continuations of broken streams included), as its
`X-Gateway-Attempts` headers say (until the answer began), and as the servers saw them (chats that arrived, which those
at dead ports never do). First-token times are those of streams after the first 500 requests; the rest is warm-up.
Exits with 1 when less than 99.9 % is exact, anything is truncated, corrupt or hung, there are more than 1.10 attempts
per request, or the 99th percentile of the first-token time is more than twice that of the good servers alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
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
BAD: tuple[dict[str, Any], ...] = (
    {"mood": "refuse"},
    {"mood": "connect_hang"},
    {"mood": "hang_after_request"},
    {"mix": {"accept_close": 1, "garbage_banner": 1, "accept_silence": 1}},
    {"mix": {"html_200": 1, "html_502": 1}},
    {"mix": {"runner_500": 1, "busy_503": 1}},
    {"mix": {"empty_done": 1, "bad_chunk": 1}},
    {"mood": "wrong_model"},
    {"mood": "cut_anywhere"},
    {"mood": "cut_clean_eof", "cut_after": 7},
    {"mood": "stall_mid", "cut_after": 11},
    {"delay": 3.0},
)
DEADLINE = 90.0
"""Seconds after which a request counts as hung: 30 to its first content, and a silence of 20 in the answer twice."""


@dataclass(slots=True)
class Run:
    outcomes: Counter[str] = field(default_factory=Counter)
    first: list[float] = field(default_factory=list)
    """Seconds to the first word of warm streams."""
    attempts: int = 0
    """By the headers."""
    said: int = 0
    """Answers that had the header."""
    metered: dict[str, int] = field(default_factory=dict)
    """Attempts by outcome."""
    chats: int = 0
    seconds: float = 0.0

    def add(self, told: Told, number: int, warm_after: int) -> None:
        verdict = told.verdict(text(WORDS))
        self.outcomes[verdict] += 1
        if verdict in WRONG:
            print(f"{verdict}: request {number}, status {told.status}: {told.body[-600:]!r}", file=sys.stderr)
        if told.attempts is not None:
            self.attempts += told.attempts
            self.said += 1
        if told.first is not None and told.streams and number >= warm_after:
            self.first.append(told.first)


async def measure(specs: list[dict[str, Any]], bad: dict[int, dict[str, Any]], options: argparse.Namespace) -> Run:
    told = Run()

    async def ask(client: Client, number: int) -> None:
        told.add(await client.ask(*mixed(number), deadline=DEADLINE), number, options.warm_up)

    with tempfile.TemporaryDirectory() as place:
        async with Servers(specs) as servers:
            with gateway(Path(place), servers.entries()) as served:
                await looked_at(served)
                await servers.set(bad)
                began = time.perf_counter()
                await crowd(served, options.requests, options.concurrency, ask)
                told.seconds = time.perf_counter() - began
                told.metered = labelled(await metrics(served), "llmgw_attempts_total", "outcome")
                told.chats = await servers.total("chats")
    return told


def show(title: str, told: Run, requests: int) -> None:
    print(f"{title}: {requests} requests in {told.seconds:.1f} s ({requests / told.seconds:.0f}/s)")
    print(f"  {counted(told.outcomes)}")
    print(f"  warm streams, first word: {spread(told.first)}")
    print(f"  attempts: {told.metered}", flush=True)


async def main(options: argparse.Namespace) -> int:
    promises = Promises()
    good = await measure([GOOD] * 8, {}, options)
    show("8 good servers", good, options.requests)
    mixed = await measure([GOOD] * 20, dict(enumerate(BAD)), options)
    show("the same and 12 bad ones", mixed, options.requests)
    print(f"  attempts per request by the headers {mixed.attempts / max(1, mixed.said):.3f}", end="")
    print(f", chats that reached servers per request {mixed.chats / options.requests:.3f}")
    promises.least("exact", mixed.outcomes["exact"] / options.requests, 0.999)
    for wrong in sorted(WRONG):
        promises.most(wrong, mixed.outcomes[wrong], 0)
    promises.most("attempts per request", sum(mixed.metered.values()) / options.requests, 1.10)
    ratio = quantile(mixed.first, 0.99) / quantile(good.first, 0.99)
    promises.most("first word, p99, times that of the good alone", ratio, 2.0)
    return 1 if promises.broken else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--warm-up", type=int, default=500)
    sys.exit(run(main(parser.parse_args())))
