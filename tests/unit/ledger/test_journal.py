"""What was written survives, in order; what was torn is not taken for a record."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from llm_gateway.ledger.journal import (
    CLOSE,
    OPEN,
    Adopted,
    Journal,
    Position,
    Unclosed,
    abandoned,
    read,
    segment_path,
    segments,
)


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


def test_of_a_write_that_failed_nothing_stays_and_the_next_record_comes_to_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    journal, _ = filled(tmp_path / "j", 1)
    whole = segment_path(journal.directory, 1).read_bytes()
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: real(file, data[:3], at))
    for _ in range(200):  # a disk that stays full is no reason for more and more files
        with pytest.raises(OSError, match="only 3 of"):
            journal.opened(uuid4(), {})
    assert segment_path(journal.directory, 1).read_bytes() == whole
    monkeypatch.undo()
    journal.opened(uuid4(), {"after": True})
    *_, last = read(journal.directory)
    assert last.row == {"after": True}
    assert segments(journal.directory) == [1]


def test_a_write_that_cannot_be_taken_back_ends_its_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    journal, _ = filled(tmp_path / "j", 1)
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: real(file, data[:3], at))
    monkeypatch.setattr(os, "ftruncate", failing)
    with pytest.raises(OSError, match="only 3 of"):
        journal.opened(uuid4(), {})
    monkeypatch.undo()
    journal.opened(uuid4(), {"after": True})
    *_, last = read(journal.directory)
    assert last.row == {"after": True}
    assert last.end.segment == 2


def failing(*_: object) -> None:
    raise OSError(errno.EIO, "the disk is broken")


def test_the_names_of_new_segments_are_synced_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced: list[str] = []
    real = os.fsync

    def seen(file: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{file}"))
        real(file)

    monkeypatch.setattr(os, "fsync", seen)
    journal, _ = filled(tmp_path / "j", 2)
    journal.sync()
    assert str(journal.directory) in synced
    assert str(tmp_path) in synced
    synced.clear()
    journal.opened(uuid4(), {})
    journal.sync()
    assert synced == []  # no new name


def test_a_sync_beside_a_change_of_segments_closes_no_file_that_is_in_use(tmp_path: Path):
    """A number of a closed file is soon somebody else's."""
    journal = Journal(tmp_path / "j", segment_bytes=300)
    ended = threading.Event()

    def syncing() -> None:
        while not ended.is_set():
            journal.sync()

    beside = threading.Thread(target=syncing)
    beside.start()
    try:
        ids = [uuid4() for _ in range(2000)]
        for n, id in enumerate(ids):
            journal.opened(id, {"n": n})
    finally:
        ended.set()
        beside.join()
    assert [record.id for record in read(journal.directory)] == ids
    journal.end()


def test_what_is_open_at_the_end_is_found_across_segments(tmp_path: Path):
    journal, _ = filled(tmp_path / "j", 20, segment_bytes=300)
    first, last = uuid4(), uuid4()
    journal.opened(first, {"n": "first"})
    for _ in range(20):
        id = uuid4()
        journal.opened(id, {})
        journal.closed(id, {})
        journal.kept(id, {"text": "said"})
    journal.opened(last, {"n": "last"})
    open = Unclosed()
    for segment in segments(journal.directory):
        open.look(journal.directory, segment)
    assert open.rows == [{"n": "first"}, {"n": "last"}]


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
