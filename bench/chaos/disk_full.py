#!/usr/bin/env python3
"""The disk is full, or cannot be written at all, under load: who notices, and is anything left in pieces?

    sudo python bench/chaos/disk_full.py [--seconds 8]

Small disks in memory (tmpfs, which takes root) hold the data directory: journal, SQLite, snapshot and the program's own
output. One of 64 MiB has no ballast, in mode `serve` and in mode `strict`; one of 1.2 GiB has. Then the directory is
read-only at a start. Exits with 1 when a good request fails in mode `serve` or gets anything but `log_unavailable` in
mode `strict`, when a row is missing that is not counted as dropped, when rows and figures contradict each
other, or when a file is corrupt afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ledgers import agrees, health, postgresql, settled, tmpfs
from stage import Promises, Servers, gateway, key_of, looked_at, run

from llm_gateway.clock import SystemClock
from llm_gateway.last_known import LastKnown
from support.net import free_port
from support.served import THIS
from support.stored import rows_of
from support.witness import Witness

SERVERS = [{"models": ["recite"], "words": 30, "rate": 60.0, "delay": 0.02}] * 4
CALM = 3.0
START = 60.0
MADE_AGAIN = 45.0
"""Seconds after which the ballast is there again."""


def fill(disk: Path) -> Path:
    """To the last byte."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        disk_now = os.statvfs(disk)
        os.posix_fallocate(file.fileno(), 0, max(4096, (disk_now.f_bavail - 64) * disk_now.f_frsize))
        while file.write(b"\0" * 4096):
            pass
    return filler


def corrupt(place: Path, url: str | None) -> list[str]:
    """Files that are not what they should be."""
    found = []
    if url is None:
        with closing(sqlite3.connect(place / "gateway.db")) as db:
            said = db.execute("PRAGMA integrity_check").fetchone()[0]
            if said != "ok":
                found.append(f"gateway.db: {said}")
    kept = LastKnown(place, url or f"sqlite:///{place.absolute() / 'gateway.db'}", SystemClock())
    if kept.path.exists() and kept.read(86_400) is None:
        found.append("snapshot.json")
    return found + [path.name for path in place.glob(".*.????????")]


async def full(promises: Promises, megabytes: int, mode: str, seconds: float) -> None:
    with ExitStack() as stack:
        place = stack.enter_context(tmpfs(megabytes))
        async with Servers(SERVERS) as servers:
            with gateway(place, servers.entries(), log_mode=mode) as served:
                await looked_at(served)
                ballast = place / "journal" / "ballast"
                had = ballast.exists()
                witness = Witness(key=key_of("tests"))
                seen: set[str] = set()
                async with witness.asking(lambda: served.port):
                    await asyncio.sleep(CALM)
                    filler = await asyncio.to_thread(fill, place)
                    filled = time.monotonic()
                    while time.monotonic() - filled < seconds:
                        seen.add((await health(served))["status"])
                        await asyncio.sleep(0.25)
                    filler.unlink()
                    freed = time.monotonic()
                    await asyncio.sleep(CALM + 3.0)
                await settled(served, place)
                dropped = int((await health(served))["log_rows_dropped"])
                again = 0.0
                while had and not ballast.exists() and again < MADE_AGAIN:
                    await asyncio.sleep(0.5)
                    again = time.monotonic() - freed
                rows = await rows_of(None, place)
                await agrees(promises, None, place)
        pieces = corrupt(place, None)
        output = (place / "output").read_text(errors="replace")
    judgement = witness.judge(rows)
    during = [each for each in witness.all if filled < each.at < freed]
    failed = [each for each in witness.failed if mode == "serve" or "log_unavailable" not in each.said]
    print(f"full disk of {megabytes} MiB, mode {mode}, {'with' if had else 'without'} ballast: {judgement}")
    print(f"  {len(during)} requests meanwhile: {dict(Counter(each.status for each in during))}; health {seen}")
    print(f"  {dropped} rows dropped; the ballast was there again after {again:.1f} s")
    for each in failed[:3]:
        print(f"  FAILED: {each}")
    promises.most("good requests that failed", len(failed), 0)
    promises.most("rows lost beyond those that were counted as dropped", len(judgement.lost) - dropped, 0)
    promises.most("rows doubled, wrong or of nobody", judgement.wrongs - len(judgement.lost), 0)
    promises.most("corrupt files", len(pieces), 0)
    promises.most("tracebacks", output.count("Traceback"), 0)
    if had:
        promises.most("rows dropped", dropped, 0)
        promises.most("seconds until the ballast was there again", again, MADE_AGAIN)
    elif mode == "serve":
        promises.least("the health page said so", "degraded" in seen, 1)


async def listening(port: int) -> None:
    until = time.monotonic() + START
    while time.monotonic() < until:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await asyncio.sleep(2)  # its first look at the servers
            return
        await asyncio.sleep(0.1)


async def read_only(promises: Promises, mode: str) -> None:
    """The data directory of an earlier run is read-only at the start; the database is PostgreSQL."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llmgw-readonly-")))
        _, url = stack.enter_context(postgresql())
        async with Servers(SERVERS) as servers:
            with gateway(place, servers.entries(), database_url=url) as served:
                await looked_at(served)
            port = free_port()
            subprocess.run(["mount", "--bind", place, place], check=True)  # noqa: ASYNC221
            stack.callback(subprocess.run, ["umount", "-l", place], check=True)
            subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)  # noqa: ASYNC221
            output = stack.enter_context(tempfile.TemporaryFile())
            process = subprocess.Popen(  # noqa: ASYNC220
                [*THIS, "serve", "--port", str(port), "--data-dir", place, "--config", place / "gateway.yaml"],
                env={**os.environ, "BENCH_KEY_TESTS": key_of("tests"), "LLM_GATEWAY_LOG_MODE": mode},
                stdout=output,
                stderr=output,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            witness = Witness(key=key_of("tests"))
            await listening(port)
            async with witness.asking(lambda: port):
                await asyncio.sleep(5)
            output.seek(0)
            said = output.read().decode()
    failed = [each for each in witness.failed if mode == "serve" or "log_unavailable" not in each.said]
    print(f"read-only data directory at a start, mode {mode}: {dict(witness.outcomes().most_common())}")
    if not witness.all:
        print(said)
    promises.least("requests", len(witness.all), 50)
    promises.most("good requests that failed", len(failed), 0)
    promises.most("tracebacks", said.count("Traceback"), 0)


async def main(options: argparse.Namespace) -> int:
    promises = Promises()
    if options.only in (None, "full"):
        await full(promises, 64, "serve", options.seconds)
        await full(promises, 64, "strict", options.seconds)
        await full(promises, 1_230, "serve", options.seconds)
    if options.only in (None, "read-only"):
        for mode in ("serve", "strict"):
            await read_only(promises, mode)
    return 1 if promises.broken else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="that the disk stays full")
    parser.add_argument("--only", choices=("full", "read-only"))
    sys.exit(run(main(parser.parse_args())))
