"""What was written survives, in order; what was torn is not taken for a record."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from llm_gateway.ledger.journal import CLOSE, OPEN, Adopted, Journal, Position, abandoned, read, segment_path, segments


def filled(directory: Path, count: int = 5, **how: int) -> tuple[Journal, list[UUID]]:
    journal = Journal(directory, **how)
    ids = [uuid4() for _ in range(count)]
    for n, id in enumerate(ids):
        journal.opened(id, {"n": n})
        journal.closed(id, {"n": n, "outcome": "ok"})
    return journal, ids


def test_records_come_back_in_order_with_what_was_written(tmp_path: Path):
    journal, ids = filled(tmp_path / "j")
    records = list(read(journal.directory))
    assert [(r.kind, r.id) for r in records] == [(kind, id) for id in ids for kind in (OPEN, CLOSE)]
    assert records[-1].row == {"n": 4, "outcome": "ok"}
    assert records[-1].end == journal.position


def test_reading_goes_on_behind_any_position(tmp_path: Path):
    journal, _ = filled(tmp_path / "j", 20, segment_bytes=300)
    records = list(read(journal.directory))
    assert len(segments(journal.directory)) > 3
    for n, record in enumerate(records):
        assert list(read(journal.directory, record.end)) == records[n + 1 :]


def test_what_is_written_while_somebody_reads_is_read_by_the_next_look(tmp_path: Path):
    journal, _ = filled(tmp_path / "j", 1)
    seen = list(read(journal.directory))
    journal.opened(uuid4(), {"late": True})
    (late,) = read(journal.directory, seen[-1].end)
    assert late.row == {"late": True}


def test_every_torn_tail_ends_the_segment_and_nothing_else(tmp_path: Path):
    journal, _ = filled(tmp_path / "j", 3)
    path = segment_path(journal.directory, 1)
    whole = path.read_bytes()
    ends = [0, *(r.end.offset for r in read(journal.directory))]
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        records = list(read(journal.directory))
        assert len(records) == max(n for n, end in enumerate(ends) if end <= size)


def test_a_flipped_byte_is_noticed(tmp_path: Path):
    journal, _ = filled(tmp_path / "j", 3)
    path = segment_path(journal.directory, 1)
    whole = path.read_bytes()
    records = list(read(journal.directory))
    for at in range(records[0].end.offset, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        good = list(read(journal.directory))
        assert good == records[: len(good)]
        assert len(good) < len(records)


def test_after_a_write_that_failed_the_next_record_begins_a_new_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    journal, _ = filled(tmp_path / "j", 1)
    real = os.write

    def full(file: int, data: bytes) -> int:
        return real(file, data[:3])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="only 3 of"):
        journal.opened(uuid4(), {})
    monkeypatch.undo()
    journal.opened(uuid4(), {"after": True})
    *_, last = read(journal.directory)
    assert last.row == {"after": True}
    assert last.end.segment == 2


def test_a_journal_is_abandoned_when_its_process_is_gone(tmp_path: Path):
    code = (
        "import os, sys; from pathlib import Path; from uuid import uuid4;"
        "from llm_gateway.ledger.journal import Journal;"
        "j = Journal(Path(sys.argv[1]) / 'dead'); j.opened(uuid4(), {'a': 1}); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    alive = Journal(tmp_path / "alive")
    alive.opened(uuid4(), {})
    assert abandoned(tmp_path) == [tmp_path / "dead"]
    adopted = Adopted(tmp_path / "dead")
    with adopted as mine:
        assert mine
        assert [r.row for r in read(tmp_path / "dead")] == [{"a": 1}]
        with Adopted(tmp_path / "dead") as other:
            assert not other
        adopted.remove()
    assert abandoned(tmp_path) == []
    alive.end()
    assert abandoned(tmp_path) == [tmp_path / "alive"]


def test_two_processes_never_share_a_journal(tmp_path: Path):
    filled(tmp_path / "j")
    with pytest.raises(FileExistsError):
        filled(tmp_path / "j")


def test_a_journal_that_was_never_written_leaves_nothing_behind(tmp_path: Path):
    journal = Journal(tmp_path / "j")
    assert list(read(journal.directory)) == []
    journal.end()
    assert list(tmp_path.iterdir()) == []


def test_no_journals_at_all_is_fine(tmp_path: Path):
    assert abandoned(tmp_path / "none") == []


def test_syncing_closes_the_segments_that_are_full(tmp_path: Path):
    journal, _ = filled(tmp_path / "j", 20, segment_bytes=300)
    before = len(os.listdir("/proc/self/fd"))
    journal.sync()
    assert len(os.listdir("/proc/self/fd")) <= before - 3
    assert journal.position > Position(3, 0)
