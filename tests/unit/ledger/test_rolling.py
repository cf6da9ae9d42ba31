"""A journal lets go of what was shipped, so that nothing stays in its files for longer than in the database."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

from llm_gateway.ledger.journal import START, Journal, read, segments
from llm_gateway.ledger.ledger import Ledger

EVE = {"end_user": "eve-4711"}


def made(tmp_path: Path) -> Ledger:
    return Ledger(Journal(tmp_path / "mine"))


def held(ledger: Ledger) -> bytes:
    return b"".join(path.read_bytes() for path in ledger.journal.directory.glob("*.seg"))


def test_what_was_shipped_is_gone_at_once(tmp_path: Path) -> None:
    ledger = made(tmp_path)
    ledger.closed(uuid4(), EVE)
    ledger.shipped(1, ledger.journal.position)
    assert b"eve-4711" in held(ledger)
    ledger.roll()
    assert b"eve-4711" not in held(ledger)
    ledger.end(empty=True)


def test_what_waits_stays_until_it_was_shipped(tmp_path: Path) -> None:
    ledger = made(tmp_path)
    ledger.closed(uuid4(), EVE)
    ledger.roll()
    assert b"eve-4711" in held(ledger)
    ledger.shipped(1, ledger.journal.position)
    assert b"eve-4711" not in held(ledger)
    ledger.end(empty=True)


def test_what_is_under_way_stays_until_it_was_closed_and_shipped(tmp_path: Path) -> None:
    ledger = made(tmp_path)
    id = uuid4()
    ledger.opened(id, EVE)
    ledger.shipped(0, ledger.journal.position)
    ledger.roll()
    assert b"eve-4711" in held(ledger)
    ledger.closed(id, {"end_user": "bob"})
    assert segments(ledger.journal.directory) == [1, 2]
    ledger.shipped(1, ledger.journal.position)
    assert segments(ledger.journal.directory) == [2]
    assert b"eve-4711" not in held(ledger)
    ledger.end(empty=True)


def test_writing_and_reading_go_on_behind_it(tmp_path: Path) -> None:
    ledger = made(tmp_path)
    ids: list[UUID] = [uuid4() for _ in range(3)]
    ledger.closed(ids[0], {})
    shipped = ledger.journal.position
    ledger.shipped(1, shipped)
    ledger.roll()
    ledger.roll()
    ledger.journal.sync()
    assert [*read(ledger.journal.directory, shipped)] == []
    for id in ids[1:]:
        ledger.closed(id, {})
    assert [record.id for record in read(ledger.journal.directory, shipped)] == ids[1:]
    assert [record.id for record in read(ledger.journal.directory, START)] == ids[1:]
    ledger.shipped(2, ledger.journal.position)
    ledger.journal.sync()
    ledger.end(empty=True)


def test_an_empty_journal_has_nothing_to_let_go(tmp_path: Path) -> None:
    ledger = made(tmp_path)
    ledger.roll()
    assert not ledger.journal.directory.exists()
    ledger.closed(uuid4(), {})
    assert segments(ledger.journal.directory) == [1]
    ledger.end(empty=False)
