"""What telling of a request costs: its account of attempts, its record, its counters, its line, its span.

    .venv/bin/python bench/telemetry.py

Each figure is the best of thirty rounds, in microseconds of one core, for a request with one attempt. Exits with 1 when
an attempt costs more than 3 µs or all of it together more than 25.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

from llm_gateway import __version__
from llm_gateway.access.policy import ApiKey, Caller, Price, Project, Trust
from llm_gateway.clock import Ids, SystemClock
from llm_gateway.fleet.candidate import Candidate
from llm_gateway.fleet.facts import ServerSpec
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.fleet.tries import Tries
from llm_gateway.gateway import Gateway
from llm_gateway.ledger.entry import Entry
from llm_gateway.observe import logs
from llm_gateway.observe.metrics import Metrics
from llm_gateway.wire.neutral import Usage

ROUNDS, TIMES = 30, 1_000
MOST_OF_AN_ATTEMPT, MOST = 3.0, 25.0
CLOCK, IDS = SystemClock(), Ids()
SERVER = Candidate(ServerSpec("srv_0123456789", "a", "http://a.test", "ollama", Trust.OWN, "here"), "llama3.3:70b")
PROJECT = Project("01a22484-a779-7000-999b-f0a22af992dc", "legal")
CALLER = Caller(PROJECT, ApiKey("01a22484-a779-7000-999b-f0a22af992dd", PROJECT.id, "ci", b"", "llmgw_abc", "wxyz"))


class Book:
    """Writes nothing down."""

    def opened(self, entry: Entry) -> None: ...
    def closed(self, entry: Entry) -> None: ...


def account() -> Tries:
    tries = Tries()
    one = tries.began(SERVER, CLOCK.now(), None, race=False, underway=False)
    one.first_at = CLOCK.now()
    one.end(CLOCK.now(), None, complete=True)
    tries.spoke = [one]
    return tries


def request() -> Entry:
    entry = Entry(Book(), CLOCK, IDS(), CALLER, "/v1/chat/completions", "their-id-1")
    entry.model, entry.price, entry.stream = "law-assistant", Price(1, 2), True
    entry.goes_upstream(account())
    entry.served_by(SERVER.spec.id, SERVER.model, "own")
    entry.servers = [SERVER.spec.id]
    entry.first_token()
    entry.finished("stop", Usage(100, 200))
    return entry


def cost(of: Callable[[], Any]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(TIMES):
            of()
        best = min(best, (time.perf_counter() - began) / TIMES)
    return best * 1e6


def main() -> int:
    entry, metrics = request(), Metrics(__version__)
    unused: Any = None
    gw = Gateway(CLOCK, IDS, Fleet(lambda: 0.5), unused, unused, metrics)
    logs.setup("info", "json", open(os.devnull, "w"))  # noqa: SIM115 - until the end
    found = {
        "account of an attempt": cost(account),
        "its part of the record": cost(entry.told),
        "metrics": cost(lambda: metrics.request_ended(entry)),
        "line of the log": cost(lambda: gw.tell(entry, entry.row())) - cost(entry.row),
    }
    try:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
        from llm_gateway.observe.otel import Exporter

        exporter = Exporter(False, False, __version__)
        found["handing over to OpenTelemetry"] = cost(lambda: exporter.ended(entry))
    except ImportError:
        print("without OpenTelemetry: the extra `otel` is not installed")
    print(f"Python {platform.python_version()}, {platform.machine()}; microseconds per request with one attempt")
    for name, microseconds in found.items():
        print(f"  {name:32}{microseconds:7.1f}")
    attempt, whole = found["account of an attempt"] + found["its part of the record"], sum(found.values())
    print(f"  {'an attempt':32}{attempt:7.1f}   at most {MOST_OF_AN_ATTEMPT:g}")
    print(f"  {'all of it':32}{whole:7.1f}   at most {MOST:g}")
    return int(attempt > MOST_OF_AN_ATTEMPT or whole > MOST)


if __name__ == "__main__":
    sys.exit(main())
