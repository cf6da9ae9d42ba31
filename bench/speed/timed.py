"""`llm-gateway` that knows what part of its event loop's CPU goes into writing requests down: building the row, both
records of the journal, and the line of the log. The file that BENCH_TIMED names gets them, in microseconds a request,
beside the whole (`all`).

Looking at the clock costs some tenths of a microsecond a time, which count as part of the writing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import thread_time_ns
from typing import Any

from llm_gateway.cli import main
from llm_gateway.gateway import Gateway
from llm_gateway.ledger.entry import Entry
from llm_gateway.ledger.ledger import Ledger
from llm_gateway.observe import line

CALLS = ((Gateway, "opened"), (Entry, "row"), (Entry, "told"), (Ledger, "closed"), (line, "tell"))
"""In the order in which a request makes them. None calls another."""
LAST = "tell"
EVERY = 200
"""Requests between two looks."""


class Spent:
    """Nanoseconds of the event loop's thread since the first request."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._began: int | None = None
        self._calls = {name: 0 for _, name in CALLS}
        self._requests = 0

    def timed(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def wrapped(*args: Any, **named: Any) -> Any:
            began = thread_time_ns()
            if self._began is None:
                self._began = began
            try:
                return call(*args, **named)
            finally:
                now = thread_time_ns()
                self._calls[name] += now - began
                if name == LAST:
                    self._ended(now)

        return wrapped

    def _ended(self, now: int) -> None:
        self._requests += 1
        if self._requests % EVERY == 0 and self._began is not None:
            each = {**self._calls, "all": now - self._began}
            told = {name: ns / 1000 / self._requests for name, ns in each.items()}
            self._file.write_text(json.dumps(told))


spent = Spent(Path(os.environ["BENCH_TIMED"]))
for owner, name in CALLS:
    if not hasattr(owner, name):
        sys.exit(f"there is no {owner.__name__}.{name}: what it does must be timed under its new name")
    setattr(owner, name, spent.timed(getattr(owner, name), name))
main()
