#!/usr/bin/env python3
"""Two hosts of two workers each are restarted all the time under load: does any client notice?

    python bench/chaos/rolling.py [--rounds 10] [--kills 20] [--rate 30]

Both hosts share one PostgreSQL and one Redis (both started here) and a fleet of eight own servers, of whose answers one
in twenty is an error. Requests arrive at random (open loop, Poisson), half of them stream; a client goes to the hosts
in turn, as a load balancer does that looks at `/readyz` four times a second.

First *revoking*: keys are made and revoked on host A, and shown to all workers all the time. Then *rolling*: for
`--rounds` rounds, and until there were 300 requests for each of them, host A gets SIGHUP, which replaces its workers
one by one, and host B gets SIGTERM and is started again on its port. Then *kills*: random workers of either host get
kill -9, `--kills` times; which connections a worker has is read from `/proc` while it is stopped, a moment before.

Exits with 1 when a revoked key is accepted after 2 s; when a request fails while nothing is killed, or a host does not
end with 0; when a request fails beside a kill whose connection was not the killed worker's, or whose row says something
else than the client saw; when a request with a status line does not have exactly one row; when rows and figures
contradict each other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from ledgers import agrees
from stage import (
    MODEL,
    NATIVE,
    NATIVE_STREAM,
    ROOT,
    Client,
    Promises,
    Servers,
    Told,
    counted,
    key_of,
    project,
    question,
    run,
    spread,
    text,
)

from support.databases import OwnServer
from support.net import free_port, wait_until
from support.redises import RedisServer, program
from support.served import LOOPBACK, THIS
from support.stored import rows_of

WORDS = 20
FLEET: list[dict[str, Any]] = [
    {
        "models": [MODEL],
        "words": WORDS,
        "delay": 0.02,
        "rate": 100.0,
        "warm": [MODEL],
        "mix": {"good": 0.95, "runner_500": 0.05},
        "seed": n,
    }
    for n in range(8)
]
WORKERS = 2
DEADLINE = 60.0
LOOK = 0.25
"""Seconds between two looks of the load balancer."""
START = 180.0
REVOKED = 5
REQUESTS = 300
"""At least, for each round."""


class Gentle(Client):
    """Leaves in peace, also connections that the other side has closed."""

    def leave(self, *, gently: bool = True) -> None:
        super().leave(gently=True)


class Host:
    """One `serve --workers 2` on a port that stays."""

    def __init__(self, place: Path, config: dict[str, Any], environ: dict[str, str]) -> None:
        place.mkdir()
        self.place, self.port, self.ready = place, free_port(), False
        self._environ = environ
        self.told_at = 0.0
        """When it last got a signal."""
        self._process: subprocess.Popen[bytes] | None = None
        (place / "gateway.yaml").write_text(json.dumps(config))

    def start(self) -> None:
        command = [*THIS, "serve", "--workers", str(WORKERS), "--port", str(self.port), "--data-dir", str(self.place)]
        command += ["--config", str(self.place / "gateway.yaml")]
        with (self.place / "output").open("ab") as sink:
            self._process = subprocess.Popen(
                command, cwd=self.place, env=self._environ, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
            )

    def signal(self, number: int) -> None:
        assert self._process is not None
        self.told_at = time.monotonic()
        self._process.send_signal(number)

    async def ended(self) -> int:
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, 90)

    def workers(self) -> set[int]:
        assert self._process is not None
        parent = self._process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return {int(pid) for pid in children if b"spawn_main" in _command(int(pid))}

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(70)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    async def watch(self) -> None:
        """As a load balancer: may it get traffic?"""
        while True:
            try:
                async with asyncio.timeout(2):
                    async with Gentle(self.port) as client:
                        self.ready = (await client.get("/readyz")).status == 200
            except (OSError, TimeoutError):
                self.ready = False
            await asyncio.sleep(LOOK)

    async def until_ready(self) -> None:
        await wait_until(lambda: self.ready, START, every=0.05)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def peers_of(pid: int) -> set[int]:
    """Ports of the clients that a process has connections with."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            inodes.add(os.readlink(descriptor).removeprefix("socket:[").removesuffix("]"))
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(line[2].rpartition(":")[2], 16) for line in lines if line[9] in inodes}


class Load:
    """Requests at random moments, and what became of them."""

    def __init__(self, hosts: list[Host], rate: float) -> None:
        self._hosts, self._rate = hosts, rate
        self._turn = 0
        self.outcomes: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.told: dict[str, str] = {}
        """By request id, where a status line came: the verdict."""
        self.failed: list[tuple[str, Told]] = []
        self.ports: list[int] = []
        """Of the clients that failed."""
        self.killed: set[int] = set()
        """Ports of the clients whose worker was killed."""

    async def run(self, dice: random.Random) -> None:
        at = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            self.going = True
            while self.going:
                at += dice.expovariate(self._rate)
                if (early := at - time.perf_counter()) > 0:
                    await asyncio.sleep(early)
                group.create_task(self._ask())

    async def _ask(self) -> None:
        ready = [host for host in self._hosts if host.ready] or self._hosts
        self._turn += 1
        host, port = ready[self._turn % len(ready)], 0
        async with Gentle(host.port) as client:
            try:
                body = question(None, self._turn)
                await client.connect()
                port = client.port
                told = await client.ask((NATIVE, NATIVE_STREAM)[self._turn % 2], body, deadline=DEADLINE)
            except OSError as error:
                told = Told(headers={"error": repr(error)})
        verdict = told.verdict(text(WORDS)) if told.status else "no status line"
        self.outcomes[verdict] += 1
        if "x-request-id" in told.headers:
            self.told[told.headers["x-request-id"]] = verdict
        if verdict == "exact":
            self.seconds.append(told.seconds)
        else:
            self.ports.append(port)
            when = time.monotonic() - host.told_at
            self.failed.append((f"host {host.place.name}, {when:.2f} s after its last signal: {verdict}", told))


async def revoking(hosts: list[Host], times: int) -> list[float]:
    """Seconds from the answer to the revocation until a key was accepted for the last time, by whichever worker."""
    admin = Client(hosts[0].port, (hosts[0].place / "admin-token").read_text().strip())
    found = []

    async def shown(key: str, seconds: float) -> list[tuple[float, int]]:
        """When it was sent, and the status it got."""
        until, seen = time.monotonic() + seconds, []

        async def show(host: Host) -> None:
            while (sent := time.monotonic()) < until:
                async with Gentle(host.port, key) as client:
                    seen.append((sent, (await client.get("/v1/models")).status))
                await asyncio.sleep(0.02)

        await asyncio.gather(*(show(host) for host in hosts for _ in range(2)))
        return seen

    for n in range(times):
        made = await admin.ask("/admin/api/keys", {"project": "tests", "name": f"gone {n}"}, deadline=DEADLINE)
        assert made.status == 201, made.body
        told = json.loads(made.body)
        while {status for _, status in await shown(told["key"], 0.5)} != {200}:
            pass
        showing = asyncio.create_task(shown(told["key"], 4.0))
        await asyncio.sleep(random.uniform(0.2, 1.2))  # anywhere between the workers' looks
        assert (await admin.ask(f"/admin/api/keys/{told['id']}/revoke", {}, deadline=DEADLINE)).status < 300
        revoked = time.monotonic()
        found.append(max(sent for sent, status in await showing if status == 200) - revoked)
    admin.leave(gently=True)
    return found


async def rolling(hosts: list[Host], load: Load, rounds: int) -> tuple[int, list[int]]:
    """Workers replaced by SIGHUP, and the exit codes of the host that was started again each time."""
    replaced, codes = 0, []

    def more(done: int) -> bool:
        return done < rounds or load.outcomes.total() < REQUESTS * rounds

    async def hang_up() -> None:
        nonlocal replaced
        while more(replaced // WORKERS):
            before = hosts[0].workers()
            hosts[0].signal(signal.SIGHUP)
            await wait_until(lambda old=before: len(new := hosts[0].workers()) == WORKERS and not new & old, START)
            replaced += WORKERS

    async def begin_anew() -> None:
        while more(len(codes)):
            hosts[1].signal(signal.SIGTERM)
            codes.append(await hosts[1].ended())
            hosts[1].start()
            hosts[1].ready = False
            await hosts[1].until_ready()
            await asyncio.sleep(1)

    await asyncio.gather(hang_up(), begin_anew())
    return replaced, codes


async def kills(hosts: list[Host], load: Load, times: int, dice: random.Random) -> None:
    for _ in range(times):
        host = dice.choice(hosts)
        await wait_until(lambda host=host: len(host.workers()) >= WORKERS, START, every=0.1)
        pid = dice.choice(sorted(host.workers()))
        os.kill(pid, signal.SIGSTOP)
        load.killed |= peers_of(pid)
        os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(dice.uniform(0.5, 2.5))


async def main(rounds: int, times: int, rate: float, seed: int) -> int:
    promises = Promises()
    dice = random.Random(seed)
    redis_program = program()
    if redis_program is None:
        print("no redis-server here", file=sys.stderr)
        return 2
    redis, postgres = RedisServer(redis_program), OwnServer()
    database = postgres.create(f"rolling_{os.getpid()}")
    with tempfile.TemporaryDirectory(prefix="llmgw-rolling-") as name:
        place = Path(name)
        async with Servers(FLEET) as servers:
            config = project(servers=servers.entries()) | {"log_level": "warning"}
            config["projects"][0]["keys"] = [{"name": "bench", "value_env": "BENCH_KEY"}]
            environ = {
                **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
                "PYTHONPATH": str(ROOT / "src"),
                "LLM_GATEWAY_ONLY_NETWORKS": LOOPBACK,
                "LLM_GATEWAY_DATABASE_URL": database,
                "LLM_GATEWAY_REDIS_URL": redis.url,
                "BENCH_KEY": key_of("tests"),
            }
            hosts = [Host(place / letter, config, environ) for letter in "ab"]
            try:
                for host in hosts:  # one after the other: the first one makes the schema
                    host.start()
                    watching = asyncio.create_task(host.watch())
                    host.watching = watching  # type: ignore[attr-defined]  # kept, so that it lives
                    await host.until_ready()
                await asyncio.sleep(3)  # every server was looked at, and every worker has heard of it
                await judge(promises, hosts, database, place, dice, rounds, times, rate)
            finally:
                for host in hosts:
                    host.close()
                for letter in "ab":
                    said = (place / letter / "output").read_text()
                    print(f"  host {letter} said, last: {said[-600:].strip()}")
                    if "Traceback" in said:
                        promises.most(f"tracebacks of host {letter}", said.count("Traceback"), 0)
                        print(said[said.index("Traceback") - 500 :][:3000], file=sys.stderr)
    redis.close()
    postgres.close()
    return 1 if promises.broken else 0


async def judge(
    promises: Promises,
    hosts: list[Host],
    database: str,
    place: Path,
    dice: random.Random,
    rounds: int,
    times: int,
    rate: float,
) -> None:
    accepted = await revoking(hosts, REVOKED)
    print(f"revoking: {REVOKED} keys, accepted for the last time {spread(accepted, 1.0, 's')} after they were revoked")
    promises.most("seconds for which a revoked key is accepted", max(accepted), 2.0)

    calm = Load(hosts, rate)
    task = asyncio.create_task(calm.run(dice))
    replaced, codes = await rolling(hosts, calm, rounds)
    calm.going = False
    await task
    print(f"rolling: {calm.outcomes.total()} requests: {counted(calm.outcomes)}; {spread(calm.seconds)}")
    print(f"  {replaced} workers of host A replaced by SIGHUP, host B ended {len(codes)} times with {Counter(codes)}")
    promises.most("failed requests while hosts are restarted", len(calm.failed), 0)
    promises.least("requests", calm.outcomes.total(), REQUESTS * rounds)
    promises.most("ends with another code than 0", sum(1 for code in codes if code), 0)
    for verdict, told in calm.failed[:20]:
        print(f"    {verdict}: {told.status} {told.headers} {told.body[-300:]!r}", file=sys.stderr)

    rough = Load(hosts, rate)
    task = asyncio.create_task(rough.run(dice))
    await kills(hosts, rough, times, dice)
    rough.going = False
    await task
    print(f"kills: {rough.outcomes.total()} requests, {times} workers killed: {counted(rough.outcomes)}")
    deadline = time.monotonic() + 15
    while True:
        rows = await rows_of(database, place)
        by_id = Counter(str(row["id"]) for row in rows)
        outcome = {str(row["id"]): row["outcome"] for row in rows}
        told = {**calm.told, **rough.told}
        missing = [id for id in told if id not in by_id]
        if not missing or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.5)
    wrong = [id for id, verdict in told.items() if id in outcome and (verdict == "exact") != (outcome[id] == "ok")]
    # killed with the answer's end in hand
    moment = [id for id in wrong if outcome[id] == "ok" and rough.told.get(id) == "untyped"]
    wrong = [id for id in wrong if id not in moment]
    crashed = sum(1 for row in rows if row["outcome"] == "gateway_crashed")
    print(
        f"  {len(rows)} rows, {crashed} of them gateway_crashed, {rough.outcomes['no status line']} without status, "
        f"{len(moment)} closed when the end of the answer had not left yet"
    )
    promises.most("status lines without a row", len(missing), 0)
    promises.most("ids with two rows", sum(1 for count in by_id.values() if count > 1), 0)
    await agrees(promises, database, place)
    promises.most("rows that say something else than the client saw", len(wrong), 0)
    foreign = [failed for failed, port in zip(rough.failed, rough.ports, strict=True) if port not in rough.killed]
    promises.most("failed requests that the killed workers did not have", len(foreign), 0)
    for verdict, one in foreign[:20]:
        print(f"    {verdict}: {one.status} {one.headers} {one.body[-300:]!r}", file=sys.stderr)
    for id in wrong[:5]:
        print(f"    {id}: client {told[id]}, row {outcome[id]}", file=sys.stderr)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--rate", type=float, default=30.0)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    sys.exit(run(main(given.rounds, given.kills, given.rate, given.seed)))
