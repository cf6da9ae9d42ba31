"""How fast the gateway is, as multiples of nginx and of other gateways measured in the same run.

    ./run bench                    everything, about ten minutes; writes bench/RESULTS.md
    ./run bench --quick            two minutes, nginx only: to look at, nothing is written, never an error
    ./run bench --only json-c32    of these scenarios or parts only

Everything is on loopback and, where we are root, in a network namespace that has nothing else; only installations
come before that. One core is for what is measured, another for the load generator and the upstream.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

import conclusions  # noqa: E402 - the path comes first
import others  # noqa: E402
import peers  # noqa: E402
import streams  # noqa: E402
import workers  # noqa: E402
from report import RESULTS, Report, Table, aligned  # noqa: E402
from rig import CannotMeasure, Rig, build  # noqa: E402
from scenarios import ANSWER, SCENARIOS, Effort, Scenario, measure  # noqa: E402
from subjects import Subject, bare, direct, gateway, nginx, nginx_program  # noqa: E402

INSIDE = "BENCH_SPEED_INSIDE"
TIMED = "timed.json"
MODELS = list(dict.fromkeys([ANSWER, *(each.model for each in SCENARIOS), streams.SLOW, streams.BRIEF, streams.WARM]))
FULL, QUICK = Effort(3), Effort(1, share=0.4, warm=0.5)
PARTS = ("streams", "start", "workers", "parts")
NAMES = (*(each.name for each in SCENARIOS), *PARTS)


class Bench:
    """One run."""

    def __init__(self, options: argparse.Namespace, absent: dict[str, str]) -> None:
        self.quick: bool = options.quick
        self.wanted = set(options.only or NAMES) - ({"workers", "parts"} if self.quick and not options.only else set())
        effort = QUICK if self.quick else FULL
        self.effort = replace(effort, rounds=options.rounds or effort.rounds)
        self.with_peers: bool = options.peers and not self.quick
        self.absent = absent
        self.report = Report(about())

    def run(self, rig: Rig) -> None:
        with ExitStack() as stack:
            subjects = [stack.enter_context(each) for each in (direct(rig), nginx(rig), gateway(rig, MODELS))]
            relays = [] if self.quick else [stack.enter_context(bare(rig))]
            for scenario in SCENARIOS:
                if scenario.name in self.wanted and (scenario.figure or not self.quick):
                    self.compare(scenario, subjects + relays, rig)
            if "streams" in self.wanted:
                self.streams(subjects, rig)
        for name, section in (("start", self.start), ("workers", self.workers), ("parts", self.parts)):
            if name in self.wanted:
                try:
                    section(rig)
                except CannotMeasure as problem:
                    self.show(Table(f"{name}: not measured", ("why",), [(str(problem),)]))

    def compare(self, scenario: Scenario, subjects: list[Subject], rig: Rig) -> None:
        first = scenario is SCENARIOS[0]
        taking_part = [each for each in subjects if each.pid or scenario.latency]
        with ExitStack() as stack:
            absent = dict(self.absent) if first else {}
            if first:
                taking_part += self.further(rig, stack, absent)
            figures = measure(scenario, taking_part, rig, self.effort, say)
            timed = timed_calls(rig) if first else {}
        figures.absent.update(absent)
        self.report.verdicts += conclusions.of_scenario(figures)
        if first:
            self.report.verdicts.append(conclusions.of_ledger(timed, absent.get("timed", "")))
            self.report.verdicts += conclusions.of_peers(figures) if self.with_peers else []
        self.show(conclusions.table_of(figures))
        if timed:
            self.show(conclusions.table_of_ledger(timed))

    def further(self, rig: Rig, stack: ExitStack, absent: dict[str, str]) -> Iterator[Subject]:
        """Who takes part in the first scenario only: the gateway that times its ledger, and the peers."""
        program, into = (sys.executable, str(HERE / "timed.py")), {"BENCH_TIMED": str(rig.folder / TIMED)}
        try:
            yield stack.enter_context(gateway(rig, MODELS, name="timed", program=program, **into))
        except (CannotMeasure, RuntimeError) as problem:
            absent["timed"] = str(problem).strip().splitlines()[-1]
        for peer in peers.PEERS if self.with_peers else ():
            if peer.name in absent:
                continue
            try:
                yield stack.enter_context(peers.running(peer, rig, ANSWER))
            except CannotMeasure as problem:
                absent[peer.name] = str(problem)

    def streams(self, subjects: list[Subject], rig: Rig) -> None:
        if self.quick:
            opened = streams.measure(subjects[2:], rig, [1000], streams.BRIEF)
        else:
            opened = streams.measure(subjects[2:], rig, [1000]) + streams.measure(subjects, rig, [5000])
        self.report.verdicts += conclusions.of_streams(opened, max(each.streams for each in opened))
        self.show(conclusions.table_of_streams(opened))
        for each in opened:
            if each.told.bad:
                say(f"  the first bad answer of {each.subject}, {each.streams:,} streams: {each.told.first_wrong}")

    def start(self, _: Rig) -> None:
        table, seconds, megabytes = others.starts(1 if self.quick else 3, 2.0 if self.quick else 5.0)
        self.report.verdicts += conclusions.of_starts(seconds, megabytes)
        self.show(table)

    def workers(self, rig: Rig) -> None:
        scenario = replace(SCENARIOS[0], name="workers", figure="")
        figures = workers.measure(scenario, MODELS, rig, self.effort, say)
        self.report.verdicts += conclusions.of_workers(figures)
        self.show(conclusions.table_of_workers(figures))

    def parts(self, _: Rig) -> None:
        for name in others.PARTS:
            command, said = others.part(name)
            self.report.said[command] = said
            say(f"\n$ {command}\n{said.strip()}")

    def show(self, table: Table) -> None:
        self.report.tables.append(table)
        for line in aligned(table):
            say(line)
        if table.note:
            say(f"  {table.note}")


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended also then
    try:
        absent = prepared(options)
        with Rig(MODELS) as rig:
            bench = Bench(options, absent)
            bench.run(rig)
    except (CannotMeasure, RuntimeError) as problem:
        say(f"bench: {problem}")
        sys.exit(0 if options.quick else 1)
    for line in aligned(bench.report.summary()):
        say(line)
    if options.peers and not options.quick and not options.only:
        RESULTS.write_text(bench.report.markdown())
        say(f"\nwritten: {RESULTS}")


def timed_calls(rig: Rig) -> dict[str, float]:
    """Call -> microseconds a request, as the timed gateway told; none when it did not."""
    file = rig.folder / TIMED
    return json.loads(file.read_text()) if file.exists() else {}


def prepared(options: argparse.Namespace) -> dict[str, str]:
    """Programs and peers installed, and no way out any more. Returns the peers that cannot be had, and why."""
    if INSIDE in os.environ:
        raise_loopback()
        return dict(each.split("=", 1) for each in os.environ[INSIDE].split("\n") if each)
    build()
    nginx_program()
    absent = install_peers() if options.peers and not options.quick else {}
    go_inside(absent)
    return absent


def say(text: str) -> None:
    print(text, flush=True)


def about() -> list[str]:
    """What it was measured on, and with."""
    version = subprocess.run([nginx_program(), "-v"], capture_output=True, text=True, check=False).stderr
    measured = ", ".join(f"{peer.name} {peers.version(peer)}" for peer in peers.PEERS)
    return [
        *others.startup.machine().splitlines(),
        version.strip().replace("nginx version: ", ""),
        f"peers, as their locks name them: {measured}",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "network namespace without any way out" if INSIDE in os.environ else "no network namespace (not root)",
    ]


def install_peers() -> dict[str, str]:
    """Those that cannot be had, and why."""
    absent = {}
    for peer in peers.PEERS:
        if (why := peers.install(peer)) is not None:
            absent[peer.name] = why
            say(f"{peer.name}: {why}")
    return absent


def go_inside(absent: dict[str, str]) -> None:
    """Starts anew in a network namespace without any way out, where that is possible."""
    unshare = shutil.which("unshare")
    if os.geteuid() != 0 or not unshare or subprocess.call([unshare, "-n", "true"], stderr=subprocess.DEVNULL):
        return
    os.environ[INSIDE] = "\n".join(f"{name}={why}" for name, why in absent.items())
    os.execv(unshare, [unshare, "-n", sys.executable, *sys.argv])


def raise_loopback() -> None:
    """`ip link set lo up`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="./run bench", description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="a short form that only reports")
    options.add_argument(
        "--only", action="append", choices=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)} (repeat)"
    )
    options.add_argument("--rounds", type=int, help="after one that warms up (default 3, with --quick 1)")
    options.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True, help="also other gateways")
    return options.parse_args()


if __name__ == "__main__":
    main()
