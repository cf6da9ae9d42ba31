"""Carries a plan out: opens attempts, lets the first one with content win, cancels and awaits the others.

Everything up to the first content is invisible to the client; from then on a `Stream` gives the events. Whatever
way a request ends (answer, error, client gone), no attempt is left running and every one has told the fleet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from llm_gateway.access.policy import Trust
from llm_gateway.clock import Clock
from llm_gateway.errors import Fault, FaultKind, InvalidRequest
from llm_gateway.fleet.attempts import Check, Clocks, GiveUp, Plan, Start
from llm_gateway.fleet.facts import AttemptEnded, AttemptStarted, Fact, FirstToken
from llm_gateway.fleet.fleet import Candidate, Fleet
from llm_gateway.names import canonical
from llm_gateway.upstream.guard import Guard
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.upstream.transport import Response, Transport
from llm_gateway.wire.faults import fault_of
from llm_gateway.wire.neutral import ChatRequest, Event, Json, Piece, StreamReader

ERROR_BODY = 65_536
"""Bytes read of a server's error answer."""
LINGER = 0.05
"""Seconds that a finished answer's connection may take to come to rest."""
CHECK_TIMEOUT = 5.0
"""Seconds that a silent server has to show on a second connection that it is alive."""


@dataclass(slots=True)
class Work:
    """What all attempts of one request share."""

    request: ChatRequest
    params: dict[str, Json]
    """The caller's parameters over the exposure's defaults."""
    plan: Plan


class Stream:
    """One answer that has begun: its first content is in hand."""

    def __init__(
        self, drive: Drive, plan: Plan, candidate: Candidate, response: Response, reader: StreamReader, began: float
    ) -> None:
        self.candidate = candidate
        self.first_content_at = 0.0
        self.tokens = 0
        self._drive = drive
        self._plan = plan
        self._response = response
        self._reader = reader
        self.began = began
        """When the attempt was started, seconds on the monotonic clock; as `first_content_at`."""
        self._ready: list[Event] = []
        self._told = False

    async def find_content(self) -> None:
        """Reads until the first content. Raises Fault for everything that is not the begin of an answer."""
        while True:
            events = await self._read(self._plan.deadline, FaultKind.TOTAL_TIMEOUT)
            self._ready += events
            if any(isinstance(e, Piece) and (e.thinking or e.tools or e.text.strip()) for e in events):
                self.first_content_at = self._drive.clock.now()
                return
            if self._reader.done:
                raise Fault(FaultKind.EMPTY, "a finished answer without content")

    async def _read(self, deadline: float, late: FaultKind) -> list[Event]:
        """The events of the next bytes, none if they hold none."""
        if self._reader.fault is not None:  # it came in the same bytes as the events before
            raise self._reader.fault
        try:
            data = await self._response.read(deadline, late)
        except Fault as fault:
            if fault.kind is not FaultKind.CUT:
                raise
            data = b""  # the terminal marker may have been read already: that answer is complete
        events = self._reader.feed(data) if data else self._reader.eof()
        self._check_name()
        return events

    def _check_name(self) -> None:
        echoed = self._reader.echoed
        checks = KINDS[self.candidate.spec.kind].echoes_model
        if checks and echoed is not None and canonical(echoed) != canonical(self.candidate.model):
            raise Fault(FaultKind.WRONG_MODEL, f"asked for {self.candidate.model}, answers as {echoed}")

    async def next(self) -> list[Event]:
        """All events that are ready together, from the begin of the answer: pieces, and `Finish` as the very last.
        Empty after the end. Raises Fault when the server breaks the answer."""
        events, self._ready = self._ready, []
        if not events and not self._reader.done:
            events = await self._more()
        for event in events:
            if isinstance(event, Piece):
                self.tokens += 1
            else:
                self.tell(None)
        return events

    async def _more(self) -> list[Event]:
        """Waits for content, not for bytes: empty frames and comments do not end the silence."""
        deadline = self._plan.deadline
        silence_ends = self._drive.clock.now() + self._plan.clocks.stall
        late = FaultKind.STALLED if silence_ends < deadline else FaultKind.TOTAL_TIMEOUT
        try:
            events: list[Event] = []
            while not events:
                events = await self._read(min(silence_ends, deadline), late)
        except Fault as fault:
            self.tell(fault)
            raise
        return events

    def tell(self, fault: Fault | None, *, cancelled: bool = False) -> None:
        """Tells the fleet how the attempt ended, once."""
        if self._told:
            return
        self._told = True
        now = self._drive.clock.now()
        spec = self.candidate.spec
        self._drive.apply(
            AttemptEnded(
                spec.id,
                self.candidate.model,
                now,
                fault=fault.kind if fault else None,
                detail=fault.detail if fault else "",
                cancelled=cancelled,
                tokens=self.tokens,
                seconds=now - self.first_content_at if self.first_content_at else 0.0,
                retry_after=fault.retry_after if fault else None,
            )
        )

    async def close(self) -> None:
        """Frees the server at once; an answer that was not read to its end is aborted."""
        self.tell(None, cancelled=True)
        if self._reader.done:
            await self._last_bytes()
        self._response.abort()

    async def _last_bytes(self) -> None:
        """The end of the body may trail the end of the answer by a moment; with it the connection can be kept."""
        with suppress(Fault):
            await self._response.read(self._drive.clock.now() + LINGER)


class Drive:
    """The only way of a request to the model servers."""

    def __init__(
        self,
        fleet: Fleet,
        transport: Transport,
        guard: Guard,
        clock: Clock,
        clocks: Clocks,
        told: Callable[[Fact], None] = lambda _: None,
    ) -> None:
        """`told` hears each fact after the fleet did (metrics, logs)."""
        self.fleet = fleet
        self.clock = clock
        self.clocks = clocks
        self._transport = transport
        self._guard = guard
        self._told = told
        self._freed: set[asyncio.Event] = set()

    def apply(self, fact: Fact) -> None:
        self.fleet.apply(fact)
        self._told(fact)
        if isinstance(fact, AttemptEnded):
            for event in self._freed:
                event.set()

    def plan(self, backends: tuple[str, ...], trust: frozenset[Trust], total: float | None = None) -> Plan:
        """A fresh plan over all permitted candidates; `total` (seconds) may lower the whole request's time."""
        now = self.clock.now()
        time = self.clocks.total if total is None else min(total, self.clocks.total)
        return Plan(self.fleet.shortlist(backends, trust, now), self.clocks, now, now + time, self.fleet.full)

    @asynccontextmanager
    async def open(self, work: Work) -> AsyncIterator[Stream]:
        """The first answer that has content. Raises a GatewayError when the plan gives up."""
        stream = await self._race(work)
        try:
            yield stream
        finally:
            await stream.close()

    async def _race(self, work: Work) -> Stream:
        plan = work.plan
        running: dict[asyncio.Task[Stream], Candidate] = {}
        checks: dict[asyncio.Task[bool], Candidate] = {}
        freed = asyncio.Event()
        self._freed.add(freed)
        winner: Stream | None = None
        try:
            while True:
                decision = plan.next(self.clock.now())
                match decision:
                    case Start(candidate):
                        task = asyncio.create_task(self._attempt(work, candidate), name=f"attempt {candidate.spec.id}")
                        running[task] = candidate
                        continue
                    case Check(candidate):
                        checks[asyncio.create_task(self._alive(candidate), name="check")] = candidate
                        continue
                    case GiveUp(error):
                        raise error
                await self._wait(decision.until, running, checks, freed)
                for check in [c for c in checks if c.done()]:
                    candidate = checks.pop(check)
                    if plan.checked(candidate, check.result(), self.clock.now()):
                        for task in [t for t, c in running.items() if c is candidate]:
                            await self._abandon(task)
                            del running[task]
                        fault = Fault(FaultKind.FIRST_TOKEN_TIMEOUT, "silent, and dead on a second connection")
                        plan.failed(candidate, fault)
                        self._blame(candidate, fault)
                for task in [t for t in running if t.done()]:
                    candidate = running.pop(task)
                    failure = task.exception()
                    if failure is None and winner is None:
                        winner = task.result()
                        plan.won(candidate)
                    elif failure is None:
                        await task.result().close()
                    elif isinstance(failure, Fault):
                        plan.failed(candidate, failure)
                    else:
                        raise failure
                if winner is not None:
                    return winner
        except BaseException:
            if winner is not None:
                await winner.close()
            raise
        finally:
            self._freed.discard(freed)
            for left in (*running, *checks):
                await self._abandon(left)

    async def _wait(
        self,
        until: float,
        running: dict[asyncio.Task[Stream], Candidate],
        checks: dict[asyncio.Task[bool], Candidate],
        freed: asyncio.Event,
    ) -> None:
        """Until an attempt or a check ended, a place became free (when nothing runs), or it is time."""
        timeout = max(0.0, until - self.clock.now())
        if running or checks:
            await asyncio.wait((*running, *checks), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            return
        freed.clear()
        try:
            async with asyncio.timeout(timeout):
                await freed.wait()
        except TimeoutError:
            pass

    @staticmethod
    async def _abandon(task: asyncio.Task[Any]) -> None:
        """Cancels and awaits; an attempt that won in the same instant is closed."""
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled() and task.exception() is None and isinstance(result := task.result(), Stream):
            await result.close()

    def _blame(self, candidate: Candidate, fault: Fault) -> None:
        """Lets the fleet know of a fault of an attempt that has been told as cancelled already."""
        now = self.clock.now()
        self.apply(AttemptStarted(candidate.spec.id, candidate.model, now))
        self.apply(AttemptEnded(candidate.spec.id, candidate.model, now, fault.kind, fault.detail))

    async def _attempt(self, work: Work, candidate: Candidate) -> Stream:
        spec, began = candidate.spec, self.clock.now()
        faults = work.plan.faults
        self.apply(AttemptStarted(spec.id, candidate.model, began, faults[-1][1].kind if faults else None))
        stream: Stream | None = None
        response: Response | None = None
        try:
            kind = KINDS[spec.kind]
            response = await self._send(work, candidate)
            if response.status != 200:
                raise await self._refusal(response)
            if "html" in response.headers.get("content-type", ""):
                raise Fault(FaultKind.NOT_THE_PROTOCOL, "an HTML page with status 200")
            stream = Stream(self, work.plan, candidate, response, kind.dialect.stream_reader(), began)
            await stream.find_content()
            self.apply(FirstToken(spec.id, candidate.model, stream.first_content_at, stream.first_content_at - began))
            return stream
        except BaseException as error:
            fault = error if isinstance(error, Fault) else None
            now = self.clock.now()
            self.apply(
                AttemptEnded(
                    spec.id,
                    candidate.model,
                    now,
                    fault=fault.kind if fault else None,
                    detail=fault.detail if fault else "",
                    cancelled=fault is None,
                    retry_after=fault.retry_after if fault else None,
                )
            )
            if response is not None:
                response.abort()
            raise

    async def _send(self, work: Work, candidate: Candidate) -> Response:
        spec = candidate.spec
        kind = KINDS[spec.kind]
        try:
            origin, base = self._guard.check_url(spec.url)
        except InvalidRequest as wrong:
            raise Fault(FaultKind.NOT_PERMITTED, wrong.message) from wrong
        body = kind.dialect.write_upstream(work.request, candidate.model, work.params)
        headers = kind.auth_headers(spec.api_key)
        return await self._transport.send(
            origin, "POST", base + kind.chat_path, headers, body, deadline=work.plan.deadline
        )

    async def _refusal(self, response: Response) -> Fault:
        """What an answer with another status than 200 says."""
        head = b""
        until = self.clock.now() + CHECK_TIMEOUT
        try:
            while len(head) < ERROR_BODY and (data := await response.read(until)):
                head += data
        except Fault:
            pass  # the status alone tells enough
        headers = response.headers
        kind, after = headers.get("content-type", ""), headers.get("retry-after")
        return fault_of(response.status, kind, head[:ERROR_BODY], retry_after=after)

    async def _alive(self, candidate: Candidate) -> bool:
        """Does a silent server answer a light question on another connection?"""
        kind = KINDS[candidate.spec.kind]
        try:
            origin, base = self._guard.check_url(candidate.spec.url)
            headers = kind.auth_headers(candidate.spec.api_key)
            until = self.clock.now() + CHECK_TIMEOUT
            response = await self._transport.send(origin, "GET", base + kind.alive_path, headers, b"", deadline=until)
        except (Fault, InvalidRequest):
            return False
        response.abort()
        return response.status < 500
