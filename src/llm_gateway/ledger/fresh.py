"""What was written into the journal last, still in memory: while the process lives its rows go from here to the
database, instead of being read back and decoded.

The journal stays the truth. Positions are its own; what is not here any more (a backlog beyond the bound, rows that a
database lost again) is read from it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

from llm_gateway.ledger.feed import Batch
from llm_gateway.ledger.journal import CLOSE, START, Position, Row

MOST: Final = 4 * 2**20
"""Bytes of the journal whose rows are held: some five thousand rows, which take twice that in memory."""


_Held = tuple[int, int, int, int, Row, Sequence[Row]]
"""Of a record where it ends (segment, offset), its size, its kind, its row, its attempts. A plain tuple: one for each
request is made while its client waits."""


class Fresh:
    """Everything behind `begin`."""

    def __init__(self, most: int = MOST) -> None:
        self.begin = START
        self._most = most
        self._held: deque[_Held] = deque()
        self._size = 0

    def put(self, segment: int, offset: int, size: int, kind: int, row: Row, tries: Sequence[Row] = ()) -> None:
        """The next close record or payload, and where it ends; nobody changes it any more. Past the bound all are let
        go."""
        self._size += size
        if self._size > self._most:
            self._held.clear()
            self._size = 0
            self.begin = Position(segment, offset)
        else:
            self._held.append((segment, offset, size, kind, row, tries))

    def batch(self, after: Position, most: int, end: Position) -> tuple[Batch, Position] | None:
        """The next rows behind a position, at most so many, and the position behind them; None = they are not here.
        `end`: of the journal. What comes before the position is let go: only a database that lost it asks again."""
        if after < self.begin:
            return None
        held = self._held
        while held and held[0][:2] <= after:
            self._size -= held.popleft()[2]
        self.begin = after
        some = list(islice(held, most))
        batch = Batch(
            [row for _, _, _, kind, row, _ in some if kind == CLOSE],
            [one for *_, tries in some for one in tries],
            [row for _, _, _, kind, row, _ in some if kind != CLOSE],
        )
        return batch, end if len(some) == len(held) else Position(*some[-1][:2])
