"""The queues of the models, as the drive uses them: a request waits for its turn, and its turn is a place.

`fleet.queue` decides who is next; here are the futures that tell them. A place is taken at the very moment it is
granted, so that nobody who comes in between can take it, and it is given back when the one who waited has left.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final, Protocol

from llm_gateway.access.policy import Trust
from llm_gateway.errors import QueueFull
from llm_gateway.fleet.attempts import Plan
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.fleet.queue import ModelQueue, Waiting
from llm_gateway.names import unpinned
from llm_gateway.upstream.attempt import Attempt, Parts

LOOK_AGAIN: Final = 0.5
"""Seconds after which a queue is looked at again though nothing was heard: rests end without a word."""
MOST_LINES: Final = 1_000
"""Models that are kept in mind though nobody waits for them: strangers list as many names as they like."""
EVERYBODY: Final = frozenset(Trust)


class Places(Parts, Protocol):
    """What the lines need of the drive."""

    fleet: Fleet


@dataclass(slots=True)
class _Turn:
    """A request that waits for a place."""

    plan: Plan
    granted: asyncio.Future[Attempt]


@dataclass(slots=True)
class Line:
    """The queue of one model."""

    whole: Ask
    """For the model, whatever the trust."""
    queue: ModelQueue[_Turn] = field(default_factory=ModelQueue)
    served_at: float = 0.0

    def crowded(self) -> bool:
        return self.queue.size > 0


class Lines:
    """One line for each model that was asked for."""

    def __init__(self, drive: Places) -> None:
        self._drive = drive
        self._lines: dict[str, Line] = {}
        self.joined = 0
        """Requests that wait, in whichever."""

    def of(self, ask: Ask) -> Line:
        """The line of the model that is preferred. Who pins it to a digest waits with all others: the servers are the
        same."""
        line = self._lines.get(ask.backends[0])  # most names come in their canonical form
        return line if line is not None else self._line(unpinned(ask.backends[0]))

    def _line(self, name: str) -> Line:
        line = self._lines.get(name)
        if line is None:
            if len(self._lines) >= MOST_LINES:
                self._lines = {name: line for name, line in self._lines.items() if not line.queue.idle}
            line = self._lines[name] = Line(Ask((name,), EVERYBODY))
        return line

    def waiting(self) -> int:
        """Requests in all of them."""
        return sum(len(line.queue) for line in self._lines.values())

    def serve(self) -> None:
        """Something has changed: there may be places."""
        for line in self._lines.values():
            self._serve(line)

    async def place(self, plan: Plan, until: float) -> Attempt | None:
        """An attempt that has its place; None when the time is over. Raises a GatewayError when the queue is full."""
        clock, line = self._drive.clock, self.of(plan.ask)
        turn = _Turn(plan, asyncio.get_running_loop().create_future())
        waiting = self._join(line, turn, until)
        self.joined += 1
        try:
            self._serve(line)
            while not turn.granted.done() and (left := until - clock.now()) > 0:
                await asyncio.wait((turn.granted,), timeout=min(left, LOOK_AGAIN))
                if clock.now() >= line.served_at + LOOK_AGAIN:
                    self._serve(line)
            return turn.granted.result() if turn.granted.done() else None
        except asyncio.CancelledError:
            if turn.granted.done() and turn.granted.exception() is None:
                turn.granted.result().ended(None)
            raise
        finally:
            self.joined -= 1
            line.queue.leave(waiting)

    def _join(self, line: Line, turn: _Turn, until: float) -> Waiting[_Turn]:
        plan, ask, now = turn.plan, turn.plan.ask, self._drive.clock.now()
        needs = (plan.pool, ask.backends, ask.trust, ask.needs, frozenset(plan.tried))
        tokens = float(ask.prompt_tokens + ask.answer_tokens)
        waiting = Waiting(turn, ask.project, needs, tokens, until)
        try:
            outcast = line.queue.join(waiting, self._capacity(line, now), now, ahead=plan.attempts > 0 or plan.underway)
        except QueueFull as full:
            raise plan.refused(full, now) from full
        if outcast is not None and not outcast.item.granted.done():
            outcast.item.granted.set_exception(outcast.item.plan.refused(line.queue.full(now), now))
        return waiting

    def _serve(self, line: Line) -> None:
        if line.crowded():
            now = line.served_at = self._drive.clock.now()
            line.queue.serve(self._grant, self._capacity(line, now), now)

    def _capacity(self, line: Line, now: float) -> int:
        return self._drive.fleet.capacity(line.whole, now)

    def _grant(self, turn: _Turn) -> bool:
        """Takes a place for a request that waits; also True for one that does not wait any more."""
        if turn.granted.done():
            return True
        candidate = turn.plan.place(self._drive.clock.now())
        if candidate is None:
            return False
        turn.granted.set_result(Attempt(self._drive, turn.plan, candidate))
        return True
