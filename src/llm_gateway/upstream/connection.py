"""One connection to a model server: a socket that carries one request and its answer at a time.

It keeps the time that `answer` does not know of, and bounds what waits unread. `ask` writes a request and returns when
the head is complete; `read` then gives the body as it comes. Each failure is one Fault, and after it (and after a
cancellation) the socket is closed at once.

Cheap by construction: bytes that are already here are returned without a future, and one lazily moved timer per
connection stands behind all deadlines (moving a deadline later, as every chunk does, touches no timer).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.upstream.answer import READ, Answer, Limits, Phase
from llm_gateway.upstream.guard import Origin

NEVER = float("inf")
PIECE = 64 * 1024
"""Bytes of a request handed to the socket's buffer at a time."""
LOOKS = 4
"""How often the progress of a write is looked at within its limit."""
EARLY = 0.001
"""Seconds: uvloop's timers count whole milliseconds, so they may ring that much early."""


class Connection(asyncio.Protocol):
    """Made by `dial`, kept by `Transport`. `on_gone` is called once, when the socket is closed."""

    __slots__ = (
        *("_asked", "_deadline", "_fruitless_looks", "_head_due", "_into", "_late", "_left_at_look", "_limits"),
        *("_look_at", "_loop", "_now", "_on_gone", "_patience", "_reading_paused", "_socket", "_timer", "_timer_at"),
        *("_transport", "_unsent", "_waiter", "_writing_paused", "answer", "closed", "gone", "origin", "resting"),
    )

    def __init__(
        self,
        limits: Limits,
        now: Callable[[], float],
        on_gone: Callable[[Connection], None],
        origin: Origin,
    ) -> None:
        self.origin = origin
        """Whose it is: for those who keep it."""
        self._limits = limits
        self._now = now
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._socket: asyncio.Transport
        """Below TLS, where what is left to write can be seen."""
        self.answer = Answer(limits)
        """Of now; its head is there when `ask` has returned."""
        self._asked = 0
        self.resting = True
        """No request is on it."""
        self.closed = False
        """Closing or closed: never to be used again."""
        self.gone = False
        """The socket itself is closed."""
        self._reading_paused = False
        # Waiting
        self._waiter: asyncio.Future[None] | None = None
        self._into: Callable[[bytes], bool] | None = None
        """Of `pour`, as the next."""
        self._patience: Callable[[], tuple[float, FaultKind]] | None = None
        self._deadline = NEVER
        """Of the wait of now."""
        self._late = FaultKind.STALLED
        """The fault at the deadline."""
        self._head_due = NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        # Writing
        self._unsent = memoryview(b"")
        self._writing_paused = False
        self._look_at = NEVER
        self._left_at_look = 0
        self._fruitless_looks = 0

    # --- For the transport ------------------------------------------------------------------------------------

    def secured(self, transport: asyncio.Transport) -> None:
        """From now on, speaks through TLS."""
        self._transport = transport

    async def ask(self, request: bytes, body: bytes, deadline: float, max_body: int) -> None:
        """Writes the request and returns when the head of the answer is here.

        Raises Fault: STALE when an answer came over this connection before and it closed before any byte of this
        one; FIRST_TOKEN_TIMEOUT at the deadline; and the others of a connection.
        """
        answer = self.answer
        if not self.closed:
            answer.begin(max_body)
            self.resting = False
            self._asked += 1
            self._write(request, body)
            waiter = self._waits(deadline, FaultKind.FIRST_TOKEN_TIMEOUT)
            try:  # as in `read`: a coroutine for both would cost at each turn of each stream
                await waiter
            except asyncio.CancelledError:
                self.abort()
                raise
            finally:
                self._waiter, self._deadline = None, NEVER
        if answer.phase is Phase.HEAD:
            raise answer.fault or Fault(FaultKind.RESET, "closed before the request")

    async def read(self, deadline: float, late: FaultKind) -> bytes:
        """The next of the body, at most `READ` bytes, waiting for some; b"" at its clean end. `late`: the fault at the
        deadline. Where more is here than that, others get their turn first."""
        answer = self.answer
        while not answer.buffered:
            if answer.fault is not None:
                raise answer.fault
            if answer.phase is Phase.DONE:
                return b""
            waiter = self._waits(deadline, late)
            try:
                await waiter
            except asyncio.CancelledError:
                self.abort()
                raise
            finally:
                self._waiter, self._deadline = None, NEVER
        data = answer.take()
        if answer.buffered:
            await self._let_others()
        elif self._reading_paused:
            self._resume_reading()
        return data

    async def pour(self, into: Callable[[bytes], bool], patience: Callable[[], tuple[float, FaultKind]]) -> None:
        """Hands what comes of the body to `into` the moment it comes: no future, no task and no turn of the loop for
        each chunk. Returns when `into` has said False, or when there is something for `read`: the end, a fault, more
        than it gives at a time. What `into` raises is raised here.

        `patience`: the deadline and the fault then; when that has passed it is asked for another one."""
        answer = self.answer
        if answer.buffered or answer.fault is not None or answer.phase is not Phase.BODY:
            return
        waiter = self._waits(*patience())
        self._into, self._patience = into, patience
        try:
            await waiter
        except asyncio.CancelledError:
            self.abort()
            raise
        finally:
            self._waiter, self._deadline, self._into, self._patience = None, NEVER, None, None

    def rest(self) -> bool:
        """Goes idle if another request may follow on this connection; else closes it and returns False."""
        answer = self.answer
        if self.closed or answer.phase is not Phase.DONE or not answer.keep_alive or self._unwritten():
            self.abort()
            return False
        if self._reading_paused:
            self._resume_reading()
        if answer.buffered:
            answer.drop_body()
        self.resting = True
        self._deadline = deadline = self._now() + self._limits.idle
        if self._timer is None or deadline < self._timer_at:
            self._ring_at(deadline)
        return True

    def abort(self) -> None:
        """Closes the socket at once, so that the server sees it; what is already here can still be read."""
        if not self.closed:
            self.closed = True
            self._transport.abort()

    # --- What asyncio calls -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        answer = self.answer
        into, waiter = self._into, self._waiter
        if into is not None and waiter is not None and not waiter.done():
            self._look_at = NEVER
            body = answer.passes(data)
            if not body and answer.fault is None and answer.phase is Phase.BODY and answer.buffered <= READ:
                body = answer.take()  # several chunks of it, or none
                if not body:
                    return
            try:
                if body and into(body):
                    return
            except Exception as error:  # the task that waits has to know
                waiter.set_exception(error)
                return
            if answer.fault is not None:
                self.abort()
            elif answer.buffered > self._limits.buffer_bytes:
                self._pause_reading()
            waiter.set_result(None)
            return
        phase = answer.phase
        if self.resting or phase is Phase.DONE:
            answer.fail(FaultKind.BAD_HTTP, "bytes that answer no request")
            self.abort()
            return
        answer.feed(data)
        if answer.fault is not None:
            self._stop()
        elif answer.phase is Phase.HEAD:
            if not answer.head_begun:
                self._head_due = NEVER
            elif self._head_due == NEVER:
                self._head_due = self._now() + self._limits.head
                self._ring_at(self._head_due)
        else:
            self._head_due = self._look_at = NEVER
            if answer.buffered > self._limits.buffer_bytes and not self._reading_paused:
                self._pause_reading()
            if waiter is not None and (answer.buffered or answer.phase is not phase) and not waiter.done():
                waiter.set_result(None)  # as `_wake`, without a call for each chunk

    def eof_received(self) -> None:
        # Inside TLS both loops call this also when the goodbye (close_notify) is missing, so a body without any
        # framing may have been cut there unseen; the terminal marker of the stream above it still shows that.
        self._ended(None, clean=True)
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = self.gone = True
        self._ended(exc, clean=False)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.answer.drop()
        self._on_gone(self)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._write_more()

    def _ended(self, exc: Exception | None, *, clean: bool) -> None:
        if not self.resting:
            self.answer.end(exc, clean=clean, kept=self._asked > 1)
            self._wake()

    def _stop(self) -> None:
        """After a fault."""
        self.abort()
        self._wake()

    def _pause_reading(self) -> None:
        self._reading_paused = True
        self._transport.pause_reading()

    def _resume_reading(self) -> None:
        self._reading_paused = False
        if not self.closed:
            self._transport.resume_reading()

    # --- Waiting ----------------------------------------------------------------------------------------------

    def _waits(self, deadline: float, late: FaultKind) -> asyncio.Future[None]:
        """Done when there is news, or when a deadline made some. Who waits for it forgets both afterwards, and closes
        the connection when the wait was cancelled."""
        self._deadline, self._late = deadline, late
        if self._timer is None or deadline < self._timer_at:
            self._ring_at(deadline)
        self._waiter = waiter = self._loop.create_future()
        return waiter

    async def _let_others(self) -> None:
        """One turn of the loop. A cancelled one closes the connection, as a cancelled wait does."""
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.abort()
            raise

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _ring_at(self, at: float) -> None:
        """Makes sure that the timer rings by then; one that rings earlier finds nothing due and is set anew."""
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        elif at == NEVER:
            return
        self._timer_at = at
        self._timer = self._loop.call_later(max(0.0, at - self._now()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self.closed:
            return
        now = self._now() + EARLY
        if self.resting:
            if now >= self._deadline:
                self.abort()
        elif self._waiter is not None and not self._waiter.done():
            self._look(now)
        if not self.closed:
            self._ring_at(min(self._deadline, self._head_due, self._look_at))

    def _look(self, now: float) -> None:
        """Finds what took too long."""
        if now >= self._look_at:
            self._look_at_write(now)
        if now >= self._deadline and self._patience is not None:
            self._deadline, self._late = self._patience()
        if now >= self._deadline:
            self.answer.fail(self._late, "the deadline passed")
        elif now >= self._head_due:
            self.answer.fail(FaultKind.HEAD_TIMEOUT, f"the head took more than {self._limits.head:g} s")
        if self.answer.fault is not None:
            self._stop()

    # --- Writing ----------------------------------------------------------------------------------------------

    def _write(self, request: bytes, body: bytes) -> None:
        if len(body) <= PIECE:
            self._transport.write(request + body)
            left = self._socket.get_write_buffer_size()
        else:
            self._transport.write(request)
            self._unsent = memoryview(body)
            self._write_more()
            left = self._unwritten()
        self._left_at_look = left
        if left:
            self._fruitless_looks = 0
            self._look_at = self._now() + self._limits.write / LOOKS
            self._ring_at(self._look_at)

    def _write_more(self) -> None:
        while self._unsent and not (self._writing_paused or self.closed):
            piece, self._unsent = self._unsent[:PIECE], self._unsent[PIECE:]
            self._transport.write(piece)

    def _unwritten(self) -> int:
        return len(self._unsent) + self._socket.get_write_buffer_size()

    def _look_at_write(self, now: float) -> None:
        left = self._unwritten()
        self._fruitless_looks = self._fruitless_looks + 1 if left == self._left_at_look else 0
        self._left_at_look = left
        self._look_at = now + self._limits.write / LOOKS if left else NEVER
        if left and self._fruitless_looks >= LOOKS:
            self.answer.fail(FaultKind.WRITE_TIMEOUT, f"{left} bytes of the request are left, none was taken")
