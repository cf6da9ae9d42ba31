"""Rows reach the database in order and once, however it behaves, and also after the process was killed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from llm_gateway.errors import DatabaseUnavailable
from llm_gateway.ledger import ledger as ledger_module
from llm_gateway.ledger import shipper as shipper_module
from llm_gateway.ledger.journal import START, Adopted, Journal, Position, Row, segments
from llm_gateway.ledger.ledger import Ledger
from llm_gateway.ledger.shipper import BATCH, Batch, Shipper
from support.net import wait_until


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipper_module, "BACKOFF", (0.01,))
    monkeypatch.setattr(shipper_module, "PAUSE", 0.01)


class Database:
    """Takes rows. `down` calls fail; of those that are `lost`, the commit happened but nobody heard of it."""

    def __init__(self, down: int = 0, lost: int = 0) -> None:
        self.rows: list[Row] = []
        self.batches: list[int] = []
        self.positions: dict[str, Position] = {}
        self.down, self.lost = down, lost

    async def position(self, journal: str) -> Position | None:
        self._maybe_down()
        return self.positions.get(journal)

    async def ship(self, journal: str, batch: Batch, position: Position, after: Position | None = None) -> None:
        await asyncio.sleep(0)
        self._maybe_down()
        if after is not None and after != self.positions.get(journal, START):
            raise DatabaseUnavailable("it is not where it was")
        self.rows += batch.rows
        self.batches.append(len(batch.rows))
        self.positions[journal] = position
        if self.lost:
            self.lost -= 1
            raise DatabaseUnavailable("the answer to COMMIT was lost")

    async def forget(self, journal: str) -> None:
        self._maybe_down()
        self.positions.pop(journal, None)

    def _maybe_down(self) -> None:
        if self.down:
            self.down -= 1
            raise DatabaseUnavailable("gone")


@asynccontextmanager
async def shipping(directory: Path, database: Database, **how: int) -> AsyncIterator[Ledger]:
    ledger = Ledger(Journal(directory, **how))
    shipper = Shipper(ledger, database)
    task = asyncio.create_task(shipper.run())
    yield ledger
    await shipper.stop(task)
    ledger.end(empty=ledger.waiting == 0)


def answered(ledger: Ledger, n: int) -> Row:
    id = uuid4()
    ledger.opened(id, {"n": n})
    ledger.closed(id, {"n": n, "outcome": "ok"})
    return {"n": n, "outcome": "ok"}


async def test_rows_arrive_in_order_and_in_bounded_batches(tmp_path: Path):
    database = Database()
    async with shipping(tmp_path / "j", database) as ledger:
        wanted = [answered(ledger, n) for n in range(2 * BATCH + 7)]
        await wait_until(lambda: ledger.waiting == 0, within=5)
    assert database.rows == wanted
    assert max(database.batches) <= BATCH


def test_whoever_ships_is_woken_once_for_all_rows_that_came_since_he_looked(tmp_path: Path):
    woken: list[int] = []
    ledger = Ledger(Journal(tmp_path / "j"), wake=lambda: woken.append(ledger.rows))
    for _ in range(3):
        ledger.closed(uuid4(), {})
    ledger.told = False
    ledger.kept(uuid4(), {})
    ledger.closed(uuid4(), {})
    assert woken == [1, 3]


async def test_a_stop_flushes_what_was_closed_a_moment_before_and_leaves_no_journal(tmp_path: Path):
    database = Database()
    async with shipping(tmp_path / "j", database) as ledger:
        answered(ledger, 1)
        await wait_until(lambda: len(database.rows) == 1, within=5)
        answered(ledger, 2)
    assert [row["n"] for row in database.rows] == [1, 2]
    assert database.positions == {}
    assert not (tmp_path / "j").exists()


async def test_an_end_with_nothing_left_has_nothing_to_complain_of(tmp_path: Path):
    with capture_logs() as said:
        async with shipping(tmp_path / "j", Database()) as ledger:
            answered(ledger, 1)
    assert said == []
    assert not list(tmp_path.iterdir())


async def test_a_database_that_is_away_loses_and_doubles_nothing(tmp_path: Path):
    database = Database(down=5)
    async with shipping(tmp_path / "j", database) as ledger:
        wanted = [answered(ledger, n) for n in range(10)]
        await wait_until(lambda: ledger.waiting == 0, within=5)
    assert database.rows == wanted


async def test_a_commit_whose_answer_was_lost_is_not_sent_again(tmp_path: Path):
    database = Database(lost=1)
    async with shipping(tmp_path / "j", database) as ledger:
        wanted = [answered(ledger, n) for n in range(10)]
        await wait_until(lambda: len(database.rows) >= 10, within=5)
        wanted.append(answered(ledger, 10))
        await wait_until(lambda: database.rows[-1] == wanted[-1], within=5)
        await wait_until(lambda: ledger.waiting == 0, within=5)
    assert database.rows == wanted
    assert not (tmp_path / "j").exists()


async def test_an_error_that_nobody_thought_of_does_not_end_the_shipping(tmp_path: Path):
    class Odd(Database):
        odd = 3

        async def position(self, journal: str) -> Position | None:
            if self.odd:
                self.odd -= 1
                raise RuntimeError("never seen before")
            return await super().position(journal)

    database = Odd(lost=1)
    async with shipping(tmp_path / "j", database) as ledger:
        wanted = [answered(ledger, 0)]
        await wait_until(lambda: len(database.rows) == 1, within=5)
        wanted.append(answered(ledger, 1))
        await wait_until(lambda: ledger.waiting == 0, within=5)
    assert database.rows == wanted


async def test_a_journal_that_cannot_be_read_keeps_no_other_one_waiting(tmp_path: Path):
    strange = Journal(tmp_path / "a")
    strange.opened(uuid4(), ["not", "a", "row"])  # type: ignore[arg-type]
    strange.end()
    left_behind(tmp_path / "b", closed=3)
    database = Database()
    await recovered(tmp_path, database)
    assert len(database.rows) == 3
    assert (tmp_path / "a").exists()


async def test_a_journal_that_cannot_be_locked_keeps_no_other_one_waiting(tmp_path: Path):
    (tmp_path / "a" / "lock").mkdir(parents=True)
    left_behind(tmp_path / "b", closed=3)
    database = Database()
    await recovered(tmp_path, database)
    assert len(database.rows) == 3


async def test_a_database_that_lost_its_last_transactions_gets_them_again(tmp_path: Path):
    """As one does that was failed over to."""
    database = Database()
    async with shipping(tmp_path / "j", database) as ledger:
        wanted = [answered(ledger, n) for n in range(3)]
        await wait_until(lambda: ledger.waiting == 0, within=5)
        rows, positions = list(database.rows), dict(database.positions)
        wanted += [answered(ledger, n) for n in range(3, 7)]
        await wait_until(lambda: ledger.waiting == 0, within=5)
        database.rows, database.positions, database.down = rows, positions, 2
        wanted.append(answered(ledger, 7))
        await wait_until(lambda: len(database.rows) == 8, within=5)
        await wait_until(lambda: ledger.waiting == 0, within=5)
    assert database.rows == wanted


async def test_a_database_that_lost_its_last_transactions_in_a_quiet_moment_gets_them_again(tmp_path: Path):
    """Nothing fails: the pool has new connections before anybody asks for one."""
    database = Database()
    async with shipping(tmp_path / "j", database) as ledger:
        wanted = [answered(ledger, n) for n in range(3)]
        await wait_until(lambda: ledger.waiting == 0, within=5)
        rows, positions = list(database.rows), dict(database.positions)
        wanted += [answered(ledger, n) for n in range(3, 7)]
        await wait_until(lambda: ledger.waiting == 0, within=5)
        database.rows, database.positions = rows, positions
        wanted.append(answered(ledger, 7))
        await wait_until(lambda: len(database.rows) == 8, within=5)
        await wait_until(lambda: ledger.waiting == 0, within=5)
    assert database.rows == wanted


async def test_no_row_is_given_up_while_the_database_takes_nothing_at_all(tmp_path: Path):
    class Strange(Database):
        strange = True

        async def ship(self, journal: str, batch: Batch, position: Position, after: Position | None = None) -> None:
            if self.strange:
                raise TypeError("a trigger that somebody has made")
            await super().ship(journal, batch, position, after)

    database = Strange()
    async with shipping(tmp_path / "j", database) as ledger:
        wanted = [answered(ledger, n) for n in range(3)]
        await wait_until(lambda: ledger.stuck, within=5)
        database.strange = False
        await wait_until(lambda: ledger.waiting == 0, within=5)
        assert ledger.dropped == 0
    assert database.rows == wanted


async def test_segments_go_when_nothing_needs_them_and_stay_while_a_request_of_theirs_is_open(tmp_path: Path):
    database = Database()
    async with shipping(tmp_path / "j", database, segment_bytes=400) as ledger:
        long = uuid4()
        ledger.opened(long, {"n": -1})
        for n in range(50):
            answered(ledger, n)
        await wait_until(lambda: ledger.waiting == 0, within=5)
        assert segments(tmp_path / "j")[0] == 1
        ledger.closed(long, {"n": -1, "outcome": "ok"})
        await wait_until(lambda: len(segments(tmp_path / "j")) <= 1, within=5)
    assert len(database.rows) == 51


async def test_past_its_bound_rows_are_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ledger_module, "MOST_SEGMENTS", 3)
    ledger = Ledger(Journal(tmp_path / "j", segment_bytes=300))
    for n in range(100):
        answered(ledger, n)
    assert ledger.rows + ledger.dropped == 100
    assert 0 < ledger.rows < 20
    database = Database()
    shipper = Shipper(ledger, database)
    task = asyncio.create_task(shipper.run())
    await wait_until(lambda: ledger.waiting == 0, within=5)
    kept = answered(ledger, 100)  # there is room again
    await shipper.stop(task)
    assert database.rows[-1] == kept


async def test_past_its_bound_a_request_that_is_open_in_it_is_closed_as_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ledger_module, "MOST_SEGMENTS", 3)
    ledger = Ledger(Journal(tmp_path / "dead", segment_bytes=300))
    long = [uuid4() for _ in range(20)]
    for n, id in enumerate(long):
        ledger.opened(id, {"n": n, "outcome": None})
    while not ledger.dropped:
        answered(ledger, 100)
    written = ledger.rows + ledger.dropped
    for n, id in enumerate(long):
        ledger.closed(id, {"n": n, "outcome": "ok"})
    ledger.end(empty=False)
    database = Database()
    await recovered(tmp_path, database)
    assert len(database.rows) == ledger.rows
    assert ledger.rows + ledger.dropped == written + len(long)
    assert not [row for row in database.rows if row["outcome"] == "gateway_crashed"]


class Picky(Database):
    """Cannot hold rows that say `broken`, attempts that do, and payloads that do."""

    async def ship(self, journal: str, batch: Batch, position: Position, after: Position | None = None) -> None:
        if any("broken" in said.values() for said in (*batch.rows, *batch.tries, *batch.payloads)):
            raise TypeError("no such column")
        await super().ship(journal, batch, position, after)


@pytest.mark.parametrize("broken", [{0}, {500}, {1019}, {3, 4, 777}, set(range(0, 1020, 100))], ids=str)
async def test_a_row_that_cannot_be_stored_is_counted_and_its_neighbours_are_stored(tmp_path: Path, broken: set[int]):
    database = Picky()
    async with shipping(tmp_path / "j", database) as ledger:
        for n in range(1020):
            ledger.closed(uuid4(), {"n": n, "outcome": "broken" if n in broken else "ok"})
        await wait_until(lambda: ledger.waiting == 0, within=5)
    assert [row["n"] for row in database.rows] == [n for n in range(1020) if n not in broken]
    assert ledger.dropped == len(broken)
    assert ledger.in_database == 1020 - len(broken)
    assert not (tmp_path / "j").exists()


async def test_attempts_and_payloads_that_cannot_be_stored_cost_no_row(tmp_path: Path):
    database = Picky()
    async with shipping(tmp_path / "j", database) as ledger:
        for n in range(10):
            id = uuid4()
            ledger.closed(id, {"n": n}, [{"why": "broken" if n == 4 else "first"}])
            ledger.kept(id, {"text": "broken" if n == 6 else "said"})
        await wait_until(lambda: ledger.waiting == 0, within=5)
    assert [row["n"] for row in database.rows] == list(range(10))
    assert ledger.dropped == 0


async def test_a_stop_in_an_outage_ends_soon_and_leaves_the_rows_to_the_next_process(tmp_path: Path):
    database = Database()
    async with shipping(tmp_path / "j", database) as ledger:
        database.down = 10**6
        answered(ledger, 1)
    assert ledger.waiting == 1
    database.down = 0
    await recovered(tmp_path, database)
    assert [row["n"] for row in database.rows] == [1]
    assert not (tmp_path / "j").exists()


def left_behind(directory: Path, open: int = 0, closed: int = 0) -> list[UUID]:
    """A journal of a process that was killed."""
    journal = Journal(directory)
    ids = [uuid4() for _ in range(open + closed)]
    for n, id in enumerate(ids):
        journal.opened(id, {"n": n, "outcome": None, "status": 0})
    for n, id in enumerate(ids[:closed]):
        journal.closed(id, {"n": n, "outcome": "ok", "status": 200})
    journal.end()
    return ids


async def recovered(root: Path, database: Database) -> None:
    shipper = Shipper(Ledger(Journal(root / "mine")), database)
    await asyncio.wait_for(shipper.recover(root), timeout=10)


async def test_what_a_dead_process_left_is_shipped_and_its_open_requests_are_closed_as_crashed(tmp_path: Path):
    left_behind(tmp_path / "dead", open=2, closed=3)
    database = Database()
    await recovered(tmp_path, database)
    assert [row["outcome"] for row in database.rows] == ["gateway_crashed", "gateway_crashed", "ok", "ok", "ok"]
    assert {row["error_code"] for row in database.rows[:2]} == {"gateway_crashed"}
    assert not (tmp_path / "dead").exists()
    assert database.positions == {}


async def test_a_large_journal_holds_nobody_up(tmp_path: Path):
    left_behind(tmp_path / "dead", open=300, closed=30_000)
    database = Database()
    task = asyncio.create_task(recovered(tmp_path, database))
    longest, before = 0.0, time.thread_time()
    while not task.done():
        await asyncio.sleep(0)
        now = time.thread_time()  # whatever else runs on the machine is not held against it
        longest, before = max(longest, now - before), now
    await task
    assert len(database.rows) == 30_300
    assert len({row["n"] for row in database.rows}) == 30_300
    assert longest < 0.25, longest


@pytest.mark.parametrize("lost", range(1, 4))
async def test_recovery_that_is_interrupted_goes_on_where_it_was(tmp_path: Path, lost: int):
    left_behind(tmp_path / "dead", open=2, closed=BATCH + 3)
    database = Database(lost=lost)
    await recovered(tmp_path, database)
    assert len(database.rows) == BATCH + 5
    assert len({row["n"] for row in database.rows}) == BATCH + 5


async def test_what_a_process_was_killed_over_while_it_removed_a_journal_is_removed(tmp_path: Path):
    left_behind(tmp_path / ".removed", closed=3)
    (tmp_path / ".removed" / "lock").unlink()
    left_behind(tmp_path / ".being removed", closed=3)
    busy = Adopted(tmp_path / ".being removed")
    (tmp_path / ".just begun").mkdir()
    database = Database()
    with busy as mine:
        assert mine
        await recovered(tmp_path, database)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".being removed", ".just begun"]
    assert database.rows == []


async def test_recovery_waits_for_a_database_that_is_away(tmp_path: Path):
    left_behind(tmp_path / "dead", closed=3)
    database = Database(down=7)
    await recovered(tmp_path, database)
    assert len(database.rows) == 3


async def test_a_journal_of_a_living_process_is_left_alone(tmp_path: Path):
    alive = Journal(tmp_path / "alive")
    alive.opened(uuid4(), {"n": 1})
    database = Database()
    await recovered(tmp_path, database)
    assert database.rows == []
    assert (tmp_path / "alive").exists()


async def test_a_batch_is_bounded_in_bytes_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shipper_module, "BYTES", 1_000)
    left_behind(tmp_path / "dead", closed=200)
    database = Database()
    await recovered(tmp_path, database)
    assert len(database.rows) == 200
    assert len(database.batches) > 10


async def test_what_waits_for_a_database_that_was_away_goes_in_few_large_batches(tmp_path: Path):
    database = Database(down=3)
    async with shipping(tmp_path / "j", database) as ledger:
        wanted = [answered(ledger, n) for n in range(3_000)]
        await wait_until(lambda: ledger.waiting == 0, within=10)
    assert database.rows == wanted
    assert len(database.batches) <= 3


async def test_a_row_that_cannot_be_written_takes_no_other_along(tmp_path: Path):
    class Picky(Database):
        async def ship(self, journal: str, batch: Batch, position: Position, after: Position | None = None) -> None:
            if any(row["n"] == "broken" for row in batch.rows):
                raise TypeError("no such column")
            await super().ship(journal, batch, position, after)

    database = Picky(down=1)
    async with shipping(tmp_path / "j", database) as ledger:
        wanted = [answered(ledger, n) for n in range(150)]
        ledger.closed(uuid4(), {"n": "broken"})
        wanted += [answered(ledger, n) for n in range(150, 300)]
        await wait_until(lambda: len(database.rows) == 300, within=10)
        assert ledger.dropped == 1
    assert database.rows == wanted
