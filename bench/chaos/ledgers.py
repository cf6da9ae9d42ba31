"""What the benches of the request log share: a database of their own, and what it and the journals hold."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import stage  # the path comes with it

from support.databases import OwnServer
from support.served import Served
from support.stored import contradictions

SETTLED = 30.0


@contextmanager
def database(backend: str) -> Iterator[str | None]:
    """The URL of a new database; None = SQLite in the data directory."""
    if backend == "sqlite":
        yield None
        return
    with postgresql() as (_, url):
        yield url


@contextmanager
def postgresql() -> Iterator[tuple[OwnServer, str]]:
    """A server of our own, and a new database on it."""
    server = OwnServer()
    try:
        yield server, server.create(f"llmgw_{secrets.token_hex(6)}")
    finally:
        server.close()


def everything(place: Path) -> set[str]:
    """The names of all journals."""
    journals = place / "journal"
    return {path.name for path in journals.iterdir() if path.is_dir()} if journals.is_dir() else set()


async def settled(served: Served, place: Path, left: Collection[str] = ()) -> None:
    """Until the gateway knows its database and every row is in it, also of the journals `left` by others."""
    until = time.monotonic() + SETTLED
    told: dict[str, Any] = {}
    while time.monotonic() < until:
        told = await health(served)
        if told["database"] == "ok" and not told["log_rows_waiting"] and everything(place).isdisjoint(left):
            return
        await asyncio.sleep(0.05)
    raise TimeoutError(f"not everything is in the database after {SETTLED} s: {told}\n{output(place)}")


def output(place: Path) -> str:
    """The end of what the gateway said."""
    return (place / "output").read_text()[-3000:]


async def agrees(promises: stage.Promises, url: str | None, place: Path) -> None:
    """Rows, roll-ups and series say the same; the first differences are told of."""
    found = await contradictions(url, place)
    for difference in found[:5]:
        print(f"  CONTRADICTION: {difference}")
    promises.most("figures that contradict the rows", len(found), 0)


async def health(served: Served) -> dict[str, Any]:
    async with stage.Client(served.port, key="") as client:
        return dict(json.loads((await client.get("/v1/health")).body))


@contextmanager
def tmpfs(megabytes: int) -> Iterator[Path]:
    """A small disk. Needs root."""
    place = Path(tempfile.mkdtemp(prefix="llmgw-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
        place.rmdir()
