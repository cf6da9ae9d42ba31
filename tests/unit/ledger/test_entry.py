"""One row, closed once, whatever ends the request."""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path
from uuid import UUID

import pytest

from llm_gateway.access.policy import MOST_NANOS, ApiKey, Caller, Price, Project, Trust
from llm_gateway.clock import Ids
from llm_gateway.errors import FaultKind, NoHealthyUpstream
from llm_gateway.fleet.candidate import Candidate
from llm_gateway.fleet.facts import ServerSpec
from llm_gateway.fleet.tries import Tries
from llm_gateway.ledger.entry import TAG, Entry
from llm_gateway.ledger.journal import Journal, read
from llm_gateway.wire.neutral import ChatRequest, Message, Usage

CALLER = Caller(Project("p" * 8, "legal"), ApiKey("k" * 8, "p" * 8, "ci", b"", "llmgw_abc", "wxyz"))


class Hand:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return 1_800_000_000.0 + self.time


class Book:
    def __init__(self, left: str | None = "client_closed") -> None:
        self.events: list[str] = []
        self.clock = Hand()
        self.entry = Entry(self, self.clock, UUID(int=7), CALLER, "/v1/chat", "theirs", left=lambda: left)

    def opened(self, entry: Entry) -> None:
        self.events.append("opened")

    def closed(self, entry: Entry) -> None:
        self.events.append("closed")

    @property
    def row(self) -> dict[str, object]:
        assert self.events.count("closed") == 1
        return self.entry.row()


async def test_an_answered_request_has_its_figures():
    book = Book()
    async with book.entry as entry:
        entry.goes_upstream()
        entry.asked(ChatRequest("law", [Message("user", "hi")], end_user="u1", correlation_id="c1"))
        entry.served_by("srv_1", "llama3.3:70b", "own")
        book.clock.time += 0.5
        entry.first_token()
        book.clock.time += 1.5
        entry.finished("stop", Usage(11, 22))
    row = book.row
    assert book.events == ["opened", "closed"]
    assert (row["outcome"], row["status"], row["error_code"]) == ("ok", 200, None)
    assert (row["ttft_ms"], row["latency_ms"]) == (500.0, 2000.0)
    assert (row["tokens_input"], row["tokens_output"]) == (11, 22)
    assert (row["model"], row["backend_model"], row["server_id"], row["tier"]) == (
        "law",
        "llama3.3:70b",
        "srv_1",
        "own",
    )
    assert (row["end_user"], row["correlation_id"], row["client_request_id"]) == ("u1", "c1", "theirs")


async def test_what_a_server_counts_beyond_all_measure_can_be_written_down(tmp_path: Path):
    book, journal = Book(), Journal(tmp_path / "j")
    async with book.entry as entry:
        entry.price = Price(1e9, 1e9)
        entry.finished("stop", Usage(2**31 - 1, 2**31 - 1))
    journal.closed(book.entry.id, book.entry.row())
    (record,) = read(journal.directory)
    assert record.row["cost_nanos"] == book.entry.cost == MOST_NANOS


async def test_a_typed_error_gives_the_row_its_status_and_code():
    book = Book()
    with pytest.raises(NoHealthyUpstream):
        async with book.entry:
            raise NoHealthyUpstream("nobody")
    assert (book.row["outcome"], book.row["status"], book.row["error_code"]) == ("error", 503, "no_healthy_upstream")


@pytest.mark.parametrize("leaving", [ConnectionError(), asyncio.CancelledError()])
async def test_a_client_that_leaves_before_a_status_was_sent_is_499(leaving: BaseException):
    book = Book()
    with pytest.raises(type(leaving)):
        async with book.entry:
            raise leaving
    assert (book.row["outcome"], book.row["status"], book.row["error_code"]) == ("client_closed", 499, "client_closed")


async def test_a_client_that_leaves_in_the_middle_keeps_the_status_that_was_sent():
    book = Book(left="client_too_slow")
    with pytest.raises(asyncio.CancelledError):
        async with book.entry as entry:
            entry.status = 200
            raise asyncio.CancelledError
    assert (book.row["outcome"], book.row["status"], book.row["error_code"]) == (
        "client_closed",
        200,
        "client_too_slow",
    )


async def test_a_request_that_the_end_of_the_gateway_cancels_is_an_error_of_ours():
    book = Book(left=None)
    with pytest.raises(asyncio.CancelledError):
        async with book.entry:
            raise asyncio.CancelledError
    assert (book.row["outcome"], book.row["error_code"]) == ("error", "server_shutting_down")


async def test_a_bug_is_an_internal_error_and_still_a_row():
    book = Book()
    with pytest.raises(ZeroDivisionError):
        async with book.entry:
            raise ZeroDivisionError
    assert (book.row["outcome"], book.row["status"], book.row["error_code"]) == ("error", 500, "internal_error")


async def test_a_client_that_leaves_after_the_answer_was_complete_changes_nothing():
    book = Book()
    with pytest.raises(asyncio.CancelledError):
        async with book.entry as entry:
            entry.finished("stop", Usage(1, 1))
            raise asyncio.CancelledError
    assert book.row["outcome"] == "ok"


def test_what_clients_choose_freely_is_cut():
    entry = Entry(Book(), Hand(), UUID(int=7), CALLER, "/v1/chat", "x" * 999)
    entry.asked(ChatRequest("m" * 999, [], correlation_id="c" * 999))
    row = entry.row()
    assert {len(str(row[name])) for name in ("client_request_id", "model", "correlation_id")} == {TAG}


def test_what_is_kept_of_a_request_until_it_is_shipped_is_no_work_for_the_garbage_collector():
    """Thousands of rows wait for the database when it is slow: dicts of plain values, which it never walks over."""
    entry, tries = Entry(Book(), Hand(), Ids()(), CALLER, "/v1/chat", "theirs"), Tries()
    server = ServerSpec("srv_1", "one", "http://one.test", "ollama", Trust.OWN, "here")
    entry.asked(ChatRequest("law", [Message("user", "hi")]))
    entry.goes_upstream(tries)
    tries.spoke = [tries.began(Candidate(server, "m"), 100.0, FaultKind.RESET, race=False, underway=False)]
    entry.finished("stop", Usage(1, 2))
    assert entry.failovers == 0
    assert entry.tries[0].given == 2
    if sys.version_info < (3, 14):  # from then on every dict is tracked
        assert not any(gc.is_tracked(row) for row in (entry.row(), entry.began_row(), *entry.told()))
