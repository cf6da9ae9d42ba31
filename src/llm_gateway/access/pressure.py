"""Whether the process itself can take one more request. Refusing at once is better than a late answer for everybody."""

from __future__ import annotations

from typing import Final

from llm_gateway.errors import Overloaded

LATE: Final = 0.25
"""Seconds that the event loop may come late to its own appointments."""
IN_A_ROW: Final = 4
"""Appointments that have to be late, two seconds or more: a single one may be the garbage collector's, two or three are
a machine that had other things to do (on two busy cores processes that want hardly any time wait a quarter of a second
for it), and by then that is over."""
FULL: Final = 0.9
"""Share of the memory limit from which on nothing is accepted."""
NEARLY_FULL: Final = 0.8
"""And from which on only small requests are."""
SMALL: Final = 64 * 1024
"""Bytes of a body."""


class Pressure:
    """What was measured last: `ticked` and `weighed` tell it, `bear` refuses."""

    def __init__(self, memory_limit: int | None = None) -> None:
        """`memory_limit`: bytes of resident memory that the process may have; None = no limit is known."""
        self.memory_limit = memory_limit
        self.high = False
        """Might anything be refused? As long as not, nobody needs to ask."""
        self._late = 0
        self._share = 0.0

    def ticked(self, late: float) -> None:
        """The loop was so many seconds late for an appointment."""
        self._late = self._late + 1 if late > LATE else 0
        self._judge()

    def weighed(self, resident: int) -> None:
        """The process has so many bytes of resident memory."""
        self._share = resident / self.memory_limit if self.memory_limit else 0.0
        self._judge()

    def _judge(self) -> None:
        self.high = self._late >= IN_A_ROW or self._share >= NEARLY_FULL

    def bear(self, size: int = 0) -> None:
        """Accepts one more request, of which `size` bytes have been read. Raises Overloaded."""
        if self._late >= IN_A_ROW or self._share >= FULL or (self._share >= NEARLY_FULL and size > SMALL):
            raise Overloaded("The gateway has more to do than it can bear right now.", retry_after=2)
