"""What was learnt about the servers outlives a restart: a file in the data directory, written now and then and at the
end, read at the start.

Losing it costs nothing but time, so nothing here is ever fatal: a file that cannot be read is reported and left alone
until the next one replaces it, and one that cannot be written is tried again.
"""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any, Final

import structlog

from llm_gateway.clock import Clock
from llm_gateway.first_run import write_private
from llm_gateway.fleet import memory
from llm_gateway.fleet.fleet import Fleet

FILE: Final = "fleet.json"
EVERY: Final = 60.0
"""Seconds between two writes."""
LARGEST: Final = 64 * 2**20
"""Bytes of a file that is read; thousands of servers that hold dozens of models fit."""

log = structlog.get_logger(__name__)


class Learnt:
    """The file of one gateway process."""

    def __init__(self, data_dir: Path, fleet: Fleet, clock: Clock) -> None:
        self.path = data_dir / FILE
        self._fleet = fleet
        self._clock = clock

    def recall(self) -> int:
        """Takes over what the file knows about the servers there are; call it after `Fleet.describe`. Returns about
        how many servers something was known. Raises nothing."""
        try:
            if self.path.stat().st_size > LARGEST:
                raise ValueError(f"larger than {LARGEST:,} bytes")
            kept = json.loads(self.path.read_bytes())
            age = self._clock.wall() - float(kept["at"])
            if not math.isfinite(age):
                raise ValueError("the time in it is none")
            known = self._fleet.restore(kept["fleet"], self._clock.now(), age)
            memory.restore_limits(self._fleet.servers, kept["fleet"], self._clock.now(), age)
            return known
        except FileNotFoundError:
            return 0
        except (OSError, ValueError, TypeError, KeyError, RecursionError, OverflowError) as wrong:
            log.warning("learnt_not_recalled", file=str(self.path), reason=str(wrong))
            return 0

    def save(self) -> None:
        """Writes it, where there are servers to know something of. Raises nothing."""
        if self._fleet.servers:
            self._write(self._what())

    async def keep(self) -> None:
        """Writes it now and then, until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            if self._fleet.servers:
                await asyncio.to_thread(self._write, self._what())

    def _what(self) -> dict[str, Any]:
        """Plain values of their own: what changes meanwhile does not change them."""
        return {"at": self._clock.wall(), "fleet": self._fleet.snapshot(self._clock.now())}

    def _write(self, what: dict[str, Any]) -> None:
        try:
            write_private(self.path, json.dumps(what))
        except OSError as error:
            log.warning("learnt_not_kept", file=str(self.path), reason=str(error))
