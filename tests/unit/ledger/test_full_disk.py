"""A disk that is full costs rows at worst, and says so; the journal's ballast is the first to go."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from uuid import uuid4

import pytest

from llm_gateway.errors import LogUnavailable
from llm_gateway.ledger.ballast import Ballast
from llm_gateway.ledger.journal import Journal, read
from llm_gateway.ledger.ledger import Ledger


class Disk:
    """As the journal sees it: full until there is no file `until`, or for as long as it says."""

    def __init__(self) -> None:
        self.full = False
        self.until: Path | None = None

    def write(self, file: int, data: bytes, at: int) -> int:
        if self.full and (self.until is None or self.until.exists()):
            raise OSError(errno.ENOSPC, "No space left on device")
        return REAL(file, data, at)


REAL = os.pwrite


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(os, "pwrite", disk.write)
    return disk


def rows(ledger: Ledger) -> list[int]:
    return [record.row["n"] for record in read(ledger.journal.directory)]


def test_a_record_that_could_not_be_read_again_is_not_written(tmp_path: Path):
    ledger = Ledger(Journal(tmp_path / "j"))
    assert not ledger.kept(uuid4(), {"n": 0, "text": "x" * 2**20})
    ledger.closed(uuid4(), {"n": 1})
    assert rows(ledger) == [1]


def test_the_ballast_goes_first_and_no_row_is_lost(tmp_path: Path, disk: Disk):
    ballast = Ballast(tmp_path / "ballast", size=2**20, room=2**20)
    assert ballast.make()
    assert ballast.path.stat().st_blocks * 512 >= 2**20, "nothing was set aside"
    ledger = Ledger(Journal(tmp_path / "j"), strict=True, ballast=ballast)
    ledger.closed(uuid4(), {"n": 1})
    disk.full, disk.until = True, ballast.path
    ledger.opened(uuid4(), {"n": 2})
    ledger.closed(uuid4(), {"n": 3})
    assert rows(ledger) == [1, 2, 3]
    assert ledger.dropped == 0
    assert not ledger.troubled
    assert ballast.make()
    assert ballast.path.exists()


def test_rows_that_cannot_be_written_are_counted_and_the_next_ones_are_written(tmp_path: Path, disk: Disk):
    ledger = Ledger(Journal(tmp_path / "j"))
    ledger.closed(uuid4(), {"n": 1})
    disk.full = True
    ledger.opened(uuid4(), {"n": 2})
    ledger.closed(uuid4(), {"n": 2})
    assert (ledger.dropped, ledger.rows, ledger.troubled) == (1, 1, True)
    disk.full = False
    ledger.closed(uuid4(), {"n": 3})
    assert (ledger.dropped, ledger.rows, ledger.troubled) == (1, 2, False)
    assert rows(ledger) == [1, 3]


def test_in_strict_mode_nothing_goes_upstream_that_cannot_be_written_down(tmp_path: Path, disk: Disk):
    ledger = Ledger(Journal(tmp_path / "j"), strict=True)
    disk.full = True
    with pytest.raises(LogUnavailable) as refused:
        ledger.opened(uuid4(), {"n": 1})
    assert refused.value.retry_after


def test_on_a_small_disk_there_is_no_ballast(tmp_path: Path):
    ballast = Ballast(tmp_path / "ballast", size=2**20, room=2**62)
    assert not ballast.make()
    assert list(tmp_path.iterdir()) == []
    assert not ballast.give_up()


def test_a_ballast_that_does_not_fit_leaves_nothing_behind(tmp_path: Path):
    ballast = Ballast(tmp_path / "ballast", size=2**50, room=0)
    assert not ballast.make()
    assert list(tmp_path.iterdir()) == []
