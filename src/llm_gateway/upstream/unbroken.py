"""A stream that goes on when its server does not: the one a client reads, whoever speaks in it.

Where an answer may be continued (`fleet.splice`) and somebody can do it, a break is a pause. Where not, the fault
comes through, and the client gets a typed error. A stream that has become far too slow moves the same way, and stays
where it is when nobody takes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

from msgspec.structs import replace

from llm_gateway.errors import Fault, FaultKind, GatewayError
from llm_gateway.fleet.attempts import Plan
from llm_gateway.fleet.candidate import Candidate
from llm_gateway.fleet.pace import Pace, faster
from llm_gateway.fleet.splice import MOST_CONTINUATIONS, joinable, unsafe
from llm_gateway.fleet.twins import Twins, twins, voice_of
from llm_gateway.names import canonical
from llm_gateway.upstream.drive import Drive, Stream, Work
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.upstream.resume import Resumed, goes_as_prompt
from llm_gateway.upstream.stream import Into
from llm_gateway.wire.checked import all_given
from llm_gateway.wire.collect import Meter
from llm_gateway.wire.neutral import Event, Finish, Piece, Spliced, Usage

ROUNDS: Final = 3
"""How often all are asked for the rest of an answer, as long as somebody only stumbles."""
PAUSE: Final = 0.1
"""Seconds between the first two rounds, doubled after."""
FIRST_LOOK: Final = 2.5
"""Seconds that a broken stream waits for the first look at its server: all are looked at within two of the start."""
STUMBLES: Final = frozenset({FaultKind.CUT, FaultKind.RESET, FaultKind.REFUSED, FaultKind.SERVER_ERROR, FaultKind.BUSY})
"""What may go well a moment later."""
LONGEST_END: Final = 128
"""Characters that each further word is added to. A list of the words takes several times the memory of their text."""
NO_GOOD: Final = frozenset({FaultKind.UNFIT, FaultKind.LOOP, FaultKind.PROMPT_CUT, FaultKind.WRONG_MODEL})
"""What was said is wrong, not only unfinished: it is no begin of anything, and all its tokens make it no answer."""


class unbroken:
    """As `Drive.open`. `continues` False: the first break is the end of it; so is one before `least` tokens."""

    __slots__ = ("_continues", "_drive", "_least", "_stream", "_work")

    def __init__(self, drive: Drive, work: Work, *, continues: bool, least: int = 0) -> None:
        self._drive = drive
        self._work = work
        self._continues = continues
        self._least = least

    async def __aenter__(self) -> Unbroken:
        stream = await self._drive.answer(self._work)
        self._stream = Unbroken(self._drive, self._work, stream, self._continues, self._least)
        return self._stream

    def __aexit__(self, *_: object) -> Awaitable[None]:
        return self._stream.close()


class Unbroken:
    """`next` as of `Stream`; `candidate` and `attempt` are those of the first server."""

    __slots__ = (
        *("_broke", "_drive", "_ended", "_finished", "_into", "_least", "_opening", "_pace", "_safe", "_stream"),
        *("_text", "_text_end", "_thinking", "_thinking_end", "_tired", "_tokens_before", "_voice", "_work"),
        *("attempt", "candidate", "meter", "notes", "servers", "spoke"),
    )

    def __init__(self, drive: Drive, work: Work, stream: Stream, continues: bool, least: int) -> None:
        self.candidate = stream.candidate
        self.attempt = stream.attempt
        self.notes = stream.notes
        """What of the caller's wishes the first server's model could not have."""
        self.meter = Meter()
        """Counts what was given out, whoever said it."""
        self.servers = [stream.candidate.spec.id]
        """Opaque ids, in the order in which they spoke."""
        self.spoke = [stream.attempt.told]
        """Their attempts."""
        self._drive = drive
        self._work = work
        self._stream = stream
        self._voice = voice_of(drive.fleet, stream.candidate)
        self._least = least
        self._safe = continues and bool(work.trust) and unsafe(work.request) is None
        self._opening = ""
        """A thought that the first server wrote into its text, as it wrote it. Nobody else's model wrote one."""
        self._text: list[str] = []
        """What was said, but for its end."""
        self._text_end = ""
        self._thinking: list[str] = []
        self._thinking_end = ""
        self._tokens_before = 0
        """What the server of now was given of the answer, in tokens."""
        self._broke: dict[str, int] = {}
        """Server -> how often it broke this answer."""
        self._ended: set[str] | None = None
        self._pace = Pace(drive.clocks.slow_span)
        self._into: Into
        """Of `pour`."""
        self._finished = False
        self._tired = False
        """The server of now is far too slow, and there is a faster one."""

    @property
    def continuations(self) -> int:
        return len(self.servers) - 1

    def close(self) -> Awaitable[None]:
        """As `Stream.close`, of the stream of now."""
        return self._stream.close()

    async def next(self) -> list[Event]:
        """All events that are ready together, none after the end. Raises Fault when the answer broke and nobody
        could go on with it."""
        if self._finished:
            return []
        if self._tired:
            self._tired = False
            await self._move()
        while True:
            try:
                events = await self._stream.next()
            except Fault as fault:
                server = self._stream.candidate.spec.id
                self._broke[server] = self._broke.get(server, 0) + 1
                if fault.kind in NO_GOOD:
                    raise
                if self._full():
                    self._finished = True
                    return [self._summed(Finish("length"))]
                await self._carry_on(fault)
                continue
            finish = events[-1] if events else None
            if isinstance(finish, Finish):
                self.meter.add_all(events)
                self._finished = True
                if len(self.servers) > 1:
                    events[-1] = self._summed(finish)
            elif finish is not None:
                self._given(events, self._drive.clock.now())
            return events

    def pour(self, into: Into) -> Awaitable[None] | None:
        """As `Stream.pour`: `next` goes on where it ends."""
        if self._finished or self._tired:
            return None
        self._into = into
        return self._stream.pour(self._poured)

    def _poured(self, piece: Piece, now: float) -> bool:
        self.meter.add(piece)
        if self._safe:
            self._keep(piece)
            if (rate := self._pace.passed(piece.frames, now)) is not None:
                self._crawls(rate)
        return self._into(piece, now) and not self._tired

    def _given(self, events: list[Event], now: float) -> None:
        """Remembers pieces that are given out."""
        before = self.meter.pieces
        self.meter.add_all(events)
        if self._safe:
            for event in events:
                if type(event) is Piece:
                    self._keep(event)
            if (rate := self._pace.passed(self.meter.pieces - before, now)) is not None:
                self._crawls(rate)

    def _keep(self, piece: Piece) -> None:
        """Remembers what it says."""
        if self._ended:
            self._ended.clear()
        self._text_end += piece.text
        if len(self._text_end) > LONGEST_END:
            self._text.append(self._text_end)
            self._text_end = ""
        if piece.thinking:
            self._thinking_end += piece.thinking
            if len(self._thinking_end) > LONGEST_END:
                self._thinking.append(self._thinking_end)
                self._thinking_end = ""
        if piece.tools:  # nobody offered any: whatever it is, it is not text
            self._safe = False

    def _crawls(self, rate: float) -> None:
        """The server of now is far too slow."""
        self._tired = self.continuations < MOST_CONTINUATIONS and self._has_faster(rate)

    def _said(self) -> str:
        """The answer as its model knows it: with a thought that stood before the text. "" when there is only that."""
        self._opening = self._opening or self._stream.opening
        text = "".join(self._text) + self._text_end
        return self._opening + text if text.strip() else ""

    def _full(self) -> bool:
        """Were all tokens given out that the caller allows? Then only the last frame was lost, and it said so. A piece
        is a token or more."""
        return self._safe and all_given(self.meter.pieces, self.meter.size, self._work.limit)

    def _summed(self, finish: Finish) -> Finish:
        """The last server saw what was said before as a part of its prompt, and reports only its own part."""
        prompt = finish.usage.input - self._tokens_before if finish.usage else 0
        spliced = Spliced(self.continuations, list(self.servers)) if self.continuations else None
        return Finish(finish.reason, Usage(max(0, prompt), 0), spliced)

    async def _carry_on(self, fault: Fault) -> None:
        """Puts another stream in the place of the broken one. Raises `fault` when there is none."""
        text = self._said()
        if not self._safe or self.continuations >= MOST_CONTINUATIONS or not joinable(text):
            raise fault
        if self.meter.tokens < self._least:
            raise fault
        await self._stream.close()  # the broken one: its server is told, its connection gone
        await self._identify()
        await self._replace(text, fault, self._candidates())

    async def _identify(self) -> None:
        """A stream may begin, and break, before its server has been looked at: until then nobody knows its twins."""
        drive, until = self._drive, self._drive.clock.now() + FIRST_LOOK
        while self._voice.digest is None and not KINDS[self._voice.kind].may_lack_list:
            self._voice = voice_of(drive.fleet, self.candidate)
            if self._voice.digest is not None or drive.clock.now() >= until:
                return
            await asyncio.sleep(PAUSE)

    async def _move(self) -> None:
        """To a faster server; the slow one is kept until that one speaks."""
        text = self._said()
        slow = self._stream.candidate
        others = [c for c in self._candidates() if c.spec.id != slow.spec.id]
        if joinable(text):
            try:
                await self._replace(text, Fault(FaultKind.STALLED, "far too slow"), others)
            except Fault:
                self._pace = Pace(self._drive.clocks.slow_span)

    async def _replace(self, text: str, fault: Fault, candidates: list[Candidate]) -> None:
        """Asks for the rest of `text`, in rounds: a server that only stumbled is asked again. Raises `fault`."""
        drive, work, began = self._drive, self._work, self._drive.clock.now()
        ask = replace(work.plan.ask, backends=(self.candidate.model,))
        for n in range(ROUNDS):
            faults = [(self._stream.candidate, fault)]
            plan = Plan(
                Twins(drive.fleet, candidates, self._voice.digest),
                ask,
                drive.clocks,
                began,
                work.plan.deadline,
                drive.fleet.dice,
                work.plan.budgets,
                faults=faults,
                underway=True,
                owes=n > 0,
                tries=work.plan.tries,
            )
            try:
                stream = await drive.answer(self._rest(text, plan))
            except GatewayError as error:
                stumbled = {c.spec.id for c, met in plan.faults[1:] if met.kind in STUMBLES}
                candidates = [c for c in self._candidates() if c.spec.id in stumbled]
                if not candidates or n == ROUNDS - 1:
                    raise fault from error
                await asyncio.sleep(PAUSE * 2**n)
                continue
            finally:
                work.plan.attempts += plan.attempts
            try:
                await self._stream.close()
            except BaseException:
                stream.abort()
                raise
            self.spoke[-1].given = self.meter.tokens - self._tokens_before
            self.spoke.append(stream.attempt.told)
            self._stream = stream
            self._tokens_before = self.meter.tokens
            self._pace = Pace(drive.clocks.slow_span)
            self.servers.append(stream.candidate.spec.id)
            return

    def _rest(self, text: str, plan: Plan) -> Resumed:
        if self._ended is None:
            self._ended = set()
        return Resumed(
            self._work.fitting(self.candidate)[0],
            self._params_left(),
            plan,
            self._work.trust,
            max(1, self._work.limit - self.meter.pieces),
            self._work.sizes,
            drive=self._drive,
            skills=self._drive.skills,
            said=text,
            thinking="" if self._opening else "".join(self._thinking) + self._thinking_end,
            ended=self._ended,
        )

    def _candidates(self) -> list[Candidate]:
        """Twins that may be able to, who broke this answer least first, then those that are known to go on; doubted
        servers last. A server that broke it may be asked again: most breaks are accidents, and a small fleet has
        nobody else."""
        drive, now = self._drive, self._drive.clock.now()
        able = [
            (candidate, voice)
            for candidate in twins(drive.fleet, self._stream.candidate, self._voice, self._work.trust, now)
            if not drive.skills.hopeless(voice := voice_of(drive.fleet, candidate), now)
            or goes_as_prompt(self._work.request, candidate)
        ]
        servers = drive.fleet.servers
        able.sort(
            key=lambda pair: (
                servers[pair[1].server].doubted,
                self._broke.get(pair[1].server, 0),
                pair[0].resting,
                not drive.skills.way(pair[1], now),
            )
        )
        return [candidate for candidate, _ in able]

    def _has_faster(self, rate: float) -> bool:
        fleet, now = self._drive.fleet, self._drive.clock.now()
        for candidate in self._candidates():
            server = fleet.servers.get(candidate.spec.id)
            if server is None or candidate.spec.id == self._stream.candidate.spec.id or candidate.resting:
                continue
            model = server.models.get(canonical(candidate.model))
            if model is None or fleet.full(candidate.spec.id) or now < model.busy_until:
                continue
            if faster(model.tokens_per_second or model.listed.tokens_per_second, rate):
                return True
        return False

    def _params_left(self) -> dict[str, object]:
        params = dict(self._work.params)
        if (most := params.get("max_tokens")) is not None:
            params["max_tokens"] = max(1, most - self.meter.tokens)
        return params
