"""One answer that has begun, as events: what `attempt` found content in, until its last word.

Its server's bytes come from `connection`, its reader makes events of them. Here is how long the next word is waited
for, and what the fleet is told of how it went.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from llm_gateway.clock import Clock
from llm_gateway.errors import Fault, FaultKind
from llm_gateway.fleet.attempts import Plan
from llm_gateway.names import canonical
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.upstream.transport import Response
from llm_gateway.wire.collect import estimate_tokens
from llm_gateway.wire.neutral import Event, Piece

if TYPE_CHECKING:
    from llm_gateway.upstream.attempt import Asking, Attempt

LINGER = 0.05
"""Seconds that a finished answer's connection may take to come to rest."""
SLOWEST_HELD = 2.0
"""Characters per second below which what is kept back is no sign of life: half a token."""
MOST_BLANKS = 1_000
"""Frames of nothing but white space before an answer counts as none."""
Into = Callable[[Piece, float], bool]
"""Takes a piece at a time (seconds on the monotonic clock) and says whether it takes the next like that."""


def _nobody(_: Piece, __: float) -> bool:
    return False


class Stream:
    """One answer that has begun."""

    __slots__ = (
        *("_answers", "_checks_name", "_clock", "_fault", "_heard_at", "_holds", "_into", "_plan", "_reader", "_ready"),
        *("_response", "_stall", "attempt", "candidate", "empty", "first_sign_at", "notes"),
    )

    def __init__(self, clock: Clock, plan: Plan, attempt: Attempt, response: Response, asking: Asking) -> None:
        self.attempt = attempt
        self.candidate = attempt.candidate
        self.notes = asking.notes
        self._clock = clock
        self._plan = plan
        self._response = response
        self._reader = asking.reader
        self.first_sign_at = 0.0
        """When the first content was read that is kept back until it is whole (a tool call); 0 = there was none."""
        self.empty = False
        """It is complete, and there is nothing in it."""
        self._ready: list[Event] = []
        self._heard_at = 0.0
        """When the last content came."""
        self._holds = False
        """Was that content that is kept back?"""
        self._into: Into = _nobody
        """Of `pour`."""
        self._fault: Fault | None = None
        """What ended that."""
        self._answers = False
        """Has it come to the answer, or does it still think?"""
        self._checks_name = KINDS[self.candidate.spec.kind].echoes_model
        self._stall = plan.stall(self.candidate)

    @property
    def opening(self) -> str:
        """As `StreamReader.opening`: what the server said before the text, where no event shows it as it was."""
        return self._reader.opening

    async def find_content(self) -> None:
        """Reads until the first content. Raises Fault."""
        reader, deadline = self._reader, self._plan.deadline
        while True:
            held = reader.held
            if reader.fault is not None:  # it came in the same bytes as the events before
                raise reader.fault
            try:
                data = await self._response.read(deadline, FaultKind.TOTAL_TIMEOUT)
            except Fault as fault:
                data = _unless_cut(fault)
            events = self._events(data)
            self._ready = self._ready + events if self._ready else events
            if reader.held > held:
                now = self._clock.now()
                self.first_sign_at = self.first_sign_at or now
                if reader.held >= SLOWEST_HELD * (now - self.first_sign_at):
                    self._plan.speaks(self.candidate, now)
            for event in events:
                if type(event) is Piece and (event.thinking or event.tools or event.text.strip()):
                    return
            if reader.done and reader.may_be_empty:
                self.empty = True
                return  # nothing was missing, or the caller's own stop string came first
            if reader.done or frames_of(self._ready) > MOST_BLANKS:
                raise Fault(FaultKind.EMPTY, "an answer without content")

    async def next(self) -> list[Event]:
        """All events that are ready together, from the begin of the answer: pieces, and `Finish` as the very last.
        Empty after the end. Raises Fault when the server breaks the answer."""
        reader, events = self._reader, self._ready
        self._into = _nobody
        if events:
            self._ready = []
        elif not reader.done:
            # Content is waited for, not bytes: empty frames and comments do not end a silence, what is kept back does.
            # All in one coroutine with the rest: each that is inside another costs at each chunk.
            try:
                if self._fault is not None:
                    raise self._fault
                self._heard_at, self._holds = self._clock.now(), False
                until, late = self._patience()
                if self._heard_at >= until and late is FaultKind.STALLED:
                    raise Fault(FaultKind.STALLED, "it thinks without end")
                while not events:
                    if reader.fault is not None:
                        raise reader.fault
                    held = reader.held
                    try:
                        data = await self._response.read(until, late)
                    except Fault as fault:
                        data = _unless_cut(fault)
                    events = self._events(data)
                    if reader.held > held:
                        self._heard_at, self._holds = self._clock.now(), True
                        until, late = self._patience()
            except Fault as fault:
                self.attempt.ended(fault)
                raise
        self._given(events)
        if events and type(events[-1]) is not Piece:
            self.attempt.ended(None, complete=True)
        return events

    def pour(self, into: Into) -> Awaitable[None] | None:
        """Gives pieces to `into` the moment they come, without a turn of the loop for each, until that says False or
        something else than a piece of words comes. What that was, `next` tells. None: it is `next`'s turn now."""
        if self._ready or self._reader.done or self._reader.fault is not None:
            return None
        self._heard_at, self._holds = self._clock.now(), False
        self._into = into
        return self._response.pour(self._poured, self._patience)

    def _poured(self, data: bytes) -> bool:
        """Takes the next bytes; False: it is `next`'s turn."""
        try:
            piece = None if self._checks_name else self._reader.word(data)
            if piece is None and (piece := self._fed(data)) is None:
                return not self._ready
        except Fault as fault:
            self._fault = fault
            return False
        self._heard_at = now = self._clock.now()
        self.attempt.tokens += piece.frames
        if self._answers:
            return self._into(piece, now)
        self._answers = bool(piece.text.strip())
        held, self._holds = self._holds, False
        goes_on = self._into(piece, now)
        # with its first word, and with what is kept back, it has another time; a thought may last too long
        return goes_on and (self._answers or (not held and now < self._patience()[0]))

    def _fed(self, data: bytes) -> Piece | None:
        """The next bytes as a piece of words, if they are that; else what they are is `_ready`."""
        reader = self._reader
        held = reader.held
        events = self._events(data)
        if not events:
            if reader.held > held:
                self._heard_at, self._holds = self._clock.now(), True
            return None
        event = events[0]
        if len(events) == 1 and type(event) is Piece and not event.tools and reader.fault is None:
            return event
        self._ready = events
        return None

    def _patience(self) -> tuple[float, FaultKind]:
        """Until when the next content is waited for, and the fault when it does not come."""
        silence_ends, deadline = self._heard_at + self._stall, self._plan.deadline
        if not self._answers and not self._holds:
            silence_ends = min(silence_ends, self.attempt.first_content_at + self._plan.clocks.thinking)
        return (silence_ends, FaultKind.STALLED) if silence_ends < deadline else (deadline, FaultKind.TOTAL_TIMEOUT)

    def _given(self, events: list[Event]) -> None:
        """Counts what is given out."""
        for event in events:
            if type(event) is Piece:
                self.attempt.tokens += event.frames
                if event.tools:
                    self.attempt.tokens += sum(estimate_tokens(part.arguments) for part in event.tools)
                    self._answers = True
                elif not self._answers and event.text.strip():
                    self._answers = True

    def _events(self, data: bytes) -> list[Event]:
        """Those of the next bytes, none if they hold none; b"": the body is over."""
        reader = self._reader
        events = reader.feed(data) if data else reader.eof()
        if self._checks_name and (echoed := reader.echoed) is not None:
            asked = self.candidate.model
            if echoed != asked and canonical(echoed) != canonical(asked):
                raise Fault(FaultKind.WRONG_MODEL, f"asked for {asked}, answers as {echoed}")
            self._checks_name = False  # it is the first name that counts
        return events

    async def close(self) -> None:
        """Frees the server. A finished answer's connection is kept; any other is closed at once."""
        response = self._response
        try:
            if self._reader.done and not response.ended:  # the end of the body may trail that of the answer
                with suppress(Fault):
                    await response.read(self._clock.now() + LINGER)
        finally:
            self.abort()

    def abort(self) -> None:
        """The same without waiting for anything."""
        if not self.attempt.over:
            self.attempt.ended(None)
        if self._ready:  # what nobody asked for any more
            self.attempt.told.tokens += frames_of(self._ready)
            self._ready = []
        self._into = _nobody
        self._response.abort()


def frames_of(events: list[Event]) -> int:
    """How many frames they came in."""
    return sum([event.frames if type(event) is Piece else 1 for event in events])


def _unless_cut(fault: Fault) -> bytes:
    """The end of a body that was cut off: the terminal marker may have been read already, and that answer is complete.
    Any other fault is raised."""
    if fault.kind is not FaultKind.CUT:
        raise fault
    return b""
