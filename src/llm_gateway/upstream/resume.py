"""Asks another server for the rest of an answer that broke.

What may be joined, and whether it fits, is decided in `fleet.splice` and `fleet.prefill`; here it is carried out: a
`Resumed` work goes through the same attempts as any other, and differs in what it asks and in who reads the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.fleet.candidate import Candidate
from llm_gateway.fleet.prefill import PROBE_TOKENS, Skills, Voice, Way, probe, probe_again, went_on
from llm_gateway.fleet.splice import THOUGHT, Seam, SplicedReader, Verdict
from llm_gateway.fleet.twins import voice_of
from llm_gateway.upstream.attempt import Asking, Work, refusal, send
from llm_gateway.upstream.drive import Drive
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.wire.collect import estimate_tokens
from llm_gateway.wire.framing import MAX_LINE
from llm_gateway.wire.neutral import ChatRequest, Finish, Message, Piece, Prompt, StreamReader

_REFUSALS: Final = frozenset({FaultKind.CALLER, FaultKind.CONTEXT, FaultKind.INCAPABLE, FaultKind.NOT_THE_PROTOCOL})
"""Answers to an unusual question that say nothing about the server's worth."""
ENOUGH: Final = 2
"""Servers that must say so before an answer counts as ended where it broke: one alone may be a server that is ill."""


@dataclass(slots=True)
class Resumed(Work):
    """The rest of an answer: `request` is the first one still, `params` are what is left of them."""

    drive: Drive = field(kw_only=True)
    skills: Skills = field(kw_only=True)
    said: str = field(kw_only=True)
    """As its model wrote it: with a thought that stood in the text."""
    thinking: str = field(kw_only=True)
    """A thought that the server told apart from the text."""
    ended: set[str] = field(kw_only=True)
    """Servers that say that nothing is missing after `said`."""
    _ways: dict[str, Way] = field(default_factory=dict)

    @property
    def prompt_tokens(self) -> int:
        return self.plan.ask.prompt_tokens + estimate_tokens(self.said)

    async def asking(self, candidate: Candidate) -> Asking:
        if goes_as_prompt(self.request, candidate):
            return self._further(candidate)
        try:
            way, prompt = await self._way(candidate)
        except Fault as fault:
            raise _blameless(fault) from fault
        if way is None:
            raise Fault(FaultKind.INCAPABLE, "does not go on with answers that others began")
        ask = self._partial() if way is Way.PREFILL else _as_prompt(self.request, prompt + self.said)
        path, dialect = KINDS[candidate.spec.kind].way(ask)
        params = self.params_for(candidate)
        body, reader = dialect.write_upstream(ask, candidate.model, params), dialect.stream_reader()
        voice = voice_of(self.drive.fleet, candidate)
        self._ways[voice.server] = way

        def judged(verdict: Verdict) -> None:
            self._learnt(voice, way, verdict is Verdict.CONTINUES)

        trims = way is Way.PREFILL
        checked = self.checked(candidate, reader, params, begun=True)
        return Asking(path, body, self._spliced(candidate, checked, judged, trims=trims))

    def _further(self, candidate: Candidate) -> Asking:
        """A prompt without a template is gone on with by whoever is asked for it with what was said."""
        prompt = self.request.prompt
        assert prompt is not None
        ask = _as_prompt(self.request, prompt.text + self.said)
        path, dialect = KINDS[candidate.spec.kind].way(ask)
        params = self.params_for(candidate)
        body = dialect.write_upstream(ask, candidate.model, params)
        reader = self.checked(candidate, dialect.stream_reader(), params, begun=True)
        return Asking(path, body, self._spliced(candidate, reader, lambda _: None, trims=False))

    def _spliced(
        self, candidate: Candidate, reader: StreamReader, judged: Callable[[Verdict], None], *, trims: bool
    ) -> SplicedReader:
        def ends_here() -> bool:
            self.ended.add(candidate.spec.id)
            return len(self.ended) >= ENOUGH

        return SplicedReader(reader, Seam(self.said, tuple(self.params.get("stop", ())), trims), judged, ends_here)

    def refused(self, candidate: Candidate, asking: Asking, fault: Fault) -> Fault:
        """A server that refuses an unfinished answer is none the worse for it."""
        way = self._ways.get(candidate.spec.id)
        if way is not None and fault.kind in _REFUSALS and fault.kind is not FaultKind.CONTEXT:
            self._learnt(voice_of(self.drive.fleet, candidate), way, False)
        return _blameless(fault)

    def _partial(self) -> ChatRequest:
        return _with_last(self.request, Message("assistant", self.said, thinking=self.thinking))

    def _learnt(self, voice: Voice, way: Way, works: bool) -> None:
        self.skills.learnt(voice, way, works, self.drive.clock.now())

    async def _way(self, candidate: Candidate) -> tuple[Way | None, str]:
        """How this server goes on, and the prompt where it is needed; learnt now if nobody knows."""
        voice = voice_of(self.drive.fleet, candidate)
        now = self.drive.clock.now()
        has_raw = KINDS[candidate.spec.kind].dialect.render is not None
        known = self.skills.way(voice, now)
        if known is Way.PREFILL:
            return known, ""
        if has_raw and self.skills.knows(voice, Way.RAW, now) is not False:
            if self.skills.knows(voice, Way.PREFILL, now) is None:
                rendered = await self._render(candidate, self._partial())
                if rendered is not None:
                    goes_on = rendered.rstrip().endswith(self.said.rstrip())
                    self._learnt(voice, Way.PREFILL, goes_on)
                    if goes_on:
                        return Way.PREFILL, ""
                else:
                    self._learnt(voice, Way.RAW, False)
            if self.skills.knows(voice, Way.RAW, now) is not False:
                prompt = await self._render(candidate, self.request)
                self._learnt(voice, Way.RAW, prompt is not None)
                if prompt is not None:
                    return (Way.RAW if self._fits_raw(prompt) else None), prompt
        elif not has_raw:
            self._learnt(voice, Way.RAW, False)
        if self.skills.knows(voice, Way.PREFILL, now) is None:
            self._learnt(voice, Way.PREFILL, await self._probe(candidate))
        return self.skills.way(voice, now), ""

    def _fits_raw(self, prompt: str) -> bool:
        """A prompt that is bare text holds no images, and one that opens a thought wants thoughts next."""
        return not prompt.rstrip().endswith(THOUGHT) and not any(m.images for m in self.request.messages)

    async def _render(self, candidate: Candidate, ask: ChatRequest) -> str | None:
        """The prompt that the server's template makes of `ask`; None when it does not tell. Raises Fault."""
        kind = KINDS[candidate.spec.kind]
        render, until = kind.dialect.render, self.plan.deadline
        assert render is not None
        body = render.write_render(ask, candidate.model, self.params_for(candidate))
        response = await send(self.drive, candidate, kind.chat_path, body, until)
        try:
            if response.status != 200:
                fault = await refusal(self.drive, response, body)
                if fault.kind in _REFUSALS:
                    return None
                raise fault
            head = b""
            while b"\n" not in head and len(head) < MAX_LINE:
                if not (data := await response.read(until, FaultKind.TOTAL_TIMEOUT)):
                    break
                head += data
            return render.read_rendering(head.partition(b"\n")[0])
        finally:
            await response.close()

    async def _probe(self, candidate: Candidate) -> bool:
        """Self-consistency: an answer at temperature 0, then its second half after its first. Raises Fault."""
        pieces = await self._say(candidate, probe())
        again = probe_again(pieces)
        if again is None:
            return False
        try:
            return went_on(pieces, "".join(await self._say(candidate, again)))
        except Fault as fault:
            if fault.kind in _REFUSALS:
                return False
            raise

    async def _say(self, candidate: Candidate, ask: ChatRequest) -> list[str]:
        kind, until = KINDS[candidate.spec.kind], self.plan.deadline
        sized = self.params_for(candidate)
        params = {name: value for name, value in sized.items() if name == "num_ctx"}  # another one reloads
        params |= {"temperature": 0.0, "max_tokens": PROBE_TOKENS}
        body = kind.dialect.write_upstream(ask, candidate.model, params)
        response = await send(self.drive, candidate, kind.chat_path, body, until)
        try:
            if response.status != 200:
                raise await refusal(self.drive, response, body)
            reader = kind.dialect.stream_reader()
            pieces: list[str] = []
            while not reader.done and len(pieces) < 2 * PROBE_TOKENS:
                data = await response.read(until, FaultKind.TOTAL_TIMEOUT)
                events = reader.feed(data) if data else reader.eof()
                pieces += [event.text for event in events if isinstance(event, Piece)]
                if any(isinstance(event, Finish) for event in events):
                    break
            return pieces
        finally:
            await response.close()


def goes_as_prompt(ask: ChatRequest, candidate: Candidate) -> bool:
    """Is this server given a prompt as it is?"""
    return ask.prompt is not None and KINDS[candidate.spec.kind].dialect.prompts.goes(ask.prompt)


def _with_last(ask: ChatRequest, message: Message) -> ChatRequest:
    return replace(ask, messages=[*ask.messages, message])


def _as_prompt(ask: ChatRequest, text: str) -> ChatRequest:
    """Only what is no part of the prompt is taken over from a conversation."""
    return replace(ask, prompt=Prompt(text, raw=True), messages=[])


def _blameless(fault: Fault) -> Fault:
    """The caller's request is good: somebody is answering it already. So no server's word against it is the last."""
    return Fault(FaultKind.INCAPABLE, f"{fault.kind}: {fault.detail}") if fault.kind in _REFUSALS else fault
