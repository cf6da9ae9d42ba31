"""How fast the gateway is, as multiples of nginx and of other gateways measured in the same run.

    ./run bench [--quick] [--only NAME] [--rounds 3] [--no-peers]

Everything is on loopback and, where we are root, in a network namespace that has nothing else. One core is for what is
measured, another for the load generator and the upstream.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import socket
import struct
import sys
from contextlib import ExitStack

from rig import CannotMeasure, Rig
from scenarios import ANSWER, SCENARIOS, Figures, measure
import streams, peers
from subjects import direct, gateway, nginx

INSIDE = "BENCH_SPEED_INSIDE"


def main() -> None:
    options = _options()
    if INSIDE not in os.environ:
        go_inside()
    else:
        raise_loopback()
    chosen = [each for each in SCENARIOS if not options.only or each.name in options.only]
    models = [each.model for each in SCENARIOS] + [streams.SLOW]
    models = list(dict.fromkeys(models))
    try:
        with ExitStack() as stack:
            rig = stack.enter_context(Rig(models))
            subjects = [stack.enter_context(each) for each in (direct(rig), nginx(rig), gateway(rig, models))]
            if os.environ.get("T") == "s":
                
                for o in streams.measure(subjects[2:], rig, [5000]): print(o)
                return
            if os.environ.get("T") == "p":
                for p in peers.PEERS:
                    print(p.name, peers.install(p))
                    try: subjects.append(stack.enter_context(peers.running(p, rig, ANSWER)))
                    except CannotMeasure as e: print(p.name, e)
            for scenario in chosen:
                taking_part = [each for each in subjects if each.pid or scenario.latency]
                show(measure(scenario, taking_part, rig, options.rounds, say))
    except CannotMeasure as problem:
        sys.exit(f"bench: {problem}")


def say(text: str) -> None:
    print(text, flush=True)


def show(figures: Figures) -> None:
    scenario = figures.scenario
    say(f"\n{scenario.figure or '-':4} {scenario.name}: {scenario.title}")
    for name, rounds in figures.rounds.items():
        if not figures.good(name):
            say(f"  {name:10} no round counts")
            continue
        last = rounds[-1].told
        ratio = f"{figures.ratio(name):7.2f} x nginx" if name != "direct" else ""
        cpu = f"{figures.cpu_per(name):9.2f} us/{scenario.per}" if name != "direct" else " " * 20
        say(
            f"  {name:10} {cpu}  p50 {figures.p50(name):8.0f} us  {last.requests / last.elapsed:9.0f}/s  "
            f"delay p99 {last.delay_p99} us {ratio}"
        )


def go_inside() -> None:
    """Starts anew in a network namespace without any way out, where that is possible."""
    unshare = shutil.which("unshare")
    if os.geteuid() == 0 and unshare:
        os.environ[INSIDE] = "1"
        os.execv(unshare, [unshare, "-n", sys.executable, *sys.argv])


def raise_loopback() -> None:
    """`ip link set lo up`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="./run bench", description=__doc__.splitlines()[0])
    options.add_argument(
        "--only", action="append", help="of these scenarios only: " + ", ".join(s.name for s in SCENARIOS)
    )
    options.add_argument("--rounds", type=int, default=3, help="after one that warms up (default 3)")
    return options.parse_args()


if __name__ == "__main__":
    main()
