"""What happens, as it happens, for pages that stay open: server-sent events from memory, never from the database.

One task looks for all readers, and only while there are any, so that a request costs the same whether anybody looks on
or not. What ends in other processes that share a Redis is told as well (`shared.sight`). A reader that does not keep up
is let go; it comes again with `Last-Event-ID`, and is told what it missed as far as that is still here. One whose
session was ended is let go at once, by another process within seconds.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Final

import msgspec
import structlog
from fastapi import Header, Request
from fastapi.responses import StreamingResponse

from llm_gateway.errors import DatabaseUnavailable, Overloaded, ShuttingDown
from llm_gateway.gateway import ENDED
from llm_gateway.ledger.journal import Row
from llm_gateway.running import Running
from llm_gateway.service.timeline import Change
from llm_gateway.shared.seen import Ended, since
from llm_gateway.web import cookies
from llm_gateway.web.admin.common import admin_router, when
from llm_gateway.web.admin.live import InFlightList, in_flight
from llm_gateway.web.admin.request_view import names_of, request_view
from llm_gateway.web.operators import presented_token
from llm_gateway.web.signed_in import SignedIn

TICK: Final = 0.2
"""Seconds between looks for what has ended."""
INFLIGHT: Final = 1.0
"""Seconds, at least, between two lists of what is in flight."""
LISTED: Final = 200
"""Requests of such a list."""
SILENCE: Final = 15.0
"""Seconds without a word after which a comment says that the connection is alive."""
READERS: Final = 50
BEHIND: Final = 256
BEHIND_BYTES: Final = 2 * 2**20
"""Messages, and bytes of them, that wait for a reader before it is let go."""
HEARTBEAT: Final = b": still here\n\n"

router = admin_router("live")
log = structlog.get_logger(__name__)


class Events(StreamingResponse):
    """Server-sent events (HTML, section 9.2)."""

    media_type = "text/event-stream"


class Reader:
    """One open page."""

    def __init__(self, cookie: str | None = None) -> None:
        self.cookie = cookie
        """Of the session that it was opened with; None: by the admin token."""
        self.ended = False
        self._waiting: deque[bytes] = deque()
        self._size = 0
        """Bytes of them."""
        self._news = asyncio.Event()

    def tell(self, message: bytes) -> None:
        """Never waits."""
        if self.ended:
            return
        if self._waiting and (len(self._waiting) >= BEHIND or self._size >= BEHIND_BYTES):
            self._waiting.clear()
            self.end("slow")
        else:
            self._waiting.append(message)
            self._size += len(message)
            self._news.set()

    def end(self, reason: str) -> None:
        if not self.ended:
            self.ended = True
            self._waiting.append(event("end", {"reason": reason}))
            self._news.set()

    async def next(self) -> bytes:
        """All that is new, waiting for some, or for as long as nobody should be left without a word; b"" at the end."""
        if not self._waiting and not self.ended:
            self._news.clear()
            try:
                async with asyncio.timeout(SILENCE):
                    await self._news.wait()
            except TimeoutError:
                return HEARTBEAT
        told = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        return told


class Feed:
    """All readers of a process."""

    def __init__(self, running: Running, signed_in: SignedIn) -> None:
        self._running = running
        self._signed_in = signed_in
        self._sessions_ended = 0
        """As `SignedIn.ended`, when it was looked at last."""
        self._readers: set[Reader] = set()
        self._task: asyncio.Task[None] | None = None
        self._last: Row | None = None
        """The latest row of this process that was told."""
        self._changes = 0
        """Changes of servers that were told."""
        self._inflight: object = None
        """What the latest list was about."""
        self._gap = False
        """More rows have come at once than are kept."""

    @property
    def readers(self) -> int:
        return len(self._readers)

    def admit(self) -> None:
        """May one more be opened? Raises ShuttingDown, Overloaded."""
        if self._running.gateway.draining:
            raise ShuttingDown("The gateway is shutting down; ask again in a moment.", retry_after=2)
        if len(self._readers) >= READERS:
            raise Overloaded(f"{READERS} readers follow this gateway already.", retry_after=10)

    async def look(self) -> None:
        """Before one more is opened: waits a moment for what other processes have to tell."""
        if (sight := self._running.others.sight) is not None:
            await sight.look(rows=True)

    def open(self, last: str | None, cookie: str | None) -> Reader:
        """A new reader, with a greeting. `last`: the id of the event that it knows already; `cookie`: as `Reader`."""
        if self._readers:
            self._tell_news()
        else:
            self._skip()
        reader = Reader(cookie)
        reader.tell(self._hello(last))
        self._readers.add(reader)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="live feed")
        return reader

    def close(self, reader: Reader) -> None:
        self._readers.discard(reader)

    async def _run(self) -> None:
        """While anybody reads."""
        listed, clock = 0.0, self._running.gateway.clock
        reason = "failed"
        try:
            while self._readers:
                await asyncio.sleep(TICK)
                if self._running.gateway.draining:
                    reason = "draining"
                    return
                if (sight := self._running.others.sight) is not None:
                    sight.keep(rows=True)
                await self._let_go()
                self._tell_news()
                if (now := clock.now()) - listed >= INFLIGHT:
                    listed = now
                    self._tell_in_flight()
        except Exception:  # the outermost edge: readers come again
            log.exception("live_feed_failed")
        finally:
            for reader in self._readers:
                reader.end(reason)
            self._readers.clear()

    async def _let_go(self) -> None:
        """Readers whose session is over. The database is asked only when some session was ended."""
        if self._sessions_ended == self._signed_in.ended:
            return
        self._sessions_ended = self._signed_in.ended
        for reader in tuple(self._readers):
            if reader.cookie is not None and not await self._is_signed_in(reader.cookie):
                reader.end("signed_out")
                self._readers.discard(reader)

    async def _is_signed_in(self, cookie: str) -> bool:
        try:
            return await self._signed_in.look(cookie) is not None
        except DatabaseUnavailable:  # of a session that was ended here; the others are known
            return False

    def _tell(self, message: bytes) -> None:
        for reader in tuple(self._readers):
            reader.tell(message)
            if reader.ended:
                self._readers.discard(reader)

    def _skip(self) -> None:
        ended = self._running.gateway.ended
        self._last = ended[-1] if ended else None
        self._changes = self._running.timeline.changed
        self._elsewhere()
        self._inflight, self._gap = None, False

    def _tell_news(self) -> None:
        """What has ended, and which servers are in another state, since the last look."""
        here, whole = since(self._running.gateway.ended, self._last, ENDED)
        self._gap = self._gap or not whole
        if here:
            self._last = here[-1]
        new = sorted((*here, *self._elsewhere()), key=_end)
        if new and not self._gap:
            names = names_of(self._running)
            for row in new:
                self._tell(event("request", request_view(row, names), row["id"]))
        timeline = self._running.timeline
        for change in timeline.new(self._changes):
            self._tell(event("server", _changed(change)))
        self._changes = timeline.changed

    def _tell_in_flight(self) -> None:
        if self._gap:  # there is no telling them one by one
            self._gap = False
            self._tell(self._hello(None))
        listed = in_flight(self._running, LISTED)
        if (about := _about(listed)) != self._inflight:
            self._inflight = about
            self._tell(event("inflight", listed))

    def _elsewhere(self) -> list[Ended]:
        """What has ended in other processes since the last look."""
        if (sight := self._running.others.sight) is None:
            return []
        self._gap = self._gap or sight.seen.gap
        sight.seen.gap = False
        return sight.seen.take()

    def _hello(self, last: str | None) -> bytes:
        """The latest rows, oldest first: those behind `last`, where that is still here."""
        sight = self._running.others.sight
        rows: list[Mapping[str, Any]] = list(self._running.gateway.ended)
        if sight is not None:
            rows = sorted((*rows, *sight.seen.rows()), key=_end)[-ENDED:]
        at = next((n for n, row in enumerate(rows) if row["id"] == last), None)
        behind = rows if at is None else rows[at + 1 :]
        names = names_of(self._running)
        gateway = self._running.gateway
        now = gateway.clock.now()
        hello = {
            "requests": [request_view(row, names) for row in behind],
            "resumed": at is not None,
            "in_flight": in_flight(self._running, LISTED),
            "servers": dict(Counter(server.state(now) for server in gateway.fleet.servers.values())),
        }
        return event("hello", hello, rows[-1]["id"] if rows else None)


@router.get("/feed", response_class=Events, summary="What happens, as it happens: server-sent events")
async def follow(
    request: Request,
    last_event_id: Annotated[str | None, Header(description="Of the event that was seen last.")] = None,
) -> Events:
    """`hello`: the latest rows (`requests`, oldest first; `resumed`: those after `Last-Event-ID`), what is in flight,
    and how many servers are in which state; it comes again when more has ended at once than is kept, and then replaces
    what was told. `request`: a row as in `GET /admin/api/requests`. `inflight`: as `GET /admin/api/live`, at most once
    a second. `server`: one is in another state. `end`: this reader is let go (`reason`: `slow`, `draining`,
    `signed_out`).

    Rows of all processes that share a Redis, in the order of their ends as far as the hosts' clocks agree. After
    `Last-Event-ID` none comes twice; one of another process that ended in the second before that row may be left out
    (the log has it), and so may those of a process that was out of reach of Redis."""
    feed: Feed = request.app.state.feed
    await feed.look()
    feed.admit()
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    cookie = None if presented_token(request.scope["headers"]) else cookies.presented(request)
    return Events(_told(feed, last_event_id, cookie), headers=headers)


async def _told(feed: Feed, last: str | None, cookie: str | None) -> AsyncIterator[bytes]:
    reader = feed.open(last, cookie)  # here: what was never begun is never closed
    try:
        while data := await reader.next():
            yield data
    finally:
        feed.close(reader)


def event(name: str, data: Any, id: str | None = None) -> bytes:
    head = f"id: {id}\nevent: {name}\n" if id is not None else f"event: {name}\n"
    return head.encode() + b"data: " + msgspec.json.encode(data) + b"\n\n"


def _changed(change: Change) -> dict[str, Any]:
    return {
        "id": change.server,
        "name": change.name,
        "state": change.spell.state,
        "before": change.before,
        "reason": change.spell.reason,
        "at": when(change.spell.begin),
    }


def _end(row: Mapping[str, Any]) -> float:
    """Unix seconds."""
    end: float = row["timestamp"] + row["latency_ms"] / 1000
    return end


def _about(listed: InFlightList) -> object:
    """What of a list is news: not that time goes by."""
    return (
        listed["total"],
        listed["workers"],
        [
            (row["request_id"], row["phase"], row["server"], row["attempts"], row["tokens_output"])
            for row in listed["data"]
        ],
    )
