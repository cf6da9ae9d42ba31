#!/usr/bin/env python3
"""Streams that are cut at a random word: how many come out exact, and is any ever wrong?

    python bench/chaos/broken_streams.py [--servers 12] [--requests 2000] [--concurrency 32] [--kind ollama|openai]

Every server cuts 30 % of its streams, in one of five ways, after a random word; every second server begins anew when
it is given a partial answer, and of the others and these every second one is too old to render a prompt. The gateway
and the servers run in this process, on loopback. The text is known word by word: an answer is *exact* (all of it, with
its end), *typed* (a good begin, then the error event), or *wrong* (anything else: a word lost, doubled or foreign, or
an end without a word about it). Exits with 1 when anything is wrong or less than 99.5 % is exact.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests")]

import structlog  # noqa: E402 - the path comes first

from llm_gateway.testing.rogue import Rogue  # noqa: E402
from llm_gateway.testing.scene import recital  # noqa: E402
from support.gateway import Live, entry, gateway, words  # noqa: E402

CUTS = ("cut_clean_eof", "cut_no_terminator", "cut_mid_line", "cut_rst", "error_mid")
CUT_SHARE = 0.3


def judge(told: Any, text: str) -> str:
    """exact | typed | wrong, or the status of an answer that never began."""
    if told.status != 200:
        return f"refused {told.error['code']}"
    if told.done and told.text == text:
        return "exact"
    typed = told.error is not None and told.error["code"] == "upstream_stream_lost" and not told.done
    return "typed" if typed and text.startswith(told.text) else "wrong"


async def servers(stack: AsyncExitStack, count: int, length: int, seed: int) -> list[Rogue]:
    dice = random.Random(seed)
    made: list[Rogue] = []
    mix = {"good": 1 - CUT_SHARE, **{cut: CUT_SHARE / len(CUTS) for cut in CUTS}}
    for n in range(count):

        def script(_: dict[str, Any], n: int = n) -> list[str]:
            made[n].manner.cut_after = dice.randrange(1, length)
            return recital(length)

        prefill: Any = "restart" if n % 2 else "continue"
        rogue = Rogue(mix=mix, seed=seed + n, script=script, prefill=prefill, renders=n % 4 < 2)
        made.append(await stack.enter_async_context(rogue))
    return made


async def run(live: Live, options: argparse.Namespace) -> tuple[Counter[str], Counter[int]]:
    outcomes: Counter[str] = Counter()
    continued: Counter[int] = Counter()
    text = words(options.words)
    left = iter(range(options.requests))

    async def client() -> None:
        for _ in left:
            told = await live.stream()
            outcome = judge(told, text)
            outcomes[outcome] += 1
            if outcome == "exact":
                continued[told.chunks[-1].get("continuations", 0)] += 1
            if outcome == "wrong":
                print("WRONG:", told.text, told.error, file=sys.stderr)

    async with asyncio.TaskGroup() as group:
        for _ in range(options.concurrency):
            group.create_task(client())
    return outcomes, continued


async def main(options: argparse.Namespace) -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        fleet = await servers(stack, options.servers, options.words, options.seed)
        entries = [entry(rogue, kind=options.kind) for rogue in fleet]
        live = await stack.enter_async_context(gateway(folder, *entries))
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        began = time.monotonic()
        outcomes, continued = await run(live, options)
        seconds = time.monotonic() - began
        in_flight = live.in_flight
    share = outcomes["exact"] / options.requests
    print(f"{options.requests} streams of {options.words} words over {options.servers} servers, {seconds:.1f} s")
    print("  " + ", ".join(f"{name} {count}" for name, count in outcomes.most_common()) + f": {share:.2%} exact")
    print("  continuations: " + ", ".join(f"{n} × {count}" for n, count in sorted(continued.items())))
    upstream = sum(rogue.chats for rogue in fleet)
    print(f"  upstream requests per stream {upstream / options.requests:.2f}; left in flight {in_flight}")
    return 0 if share >= 0.995 and not outcomes["wrong"] and not in_flight else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=12)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--words", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=("ollama", "openai"), default="ollama")
    sys.exit(asyncio.run(main(parser.parse_args())))
