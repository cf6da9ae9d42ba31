"""Rows that go from memory to the database are those of the journal, position by position."""

from __future__ import annotations

import random
from pathlib import Path
from uuid import uuid4

import pytest

from llm_gateway.ledger.feed import Batch
from llm_gateway.ledger.fresh import Fresh
from llm_gateway.ledger.journal import CLOSE, PAYLOAD, START, Journal, Position
from llm_gateway.ledger.ledger import Ledger
from llm_gateway.ledger.shipper import from_disk


def filled(directory: Path, seed: int) -> Ledger:
    """Requests of all kinds, some of them still open."""
    dice = random.Random(seed)
    ledger = Ledger(Journal(directory, segment_bytes=700))
    for n in range(60):
        id = uuid4()
        if dice.random() < 0.8:
            ledger.opened(id, {"n": n})
        if dice.random() < 0.9:
            ledger.closed(id, {"n": n}, [{"n": n, "number": 1}, {"n": n, "number": 2}] if n % 3 else ())
        if dice.random() < 0.3:
            ledger.kept(id, {"said": n})
        if dice.random() < 0.1:
            ledger.roll()
    return ledger


def behind(directory: Path, position: Position) -> Batch:
    """All that the disk has behind a position."""
    return from_disk(directory)(position, 10_000)[0]


@pytest.mark.parametrize("most", [1, 7, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_behind_every_batch_from_memory_the_disk_has_the_rest(tmp_path: Path, seed: int, most: int) -> None:
    ledger = filled(tmp_path / "j", seed)
    left, at = behind(tmp_path / "j", START), START
    while (found := ledger.fresh(at, most)) is not None and found[1] != at:
        batch, at = found
        assert len(batch.rows) + len(batch.payloads) <= most
        rest = behind(tmp_path / "j", at)
        assert left == Batch(*(mine + theirs for mine, theirs in zip(batch, rest, strict=True)))
        left = rest
    assert found is not None
    assert left == Batch([], [], [])
    assert at == ledger.journal.position


def test_a_batch_that_failed_is_there_once_more_and_one_that_went_in_is_let_go(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "j", 1)
    first = ledger.fresh(START, 5)
    assert first is not None
    assert ledger.fresh(START, 5) == first
    assert ledger.fresh(first[1], 5) is not None
    assert ledger.fresh(START, 5) is None, "a database that lost it gets it from the disk"


def test_past_its_bound_nothing_is_held_and_what_comes_later_is_again() -> None:
    fresh = Fresh(most=100)
    fresh.put(1, 60, 60, CLOSE, {"n": 1})
    fresh.put(1, 120, 60, PAYLOAD, {"n": 2})
    assert fresh.batch(START, 10, Position(1, 120)) is None
    fresh.put(1, 180, 60, CLOSE, {"n": 3})
    assert fresh.batch(Position(1, 60), 10, Position(1, 180)) is None
    assert fresh.batch(Position(1, 120), 10, Position(1, 180)) == (Batch([{"n": 3}], [], []), Position(1, 180))
    assert fresh.batch(Position(1, 180), 10, Position(1, 180)) == (Batch([], [], []), Position(1, 180))
    fresh.put(1, 240, 60, CLOSE, {"n": 4})
    fresh.put(1, 280, 40, CLOSE, {"n": 5})
    assert fresh.batch(Position(1, 180), 1, Position(1, 280)) == (Batch([{"n": 4}], [], []), Position(1, 240))
